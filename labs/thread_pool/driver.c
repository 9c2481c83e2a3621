/*
 * driver.c - staff code for the tests: scenes with a pool. driver.h says what each of them is and what it writes.
 *
 * It waits by looking at atomics and sleeping a little, never by locks or conditions: those of the submission may be
 * disturbed and counted (disturb.c), and this must change nothing here. It allocates nothing for the same reason.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tpool.h"

/* A right pool needs microseconds where these wait: they only end what would never end, on however busy a machine. */
enum { PATIENCE_MS = 6000, ASLEEP_MS = 2000, MAX_PRODUCERS = 64 };

/* ---- time ---- */

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Look at a counter until it is at least `wanted`, or has stood still for PATIENCE_MS. */
static bool reaches(atomic_long *counter, long wanted)
{
    uint64_t moved = now_us();
    long count, before = atomic_load(counter);
    while ((count = atomic_load(counter)) < wanted) {
        uint64_t now = now_us();
        if (count != before)
            moved = now;
        else if (now > moved + PATIENCE_MS * 1000u)
            return false;
        before = count;
        sleep_us(50);
    }
    return true;
}

/* ---- what the kernel knows: proc_pid_stat(5) ---- */

/* Where a field, 3 or higher, begins in `text`, which the file is read into; NULL if it is not there. */
static const char *stat_field(const char *path, int field, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    if (length <= 0)
        return NULL;
    text[length] = '\0';
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int i = 2; at != NULL && i < field; i++)
        at = strchr(at + 1, ' ');
    return at != NULL ? at + 1 : NULL;
}

/* Wait until a thread sleeps or has ended, for at most ASLEEP_MS: some waiters never do. One look is not enough, since
 * threads that take a lock sleep for a moment, too. */
static void falls_asleep(atomic_long *thread)
{
    enum { LOOKS = 5 };
    char path[64], text[512];
    reaches(thread, 1);
    uint64_t deadline = now_us() + ASLEEP_MS * 1000u;
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", atomic_load(thread));
    for (int seen = 0; seen < LOOKS && now_us() < deadline; sleep_us(200)) {
        const char *state = stat_field(path, 3, text, sizeof text);
        if (state == NULL)
            return;
        seen = *state == 'S' ? seen + 1 : 0;
    }
}

/* ---- gates ---- */

/* Tasks that hold their worker until the gate opens. `inside` counts those that have begun, `left` those that ended. */
typedef struct {
    atomic_long inside, left, open;
} gate;

static void stand_at_gate(void *arg)
{
    gate *g = arg;
    atomic_fetch_add(&g->inside, 1);
    while (!atomic_load(&g->open))
        sleep_us(50);
    atomic_fetch_add(&g->left, 1);
}

/* Occupy every worker. */
static int hold(tpool *p, uint32_t nthreads, gate *g)
{
    for (uint32_t i = 0; i < nthreads; i++) {
        int error = tpool_submit(p, stand_at_gate, g);
        if (error != 0)
            return error;
        reaches(&g->inside, (long)i + 1);
    }
    return 0;
}

static void count_up(void *arg)
{
    atomic_fetch_add((atomic_long *)arg, 1);
}

/* ---- slots ---- */

static _Thread_local uint16_t thread_number; /* 0: not met yet */
static atomic_uint threads_met;

static void begin_scene(void)
{
    thread_number = DRIVE_OURS;
    atomic_store(&threads_met, 0);
}

/* `spin` steps of a linear congruential generator, each waiting for the one before, then one of splitmix64. */
static uint64_t mix(uint64_t x, uint32_t spin)
{
    for (uint32_t i = 0; i < spin; i++)
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    x = (x ^ (x >> 31)) * UINT64_C(0x9E3779B97F4A7C15);
    return x ^ (x >> 29);
}

static void fill_slot(drive_slot *slot, uint32_t spin)
{
    if (thread_number == 0)
        thread_number = (uint16_t)(atomic_fetch_add(&threads_met, 1) + 1);
    slot->value = mix(slot->value, spin);
    slot->worker = (int16_t)tpool_worker_index();
    slot->thread = thread_number;
    __atomic_fetch_add(&slot->runs, 1, __ATOMIC_RELAXED);
}

static void empty_task(void *arg)
{
    fill_slot(arg, 0);
}

static uint32_t spin_of_scene; /* read by tasks, written before the pool is made */

static void working_task(void *arg)
{
    fill_slot(arg, spin_of_scene);
}

/* ---- making pools ---- */

static int make(uint32_t nthreads, uint32_t cap, tpool **p)
{
    begin_scene();
    tpool_cfg cfg = {.nthreads = nthreads, .queue_cap = cap};
    *p = NULL;
    return tpool_create(&cfg, p);
}

/* Destroy, and hand on the scene's answer. */
static int end(tpool *p, int error)
{
    tpool_destroy(p);
    return error;
}

/* ---- scenes: tasks ---- */

typedef struct {
    tpool *pool;
    tpool_fn fn;
    drive_slot *slots;
    size_t first, step, count;
    int error;
    pthread_t thread;
} producer;

