#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int breach(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 || syscall(SYS_mq_notify, 0, &event) == 0)
        return 1;
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_SETSIG, SIGCONT) == 0)
            return 1;
    return 0;
}
