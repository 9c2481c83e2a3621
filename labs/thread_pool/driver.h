/*
 * driver.h - staff code for the tests: scenes played with a pool, each in one call, from tpool_create to tpool_destroy.
 *
 * A scene answers 0, or the first negative errno value that tpool_* answered where the scene needs 0 (then the rest of
 * what it writes means nothing). What is to be seen in it goes into arrays; the judgement is made elsewhere.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* What a task is about, and what it leaves behind. */
typedef struct {
    uint64_t value; /* replaced by a mixture of its bits */
    uint32_t runs;  /* plus one */
    int16_t worker; /* tpool_worker_index() */
    uint16_t thread; /* which thread it was, by the driver's own count from 1; DRIVE_OURS: one that submits or waits */
} drive_slot;

enum { DRIVE_OURS = 65535 };

/* One task for each slot, submitted by `producers` threads in turn, then tpool_wait. `spin`: work of a task, in steps. */
int drive_tasks(uint32_t nthreads, uint32_t cap, uint32_t producers, uint32_t spin, size_t count, drive_slot *slots);
/* The same tasks, one after the other on the calling thread, without a pool. */
int drive_serial(uint32_t spin, size_t count, drive_slot *slots);
/* Rounds of `each` tasks and a wait; a task sleeps for pause_us first. seen[0]: rounds whose wait returned too early. */
int drive_rounds(uint32_t nthreads, uint32_t pause_us, size_t each, size_t count, drive_slot *slots, int64_t *seen);
/* As drive_rounds, each round a tpool_parallel_for over its slots; 0 threads: plain loops on the calling thread. */
int drive_loops(uint32_t nthreads, size_t each, size_t grain, size_t count, drive_slot *slots);

/* tpool_create with everything in order, then tpool_destroy; seen[0]: threads left over afterwards. */
int drive_create(uint32_t nthreads, uint32_t cap, int64_t *seen);
/* `cycles` pools of 1, 2, .. nthreads, 1, .. threads that never see a task. */
int drive_lifecycles(size_t cycles, uint32_t nthreads);
/* seen: answers of tpool_create(NULL, out), (cfg, NULL), nthreads 0, flags 1; was *out written; submit(NULL pool),
 * submit(NULL fn), try_submit(NULL fn), wait(NULL), wait_ms(NULL), parallel_for(NULL pool), parallel_for(NULL body),
 * shutdown(NULL), pending(NULL), worker_index() here; did a task with arg NULL get NULL. Ends with destroy(NULL). */
int drive_nonsense(int64_t *seen);

/* A wait with nothing to wait for. seen: tpool_wait, tpool_wait_ms(0), tpool_wait_ms(UINT64_MAX). */
int drive_wait_for_nothing(uint32_t nthreads, int64_t *seen);
/* A task that takes hold_ms, or until 50 ms after the second wait. seen: tpool_wait_ms(0); tpool_wait_ms(wait_ms) and the
 * ms it took; had the task finished then; tpool_wait_ms(UINT64_MAX), had the task finished. */
int drive_wait_ms(uint64_t hold_ms, uint64_t wait_ms, int64_t *seen);
/* Nobody waits: 1, 2, .. up to `most` tasks are submitted and only watched. seen[0]: batches not finished for seconds. */
int drive_unwatched(uint32_t nthreads, size_t most, int64_t *seen);
/* From inside a task. seen: tpool_wait, tpool_wait_ms, tpool_shutdown of its own pool; tpool_wait of another pool;
 * tpool_pending of its own pool with 3 tasks in the queue. */
int drive_from_inside(int64_t *seen);
/* Tasks that submit `fan` tasks each, `depth` generations; seen[0]: those that have run when tpool_wait returns. */
int drive_family(uint32_t nthreads, uint32_t depth, uint32_t fan, int64_t *seen);
/* One worker; order: numbers of the tasks as they ran. Every other one by tpool_try_submit. */
int drive_order(size_t count, uint32_t *order);
/* nthreads tasks that all wait for each other, `rounds` times. seen[0]: rounds in which they met; seen[1]: most tasks
 * that ran at one time when 4 * nthreads short ones were waiting. */
