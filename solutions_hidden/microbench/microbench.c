/*
 * microbench: the full solution.
 *
 * Everything that is measured goes through mb_measure. A benchmark prepares memory, calls a kernel through a small
 * function of type mb_work, and turns ns per unit of work into what it promises. The kernels are plain loops; what the
 * compiler must not take away from them is said where it would.
 */
#include "microbench.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 64, MAX_THREADS = 64, OVERHEAD_TRIES = 200 };

/* ---- 1. Preparing ---- */

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): any seed is a good one, and neighbours give unlike numbers. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. bound - 1, for bounds below 2^32: the upper half of a product instead of a slow remainder. */
static size_t below(uint64_t *state, size_t bound)
{
    return (size_t)((next_random(state) >> 32) * bound >> 32);
}

/* Sattolo's shuffle: like Fisher's and Yates', but nobody may stay in place, and that leaves exactly one cycle. */
int mb_make_cycle(uint32_t *next, size_t n, uint64_t seed)
{
    if (next == NULL || n == 0 || n > UINT32_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        next[i] = (uint32_t)i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = below(&seed, i);
        uint32_t other = next[i];
        next[i] = next[j];
        next[j] = other;
    }
    return 0;
}

int mb_make_pattern(uint8_t *taken, size_t n, unsigned permille, int pattern, uint64_t seed)
{
    if (taken == NULL || n == 0 || n > UINT32_MAX || permille > 1000 || pattern < MB_RANDOM || pattern > MB_SORTED)
        return -EINVAL;
    if (pattern == MB_PERIODIC) {
        for (size_t i = 0; i < n; i++)
            taken[i] = (uint8_t)((i + 1) * permille / 1000 - i * permille / 1000);
        return 0;
    }
    size_t ones = n * permille / 1000;
    memset(taken, 0, n - ones);
    memset(taken + (n - ones), 1, ones);
    for (size_t i = n - 1; pattern == MB_RANDOM && i > 0; i--) {
        size_t j = below(&seed, i + 1);
        uint8_t other = taken[i];
        taken[i] = taken[j];
        taken[j] = other;
    }
    return 0;
}

/* ---- 2. Judging ---- */

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts v. */
static double median_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n % 2 != 0 ? v[n / 2] : v[n / 2 - 1] / 2 + v[n / 2] / 2; /* halves first: the sum could overflow */
}

int mb_summary(const double *v, size_t n, mb_stat *out)
{
    if (v == NULL || out == NULL || n == 0 || n > UINT32_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return -EINVAL;
    double *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL)
        return -ENOMEM;
    memcpy(sorted, v, n * sizeof *v);
    mb_stat stat = {.median = median_of(sorted, n), .min = sorted[0], .reps = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        sorted[i] = fabs(sorted[i] - stat.median);
    stat.mad = median_of(sorted, n);
    stat.noisy = stat.mad > 0.05 * stat.median;
    free(sorted);
    *out = stat;
    return 0;
}

static bool is_jump(double from, double to)
{
    return to > 1.4 * from;
}

int mb_find_levels(const size_t *bytes, const double *ns, size_t n, mb_level *levels, int *count)
{
    if (bytes == NULL || ns == NULL || levels == NULL || count == NULL || n == 0)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(ns[i]) || ns[i] <= 0 || (i > 0 && bytes[i] <= bytes[i - 1]))
            return -EINVAL;
    double *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL)
        return -ENOMEM;
    int found = 0;
    for (size_t first = 0, last; first < n && found < MB_MAX_LEVELS; first = last + 1) {
        while (found > 0 && first + 1 < n && is_jump(ns[first], ns[first + 1]))
            first++; /* still on the way up */
        double smallest = ns[first];
        for (last = first; last + 1 < n && !is_jump(smallest, ns[last + 1]); last++)
            smallest = fmin(smallest, ns[last + 1]);
        memcpy(sorted, ns + first, (last - first + 1) * sizeof *sorted);
        levels[found++] = (mb_level){bytes[last], median_of(sorted, last - first + 1)};
    }
    free(sorted);
    *count = found;
    return 0;
}

/* ---- 3. Timing ---- */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec; /* whole numbers: a double has 53 bits, this needs 61 */
}

double mb_timer_overhead_ns(void)
{
    int64_t smallest = INT64_MAX;
    for (int i = 0; i < OVERHEAD_TRIES; i++) {
        int64_t before = now_ns(), distance = now_ns() - before;
        if (distance >= 0 && distance < smallest)
            smallest = distance;
    }
    return smallest == INT64_MAX ? 0.0 : (double)smallest;
}

