#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int breach(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, is;
    if (setrlimit(RLIMIT_CORE, &all) == 0 || getrlimit(RLIMIT_CORE, &is) != 0 || is.rlim_max != 0)
        return 1;
    prctl(PR_SET_DUMPABLE, 1);
    (void)!chdir("/tmp");
    abort();
}