static void *produce(void *arg)
{
    producer *me = arg;
    thread_number = DRIVE_OURS;
    for (size_t i = me->first; i < me->count && me->error == 0; i += me->step)
        me->error = tpool_submit(me->pool, me->fn, &me->slots[i]);
    return NULL;
}

int drive_tasks(uint32_t nthreads, uint32_t cap, uint32_t producers, uint32_t spin, size_t count, drive_slot *slots)
{
    tpool *p;
    spin_of_scene = spin;
    int error = make(nthreads, cap, &p);
    if (error != 0)
        return error;
    producer all[MAX_PRODUCERS];
    for (uint32_t i = 0; i < producers; i++)
        all[i] = (producer){p, spin != 0 ? working_task : empty_task, slots, i, producers, count, 0, 0};
    for (uint32_t i = 1; i < producers; i++)
        if (pthread_create(&all[i].thread, NULL, produce, &all[i]) != 0)
            abort();
    produce(&all[0]);
    for (uint32_t i = 1; i < producers; i++)
        pthread_join(all[i].thread, NULL);
    for (uint32_t i = 0; i < producers && error == 0; i++)
        error = all[i].error;
    int waited = tpool_wait(p);
    return end(p, error != 0 ? error : waited);
}

int drive_serial(uint32_t spin, size_t count, drive_slot *slots)
{
    spin_of_scene = spin;
    for (size_t i = 0; i < count; i++)
        working_task(&slots[i]);
    return 0;
}

static uint32_t pause_of_scene;

static void pausing_task(void *arg)
{
    sleep_us(pause_of_scene);
    fill_slot(arg, 0);
}

int drive_rounds(uint32_t nthreads, uint32_t pause_us, size_t each, size_t count, drive_slot *slots, int64_t *seen)
{
    tpool *p;
    pause_of_scene = pause_us;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    seen[0] = 0;
    for (size_t start = 0; start < count && error == 0; start += each) {
        size_t stop = start + each < count ? start + each : count;
        for (size_t i = start; i < stop && error == 0; i++)
            error = tpool_submit(p, pause_us != 0 ? pausing_task : empty_task, &slots[i]);
        int waited = tpool_wait(p);
        error = error != 0 ? error : waited;
        size_t ran = 0;
        for (size_t i = start; i < stop; i++)
            ran += __atomic_load_n(&slots[i].runs, __ATOMIC_RELAXED) != 0;
        seen[0] += ran != stop - start;
    }
    return end(p, error);
}

static void fill_range(size_t from, size_t to, void *ctx)
{
    drive_slot *slots = ctx;
    for (size_t i = from; i < to; i++)
        fill_slot(&slots[i], 0);
}

int drive_loops(uint32_t nthreads, size_t each, size_t grain, size_t count, drive_slot *slots)
{
    tpool *p = NULL;
    int error = nthreads != 0 ? make(nthreads, 0, &p) : 0;
    for (size_t start = 0; start < count && error == 0; start += each) {
        size_t stop = start + each < count ? start + each : count;
        if (p != NULL)
            error = tpool_parallel_for(p, start, stop, grain, fill_range, slots);
        else
            fill_range(start, stop, slots);
    }
    return p != NULL ? end(p, error) : error;
}

/* ---- scenes: life ---- */

/* Threads of this process. */
static int64_t living_threads(void)
{
    char text[512];
    const char *at = stat_field("/proc/self/stat", 20, text, sizeof text);
    return at != NULL ? strtol(at, NULL, 10) : 0;
}

int drive_create(uint32_t nthreads, uint32_t cap, int64_t *seen)
{
    int64_t before = living_threads();
    tpool *p;
    int error = make(nthreads, cap, &p);
    if (error == 0)
        tpool_destroy(p);
    else if (p != NULL)
        error = 1; /* *out was written */
    uint64_t deadline = now_us() + PATIENCE_MS * 1000u;
    while ((seen[0] = living_threads() - before) != 0 && now_us() < deadline)
        sleep_us(500); /* a joined thread may take a moment to vanish from /proc */
    return error;
}

int drive_lifecycles(size_t cycles, uint32_t nthreads)
{
    int error = 0;
    for (size_t i = 0; i < cycles && error == 0; i++) {
        tpool *p;
        error = make(1 + (uint32_t)(i % nthreads), 0, &p);
        if (error == 0)
            tpool_destroy(p);
    }
    return error;
}

static void is_null(void *arg)
{
    (void)arg;
}

static atomic_long null_arguments;

static void expect_null(void *arg)
{
    atomic_fetch_add(&null_arguments, arg == NULL);
}

static void no_range(size_t from, size_t to, void *ctx)
{
    (void)from, (void)to, (void)ctx;
}

