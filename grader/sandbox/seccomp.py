"""Seccomp filters: which system calls a confined process may make, as the bytes that `bwrap` and `launch` load.

A deny-list: everything that reaches other processes, other namespaces, the network or rarely exercised kernel code
fails with EPERM or ENOSYS, and creating processes too where a lab does not need them. It is the second wall; the
first is that the sandbox holds nothing worth reading. Numbers are x86-64's (asm/unistd_64.h).
"""

from __future__ import annotations

import errno
import struct
from typing import Literal

Policy = Literal["threads", "processes", "peers", "watched"]
"""What a process may start or meet: threads only; processes too; threads, and peers by sockets of the file system;
processes and peers, for a tool that starts the runner and talks with it."""

_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NEWEST_KNOWN_CALL = 462  # mseal (Linux 6.10); later calls answer ENOSYS, as on an older kernel

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_OFFSET_NR, _OFFSET_ARCH, _OFFSET_ARG0, _OFFSET_ARG1 = 0, 4, 16, 24

_CLONE, _CLONE3, _FORK, _VFORK, _IOCTL, _PRCTL, _PERSONALITY, _FCNTL = 56, 435, 57, 58, 16, 157, 135, 72
_TIMER_CREATE, _MQ_NOTIFY, _F_SETSIG = 222, 244, 10
_CLONE_THREAD = 0x00010000
_CLONE_NEW_NAMESPACE = 0x7E020080
_TIOCSTI, _TIOCLINUX, _PR_SET_TSC, _QUERY_PERSONALITY = 0x5412, 0x541C, 26, 0xFFFFFFFF

DENIED: dict[str, tuple[int, ...]] = {
    "other processes": (
        101,
        310,
        311,
        312,
        424,
        434,
        438,
        440,
        448,
    ),  # ptrace process_vm_* kcmp pidfd_* madvise
    "kernel attack surface": (298, 321, 323, 425, 426, 427),  # perf_event_open bpf userfaultfd io_uring_*
    "keyrings": (248, 249, 250),
    "mounts": (155, 161, 165, 166, 428, 429, 430, 431, 432, 433, 442),
    "namespaces": (272, 308),
    "the host": (103, 159, 163, 164, 167, 168, 169, 170, 171, 172, 173, 179, 227, 305, 443),
    "kernel modules": (175, 176, 246, 313, 320),
    "file handles and devices": (133, 212, 259, 300, 303, 304),
    "memory policy": (237, 238, 256, 279),
    "sockets": (41, 42, 43, 49, 50, 53, 288),
}

SHARED: dict[str, tuple[int, ...]] = {
    "System V shared memory, semaphores, queues": (29, 30, 31, 64, 65, 66, 67, 68, 69, 70, 71, 220),
    "POSIX queues": (240, 241, 242, 243, 244, 245),
    "priorities of others": (141, 142, 144, 251, 314),  # setpriority sched_setparam/scheduler/attr ioprio_set
}
"""Denied too where there are no namespaces: what is the machine's, or reaches other processes of the same user."""

_ATTRIBUTES = (90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280, 452)
"""chmod, chown, utime, setxattr, ...: Landlock does not ask for them. Compilers and shells need them."""
_SCHED_SETAFFINITY, _PRLIMIT = 203, 302

_SOCKET, _SOCKETPAIR, _AF_UNIX = 41, 53, 1
_PIPES = (133, 259)
"""mknod, mknodat: compute-sanitizer talks through a named pipe. Devices need a capability that nobody here has."""


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _answer(number: int) -> bytes:
    return _instruction(_RET, _ERRNO | number)


def _deny_when_argument(call: int, offset: int, values: tuple[int, ...]) -> bytes:
    """EPERM when the low word of an argument equals one of `values`; falls through to allow otherwise."""
    body = _instruction(_LD, offset)
    for value in values:
        body += _instruction(_JEQ, value, 0, 1) + _answer(errno.EPERM)
    body += _instruction(_RET, _ALLOW)
    return _instruction(_JEQ, call, 0, len(body) // 8) + body


def _allow_only_argument(call: int, offset: int, values: tuple[int, ...]) -> bytes:
    body = _instruction(_LD, offset)
    for value in values:
        body += _instruction(_JEQ, value, 0, 1) + _instruction(_RET, _ALLOW)
    body += _answer(errno.EPERM)
    return _instruction(_JEQ, call, 0, len(body) // 8) + body


def _clone_rule(policy: Policy) -> bytes:
    """Threads always; new processes only under "processes"; new namespaces never."""
    body = _instruction(_LD, _OFFSET_ARG0)
    body += _instruction(_JSET, _CLONE_NEW_NAMESPACE, 0, 1) + _answer(errno.EPERM)
    if policy not in ("processes", "watched"):
        body += _instruction(_JSET, _CLONE_THREAD, 1, 0) + _answer(errno.EPERM)
    body += _instruction(_RET, _ALLOW)
    return _instruction(_JEQ, _CLONE, 0, len(body) // 8) + body


def program(policy: Policy, has_namespaces: bool = True) -> bytes:
    """The filter as an array of `struct sock_filter`."""
    alone = policy not in ("processes", "watched")
    code = _instruction(_LD, _OFFSET_ARCH)
    code += _instruction(_JEQ, _ARCH_X86_64, 1, 0) + _instruction(_RET, _KILL)
    code += _instruction(_LD, _OFFSET_NR)
    code += _instruction(_JGE, _X32_BIT, 0, 1) + _instruction(_RET, _KILL)
    code += _instruction(_JGE, _NEWEST_KNOWN_CALL + 1, 0, 1) + _answer(errno.ENOSYS)
    # The flags of clone3 lie in memory, where no filter can look; libc falls back to clone.
    code += _instruction(_JEQ, _CLONE3, 0, 1) + _answer(errno.ENOSYS)
    allowed = _PIPES if policy == "watched" else ()
    for what, calls in DENIED.items():
        for call in calls if what != "sockets" or policy not in ("peers", "watched") else ():
            if call in allowed:
                continue
            code += _instruction(_JEQ, call, 0, 1) + _answer(errno.EPERM)
    if not has_namespaces:
        for call in sum(SHARED.values(), _ATTRIBUTES if alone else ()):
            code += _instruction(_JEQ, call, 0, 1) + _answer(errno.EPERM)
        for call in (_SCHED_SETAFFINITY, _PRLIMIT):  # oneself is number 0
            code += _allow_only_argument(call, _OFFSET_ARG0, (0,))
    if policy in ("peers", "watched"):
        for call in (_SOCKET, _SOCKETPAIR):
            code += _allow_only_argument(call, _OFFSET_ARG0, (_AF_UNIX,))
    if alone:
        # Besides new processes: whatever makes the kernel send a chosen signal later. A SIGCONT from a timer
        # would wake a runner that the grader has stopped.
        for call in (_FORK, _VFORK, _TIMER_CREATE, _MQ_NOTIFY):
            code += _instruction(_JEQ, call, 0, 1) + _answer(errno.EPERM)
        code += _deny_when_argument(_FCNTL, _OFFSET_ARG1, (_F_SETSIG,))
    code += _deny_when_argument(_IOCTL, _OFFSET_ARG1, (_TIOCSTI, _TIOCLINUX))
    code += _deny_when_argument(_PRCTL, _OFFSET_ARG0, (_PR_SET_TSC,))
    code += _allow_only_argument(_PERSONALITY, _OFFSET_ARG0, (_QUERY_PERSONALITY,))
    code += _clone_rule(policy)
    return code + _instruction(_RET, _ALLOW)
