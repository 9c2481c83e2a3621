/*
 * tpool.c - a pool of threads: one shared queue behind one lock, and a small batch of tasks at every worker.
 *
 * The plan
 *   queue    a ring of tasks that doubles when it is full: no allocation per task.
 *   batches  a worker that comes to the shared lock takes several tasks along, when there are enough for everybody. It
 *            runs them from its own batch, behind its own lock that hardly anybody else wants. A worker that finds the
 *            queue empty takes from the batches of others: no task waits behind a slow one while a worker is free.
 *   loops    a parallel_for never enters the queue. It is a record on its caller's stack, in a list of open loops;
 *            workers join an open loop and take ranges from its counter until none is left. So it needs no memory,
 *            cannot be dropped by a shutdown, and cannot be stuck in the queue behind its own caller.
 *   state    everything else that threads share is read and written under the pool's lock. A condition is always a
 *            `while`: a thread may wake up without a reason, or too late.
 *   order    of locks: the pool's, then a batch's. Never two batches at a time.
 *
 * What makes it fast, beside the batches
 *   - nobody is woken who does not sleep: `sleepers`, `blocked` and `waiters` say whether a signal has a reader;
 *   - who has nothing to do looks around for some microseconds before sleeping, since being woken costs more than that.
 *     Only one worker at a time does (the scout), and only for so long: an idle pool uses no CPU.
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

enum { FIRST_ROOM = 64, BATCH = 16, LOOKS = 60, RANGES_PER_WORKER = 8, LINE = 64 };

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

/* A worker and its batch: tasks first .. last-1, for it to run next or for others to take. */
typedef struct {
    _Alignas(LINE) pthread_mutex_t lock;
    unsigned first, last;
    task batch[BATCH];
    size_t done; /* tasks it has finished since it told the pool; nobody else looks */
    tpool *pool;
    pthread_t thread;
    int index;
} worker;

struct tpool {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* for workers: there is a task or a loop, or the end has come */
    pthread_cond_t space;    /* for producers: the queue is no longer full, or is closed */
    pthread_cond_t finished; /* for waiters: all tasks are done, or a loop is */
    ring queue;
    loop *loops; /* open loops, newest first: the innermost one is what others wait for */
    size_t cap;
    size_t sleepers;         /* workers in `work` */
    size_t blocked;          /* producers in `space` */
    size_t waiters;          /* threads in `finished` */
    bool scouting;           /* one worker looks around before it sleeps */
    bool closed;             /* shut down: nothing is accepted any more */
    bool stopping;           /* workers end as soon as there is nothing to do */
    uint32_t nthreads;
    worker *workers;
    atomic_size_t unfinished; /* tasks submitted and not yet known to be finished; written under the lock only */
    _Alignas(LINE) atomic_bool hint; /* is there work? What the scout reads without the lock; may be wrong */
};

static _Thread_local worker *self; /* which worker this thread is; NULL elsewhere */

static bool is_worker_of(const tpool *p)
{
    return self != NULL && self->pool == p;
}

/* ---- the queue, under the pool's lock ---- */

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

/* ---- batches ---- */

static bool take_own(worker *me, task *t)
{
    pthread_mutex_lock(&me->lock);
    bool found = me->first < me->last;
    if (found)
        *t = me->batch[me->first++];
    pthread_mutex_unlock(&me->lock);
    return found;
}

/* Take the older half of a batch; returns how many. */
static unsigned take_half(worker *from, task *tasks)
{
    pthread_mutex_lock(&from->lock);
    unsigned count = (from->last - from->first + 1) / 2;
    memcpy(tasks, from->batch + from->first, count * sizeof *tasks);
    from->first += count;
    pthread_mutex_unlock(&from->lock);
    return count;
}

static void fill_batch(worker *me, const task *tasks, unsigned count)
{
    pthread_mutex_lock(&me->lock);
    memcpy(me->batch, tasks, count * sizeof *tasks);
    me->first = 0;
    me->last = count;
    pthread_mutex_unlock(&me->lock);
}