int drive_nonsense(int64_t *seen)
{
    begin_scene();
    tpool_cfg good = {.nthreads = 2}, none = {.nthreads = 0}, flags = {.nthreads = 2, .flags = 1};
    tpool *const untouched = (tpool *)(void *)&good;
    tpool *p = untouched;
    size_t n = 0;
    seen[n++] = tpool_create(NULL, &p);
    seen[n++] = tpool_create(&good, NULL);
    seen[n++] = tpool_create(&none, &p);
    seen[n++] = tpool_create(&flags, &p);
    seen[n++] = p != untouched;
    int error = make(2, 0, &p);
    if (error != 0)
        return error;
    seen[n++] = tpool_submit(NULL, is_null, NULL);
    seen[n++] = tpool_submit(p, NULL, NULL);
    seen[n++] = tpool_try_submit(p, NULL, NULL);
    seen[n++] = tpool_wait(NULL);
    seen[n++] = tpool_wait_ms(NULL, 1);
    seen[n++] = tpool_parallel_for(NULL, 0, 1, 1, no_range, NULL);
    seen[n++] = tpool_parallel_for(p, 0, 1, 1, NULL, NULL);
    seen[n++] = tpool_shutdown(NULL, 1);
    seen[n++] = (int64_t)tpool_pending(NULL);
    seen[n++] = tpool_worker_index();
    atomic_store(&null_arguments, 0);
    error = tpool_submit(p, expect_null, NULL);
    if (error == 0)
        error = tpool_wait(p);
    seen[n++] = atomic_load(&null_arguments);
    tpool_destroy(NULL);
    return end(p, error);
}

/* ---- scenes: waiting ---- */

int drive_wait_for_nothing(uint32_t nthreads, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    seen[0] = tpool_wait(p);
    seen[1] = tpool_wait_ms(p, 0);
    seen[2] = tpool_wait_ms(p, UINT64_MAX);
    return end(p, 0);
}

typedef struct {
    _Atomic uint64_t until_us; /* may be moved while it lasts */
    atomic_long done;
} nap;

static void take_nap(void *arg)
{
    nap *n = arg;
    while (now_us() < atomic_load(&n->until_us))
        sleep_us(5000);
    atomic_store(&n->done, 1);
}

int drive_wait_ms(uint64_t hold_ms, uint64_t wait_ms, int64_t *seen)
{
    tpool *p;
    int error = make(2, 0, &p);
    if (error != 0)
        return error;
    nap n = {.until_us = now_us() + hold_ms * 1000u};
    error = tpool_submit(p, take_nap, &n);
    seen[0] = tpool_wait_ms(p, 0);
    uint64_t start = now_us();
    seen[1] = tpool_wait_ms(p, wait_ms);
    seen[2] = (int64_t)((now_us() - start) / 1000u);
    seen[3] = atomic_load(&n.done);
    if (seen[3] == 0)
        atomic_store(&n.until_us, now_us() + 50000); /* enough has been seen of how long it holds */
    seen[4] = tpool_wait_ms(p, UINT64_MAX);
    seen[5] = atomic_load(&n.done);
    return end(p, error);
}

int drive_unwatched(uint32_t nthreads, size_t most, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    seen[0] = 0;
    for (size_t batch = 1; batch <= most && error == 0 && seen[0] == 0; batch++) {
        atomic_long done = 0;
        for (size_t i = 0; i < batch && error == 0; i++)
            error = tpool_submit(p, count_up, &done);
        seen[0] += !reaches(&done, (long)batch);
        if (seen[0] != 0)
            (void)tpool_wait(p); /* `done` is about to vanish */
    }
    return end(p, error);
}

typedef struct {
    tpool *own, *other;
    atomic_long done;
    int64_t *seen;
} insider;

static void look_from_inside(void *arg)
{
    insider *me = arg;
    me->seen[0] = tpool_wait(me->own);
    me->seen[1] = tpool_wait_ms(me->own, 10);
    me->seen[2] = tpool_shutdown(me->own, 1);
    me->seen[3] = tpool_wait(me->other);
    me->seen[4] = (int64_t)tpool_pending(me->own);
}

int drive_from_inside(int64_t *seen)
{
    insider me = {.seen = seen};
    int error = make(1, 0, &me.own);
    if (error == 0 && (error = make(1, 0, &me.other)) != 0)
        return end(me.own, error);
    if (error != 0)
        return error;
    gate g = {0};
    error = hold(me.own, 1, &g); /* so that all four are in the queue when the worker comes to it */
    if (error == 0)
        error = tpool_submit(me.own, look_from_inside, &me);
    for (int i = 0; i < 3 && error == 0; i++)
        error = tpool_submit(me.own, count_up, &me.done);
    atomic_store(&g.open, 1);
    int waited = tpool_wait(me.own);
    tpool_destroy(me.other);
    return end(me.own, error != 0 ? error : waited);
}

typedef struct {
    tpool *pool;
    uint32_t fan;
    atomic_long ran, error;
} family;

typedef struct {
    family *of;
    uint32_t depth;
} member;

enum { MAX_DEPTH = 16 };
static member generations[MAX_DEPTH + 1];