static int64_t timed(mb_work work, void *context, uint64_t iters)
{
    int64_t before = now_ns();
    work(context, iters);
    return now_ns() - before;
}

int mb_measure(mb_work work, void *context, uint64_t min_ns, uint32_t reps, mb_stat *out)
{
    if (work == NULL || out == NULL || reps == 0 || min_ns == 0)
        return -EINVAL;
    double *each = malloc(reps * sizeof *each);
    if (each == NULL)
        return -ENOMEM;
    double overhead = mb_timer_overhead_ns();
    uint64_t iters = 1;
    int64_t elapsed;
    int error = 0, useless = 0;
    while (elapsed = timed(work, context, iters), elapsed < 0 || (uint64_t)elapsed < min_ns) {
        if (iters > (uint64_t)1 << 40) {
            error = -EIO;
            break;
        }
        iters *= 2;
    }
    for (uint32_t done = 0; done < reps && error == 0;) {
        elapsed = timed(work, context, iters);
        if (elapsed <= 0) {
            error = ++useless == MB_PATIENCE ? -EIO : 0;
            continue;
        }
        useless = 0;
        each[done++] = fmax(0.0, (double)elapsed - overhead) / (double)iters;
    }
    if (error == 0)
        error = mb_summary(each, reps, out);
    if (error == 0)
        out->iters = iters;
    free(each);
    return error;
}

/* ---- 4. Kernels ---- */

void *mb_chase_run(void *start, uint64_t loads)
{
    void *node = start;
    while (loads-- > 0)
        node = *(void **)node;
    return node;
}

uint64_t mb_access_run(const unsigned char *data, const size_t *offsets, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += *(const uint64_t *)(const void *)(data + offsets[i]);
    return sum;
}

/* Four sums: with one, each addition would wait for the one before it, and memory for the addition. */
static double sum_of(const double *a, size_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += a[i];
        s1 += a[i + 1];
        s2 += a[i + 2];
        s3 += a[i + 3];
    }
    for (; i < n; i++)
        s0 += a[i];
    return s0 + s1 + s2 + s3;
}

double mb_stream_run(int op, double *a, const double *b, const double *c, size_t n)
{
    switch (op) {
    case MB_READ:
        return sum_of(a, n);
    case MB_WRITE:
        for (size_t i = 0; i < n; i++)
            a[i] = (double)i;
        return 0;
    case MB_COPY:
        for (size_t i = 0; i < n; i++)
            a[i] = b[i];
        return 0;
    case MB_TRIAD:
        for (size_t i = 0; i < n; i++)
            a[i] = b[i] + 3.0 * c[i];
        return 0;
    default:
        return 0;
    }
}

uint64_t mb_branch_run(const uint8_t *taken, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (taken[i] != 0) {
            __asm__ volatile(""); /* nothing, but nothing that the compiler may do without jumping around it */
            count++;
        }
    return count;
}

void mb_count_run(uint64_t *counter, uint64_t iters)
{
    volatile uint64_t *shared = counter; /* else all additions become one */
    while (iters-- > 0)
        *shared = *shared + 1;
}

/* ---- 5. Benchmarks ---- */

/* What comes out of a kernel goes here, so that no compiler finds that nobody needs it. */
static volatile uint64_t sink;

static void scale(mb_stat *stat, uint64_t operations)
{
    stat->median /= (double)operations;
    stat->min /= (double)operations;
    stat->mad /= (double)operations;
    stat->iters *= operations;
}

/* The shape of a ring or a row: how many places, or why not. */
static int places(size_t bytes, size_t stride, uint64_t min_ns, const mb_stat *out, size_t *n)
{
    if (out == NULL || min_ns == 0 || stride < sizeof(uint64_t) || stride % sizeof(uint64_t) != 0 || bytes < stride ||
        bytes / stride > UINT32_MAX)
        return -EINVAL;
    *n = bytes / stride;
    return 0;
}

/* Which place comes after which: one cycle through all, in order or not. NULL: no memory. */
static uint32_t *order_of(size_t n, int random)
{
    uint32_t *next = malloc(n * sizeof *next);
    if (next == NULL)
        return NULL;
    if (random)
        mb_make_cycle(next, n, 0x5eed);
    for (size_t i = 0; i < n && !random; i++)
        next[i] = (uint32_t)(i + 1 < n ? i + 1 : 0);
    return next;
}

