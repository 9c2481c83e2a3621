#include <pthread.h>

static volatile unsigned long spins;

static void *spin(void *unused)
{
    for (;;)
        spins++;
    return unused;
}

static int breach(void)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, spin, NULL);
    return 1;
}