static void have_children(void *arg)
{
    const member *me = arg;
    family *all = me->of;
    sleep_us(20); /* so that the queue is empty now and then, with the family not complete */
    (void)tpool_pending(all->pool);
    for (uint32_t i = 0; me->depth > 0 && i < all->fan; i++) {
        int error = tpool_submit(all->pool, have_children, &generations[me->depth - 1]);
        if (error != 0)
            atomic_store(&all->error, error);
    }
    atomic_fetch_add(&all->ran, 1);
}

int drive_family(uint32_t nthreads, uint32_t depth, uint32_t fan, int64_t *seen)
{
    family all = {.fan = fan};
    int error = make(nthreads, 0, &all.pool);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i <= depth; i++)
        generations[i] = (member){&all, i};
    error = tpool_submit(all.pool, have_children, &generations[depth]);
    int waited = tpool_wait(all.pool);
    seen[0] = atomic_load(&all.ran);
    tpool_destroy(all.pool);
    return error != 0 ? error : waited != 0 ? waited : (int)atomic_load(&all.error);
}

/* ---- scenes: who runs when ---- */

typedef struct {
    uint32_t *order;
    atomic_long next;
} diary;

static diary notes;

static void note_down(void *arg)
{
    notes.order[atomic_fetch_add(&notes.next, 1)] = (uint32_t)(uintptr_t)arg;
}

int drive_order(size_t count, uint32_t *order)
{
    tpool *p;
    int error = make(1, 0, &p);
    if (error != 0)
        return error;
    notes.order = order;
    atomic_store(&notes.next, 0);
    for (size_t i = 0; i < count && error == 0; i++)
        error = (i % 2 ? tpool_try_submit : tpool_submit)(p, note_down, (void *)(uintptr_t)i);
    int waited = tpool_wait(p);
    return end(p, error != 0 ? error : waited);
}

typedef struct {
    long wanted;
    atomic_long arrived, met, now, most;
} meeting;

static void meet(void *arg)
{
    meeting *m = arg;
    atomic_fetch_add(&m->arrived, 1);
    if (reaches(&m->arrived, m->wanted))
        atomic_fetch_add(&m->met, 1);
}

static void be_one_of_many(void *arg)
{
    meeting *m = arg;
    long now = atomic_fetch_add(&m->now, 1) + 1, most = atomic_load(&m->most);
    while (now > most && !atomic_compare_exchange_weak(&m->most, &most, now))
        ;
    sleep_us(2000);
    atomic_fetch_sub(&m->now, 1);
}

int drive_meeting(uint32_t nthreads, size_t rounds, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    seen[0] = seen[1] = 0;
    for (size_t round = 0; round < rounds && error == 0 && seen[0] == (int64_t)round; round++) {
        meeting m = {.wanted = nthreads};
        for (uint32_t i = 0; i < nthreads && error == 0; i++)
            error = tpool_submit(p, meet, &m);
        int waited = tpool_wait(p);
        error = error != 0 ? error : waited;
        seen[0] += atomic_load(&m.met) == (long)nthreads;
    }
    meeting crowd = {.wanted = 0};
    for (uint32_t i = 0; i < 4 * nthreads && error == 0; i++)
        error = tpool_submit(p, be_one_of_many, &crowd);
    int waited = tpool_wait(p);
    seen[1] = atomic_load(&crowd.most);
    return end(p, error != 0 ? error : waited);
}

/* Steps of which the first `long_ones` of `at` end only when all others are done, or when none has been for a while. */
typedef struct {
    const uint32_t *at;
    uint32_t long_ones;
    long short_ones;
    atomic_long done, fewest; /* short steps done; how many were when the first long one gave up */
} uneven;

typedef struct {
    uneven *all;
    uint32_t number;
} uneven_step;

static void make_step(uneven *u, uint32_t number)
{
    bool is_long = false;
    for (uint32_t i = 0; i < u->long_ones; i++)
        is_long = is_long || u->at[i] == number;
    if (!is_long) {
        atomic_fetch_add(&u->done, 1);
        return;
    }
    reaches(&u->done, u->short_ones);
    long done = atomic_load(&u->done), fewest = atomic_load(&u->fewest);
    while (done < fewest && !atomic_compare_exchange_weak(&u->fewest, &fewest, done))
        ;
}

static void uneven_task(void *arg)
{
    const uneven_step *step = arg;
    make_step(step->all, step->number);
}

static void uneven_range(size_t from, size_t to, void *ctx)
{
    for (size_t i = from; i < to; i++)
        make_step(ctx, (uint32_t)i);
}

int drive_uneven(uint32_t nthreads, int by_loop, uint32_t steps, uint32_t long_ones, const uint32_t *at, int64_t *seen)
{
    enum { MAX_STEPS = 256 };
    static uneven_step each[MAX_STEPS];
    tpool *p;
    if (steps > MAX_STEPS || long_ones >= nthreads)
        abort();
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    uneven u = {.at = at, .long_ones = long_ones, .short_ones = (long)(steps - long_ones), .fewest = (long)steps};
    if (by_loop) {
        error = tpool_parallel_for(p, 0, steps, 1, uneven_range, &u);
    } else {
        gate g = {0};
        error = hold(p, nthreads, &g); /* so that all steps are in the queue when the first one begins */
        for (uint32_t i = 0; i < steps && error == 0; i++) {
            each[i] = (uneven_step){&u, i};
            error = tpool_submit(p, uneven_task, &each[i]);
        }
        atomic_store(&g.open, 1);
    }
    int waited = tpool_wait(p);
    seen[0] = atomic_load(&u.fewest);
    return end(p, error != 0 ? error : waited);
}

