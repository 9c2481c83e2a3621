#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sleeps(void *unused)
{
    for (;;)
        pause();
    return unused != NULL;
}

static int breach(void)
{
    static char stack[1 << 16] __attribute__((aligned(64)));
    struct {
        unsigned long long flags, more[10];
    } how = {.flags = 0};
    pid_t child = fork();
    if (child == 0)
        sleeps(NULL);
    if (child > 0)
        return 1;
    if (syscall(SYS_clone3, &how, sizeof how) >= 0 || clone(sleeps, stack + sizeof stack, SIGCHLD, NULL) > 0)
        return 1;
    return clone(sleeps, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) > 0;
}
