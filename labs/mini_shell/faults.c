/*
 * faults.c - linked into the "faults" build: calls that fail when they are told to.
 *
 * MSH_FAULT=fork:3 lets the third call that starts a process fail, MSH_FAULT=pipe:1 the first one that makes a pipe,
 * MSH_FAULT=dup:2 the second one that doubles a descriptor; each with all its relatives. fork:0 lets every one fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORK, PIPE, DUP, KINDS };

static long countdown[KINDS]; /* calls until the one that fails; negative: none */
static int always[KINDS];

__attribute__((constructor)) static void read_fault(void)
{
    static const char *const names[KINDS] = {"fork:", "pipe:", "dup:"};
    const char *told = getenv("MSH_FAULT");
    for (int kind = 0; kind < KINDS; kind++) {
        const int is_this = told != NULL && strncmp(told, names[kind], strlen(names[kind])) == 0;
        countdown[kind] = is_this ? atol(told + strlen(names[kind])) - 1 : -1;
        always[kind] = is_this && countdown[kind] < 0;
    }
}

static int fails(int kind)
{
    return always[kind] || (countdown[kind] >= 0 && countdown[kind]-- == 0);
}

pid_t __wrap_vfork(void); /* in assembly, below */
pid_t __real_fork(void);

pid_t __wrap_fork(void)
{
    if (fails(FORK)) {
        errno = EAGAIN;
        return -1;
    }
    return __real_fork();
}

/* vfork returns twice from one frame: a wrapper must be gone from the stack by then, so it jumps and does not call. */
__attribute__((used)) static int vfork_fails(void)
{
    if (!fails(FORK))
        return 0;
    errno = EAGAIN;
    return 1;
}

__asm__(".text\n"
        ".globl __wrap_vfork\n"
        ".type __wrap_vfork, @function\n"
        "__wrap_vfork:\n"
        "    subq $8, %rsp\n"
        "    call vfork_fails\n"
        "    addq $8, %rsp\n"
        "    testl %eax, %eax\n"
        "    jne 1f\n"
        "    jmp __real_vfork@PLT\n"
        "1:  movl $-1, %eax\n"
        "    ret\n"
        ".size __wrap_vfork, . - __wrap_vfork\n");

int __real_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
int __real_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);

int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return fails(FORK) ? EAGAIN : __real_posix_spawn(pid, path, actions, attributes, argv, envp);
}

int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return fails(FORK) ? EAGAIN : __real_posix_spawnp(pid, file, actions, attributes, argv, envp);
}

int __real_pipe(int ends[2]);
int __real_pipe2(int ends[2], int flags);

int __wrap_pipe(int ends[2])
{
    return fails(PIPE) ? (errno = EMFILE, -1) : __real_pipe(ends);
}

int __wrap_pipe2(int ends[2], int flags)
{
    return fails(PIPE) ? (errno = EMFILE, -1) : __real_pipe2(ends, flags);
}

int __real_dup(int fd);
int __real_dup2(int from, int to);
int __real_dup3(int from, int to, int flags);

int __wrap_dup(int fd)
{
    return fails(DUP) ? (errno = EMFILE, -1) : __real_dup(fd);
}

int __wrap_dup2(int from, int to)
{
    return fails(DUP) ? (errno = EBUSY, -1) : __real_dup2(from, to);
}

int __wrap_dup3(int from, int to, int flags)
{
    return fails(DUP) ? (errno = EBUSY, -1) : __real_dup3(from, to, flags);
}