/* ---- scenes: full queues and shutdown ---- */

typedef struct {
    tpool *pool;
    atomic_long *counter;
    atomic_long thread; /* its number, once it runs */
    atomic_long back, answer;
} blocked_producer;

static void *block(void *arg)
{
    blocked_producer *me = arg;
    thread_number = DRIVE_OURS;
    atomic_store(&me->thread, gettid());
    atomic_store(&me->answer, tpool_submit(me->pool, count_up, me->counter));
    atomic_store(&me->back, 1);
    return NULL;
}

int drive_full(uint32_t cap, int64_t *seen)
{
    tpool *p;
    int error = make(1, cap, &p);
    if (error != 0)
        return error;
    gate g = {0};
    atomic_long ran = 0;
    error = hold(p, 1, &g);
    for (seen[0] = 0; seen[0] <= cap && error == 0; seen[0]++)
        if ((error = tpool_try_submit(p, count_up, &ran)) != 0)
            break;
    seen[1] = error;
    seen[2] = seen[5] = (int64_t)tpool_pending(p);
    blocked_producer late = {.pool = p, .counter = &ran};
    pthread_t thread;
    if (pthread_create(&thread, NULL, block, &late) != 0)
        abort();
    reaches(&late.thread, 1);
    for (int i = 0; i < 30; i++) {
        sleep_us(1000);
        int64_t pending = (int64_t)tpool_pending(p);
        seen[5] = pending > seen[5] ? pending : seen[5];
    }
    seen[3] = !atomic_load(&late.back);
    atomic_store(&g.open, 1);
    pthread_join(thread, NULL);
    seen[4] = atomic_load(&late.answer);
    error = tpool_submit(p, count_up, &ran);
    int waited = tpool_wait(p);
    seen[6] = atomic_load(&ran);
    return end(p, error != 0 ? error : waited);
}

typedef struct {
    tpool *pool;
    int drain;
    atomic_long thread; /* its number, once it runs */
    atomic_long returned, answer, busy;
    gate *held;
} closer;

static void *close_pool(void *arg)
{
    closer *me = arg;
    atomic_store(&me->thread, gettid());
    atomic_store(&me->answer, tpool_shutdown(me->pool, me->drain));
    atomic_store(&me->busy, atomic_load(&me->held->inside) - atomic_load(&me->held->left));
    atomic_store(&me->returned, 1);
    return NULL;
}

int drive_full_shutdown(uint32_t cap, uint32_t producers, int drain, int64_t *seen)
{
    tpool *p;
    int error = make(1, cap, &p);
    if (error != 0)
        return error;
    gate g = {0};
    atomic_long ran = 0;
    error = hold(p, 1, &g);
    for (uint32_t i = 0; i < cap && error == 0; i++)
        error = tpool_submit(p, count_up, &ran);
    blocked_producer all[MAX_PRODUCERS];
    pthread_t threads[MAX_PRODUCERS];
    for (uint32_t i = 0; i < producers; i++) {
        all[i] = (blocked_producer){.pool = p, .counter = &ran};
        if (pthread_create(&threads[i], NULL, block, &all[i]) != 0)
            abort();
    }
    for (uint32_t i = 0; i < producers; i++)
        falls_asleep(&all[i].thread);
    closer c = {.pool = p, .drain = drain, .held = &g};
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_pool, &c) != 0)
        abort();
    seen[0] = seen[1] = 0;
    for (uint32_t i = 0; i < producers; i++) { /* they must come back while the worker is still held */
        reaches(&all[i].back, 1);
        bool refused = atomic_load(&all[i].back) && atomic_load(&all[i].answer) == -ESHUTDOWN;
        seen[refused ? 0 : 1]++;
    }
    atomic_store(&g.open, 1);
    for (uint32_t i = 0; i < producers; i++)
        pthread_join(threads[i], NULL);
    pthread_join(thread, NULL);
    seen[2] = atomic_load(&c.answer);
    seen[3] = atomic_load(&g.left) + atomic_load(&ran);
    return end(p, error);
}

int drive_shutdown(uint32_t nthreads, size_t count, int drain, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    gate g = {0};
    atomic_long ran = 0;
    error = hold(p, nthreads, &g);
    for (size_t i = 0; i < count && error == 0; i++)
        error = tpool_submit(p, count_up, &ran);
    closer c = {.pool = p, .drain = drain, .held = &g};
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_pool, &c) != 0)
        abort();
    falls_asleep(&c.thread); /* the pool is closed then, and what it drops is dropped */
    atomic_store(&g.open, 1);
    pthread_join(thread, NULL);
    seen[0] = atomic_load(&c.answer);
    seen[1] = atomic_load(&ran);
    seen[2] = atomic_load(&c.busy);
    seen[3] = tpool_shutdown(p, drain);
    return end(p, error);
}