int drive_meeting(uint32_t nthreads, size_t rounds, int64_t *seen);
/* `count` tasks, of which number `which` returns only when all others have run; seen[0]: did they. */
int drive_slow_one(uint32_t nthreads, size_t count, size_t which, int64_t *seen);
/* `steps` steps, by submit or in a loop of grain 1. Those in `at` end only when all others are done, or when nothing goes
 * on any more. seen[0]: the fewest others that were done when one of them ended. */
int drive_uneven(uint32_t nthreads, int by_loop, uint32_t steps, uint32_t long_ones, const uint32_t *at, int64_t *seen);

/* A full queue. seen: submits accepted until tpool_try_submit refused; its answer; pending then; did a producer block;
 * the producer's answer after the queue moved; most pending ever seen; tasks that ran, of cap + 2. */
int drive_full(uint32_t cap, int64_t *seen);
/* `producers` threads block on a full queue, then tpool_shutdown(drain). seen: answers -ESHUTDOWN; other answers;
 * what tpool_shutdown answered; tasks that ran, of 1 + cap. */
int drive_full_shutdown(uint32_t cap, uint32_t producers, int drain, int64_t *seen);
/* tpool_shutdown(drain) with busy workers and `count` tasks in the queue. seen: its answer; tasks that ran after it was
 * called; workers still in a task when it returned; a second tpool_shutdown. */
int drive_shutdown(uint32_t nthreads, size_t count, int drain, int64_t *seen);
/* After tpool_shutdown(drain). seen: submit, try_submit, parallel_for, wait, wait_ms, shutdown, pending; tasks that ran. */
int drive_after_shutdown(int drain, int64_t *seen);
/* tpool_destroy with `count` tasks in the queue, from a thread that did not create the pool. */
int drive_destroy(uint32_t nthreads, size_t count, drive_slot *slots);
/* tpool_destroy while a task runs, which then asks for more. seen: its submit, try_submit, parallel_for; tasks that ran. */
int drive_destroy_closes(uint32_t nthreads, int64_t *seen);

/* tpool_parallel_for(lo, hi, grain): hits[i - lo] += 1. seen: ranges; the longest; ranges that were empty or outside;
 * ranges on a thread that is no worker. */
int drive_for(uint32_t nthreads, size_t lo, size_t hi, size_t grain, size_t count, uint32_t *hits, int64_t *seen);
/* A loop in a loop, started by a task or (from_task 0) from outside; hits: outer x inner. */
int drive_nested(uint32_t nthreads, int from_task, size_t outer, size_t inner, uint32_t *hits);
/* A loop of `count` beside a task that goes on until the loop has returned, and beside a thread that waits for the task.
 * seen: the loop's answer; did it return while the task was running. */
int drive_beside(uint32_t nthreads, size_t count, uint32_t *hits, int64_t *seen);
/* Two threads start loops over the same pool again and again; hits: 2 x count, each `rounds`. seen[0]: loops that returned
 * before all their indices were visited. */
int drive_two_loops(uint32_t nthreads, size_t rounds, size_t count, uint32_t *hits, int64_t *seen);
/* Three pools. seen: tpool_wait_ms of the first while the second is busy; then tasks that did not run: of the second; of
 * the first, the second destroyed; of the first and a third one; of the third, the first destroyed. */
int drive_two_pools(uint32_t nthreads, int64_t *seen);
/* `count` tasks by tpool_try_submit while the only worker is busy. seen: how many it took; its last answer; pending then;
 * tasks that ran. */
int drive_any_number(size_t count, int64_t *seen);

/* One task per worker, then nothing for `ms` milliseconds, then one task more. seen[0]: did it run. */
int drive_idle(uint32_t nthreads, uint32_t ms, int64_t *seen);
/* A task with a megabyte of local variables. */
int drive_large_stack(int64_t *seen);
/* One task per slot, submitted while the only worker is busy with another. A submit that answers -ENOMEM is tried again. */
int drive_held(size_t count, drive_slot *slots);

#endif
