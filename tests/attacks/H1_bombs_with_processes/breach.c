#include <sys/types.h>
#include <unistd.h>

/* At most some thousands, should nothing stop it. */
static int breach(void)
{
    for (int depth = 0; depth < 12; depth++)
        if (fork() == 0)
            setsid();
    static pid_t first;
    first = getppid();
    if (first != 1)
        alarm(60);
    return 1;
}