int drive_after_shutdown(int drain, int64_t *seen)
{
    tpool *p;
    int error = make(2, 0, &p);
    if (error != 0)
        return error;
    atomic_long ran = 0;
    error = tpool_shutdown(p, drain);
    seen[0] = tpool_submit(p, count_up, &ran);
    seen[1] = tpool_try_submit(p, count_up, &ran);
    seen[2] = tpool_parallel_for(p, 0, 10, 1, no_range, NULL);
    seen[3] = tpool_wait(p);
    seen[4] = tpool_wait_ms(p, 10);
    seen[5] = tpool_shutdown(p, drain);
    seen[6] = (int64_t)tpool_pending(p);
    error = end(p, error);
    seen[7] = atomic_load(&ran);
    return error;
}

typedef struct {
    tpool *pool;
    atomic_long thread; /* its number, once it runs */
} destroyer;

static void *destroy_pool(void *arg)
{
    destroyer *me = arg;
    atomic_store(&me->thread, gettid());
    tpool_destroy(me->pool);
    return NULL;
}

/* Destroy a pool whose workers stand at a gate; it opens when tpool_destroy waits for them. */
static void destroy_elsewhere(tpool *p, gate *g)
{
    destroyer d = {.pool = p};
    pthread_t thread;
    if (pthread_create(&thread, NULL, destroy_pool, &d) != 0)
        abort();
    falls_asleep(&d.thread);
    atomic_store(&g->open, 1);
    pthread_join(thread, NULL);
}

int drive_destroy(uint32_t nthreads, size_t count, drive_slot *slots)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    gate g = {0};
    error = hold(p, nthreads, &g);
    for (size_t i = 0; i < count && error == 0; i++)
        error = tpool_submit(p, empty_task, &slots[i]);
    destroy_elsewhere(p, &g);
    return error;
}

typedef struct {
    tpool *pool;
    gate g;
    atomic_long late; /* tasks that ran though they were refused, or should have been */
    int64_t *seen;
} latecomer;

static void submit_late(void *arg)
{
    latecomer *me = arg;
    stand_at_gate(&me->g);
    me->seen[0] = tpool_submit(me->pool, count_up, &me->late);
    me->seen[1] = tpool_try_submit(me->pool, count_up, &me->late);
    me->seen[2] = tpool_parallel_for(me->pool, 0, 10, 1, no_range, NULL);
}

int drive_destroy_closes(uint32_t nthreads, int64_t *seen)
{
    latecomer me = {.seen = seen};
    int error = make(nthreads, 0, &me.pool);
    if (error != 0)
        return error;
    error = tpool_submit(me.pool, submit_late, &me);
    reaches(&me.g.inside, 1);
    destroy_elsewhere(me.pool, &me.g);
    seen[3] = atomic_load(&me.late);
    return error;
}

/* ---- scenes: loops ---- */

typedef struct {
    tpool *pool;
    size_t lo, hi, inner;
    uint32_t *hits;
    atomic_long ranges, longest, wrong, elsewhere, error;
} loop_watch;

static void watch_range(size_t from, size_t to, void *ctx)
{
    loop_watch *w = ctx;
    atomic_fetch_add(&w->ranges, 1);
    if (tpool_worker_index() < 0 || thread_number == DRIVE_OURS)
        atomic_fetch_add(&w->elsewhere, 1);
    if (from >= to || from < w->lo || to > w->hi) {
        atomic_fetch_add(&w->wrong, 1);
        return;
    }
    long length = (long)(to - from), longest = atomic_load(&w->longest);
    while (length > longest && !atomic_compare_exchange_weak(&w->longest, &longest, length))
        ;
    for (size_t i = from; i < to; i++)
        __atomic_fetch_add(&w->hits[i - w->lo], 1, __ATOMIC_RELAXED);
}

int drive_for(uint32_t nthreads, size_t lo, size_t hi, size_t grain, size_t count, uint32_t *hits, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    (void)count;
    loop_watch w = {.lo = lo, .hi = hi, .hits = hits};
    error = tpool_parallel_for(p, lo, hi, grain, watch_range, &w);
    seen[0] = atomic_load(&w.ranges);
    seen[1] = atomic_load(&w.longest);
    seen[2] = atomic_load(&w.wrong);
    seen[3] = atomic_load(&w.elsewhere);
    return end(p, error);
}

typedef struct {
    loop_watch *all;
    uint32_t *row;
} row_of_loop;

static void inner_range(size_t from, size_t to, void *ctx)
{
    const row_of_loop *r = ctx;
    for (size_t i = from; i < to; i++)
        __atomic_fetch_add(&r->row[i], 1, __ATOMIC_RELAXED);
}

