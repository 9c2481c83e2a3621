/*
 * tpool.c - a pool of threads behind one mutex.
 *
 * The plan
 *   queue    a ring of tasks that doubles when it is full: no allocation per task.
 *   loops    a parallel_for never enters the queue. It is a record on its caller's stack, in a list of open loops;
 *            workers join an open loop and take ranges from its counter until none is left. So it needs no memory,
 *            cannot be dropped by a shutdown, and cannot be stuck behind its own caller in the queue.
 *   state    everything else that threads share is read and written under `lock`. A condition is always a `while`:
 *            a thread may wake up without a reason, or too late.
 *
 * What makes it fast
 *   - nobody is woken who does not sleep: `sleepers`, `blocked` and `waiters` say whether a signal has a reader;
 *   - "finish the last task" and "take the next one" are one visit to the lock, not two;
 *   - a worker without work looks around for some microseconds before it sleeps, since waking it costs more than
 *     that. Only one worker at a time does (the scout), and only for so long: an idle pool uses no CPU.
 */
#define _GNU_SOURCE /* PTHREAD_MUTEX_ADAPTIVE_NP */
#include "tpool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_ROOM = 64, LOOKS = 60, RANGES_PER_WORKER = 8, LINE = 64 };

typedef struct {
    tpool_fn fn;
    void *arg;
} task;

/* A ring: `count` tasks from `head` on; `room` is a power of two. */
typedef struct {
    task *slots;
    size_t room, head, count;
} ring;

/* One parallel_for that is under way. Ranges are numbered, so that no sum of indices can overflow. */
typedef struct loop {
    size_t lo, hi, grain, ranges;
    atomic_size_t taken;
    void (*body)(size_t from, size_t to, void *ctx);
    void *ctx;
    size_t inside; /* workers that are in it, under the pool's lock */
    struct loop *next;
} loop;

typedef struct {
    tpool *pool;
    pthread_t thread;
    int index;
} worker;

struct tpool {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* for workers: there is a task or a loop, or the end has come */
    pthread_cond_t space;    /* for producers: the queue is no longer full, or is closed */
    pthread_cond_t finished; /* for waiters: the pool is idle, or a loop is done */
    ring queue;
    loop *loops; /* open loops, newest first: the innermost one is what others wait for */
    size_t cap;
    size_t running;  /* workers that run a task or are in a loop */
    size_t sleepers; /* workers in `work` */
    size_t blocked;  /* producers in `space` */
    size_t waiters;  /* threads in `finished` */
    bool scouting;   /* one worker looks around before it sleeps */
    bool closed;     /* shut down: nothing is accepted any more */
    bool stopping;   /* workers end as soon as the queue is empty */
    uint32_t nthreads;
    worker *workers;
    _Alignas(LINE) atomic_bool hint; /* is there work? What the scout looks at without the lock; may be wrong */
};

static _Thread_local const worker *self; /* which worker this thread is; NULL elsewhere */

static bool is_worker_of(const tpool *p)
{
    return self != NULL && self->pool == p;
}

/* ---- the queue: all under the lock ---- */

static int ring_grow(ring *q)
{
    size_t room = q->room ? 2 * q->room : FIRST_ROOM;
    task *slots = malloc(room * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    size_t until_end = q->room - q->head; /* the part before the ring's end, then the part that wrapped around */
    size_t first = q->count < until_end ? q->count : until_end;
    if (q->count > 0) {
        memcpy(slots, q->slots + q->head, first * sizeof *slots);
        memcpy(slots + first, q->slots, (q->count - first) * sizeof *slots);
    }
    free(q->slots);
    *q = (ring){slots, room, 0, q->count};
    return 0;
}

static int ring_push(ring *q, task t)
{
    if (q->count == q->room) {
        int error = ring_grow(q);
        if (error)
            return error;
    }
    q->slots[(q->head + q->count++) & (q->room - 1)] = t;
    return 0;
}

static task ring_pop(ring *q)
{
    task t = q->slots[q->head];
    q->head = (q->head + 1) & (q->room - 1);
    q->count--;
    return t;
}

/* ---- loops ---- */

static void run_ranges(loop *l)
{
    for (;;) {
        size_t number = atomic_fetch_add(&l->taken, 1);
        if (number >= l->ranges)
            return;
        size_t from = l->lo + number * l->grain;
        size_t to = l->hi - from > l->grain ? from + l->grain : l->hi;
        l->body(from, to, l->ctx);
    }
}

static bool has_ranges(loop *l)
{
    return atomic_load(&l->taken) < l->ranges;
}

/* An open loop that has ranges left, or NULL. */
static loop *open_loop(const tpool *p)
{
    loop *l = p->loops;
    while (l != NULL && !has_ranges(l))
        l = l->next;
    return l;
}

static void unlink_loop(tpool *p, const loop *gone)
{
    loop **link = &p->loops;
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
}

/* ---- who wakes whom: all under the lock ---- */

static bool has_work(const tpool *p)
{
    return p->queue.count > 0 || open_loop(p) != NULL;
}

static bool is_idle(const tpool *p)
{
    return p->queue.count == 0 && p->running == 0 && p->loops == NULL;
}

/* There is work: one more worker should know, unless the scout finds it anyway. */
static void offer_work(tpool *p)
{
    atomic_store_explicit(&p->hint, true, memory_order_relaxed);
    if (p->sleepers > 0 && !p->scouting)
        pthread_cond_signal(&p->work);
}

static void tell_waiters(tpool *p)
{
    if (p->waiters > 0)
        pthread_cond_broadcast(&p->finished);
}

/* ---- workers ---- */

/* Look around for a while without the lock. Not longer: a pool without work must not use the CPU. */
static void scout(tpool *p)
{
    p->scouting = true;
    atomic_store_explicit(&p->hint, false, memory_order_relaxed);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < LOOKS && !atomic_load_explicit(&p->hint, memory_order_relaxed); i++)
        sched_yield();
    pthread_mutex_lock(&p->lock);
    p->scouting = false;
}

