/*
 * reference.c - the reference of the duels: a pool as a textbook has it, and nothing clever.
 *
 * One lock, one queue in a growing ring, three conditions, a signal for every task. A loop is put into the queue as
 * helper tasks that take ranges from a shared counter. Staff call it with right arguments only and one call at a time,
 * so it leaves out what the duels do not use (bounded queues, timeouts, nested loops, dropping).
 */
#include "tpool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    tpool_fn fn;
    void *arg;
} task;

struct tpool {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, idle;
    task *slots;
    size_t room, head, count, running;
    int stopping;
    uint32_t nthreads, started;
    pthread_t *threads;
};

static _Thread_local int self = -1;

static void *work(void *arg)
{
    tpool *p = arg;
    pthread_mutex_lock(&p->lock);
    self = (int)p->started++;
    for (;;) {
        while (p->count == 0 && !p->stopping)
            pthread_cond_wait(&p->not_empty, &p->lock);
        if (p->count == 0)
            break;
        task t = p->slots[p->head];
        p->head = (p->head + 1) % p->room;
        p->count--;
        p->running++;
        pthread_mutex_unlock(&p->lock);
        t.fn(t.arg);
        pthread_mutex_lock(&p->lock);
        if (--p->running == 0 && p->count == 0)
            pthread_cond_broadcast(&p->idle);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int tpool_create(const tpool_cfg *cfg, tpool **out)
{
    tpool *p = calloc(1, sizeof *p);
    if (p == NULL || (p->threads = calloc(cfg->nthreads, sizeof *p->threads)) == NULL)
        return -ENOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->not_empty, NULL);
    pthread_cond_init(&p->idle, NULL);
    for (; p->nthreads < cfg->nthreads; p->nthreads++)
        if (pthread_create(&p->threads[p->nthreads], NULL, work, p) != 0)
            return -EAGAIN;
    *out = p;
    return 0;
}

static int grow(tpool *p)
{
    size_t room = p->room ? 2 * p->room : 1024;
    task *slots = malloc(room * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < p->count; i++)
        slots[i] = p->slots[(p->head + i) % p->room];
    free(p->slots);
    p->slots = slots;
    p->room = room;
    p->head = 0;
    return 0;
}

int tpool_submit(tpool *p, tpool_fn fn, void *arg)
{
    pthread_mutex_lock(&p->lock);
    int error = p->count == p->room ? grow(p) : 0;
    if (error == 0) {
        p->slots[(p->head + p->count++) % p->room] = (task){fn, arg};
        pthread_cond_signal(&p->not_empty);
    }
    pthread_mutex_unlock(&p->lock);
    return error;
}

int tpool_wait(tpool *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->count > 0 || p->running > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

typedef struct {
    size_t next, hi, grain;
    void (*body)(size_t from, size_t to, void *ctx);
    void *ctx;
    pthread_mutex_t lock;
} loop;

static void help(void *arg)
{
    loop *l = arg;
    for (;;) {
        pthread_mutex_lock(&l->lock);
        size_t from = l->next, left = l->hi - from;
        size_t to = from + (left < l->grain ? left : l->grain);
        l->next = to;
        pthread_mutex_unlock(&l->lock);
        if (from == to)
            return;
        l->body(from, to, l->ctx);
    }
}

int tpool_parallel_for(tpool *p, size_t lo, size_t hi, size_t grain, void (*body)(size_t from, size_t to, void *ctx),
                       void *ctx)
{
    loop l = {.next = lo, .hi = hi, .grain = grain ? grain : 1, .body = body, .ctx = ctx};
    pthread_mutex_init(&l.lock, NULL);
    int error = 0;
    for (uint32_t i = 0; i < p->nthreads && error == 0; i++)
        error = tpool_submit(p, help, &l);
    tpool_wait(p); /* the loop has the pool for itself here */
    pthread_mutex_destroy(&l.lock);
    return error;
}

int tpool_shutdown(tpool *p, int drain)
{
    (void)drain;
    return tpool_wait(p);
}

void tpool_destroy(tpool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = 1;
    pthread_cond_broadcast(&p->not_empty);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->nthreads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->not_empty);
    pthread_mutex_destroy(&p->lock);
    free(p->slots);
    free(p->threads);
    free(p);
}

int tpool_worker_index(void)
{
    return self;
}

/* Not used by any duel. */
int tpool_try_submit(tpool *p, tpool_fn fn, void *arg)
{
    return tpool_submit(p, fn, arg);
}

int tpool_wait_ms(tpool *p, uint64_t ms)
{
    (void)ms;
    return tpool_wait(p);
}

size_t tpool_pending(tpool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t count = p->count;
    pthread_mutex_unlock(&p->lock);
    return count;
}

/* What this is, for the report. */
const char *reference_name(void)
{
    return "a textbook pool: one lock, one ring";
}

const char *reference_isa(void)
{
    return ""; /* nothing here depends on it */
}