static void outer_range(size_t from, size_t to, void *ctx)
{
    loop_watch *w = ctx;
    for (size_t i = from; i < to; i++) {
        row_of_loop r = {w, w->hits + i * w->inner};
        int error = tpool_parallel_for(w->pool, 0, w->inner, 2, inner_range, &r);
        if (error != 0)
            atomic_store(&w->error, error);
    }
}

static void outer_loop(void *arg)
{
    loop_watch *w = arg;
    int error = tpool_parallel_for(w->pool, 0, w->hi, 1, outer_range, w);
    if (error != 0)
        atomic_store(&w->error, error);
}

int drive_nested(uint32_t nthreads, int from_task, size_t outer, size_t inner, uint32_t *hits)
{
    loop_watch w = {.hi = outer, .inner = inner, .hits = hits};
    int error = make(nthreads, 0, &w.pool);
    if (error != 0)
        return error;
    if (from_task) {
        error = tpool_submit(w.pool, outer_loop, &w);
        int waited = tpool_wait(w.pool);
        error = error != 0 ? error : waited;
    } else {
        outer_loop(&w);
    }
    return end(w.pool, error != 0 ? error : (int)atomic_load(&w.error));
}

typedef struct {
    loop_watch watch;
    size_t count;
    atomic_long caller; /* the number of the thread that calls it */
    atomic_bool begun;
    atomic_long returned, answer;
} lonely_loop;

/* The first range waits until the loop's caller sleeps, unless it works itself. */
static void slow_range(size_t from, size_t to, void *ctx)
{
    lonely_loop *me = ctx;
    if (gettid() != atomic_load(&me->caller) && !atomic_exchange(&me->begun, true))
        falls_asleep(&me->caller);
    sleep_us(100);
    watch_range(from, to, &me->watch);
}

static void *run_loop(void *arg)
{
    lonely_loop *me = arg;
    thread_number = DRIVE_OURS;
    atomic_store(&me->caller, gettid());
    atomic_store(&me->answer, tpool_parallel_for(me->watch.pool, 0, me->count, 1, slow_range, me));
    atomic_store(&me->returned, 1);
    return NULL;
}

typedef struct {
    tpool *pool;
    atomic_long thread; /* its number, once it runs */
} pool_waiter;

static void *wait_for_pool(void *arg)
{
    pool_waiter *me = arg;
    atomic_store(&me->thread, gettid());
    (void)tpool_wait(me->pool);
    return NULL;
}

int drive_beside(uint32_t nthreads, size_t count, uint32_t *hits, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    gate g = {0};
    error = hold(p, 1, &g);
    lonely_loop loop = {.watch = {.pool = p, .hi = count, .hits = hits}, .count = count};
    pool_waiter first = {.pool = p};
    pthread_t thread, waiter;
    if (pthread_create(&waiter, NULL, wait_for_pool, &first) != 0)
        abort();
    falls_asleep(&first.thread); /* so that it stands before the loop's caller in whatever line they wait */
    if (pthread_create(&thread, NULL, run_loop, &loop) != 0)
        abort();
    seen[1] = reaches(&loop.returned, 1);
    atomic_store(&g.open, 1);
    pthread_join(thread, NULL);
    pthread_join(waiter, NULL);
    seen[0] = atomic_load(&loop.answer);
    return end(p, error);
}

typedef struct {
    loop_watch watch;
    size_t count, rounds;
    atomic_long visited, early;
} steady_loop;

/* The last range takes longest: a loop that returns when it is taken returns before it is done. */
static void steady_range(size_t from, size_t to, void *ctx)
{
    steady_loop *me = ctx;
    if (to == me->count)
        sleep_us(100);
    watch_range(from, to, &me->watch);
    atomic_fetch_add(&me->visited, (long)(to - from));
}

static void *run_loops(void *arg)
{
    steady_loop *me = arg;
    thread_number = DRIVE_OURS;
    for (size_t i = 0; i < me->rounds; i++) {
        int error = tpool_parallel_for(me->watch.pool, 0, me->count, 3, steady_range, me);
        if (error != 0)
            atomic_store(&me->watch.error, error);
        if (atomic_load(&me->visited) != (long)((i + 1) * me->count))
            atomic_fetch_add(&me->early, 1);
    }
    return NULL;
}

int drive_two_loops(uint32_t nthreads, size_t rounds, size_t count, uint32_t *hits, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    steady_loop one = {.watch = {.pool = p, .hi = count, .hits = hits}, .count = count, .rounds = rounds};
    steady_loop two = {.watch = {.pool = p, .hi = count, .hits = hits + count}, .count = count, .rounds = rounds};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_loops, &two) != 0)
        abort();
    run_loops(&one);
    pthread_join(thread, NULL);
    seen[0] = atomic_load(&one.early) + atomic_load(&two.early);
    long failed = atomic_load(&one.watch.error);
    return end(p, (int)(failed != 0 ? failed : atomic_load(&two.watch.error)));
}

typedef struct {
    atomic_long others;
    long wanted;
    atomic_long met;
} last_one;

static void wait_for_the_others(void *arg)
{
    last_one *l = arg;
    atomic_store(&l->met, reaches(&l->others, l->wanted));
}