/* Wait for work; false: there will be none. */
static bool await_work(tpool *p)
{
    if (!has_work(p) && !p->stopping && !p->scouting)
        scout(p);
    while (!has_work(p) && !p->stopping) {
        p->sleepers++;
        pthread_cond_wait(&p->work, &p->lock);
        p->sleepers--;
    }
    return has_work(p);
}

static void join_loop(tpool *p, loop *l)
{
    l->inside++;
    pthread_mutex_unlock(&p->lock);
    run_ranges(l);
    pthread_mutex_lock(&p->lock);
    if (--l->inside == 0)
        tell_waiters(p);
}

static void run_task(tpool *p)
{
    task t = ring_pop(&p->queue);
    if (p->blocked > 0)
        pthread_cond_signal(&p->space);
    pthread_mutex_unlock(&p->lock);
    t.fn(t.arg);
    pthread_mutex_lock(&p->lock);
}

static void *work(void *argument)
{
    self = argument;
    tpool *p = self->pool;
    pthread_mutex_lock(&p->lock);
    while (await_work(p)) {
        loop *l = open_loop(p);
        p->running++;
        if (p->queue.count > 1 || l != NULL)
            offer_work(p); /* more than one worker can do */
        if (l != NULL)
            join_loop(p, l);
        else
            run_task(p);
        p->running--;
        if (is_idle(p))
            tell_waiters(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life and death ---- */

/* Let the first `count` workers end when the queue is empty, and wait until they have. */
static void end_workers(tpool *p, uint32_t count)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    atomic_store_explicit(&p->hint, true, memory_order_relaxed);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(p->workers[i].thread, NULL);
}

static void release(tpool *p)
{
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->space);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->queue.slots);
    free(p->workers);
    free(p);
}

static tpool *allocate(const tpool_cfg *cfg)
{
    tpool *p = aligned_alloc(LINE, sizeof *p);
    worker *workers = calloc(cfg->nthreads, sizeof *workers);
    if (p == NULL || workers == NULL) {
        free(workers);
        free(p);
        return NULL;
    }
    *p = (tpool){.cap = cfg->queue_cap, .nthreads = cfg->nthreads, .workers = workers};
    pthread_mutexattr_t adaptive; /* the lock is held for a few instructions: spin before you sleep */
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&p->lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_condattr_t monotonic; /* timeouts must not jump when somebody sets the clock */
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->space, NULL);
    pthread_cond_init(&p->finished, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return p;
}

int tpool_create(const tpool_cfg *cfg, tpool **out)
{
    if (cfg == NULL || out == NULL || cfg->nthreads == 0 || cfg->flags != 0)
        return -EINVAL;
    tpool *p = allocate(cfg);
    if (p == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < cfg->nthreads; i++) {
        p->workers[i] = (worker){.pool = p, .index = (int)i};
        if (pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]) != 0) {
            end_workers(p, i);
            release(p);
            return -EAGAIN;
        }
    }
    *out = p;
    return 0;
}

