#include <pthread.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* Goes on all the same; 1000 threads would be a breach, and end it. */
static int breach(void)
{
    int started = 0;
    for (pthread_t thread; started < 1000 && pthread_create(&thread, NULL, wait_for_ever, NULL) == 0;)
        started++;
    return started < 1000;
}