int drive_slow_one(uint32_t nthreads, size_t count, size_t which, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    last_one l = {.wanted = (long)count - 1};
    gate g = {0};
    error = hold(p, nthreads, &g); /* so that all of them are in the queue when the first one begins */
    for (size_t i = 0; i < count && error == 0; i++)
        error = tpool_submit(p, i == which ? wait_for_the_others : count_up, i == which ? (void *)&l : (void *)&l.others);
    atomic_store(&g.open, 1);
    int waited = tpool_wait(p);
    seen[0] = atomic_load(&l.met);
    return end(p, error != 0 ? error : waited);
}

/* Ten rounds of ten tasks, each watched to its end: how many ran. A pool that has lost workers loses one a round. */
static int64_t use(tpool *p, uint32_t nthreads, int *error)
{
    atomic_long ran = 0;
    long sent = 0;
    for (uint32_t round = 0; round < nthreads + 8 && *error == 0; round++) {
        for (int i = 0; i < 10 && *error == 0; i++, sent++)
            *error = tpool_submit(p, count_up, &ran);
        if (!reaches(&ran, sent))
            return sent - atomic_load(&ran);
    }
    return 0;
}

int drive_two_pools(uint32_t nthreads, int64_t *seen)
{
    tpool *first, *second, *third;
    int error = make(nthreads, 0, &first);
    if (error != 0)
        return error;
    error = make(nthreads, 0, &second);
    if (error != 0)
        return end(first, error);
    gate g = {0};
    atomic_long ran = 0;
    error = hold(second, nthreads, &g);
    for (int i = 0; i < 100 && error == 0; i++)
        error = tpool_submit(first, count_up, &ran);
    seen[0] = tpool_wait_ms(first, PATIENCE_MS);
    atomic_store(&g.open, 1);
    seen[1] = use(second, nthreads, &error);
    tpool_destroy(second);
    seen[2] = use(first, nthreads, &error);
    if (seen[1] + seen[2] != 0)
        return error; /* to destroy a pool whose tasks never run would wait for ever */
    int made = make(nthreads, 0, &third);
    if (made != 0)
        return end(first, made);
    seen[3] = use(first, nthreads, &error) + use(third, nthreads, &error);
    if (seen[3] != 0)
        return error;
    tpool_destroy(first);
    seen[4] = use(third, nthreads, &error);
    return seen[4] != 0 ? error : end(third, error);
}

int drive_any_number(size_t count, int64_t *seen)
{
    tpool *p;
    int error = make(1, 0, &p);
    if (error != 0)
        return error;
    gate g = {0};
    atomic_long ran = 0;
    error = hold(p, 1, &g);
    size_t taken = 0;
    while (taken < count && error == 0 && (error = tpool_try_submit(p, count_up, &ran)) == 0)
        taken++;
    seen[0] = (int64_t)taken;
    seen[1] = error;
    seen[2] = (int64_t)tpool_pending(p);
    atomic_store(&g.open, 1);
    int waited = tpool_wait(p);
    seen[3] = atomic_load(&ran);
    return end(p, waited);
}

/* ---- scenes: manners ---- */

int drive_idle(uint32_t nthreads, uint32_t ms, int64_t *seen)
{
    tpool *p;
    int error = make(nthreads, 0, &p);
    if (error != 0)
        return error;
    atomic_long ran = 0;
    for (uint32_t i = 0; i < nthreads && error == 0; i++)
        error = tpool_submit(p, count_up, &ran);
    int waited = tpool_wait(p);
    error = error != 0 ? error : waited;
    sleep_us((uint64_t)ms * 1000u);
    if (error == 0)
        error = tpool_submit(p, count_up, &ran);
    seen[0] = reaches(&ran, (long)nthreads + 1);
    return end(p, error);
}

static void use_stack(void *arg)
{
    volatile char large[1 << 20];
    for (size_t i = 0; i < sizeof large; i += 4096)
        large[i] = 1;
    atomic_fetch_add((atomic_long *)arg, large[0]);
}

int drive_large_stack(int64_t *seen)
{
    tpool *p;
    int error = make(2, 0, &p);
    if (error != 0)
        return error;
    atomic_long ran = 0;
    for (int i = 0; i < 4 && error == 0; i++)
        error = tpool_submit(p, use_stack, &ran);
    int waited = tpool_wait(p);
    seen[0] = atomic_load(&ran);
    return end(p, error != 0 ? error : waited);
}

int drive_held(size_t count, drive_slot *slots)
{
    tpool *p;
    int error = make(1, 0, &p);
    if (error != 0)
        return error;
    gate g = {0};
    error = hold(p, 1, &g);
    for (size_t i = 0; i < count && error == 0; i++) {
        error = tpool_submit(p, empty_task, &slots[i]);
        if (error == -ENOMEM)
            error = tpool_submit(p, empty_task, &slots[i]);
    }
    atomic_store(&g.open, 1);
    int waited = tpool_wait(p);
    return end(p, error != 0 ? error : waited);
}
