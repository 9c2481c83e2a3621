#include <unistd.h>

static int breach(void)
{
    usleep(300000);
    return 1;
}