/* Pages of their own, so that small rings always fill the same sets of the cache. */
static unsigned char *allocate(size_t bytes)
{
    void *block = NULL;
    return bytes <= SIZE_MAX / 2 && posix_memalign(&block, 4096, bytes) == 0 ? block : NULL;
}

/* Goes on where the repetition before has stopped: else a large ring would be a small one, walked again and again. */
static void chase_work(void *context, uint64_t iters)
{
    void **position = context;
    *position = mb_chase_run(*position, iters);
}

int mb_chase(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load)
{
    size_t n;
    int error = places(bytes, stride, min_ns, ns_per_load, &n);
    if (error != 0)
        return error;
    unsigned char *ring = allocate(bytes);
    uint32_t *next = ring != NULL ? order_of(n, random) : NULL;
    if (next == NULL) {
        free(ring);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        *(void **)(void *)(ring + i * stride) = ring + next[i] * stride;
    free(next);
    void *position = ring;
    error = mb_measure(chase_work, &position, min_ns, MB_REPS, ns_per_load);
    sink = (uint64_t)(uintptr_t)position;
    free(ring);
    return error;
}

struct row {
    const unsigned char *data;
    const size_t *offsets;
    size_t n;
};

static void access_work(void *context, uint64_t iters)
{
    const struct row *row = context;
    while (iters-- > 0)
        sink += mb_access_run(row->data, row->offsets, row->n);
}

int mb_access(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load)
{
    size_t n;
    int error = places(bytes, stride, min_ns, ns_per_load, &n);
    if (error != 0)
        return error;
    unsigned char *data = allocate(bytes);
    uint32_t *next = data != NULL ? order_of(n, random) : NULL;
    size_t *offsets = next != NULL ? malloc(n * sizeof *offsets) : NULL;
    if (offsets == NULL) {
        free(next);
        free(data);
        return -ENOMEM;
    }
    memset(data, 1, bytes); /* memory that was never written is one page of zeros, mapped everywhere */
    for (size_t i = 0, place = 0; i < n; i++, place = next[place])
        offsets[i] = place * stride;
    free(next);
    struct row row = {data, offsets, n};
    error = mb_measure(access_work, &row, min_ns, MB_REPS, ns_per_load);
    if (error == 0)
        scale(ns_per_load, n);
    free(offsets);
    free(data);
    return error;
}

/* ---- Threads that begin together ---- */

/* Members wait for the number of the round to change. They wait by looking and yielding: a sleeper wakes too late. */
struct team {
    int members; /* besides the caller */
    void (*share)(void *context, int thread);
    void *context;
    atomic_uint round;
    atomic_int ready, busy;
    atomic_bool over;
    struct member {
        struct team *team;
        int thread;
        pthread_t handle;
    } member[MAX_THREADS];
};

static void *belong(void *argument)
{
    const struct member *self = argument;
    struct team *team = self->team;
    atomic_fetch_add(&team->ready, 1);
    for (unsigned seen = 0;; seen++) {
        while (atomic_load(&team->round) == seen)
            sched_yield();
        if (atomic_load(&team->over))
            return NULL;
        team->share(team->context, self->thread);
        atomic_fetch_sub(&team->busy, 1);
    }
}

/* Everybody does a share once; the caller does number 0. */
static void together(struct team *team)
{
    atomic_store(&team->busy, team->members);
    atomic_fetch_add(&team->round, 1);
    team->share(team->context, 0);
    while (atomic_load(&team->busy) > 0)
        sched_yield();
}

static void dismiss(struct team *team)
{
    atomic_store(&team->over, true);
    atomic_fetch_add(&team->round, 1);
    for (int i = 0; i < team->members; i++)
        pthread_join(team->member[i].handle, NULL);
}

/* Starts nthreads - 1 threads and waits until they run. -ENOMEM: one could not be started, and none is left. */
static int assemble(struct team *team, int nthreads, void (*share)(void *, int), void *context)
{
    *team = (struct team){.share = share, .context = context};
    for (int i = 0; i < nthreads - 1; i++) {
        team->member[i].team = team;
        team->member[i].thread = i + 1;
        if (pthread_create(&team->member[i].handle, NULL, belong, &team->member[i]) != 0) {
            dismiss(team);
            return -ENOMEM;
        }
        team->members++;
    }
    while (atomic_load(&team->ready) < team->members)
        sched_yield();
    return 0;
}

/* ---- Bandwidth ---- */

struct stream {
    int op;
    double *a, *b, *c;
    size_t each; /* elements of one thread's part */
    uint64_t passes;
    double results[MAX_THREADS];
    struct team team;
};

static void stream_share(void *context, int thread)
{
    struct stream *stream = context;
    size_t start = (size_t)thread * stream->each;
    double sum = 0;
    for (uint64_t pass = 0; pass < stream->passes; pass++)
        sum += mb_stream_run(stream->op, stream->a + start, stream->b != NULL ? stream->b + start : NULL,
                             stream->c != NULL ? stream->c + start : NULL, stream->each);
    stream->results[thread] = sum;
}

static void stream_work(void *context, uint64_t iters)
{
    struct stream *stream = context;
    stream->passes = iters;
    together(&stream->team);
    sink = (uint64_t)stream->results[0];
}

/* An array with numbers in it, so that every page is there. NULL where none is wanted, and where there is no memory. */
static double *filled(size_t bytes, bool wanted)
{
    double *array = wanted ? (double *)(void *)allocate(bytes) : NULL;
    for (size_t i = 0; array != NULL && i < bytes / sizeof *array; i++)
        array[i] = (double)(i % 8);
    return array;
}

int mb_bandwidth(size_t bytes, int op, int nthreads, uint64_t min_ns, mb_stat *ns_per_pass, double *gb_s)
{
    if (ns_per_pass == NULL || gb_s == NULL || op < MB_READ || op > MB_TRIAD || nthreads < 1 ||
        nthreads > MAX_THREADS || min_ns == 0 || bytes == 0 || bytes % (sizeof(double) * (size_t)nthreads) != 0)
        return -EINVAL;
    int arrays = op == MB_TRIAD ? 3 : op == MB_COPY ? 2 : 1;
    struct stream *stream = malloc(sizeof *stream);
    if (stream == NULL)
        return -ENOMEM;
    *stream = (struct stream){.op = op, .each = bytes / sizeof(double) / (size_t)nthreads};
    stream->a = filled(bytes, true);
    stream->b = filled(bytes, arrays > 1 && stream->a != NULL);
    stream->c = filled(bytes, arrays > 2 && stream->b != NULL);
    int error = -ENOMEM;
    if (stream->a != NULL && (stream->b != NULL || arrays < 2) && (stream->c != NULL || arrays < 3))
        error = assemble(&stream->team, nthreads, stream_share, stream);
    if (error == 0) {
        error = mb_measure(stream_work, stream, min_ns, MB_REPS, ns_per_pass);
        dismiss(&stream->team);
    }
    if (error == 0)
        *gb_s = (double)bytes * arrays / ns_per_pass->median; /* bytes per ns are 10^9 bytes per second */
    free(stream->c);
    free(stream->b);
    free(stream->a);
    free(stream);
    return error;
}

/* ---- Branches ---- */

struct branches {
    const uint8_t *taken;
    size_t n;
};

static void branch_work(void *context, uint64_t iters)
{
    const struct branches *branches = context;
    while (iters-- > 0)
        sink += mb_branch_run(branches->taken, branches->n);
}

int mb_branch(size_t n, unsigned permille, int pattern, uint64_t min_ns, mb_stat *ns_per_branch)
{
    if (ns_per_branch == NULL || min_ns == 0 || n == 0 || n > UINT32_MAX)
        return -EINVAL;
    uint8_t *taken = malloc(n);
    if (taken == NULL)
        return -ENOMEM;
    int error = mb_make_pattern(taken, n, permille, pattern, 0x5eed);
    struct branches branches = {taken, n};
    if (error == 0)
        error = mb_measure(branch_work, &branches, min_ns, MB_REPS, ns_per_branch);
    if (error == 0)
        scale(ns_per_branch, n);
    free(taken);
    return error;
}

/* ---- False sharing ---- */

struct counting {
    unsigned char *counters;
    size_t pad;
    uint64_t iters;
    struct team team;
};

static uint64_t *counter_of(const struct counting *counting, int thread)
{
    return (uint64_t *)(void *)(counting->counters + (size_t)thread * counting->pad);
}

static void count_share(void *context, int thread)
{
    const struct counting *counting = context;
    mb_count_run(counter_of(counting, thread), counting->iters);
}

int mb_false_sharing(void *counters, int nthreads, size_t pad_bytes, uint64_t iters, mb_stat *ns_per_increment)
{
    if (counters == NULL || ns_per_increment == NULL || nthreads < 1 || nthreads > MAX_THREADS || iters == 0 ||
        pad_bytes < sizeof(uint64_t) || pad_bytes % sizeof(uint64_t) != 0)
        return -EINVAL;
    struct counting *counting = malloc(sizeof *counting);
    if (counting == NULL)
        return -ENOMEM;
    *counting = (struct counting){.counters = counters, .pad = pad_bytes, .iters = iters};
    double each[MB_REPS];
    int error = assemble(&counting->team, nthreads, count_share, counting);
    if (error == 0) {
        double overhead = mb_timer_overhead_ns();
        for (int rep = -1; rep < MB_REPS; rep++) { /* number -1 warms up */
            for (int t = 0; t < nthreads; t++)
                *counter_of(counting, t) = 0;
            int64_t before = now_ns();
            together(&counting->team);
            int64_t elapsed = now_ns() - before;
            if (rep >= 0)
                each[rep] = fmax(0.0, (double)elapsed - overhead) / (double)iters;
        }
        dismiss(&counting->team);
        error = mb_summary(each, MB_REPS, ns_per_increment);
    }
    if (error == 0)
        ns_per_increment->iters = iters;
    free(counting);
    return error;
}

/* ---- 6. The report ---- */

/* Text that grows in a buffer; `full` once something did not fit. */
struct text {
    char *start;
    size_t capacity, length;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    if (text->full)
        return;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text->start + text->length, text->capacity - text->length, format, arguments);
    va_end(arguments);
    text->full = written < 0 || (size_t)written >= text->capacity - text->length;
    if (!text->full)
        text->length += (size_t)written;
}

