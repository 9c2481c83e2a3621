#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int breach(void)
{
    const struct sched_param first = {.sched_priority = 1};
    if (setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1) == 0)
        return 1;
    return prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0 || sched_setscheduler(0, SCHED_FIFO, &first) == 0 ||
           sched_setscheduler(0, SCHED_RR, &first) == 0 || syscall(SYS_ioprio_set, 1, 0, 1 << 13) == 0;
}
