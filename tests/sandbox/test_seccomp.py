"""The filter, interpreted here as the kernel interprets it."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.sandbox.seccomp import DENIED, SHARED, Policy, program

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
POLICIES: tuple[Policy, ...] = ("threads", "processes")
CLONE, FORK, VFORK, CLONE3, IOCTL, PRCTL, PERSONALITY, FCNTL, TIMER_CREATE = (
    56,
    57,
    58,
    435,
    16,
    157,
    135,
    72,
    222,
)
SCHED_SETAFFINITY, PRLIMIT, CHMOD = 203, 302, 90
THREAD_FLAGS = 0x3D0F00  # what pthread_create passes: CLONE_VM | FS | FILES | SIGHAND | THREAD | ...


def instructions(policy: Policy, has_namespaces: bool = True) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("<HBBI", program(policy, has_namespaces)))


def answer(
    policy: Policy,
    call: int,
    arguments: Sequence[int] = (),
    arch: int = X86_64,
    has_namespaces: bool = True,
) -> int:
    """What the kernel does with this system call (struct seccomp_data in, SECCOMP_RET_* out)."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", call, arch, 0, *padded)
    code, position, accumulator = instructions(policy, has_namespaces), 0, 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x06:
            return value
        else:
            taken = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
                operation
            ]
            position += if_true if taken else if_false


@pytest.mark.parametrize("has_namespaces", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_jump_lands_inside_and_every_path_ends(policy: Policy, has_namespaces: bool) -> None:
    code = instructions(policy, has_namespaces)
    assert len(code) <= 4096  # BPF_MAXINSNS
    for position, (operation, if_true, if_false, value) in enumerate(code):
        assert operation in (0x20, 0x15, 0x35, 0x45, 0x06)
        if operation == 0x20:
            assert value % 4 == 0 and value < 64
        if operation in (0x15, 0x35, 0x45):
            assert position + 1 + max(if_true, if_false) < len(code)
    assert code[-1] == (0x06, 0, 0, ALLOW)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("call", [call for calls in DENIED.values() for call in calls])
def test_what_is_denied_is_denied_with_every_argument(policy: Policy, call: int) -> None:
    assert answer(policy, call) == EPERM
    assert answer(policy, call, [(1 << 64) - 1] * 6) == EPERM


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("call", [call for calls in SHARED.values() for call in calls])
def test_what_is_the_machines_is_denied_without_namespaces(policy: Policy, call: int) -> None:
    assert answer(policy, call, has_namespaces=False) == EPERM
    assert answer("processes", call) == ALLOW


def test_limits_and_cores_are_set_for_oneself_only() -> None:
    for call in (SCHED_SETAFFINITY, PRLIMIT):
        for pid, result in ((0, ALLOW), (1, EPERM), (4321, EPERM)):
            assert answer("threads", call, [pid], has_namespaces=False) == result
            assert answer("threads", call, [pid]) == ALLOW


def test_without_namespaces_only_compilers_and_programs_change_attributes_of_files() -> None:
    assert answer("threads", CHMOD, has_namespaces=False) == EPERM
    assert answer("processes", CHMOD, has_namespaces=False) == answer("threads", CHMOD) == ALLOW


def test_no_call_is_listed_twice() -> None:
    calls = [call for calls in (*DENIED.values(), *SHARED.values()) for call in calls]
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize("policy", POLICIES)
def test_another_architecture_is_killed(policy: Policy) -> None:
    for arch in (I386, AARCH64):
        assert answer(policy, 1, arch=arch) == KILL
    assert answer(policy, 0x40000000 | 39) == KILL  # x32


@pytest.mark.parametrize("policy", POLICIES)
def test_calls_that_this_program_does_not_know_do_not_exist(policy: Policy) -> None:
    assert answer(policy, 463) == ENOSYS
    assert answer(policy, CLONE3) == ENOSYS


def test_threads_may_be_started_but_no_processes() -> None:
    assert answer("threads", CLONE, [THREAD_FLAGS]) == ALLOW
    for call, arguments in ((CLONE, [17]), (CLONE, [0x4111]), (FORK, []), (VFORK, [])):
        assert answer("threads", call, arguments) == EPERM
        assert answer("processes", call, arguments) == ALLOW


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_policy_allows_a_new_namespace(policy: Policy, flag: int) -> None:
    assert answer(policy, CLONE, [17 | flag]) == EPERM
    assert answer(policy, CLONE, [THREAD_FLAGS | flag]) == EPERM


def test_nothing_can_make_the_kernel_send_a_signal_later() -> None:
    """A timer's SIGCONT would wake a runner that the grader has stopped."""
    assert answer("threads", TIMER_CREATE) == EPERM
    assert answer("threads", FCNTL, [1, 10]) == EPERM
    assert answer("threads", FCNTL, [1, 3]) == ALLOW
    assert answer("processes", TIMER_CREATE) == ALLOW


@pytest.mark.parametrize("policy", POLICIES)
def test_some_calls_are_denied_by_their_argument(policy: Policy) -> None:
    assert answer(policy, IOCTL, [0, 0x5412]) == EPERM
    assert answer(policy, IOCTL, [0, 0xFFFFFFFF00005412]) == EPERM  # the kernel looks at the low word only
    assert answer(policy, IOCTL, [0, 0x5401]) == ALLOW
    assert answer(policy, PRCTL, [26]) == EPERM
    assert answer(policy, PRCTL, [15]) == ALLOW
    assert answer(policy, PERSONALITY, [0xFFFFFFFF]) == ALLOW
    assert answer(policy, PERSONALITY, [0x0040000]) == EPERM


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    call=st.integers(-(1 << 31), (1 << 31) - 1),
    arguments=st.lists(st.integers(0, (1 << 64) - 1), max_size=6),
    arch=st.sampled_from((X86_64, I386, AARCH64, 0)),
)
def test_every_call_gets_one_of_four_answers(
    policy: Policy, call: int, arguments: list[int], arch: int
) -> None:
    got = answer(policy, call, arguments, arch)
    assert got in (ALLOW, KILL, EPERM, ENOSYS)
    if arch != X86_64 or call < 0 or call >= 0x40000000:
        assert got == KILL


@pytest.mark.parametrize("call", [0, 1, 3, 9, 10, 11, 12, 28, 39, 60, 186, 202, 228, 231, 24, 35, 72])
def test_what_a_lab_needs_is_allowed(call: int) -> None:
    """read write close mmap mprotect munmap brk madvise getpid exit gettid futex clock_gettime exit_group yield …"""
    assert answer("threads", call) == ALLOW


SOCKET, SOCKETPAIR, CONNECT, AF_UNIX, AF_INET, AF_NETLINK = 41, 53, 42, 1, 2, 16


def test_peers_may_use_sockets_of_the_file_system_and_no_others() -> None:
    for call in (SOCKET, SOCKETPAIR):
        assert answer("peers", call, [AF_UNIX]) == ALLOW
        for family in (AF_INET, AF_NETLINK, 0):
            assert answer("peers", call, [family]) == EPERM
    assert answer("peers", CONNECT) == ALLOW


def test_peers_are_held_like_threads_in_all_else() -> None:
    sockets = {SOCKET, SOCKETPAIR, *DENIED["sockets"]}
    for call in range(463):
        if call not in sockets:
            for arguments in ([], [17], [1, 10], [THREAD_FLAGS]):
                assert answer("peers", call, arguments) == answer("threads", call, arguments)
