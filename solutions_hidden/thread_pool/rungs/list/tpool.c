/*
 * tpool.c - the first pool that is right: one lock, one condition for everything, a list of tasks.
 *
 * Whoever changes anything wakes everybody (pthread_cond_broadcast), and everybody looks whether it was about them. That
 * cannot miss a wake-up, which is a good place to start from, and wakes nearly always for nothing, which is slow.
 */
#include "tpool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

typedef struct task {
    tpool_fn fn;
    void *arg;
    struct task *next;
} task;

/* One parallel_for that is under way, on its caller's stack. */
typedef struct loop {
    size_t next, hi, grain; /* the next index that nobody has taken */
    void (*body)(size_t from, size_t to, void *ctx);
    void *ctx;
    size_t busy; /* ranges that are being run */
    struct loop *older;
} loop;

struct tpool {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    task *first, *last;
    size_t count, running, cap;
    loop *loops;
    bool closed, stopping;
    uint32_t nthreads, started;
    pthread_t *threads;
};

static _Thread_local tpool *my_pool;
static _Thread_local int my_index = -1;

/* Take the next range of a loop and run it. Under the lock, which is open meanwhile. */
static void run_range(tpool *p, loop *l)
{
    size_t from = l->next, to = l->hi - from > l->grain ? from + l->grain : l->hi;
    l->next = to;
    l->busy++;
    pthread_mutex_unlock(&p->lock);
    l->body(from, to, l->ctx);
    pthread_mutex_lock(&p->lock);
    l->busy--;
    pthread_cond_broadcast(&p->changed);
}

static void run_task(tpool *p)
{
    task *t = p->first;
    p->first = t->next;
    p->count--;
    p->running++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    t->fn(t->arg);
    free(t);
    pthread_mutex_lock(&p->lock);
    p->running--;
    pthread_cond_broadcast(&p->changed);
}

static loop *open_loop(const tpool *p)
{
    loop *l = p->loops;
    while (l != NULL && l->next == l->hi)
        l = l->older;
    return l;
}

static void *work(void *arg)
{
    tpool *p = my_pool = arg;
    pthread_mutex_lock(&p->lock);
    my_index = (int)p->started++;
    for (;;) {
        loop *l = open_loop(p);
        if (l != NULL)
            run_range(p, l);
        else if (p->count > 0)
            run_task(p);
        else if (p->stopping)
            break;
        else
            pthread_cond_wait(&p->changed, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* End `count` threads and free everything. */
static void finish(tpool *p, uint32_t count)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

int tpool_create(const tpool_cfg *cfg, tpool **out)
{
    if (cfg == NULL || out == NULL || cfg->nthreads == 0 || cfg->flags != 0)
        return -EINVAL;
    tpool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->threads = calloc(cfg->nthreads, sizeof *p->threads);
    if (p->threads == NULL) {
        free(p);
        return -ENOMEM;
    }
    p->nthreads = cfg->nthreads;
    p->cap = cfg->queue_cap;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (uint32_t i = 0; i < cfg->nthreads; i++) {
        if (pthread_create(&p->threads[i], NULL, work, p) != 0) {
            finish(p, i);
            return -EAGAIN;
        }
    }
    *out = p;
    return 0;
}

static int submit(tpool *p, tpool_fn fn, void *arg, bool may_block)
{
    if (p == NULL || fn == NULL)
        return -EINVAL;
    task *t = malloc(sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    *t = (task){fn, arg, NULL};
    pthread_mutex_lock(&p->lock);
    while (may_block && !p->closed && p->cap > 0 && p->count >= p->cap)
        pthread_cond_wait(&p->changed, &p->lock);
    int error = p->closed ? -ESHUTDOWN : p->cap > 0 && p->count >= p->cap ? -EAGAIN : 0;
    if (error == 0) {
        if (p->count++ > 0)
            p->last->next = t;
        else
            p->first = t;
        p->last = t;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    if (error != 0)
        free(t);
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

static int wait_until(tpool *p, const struct timespec *deadline)
{
    int error = 0;
    pthread_mutex_lock(&p->lock);
    while ((p->count > 0 || p->running > 0) && error == 0) {
        if (deadline == NULL)
            pthread_cond_wait(&p->changed, &p->lock);
        else
            error = -pthread_cond_timedwait(&p->changed, &p->lock, deadline);
    }
    if (p->count == 0 && p->running == 0)
        error = 0;
    pthread_mutex_unlock(&p->lock);
    return error;
}

int tpool_wait(tpool *p)
{
    if (p == NULL)
        return -EINVAL;
    return my_pool == p ? -EDEADLK : wait_until(p, NULL);
}

int tpool_wait_ms(tpool *p, uint64_t ms)
{
    if (p == NULL || ms > UINT32_MAX)
        return tpool_wait(p);
    if (my_pool == p)
        return -EDEADLK;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000) + (t.tv_nsec + (long)(ms % 1000) * 1000000) / 1000000000;
    t.tv_nsec = (t.tv_nsec + (long)(ms % 1000) * 1000000) % 1000000000;
    return wait_until(p, &t);
}

int tpool_parallel_for(tpool *p, size_t lo, size_t hi, size_t grain, void (*body)(size_t from, size_t to, void *ctx),
                       void *ctx)
{
    if (p == NULL || body == NULL)
        return -EINVAL;
    if (grain == 0)
        grain = lo < hi ? (hi - lo) / p->nthreads + 1 : 1;
    loop l = {.next = lo, .hi = lo < hi ? hi : lo, .grain = grain, .body = body, .ctx = ctx};
    pthread_mutex_lock(&p->lock);
    if (p->closed) {
        pthread_mutex_unlock(&p->lock);
        return -ESHUTDOWN;
    }
    l.older = p->loops;
    p->loops = &l;
    pthread_cond_broadcast(&p->changed);
    while (l.next != l.hi || l.busy > 0) {
        if (my_pool == p && l.next != l.hi)
            run_range(p, &l);
        else
            pthread_cond_wait(&p->changed, &p->lock);
    }
    loop **link = &p->loops;
    while (*link != &l)
        link = &(*link)->older;
    *link = l.older;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

int tpool_shutdown(tpool *p, int drain)
{
    if (p == NULL)
        return -EINVAL;
    if (my_pool == p)
        return -EDEADLK;
    int dropped = 0;
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    while (!drain && p->count > 0) {
        task *t = p->first;
        p->first = t->next;
        p->count--;
        dropped++;
        free(t);
    }
    pthread_cond_broadcast(&p->changed);
    while (p->count > 0 || p->running > 0 || p->loops != NULL)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return dropped;
}

void tpool_destroy(tpool *p)
{
    if (p == NULL)
        return;
    tpool_shutdown(p, 1);
    finish(p, p->nthreads);
}

size_t tpool_pending(tpool *p)
{
    if (p == NULL)
        return 0;
    pthread_mutex_lock(&p->lock);
    size_t count = p->count;
    pthread_mutex_unlock(&p->lock);
    return count;
}

int tpool_worker_index(void)
{
    return my_index;
}