int tpool_shutdown(tpool *p, int drain)
{
    if (p == NULL)
        return -EINVAL;
    if (is_worker_of(p))
        return -EDEADLK;
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    int dropped = 0;
    if (!drain) {
        dropped = (int)p->queue.count;
        p->queue.count = 0;
        if (is_idle(p))
            tell_waiters(p);
    }
    pthread_cond_broadcast(&p->space);
    while (!is_idle(p)) {
        p->waiters++;
        pthread_cond_wait(&p->finished, &p->lock);
        p->waiters--;
    }
    pthread_mutex_unlock(&p->lock);
    return dropped;
}

void tpool_destroy(tpool *p)
{
    if (p == NULL)
        return;
    tpool_shutdown(p, 1);
    end_workers(p, p->nthreads);
    release(p);
}

/* ---- tasks ---- */

static int submit(tpool *p, tpool_fn fn, void *arg, bool may_block)
{
    if (p == NULL || fn == NULL)
        return -EINVAL;
    int error = 0;
    pthread_mutex_lock(&p->lock);
    while (may_block && !p->closed && p->cap > 0 && p->queue.count >= p->cap) {
        p->blocked++;
        pthread_cond_wait(&p->space, &p->lock);
        p->blocked--;
    }
    if (p->closed)
        error = -ESHUTDOWN;
    else if (p->cap > 0 && p->queue.count >= p->cap)
        error = -EAGAIN;
    else
        error = ring_push(&p->queue, (task){fn, arg});
    if (error == 0)
        offer_work(p);
    pthread_mutex_unlock(&p->lock);
    return error;
}

int tpool_submit(tpool *p, tpool_fn fn, void *arg)
{
    return submit(p, fn, arg, true);
}

int tpool_try_submit(tpool *p, tpool_fn fn, void *arg)
{
    return submit(p, fn, arg, false);
}

size_t tpool_pending(tpool *p)
{
    if (p == NULL)
        return 0;
    pthread_mutex_lock(&p->lock);
    size_t count = p->queue.count;
    pthread_mutex_unlock(&p->lock);
    return count;
}

int tpool_worker_index(void)
{
    return self != NULL ? self->index : -1;
}

/* ---- waiting ---- */

static struct timespec in_ms(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Wait until the pool is idle; without a deadline for ever. */
static int wait_until(tpool *p, const struct timespec *deadline)
{
    int error = 0;
    pthread_mutex_lock(&p->lock);
    while (!is_idle(p) && error == 0) {
        p->waiters++;
        if (deadline == NULL)
            pthread_cond_wait(&p->finished, &p->lock);
        else
            error = -pthread_cond_timedwait(&p->finished, &p->lock, deadline);
        p->waiters--;
    }
    if (is_idle(p))
        error = 0; /* it became so in the last moment */
    pthread_mutex_unlock(&p->lock);
    return error;
}

int tpool_wait(tpool *p)
{
    if (p == NULL)
        return -EINVAL;
    return is_worker_of(p) ? -EDEADLK : wait_until(p, NULL);
}

int tpool_wait_ms(tpool *p, uint64_t ms)
{
    static const uint64_t for_ever = UINT64_C(1000) << 31; /* 68 years: later moments may not fit a timespec */
    if (p == NULL)
        return -EINVAL;
    if (is_worker_of(p))
        return -EDEADLK;
    struct timespec deadline = in_ms(ms < for_ever ? ms : 0);
    return wait_until(p, ms < for_ever ? &deadline : NULL);
}

/* ---- loops, from the caller's side ---- */

int tpool_parallel_for(tpool *p, size_t lo, size_t hi, size_t grain, void (*body)(size_t from, size_t to, void *ctx),
                       void *ctx)
{
    if (p == NULL || body == NULL)
        return -EINVAL;
    size_t count = lo < hi ? hi - lo : 0;
    if (grain == 0)
        grain = count / ((size_t)p->nthreads * RANGES_PER_WORKER) + 1;
    loop l = {.lo = lo, .hi = hi, .grain = grain, .body = body, .ctx = ctx};
    l.ranges = count / grain + (count % grain != 0);

    pthread_mutex_lock(&p->lock);
    if (p->closed || count == 0) {
        int error = p->closed ? -ESHUTDOWN : 0;
        pthread_mutex_unlock(&p->lock);
        return error;
    }
    l.next = p->loops;
    p->loops = &l;
    offer_work(p);
    if (is_worker_of(p))
        join_loop(p, &l);
    while (has_ranges(&l) || l.inside > 0) {
        p->waiters++;
        pthread_cond_wait(&p->finished, &p->lock);
        p->waiters--;
    }
    unlink_loop(p, &l);
    if (is_idle(p))
        tell_waiters(p);
    pthread_mutex_unlock(&p->lock);
    return 0;
}
