#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static int breach(void)
{
    sigset_t all;
    sigfillset(&all);
    for (int number = 1; number < 65; number++)
        signal(number, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
    return 1;
}