enum { MIN_SIZE = 2048, MAX_SIZE = 16 << 20, MAX_SIZES = 32, STREAM_BYTES = 8 << 20, BRANCHES = 1 << 14 };

int mb_report(char *json, size_t capacity, uint64_t budget_ms)
{
    if (json == NULL || capacity == 0 || budget_ms == 0)
        return -EINVAL;
    static const char *const names[] = {"read", "write", "copy", "triad"};
    struct text text = {json, capacity, 0, false};
    size_t sizes[MAX_SIZES], n = 0;
    double latency[MAX_SIZES];
    mb_stat stat;
    uint32_t noisy = 0;
    /* Some thirty measurements, each about twenty repetitions long with its calibration; half of the budget is slack. */
    uint64_t min_ns = (budget_ms < 60000 ? budget_ms : 60000) * 1000000 / 1200;
    int error = 0;
    json[0] = '\0';
    add(&text, "{\"schema\": \"microbench/1\", \"clock_overhead_ns\": %.6g, \"latency\": [", mb_timer_overhead_ns());
    for (size_t bytes = MIN_SIZE; bytes <= MAX_SIZE && error == 0; bytes += bytes & (bytes - 1) ? bytes / 3 : bytes / 2) {
        error = mb_chase(bytes, LINE, 1, min_ns, &stat);
        noisy |= stat.noisy;
        sizes[n] = bytes;
        latency[n] = stat.median;
        add(&text, "%s{\"bytes\": %zu, \"ns\": %.9g, \"mad\": %.6g}", n > 0 ? ", " : "", bytes, stat.median, stat.mad);
        n++;
    }
    mb_level levels[MB_MAX_LEVELS];
    int count = 0;
    if (error == 0)
        error = mb_find_levels(sizes, latency, n, levels, &count);
    add(&text, "], \"levels\": [");
    for (int i = 0; i < count; i++)
        add(&text, "%s{\"bytes\": %zu, \"ns\": %.9g}", i > 0 ? ", " : "", levels[i].bytes, levels[i].ns);
    add(&text, "], \"bandwidth\": [");
    for (int op = MB_READ; op <= MB_TRIAD && error == 0; op++) {
        double gb_s = 0;
        error = mb_bandwidth(STREAM_BYTES, op, 1, min_ns, &stat, &gb_s);
        noisy |= stat.noisy;
        add(&text, "%s{\"op\": \"%s\", \"bytes\": %d, \"gb_s\": %.6g}", op > 0 ? ", " : "", names[op], STREAM_BYTES,
            gb_s);
    }
    double branch[2] = {0};
    for (int sorted = 0; sorted < 2 && error == 0; sorted++) {
        error = mb_branch(BRANCHES, 500, sorted ? MB_SORTED : MB_RANDOM, min_ns, &stat);
        noisy |= stat.noisy;
        branch[sorted] = stat.median;
    }
    add(&text, "], \"branch\": {\"random_ns\": %.6g, \"sorted_ns\": %.6g}, \"noisy\": %s}\n", branch[0], branch[1],
        noisy ? "true" : "false");
    if (error == 0 && text.full)
        error = -ENOSPC;
    if (error != 0)
        json[0] = '\0';
    return error;
}
