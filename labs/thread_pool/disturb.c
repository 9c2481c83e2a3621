/*
 * disturb.c - staff code of the faults variant, linked in front of the submission's locks and conditions.
 *
 * POSIX allows a wait to return without a reason, and promises nothing about when a thread runs. A pool that is right only
 * when threads happen to come in the usual order passes a thousand quiet runs; here the unusual orders are made.
 * Counting is exact; which call is disturbed follows from the seed and from the number of the call.
 */
#define _GNU_SOURCE
#include "disturb.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static atomic_ulong seed_now, calls_so_far;
static atomic_uint spurious_now, late_now;
static atomic_long counts[2];

int disturb(uint64_t seed, uint32_t spurious, uint32_t late_us)
{
    seed_now = seed;
    spurious_now = spurious;
    late_now = late_us;
    calls_so_far = 0;
    counts[0] = counts[1] = 0;
    return 0;
}

long disturb_calls(int which)
{
    return counts[which != 0];
}

/* A random number for this call (splitmix64). */
static uint64_t draw(void)
{
    uint64_t x = seed_now + UINT64_C(0x9E3779B97F4A7C15) * ++calls_so_far;
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Mostly nothing, sometimes let others run first, rarely come late. */
static void dawdle(unsigned rarely)
{
    if (late_now == 0)
        return;
    uint64_t chance = draw();
    if (chance % rarely == 0) {
        struct timespec t = {0, (long)((chance >> 32) % late_now) * 1000};
        nanosleep(&t, NULL);
    } else if (chance % 8 == 1) {
        sched_yield();
    }
}

static bool wakes_without_reason(void)
{
    return spurious_now > 0 && draw() % 1000 < spurious_now;
}

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_trylock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __real_pthread_spin_lock(pthread_spinlock_t *m);
int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __real_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __real_pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *t);
int __real_pthread_cond_signal(pthread_cond_t *c);
int __real_pthread_cond_broadcast(pthread_cond_t *c);
int __real_sem_wait(sem_t *s);
int __real_sem_post(sem_t *s);

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    counts[0]++;
    dawdle(200);
    return __real_pthread_mutex_lock(m);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
    counts[0]++;
    return __real_pthread_mutex_trylock(m);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    int error = __real_pthread_mutex_unlock(m);
    dawdle(200);
    return error;
}

int __wrap_pthread_spin_lock(pthread_spinlock_t *m)
{
    counts[0]++;
    dawdle(200);
    return __real_pthread_spin_lock(m);
}

/* A wait without a reason to end: the lock is released and taken again, as a real one does. */
static void wake_for_nothing(pthread_mutex_t *m)
{
    __real_pthread_mutex_unlock(m);
    sched_yield();
    __real_pthread_mutex_lock(m);
}

/*
 * After a real wake-up the lock is given back once more and taken again, which nobody can tell from a thread
 * that was slow to get it: in between, others may take what this thread was woken for.
 */
static void come_late(pthread_mutex_t *m)
{
    if (late_now == 0 || draw() % 4 != 0)
        return;
    __real_pthread_mutex_unlock(m);
    dawdle(4);
    __real_pthread_mutex_lock(m);
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    if (wakes_without_reason()) {
        wake_for_nothing(m);
        return 0;
    }
    int error = __real_pthread_cond_wait(c, m);
    come_late(m);
    return error;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    if (wakes_without_reason()) {
        wake_for_nothing(m);
        return 0;
    }
    int error = __real_pthread_cond_timedwait(c, m, t);
    come_late(m);
    return error;
}

int __wrap_pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *t)
{
    if (wakes_without_reason()) {
        wake_for_nothing(m);
        return 0;
    }
    int error = __real_pthread_cond_clockwait(c, m, clock, t);
    come_late(m);
    return error;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    counts[1]++;
    dawdle(20);
    int error = __real_pthread_cond_signal(c);
    dawdle(20);
    return error;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    counts[1]++;
    dawdle(20);
    int error = __real_pthread_cond_broadcast(c);
    dawdle(20);
    return error;
}

int __wrap_sem_wait(sem_t *s)
{
    counts[0]++;
    dawdle(50);
    return __real_sem_wait(s);
}

int __wrap_sem_post(sem_t *s)
{
    counts[1]++;
    dawdle(50);
    return __real_sem_post(s);
}
