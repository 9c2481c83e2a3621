/*
 * tpool.h - the contract of the lab "thread_pool": a pool of POSIX threads that runs tasks.
 *
 * A task waits in a queue, first in, first out, until one of the pool's threads (a worker) takes it. It begins as
 * soon as a worker is free, whether or not anybody waits for it. Tasks run on workers only, never on the thread that
 * submits or waits. All functions may be called from any number of threads at the same time, until tpool_destroy.
 *
 * Functions answer 0 (or what they count), or a negative errno value: -EINVAL for a NULL pool, task or body, and what
 * each of them says. The starter answers -ENOSYS.
 */
#ifndef TPOOL_H
#define TPOOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct tpool tpool;
typedef void (*tpool_fn)(void *arg);

typedef struct {
    uint32_t nthreads;  /* workers, at least 1 */
    uint32_t queue_cap; /* tasks that may wait in the queue; 0: any number */
    uint32_t flags;     /* for later use: 0 today, anything else is -EINVAL */
} tpool_cfg;

/*
 * Start the workers; *out is the new pool. On failure *out is as it was, and nothing is left behind: no thread, no byte.
 *   -EINVAL  NULL, nthreads == 0, flags != 0;   -ENOMEM  no memory;   -EAGAIN  a thread cannot be started.
 */
int tpool_create(const tpool_cfg *cfg, tpool **out);

/*
 * Queue fn(arg); arg may be NULL. While the queue is full, tpool_submit blocks, and tpool_try_submit answers -EAGAIN.
 *   -ESHUTDOWN  the pool is shut down, also when that happens while tpool_submit blocks;
 *   -ENOMEM     no memory for the task: it is not queued, the pool goes on as before.
 * A task may submit tasks; to a bounded pool only by tpool_try_submit.
 */
int tpool_submit(tpool *p, tpool_fn fn, void *arg);
int tpool_try_submit(tpool *p, tpool_fn fn, void *arg);

/*
 * Wait until every task that was submitted before, and every task that those submitted, has finished; at once when
 * there is none. The pool can be used again afterwards.
 *   -EDEADLK    called from a task of this pool (a task may wait for another pool);
 *   -ETIMEDOUT  tpool_wait_ms only: not finished after ms milliseconds. 0 only looks; UINT64_MAX waits for ever.
 */
int tpool_wait(tpool *p);
int tpool_wait_ms(tpool *p, uint64_t ms);

/*
 * Call body(from, to, ctx) for ranges that together are lo .. hi-1, each index in exactly one, each range of at most
 * `grain` indices (0: you choose). Workers take the next range when they are done with the last, so that no worker idles
 * while ranges are left. Returns when all ranges are done, without waiting for anything else in the pool.
 * lo >= hi is an empty loop. A task may call it, also inside another loop: its worker then takes part itself.
 *   -ESHUTDOWN  the pool is shut down; a loop that has begun is finished.
 */
int tpool_parallel_for(tpool *p, size_t lo, size_t hi, size_t grain, void (*body)(size_t from, size_t to, void *ctx),
                       void *ctx);

/*
 * Accept no more tasks, and return when none runs any more. drain != 0: those in the queue are run first; returns 0.
 * drain == 0: those in the queue are dropped; returns how many. A second call finds nothing to do and returns 0.
 *   -EDEADLK  called from a task of this pool.
 */
int tpool_shutdown(tpool *p, int drain);

/* tpool_shutdown(p, 1), then end the threads and free everything. NULL is fine. Any thread but a worker may call it. */
void tpool_destroy(tpool *p);

/* Tasks in the queue that no worker has taken yet; 0 for NULL. */
size_t tpool_pending(tpool *p);

/* 0 .. nthreads-1 on a worker, each its own number; -1 on every other thread. */
int tpool_worker_index(void);

#endif
