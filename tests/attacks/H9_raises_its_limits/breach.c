#include <stddef.h>
#include <sys/resource.h>

static int breach(void)
{
    static const int limited[] = {RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_AS};
    for (size_t i = 0; i < sizeof limited / sizeof *limited; i++) {
        struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
        if (setrlimit(limited[i], &all) == 0)
            return 1;
    }
    return 0;
}