/* Tasks in all batches; `drop` empties them. */
static size_t count_batches(tpool *p, bool drop)
{
    size_t count = 0;
    for (uint32_t i = 0; i < p->nthreads; i++) {
        worker *w = &p->workers[i];
        pthread_mutex_lock(&w->lock);
        count += w->last - w->first;
        if (drop)
            w->first = w->last;
        pthread_mutex_unlock(&w->lock);
    }
    return count;
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

/* ---- who wakes whom, under the pool's lock ---- */

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

static void forget_tasks(tpool *p, size_t count)
{
    if (count > 0 && atomic_fetch_sub(&p->unfinished, count) == count)
        tell_waiters(p);
}

static void wait_finished(tpool *p)
{
    p->waiters++;
    pthread_cond_wait(&p->finished, &p->lock);
    p->waiters--;
}

/* ---- workers ---- */

/* A share of the queue: one task to run now, the others into the worker's batch. A bounded queue is not taken ahead. */
static bool fetch(tpool *p, worker *me, task *t)
{
    if (p->queue.count == 0)
        return false;
    size_t share = p->cap > 0 ? 1 : p->queue.count / p->nthreads;
    *t = ring_pop(&p->queue);
    if (p->blocked > 0)
        pthread_cond_signal(&p->space);
    if (share > 1) {
        task more[BATCH];
        unsigned count = 0;
        while (count < BATCH && count + 1 < share)
            more[count++] = ring_pop(&p->queue);
        fill_batch(me, more, count);
    }
    if (share > 1 || p->queue.count > 0)
        offer_work(p);
    return true;
}

/* From the batch of another worker. Under the pool's lock, so that what is on its way from batch to batch is not missed. */
static bool steal(tpool *p, worker *me, task *t)
{
    task tasks[BATCH];
    unsigned count = 0;
    for (uint32_t i = 1; i < p->nthreads && count == 0; i++)
        count = take_half(&p->workers[((uint32_t)me->index + i) % p->nthreads], tasks);
    if (count == 0)
        return false;
    *t = tasks[0];
    fill_batch(me, tasks + 1, count - 1);
    offer_work(p); /* the other half may still be there */
    return true;
}

static void run_tasks(tpool *p, worker *me, task t)
{
    pthread_mutex_unlock(&p->lock);
    do {
        t.fn(t.arg);
        me->done++;
    } while (take_own(me, &t));
    pthread_mutex_lock(&p->lock);
    forget_tasks(p, me->done);
    me->done = 0;
}

static void join_loop(tpool *p, loop *l)
{
    l->inside++;
    offer_work(p);
    pthread_mutex_unlock(&p->lock);
    run_ranges(l);
    pthread_mutex_lock(&p->lock);
    if (--l->inside == 0)
        tell_waiters(p);
}

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

/* One worker's life. After a scout's look and after every sleep, all places are searched again. */
static void *work(void *argument)
{
    worker *me = self = argument;
    tpool *p = me->pool;
    bool looked = false;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        loop *l = open_loop(p);
        task t;
        if (l != NULL) {
            join_loop(p, l);
            looked = false;
        } else if (fetch(p, me, &t) || steal(p, me, &t)) {
            run_tasks(p, me, t);
            looked = false;
        } else if (p->stopping) {
            break;
        } else if (!looked && !p->scouting) {
            scout(p);
            looked = true;
        } else {
            p->sleepers++;
            pthread_cond_wait(&p->work, &p->lock);
            p->sleepers--;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life and death ---- */

/* Let the first `count` workers end when there is nothing to do, and wait until they have. */
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
    for (uint32_t i = 0; i < p->nthreads; i++)
        pthread_mutex_destroy(&p->workers[i].lock);
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->space);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->queue.slots);
    free(p->workers);
    free(p);
}

static void init_locks(tpool *p)
{
    pthread_mutexattr_t adaptive; /* locks are held for a few instructions: spin before you sleep */
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&p->lock, &adaptive);
    for (uint32_t i = 0; i < p->nthreads; i++)
        pthread_mutex_init(&p->workers[i].lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);

    pthread_condattr_t monotonic; /* timeouts must not jump when somebody sets the clock */
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->space, NULL);
    pthread_cond_init(&p->finished, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static tpool *allocate(const tpool_cfg *cfg)
{
    tpool *p = aligned_alloc(LINE, sizeof *p);
    worker *workers = aligned_alloc(LINE, cfg->nthreads * sizeof *workers);
    if (p == NULL || workers == NULL) {
        free(workers);
        free(p);
        return NULL;
    }
    *p = (tpool){.cap = cfg->queue_cap, .nthreads = cfg->nthreads, .workers = workers};
    for (uint32_t i = 0; i < cfg->nthreads; i++)
        workers[i] = (worker){.pool = p, .index = (int)i};
    init_locks(p);
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
    size_t dropped = 0;
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    if (!drain) {
        dropped = p->queue.count + count_batches(p, true);
        p->queue.count = 0;
        forget_tasks(p, dropped);
    }
    pthread_cond_broadcast(&p->space);
    while (p->unfinished > 0 || p->loops != NULL)
        wait_finished(p);
    pthread_mutex_unlock(&p->lock);
    return (int)dropped;
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
    if (error == 0) {
        p->unfinished++;
        offer_work(p);
    }
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
    size_t count = p->queue.count + count_batches(p, false);
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

int tpool_wait(tpool *p)
{
    if (p == NULL)
        return -EINVAL;
    if (is_worker_of(p))
        return -EDEADLK;
    for (int i = 0; i < LOOKS && p->unfinished > 0; i++)
        sched_yield();
    pthread_mutex_lock(&p->lock);
    while (p->unfinished > 0)
        wait_finished(p);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

int tpool_wait_ms(tpool *p, uint64_t ms)
{
    static const uint64_t for_ever = UINT64_C(1000) << 31; /* 68 years: later moments may not fit a timespec */
    if (p == NULL || ms >= for_ever)
        return tpool_wait(p);
    if (is_worker_of(p))
        return -EDEADLK;
    struct timespec deadline = in_ms(ms);
    int error = 0;
    pthread_mutex_lock(&p->lock);
    while (p->unfinished > 0 && error == 0) {
        p->waiters++;
        error = -pthread_cond_timedwait(&p->finished, &p->lock, &deadline);
        p->waiters--;
    }
    if (p->unfinished == 0)
        error = 0; /* in the last moment */
    pthread_mutex_unlock(&p->lock);
    return error;
}

/* ---- loops, from the caller's side ---- */

static bool enter_loop(tpool *p, loop *l)
{
    pthread_mutex_lock(&p->lock);
    bool open = !p->closed;
    if (open) {
        l->next = p->loops;
        p->loops = l;
        offer_work(p);
        if (is_worker_of(p))
            join_loop(p, l);
    }
    pthread_mutex_unlock(&p->lock);
    return open;
}

static void leave_loop(tpool *p, loop *l)
{
    for (int i = 0; i < LOOKS && has_ranges(l); i++)
        sched_yield();
    pthread_mutex_lock(&p->lock);
    while (has_ranges(l) || l->inside > 0)
        wait_finished(p);
    unlink_loop(p, l);
    tell_waiters(p); /* a shutdown waits for loops, too */
    pthread_mutex_unlock(&p->lock);
}

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
    if (!enter_loop(p, &l))
        return -ESHUTDOWN;
    leave_loop(p, &l);
    return 0;
}
