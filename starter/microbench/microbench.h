/*
 * microbench.h - the contract of the lab "microbench": small programs that measure the machine they run on.
 *
 * Words used everywhere:
 *   repetition  one timed piece of work: a reading of the clock, the work, a reading of the clock, nothing else
 *   the clock   clock_gettime(CLOCK_MONOTONIC); no other one is read
 *   overhead    what two readings in a row are apart; it is taken off every repetition
 *
 * Every function that returns int returns 0, or a negative errno value:
 *   -EINVAL  an argument that makes no sense (each function says which), or a NULL pointer;
 *   -ENOMEM  memory or a thread that is not to be had;
 *   -EIO     a clock that does not go on (see mb_measure);
 *   -ENOSPC  a buffer that is too small (mb_report);
 *   -ENOSYS  not implemented (the starter).
 * After an error nothing is left behind: no memory, no thread. Nothing is printed.
 */
#ifndef MICROBENCH_H
#define MICROBENCH_H

#include <stddef.h>
#include <stdint.h>

enum { MB_REPS = 11 };      /* repetitions of every benchmark (mb_measure is told its own) */
enum { MB_PATIENCE = 64 };  /* useless repetitions in a row after which a clock is given up */
enum { MB_MAX_LEVELS = 8 }; /* levels that mb_find_levels reports at most */

/* What a benchmark says. The first three are in the unit that the benchmark names. */
typedef struct {
    double median; /* of the repetitions */
    double min;    /* the smallest one */
    double mad;    /* median of the distances from the median */
    uint64_t iters; /* operations in one repetition */
    uint32_t reps;  /* repetitions that the numbers come from */
    uint32_t noisy; /* 1: mad is more than 5 % of the median, so do not believe it; else 0 */
} mb_stat;

/* ---- 1. Preparing: deterministic, tested without a clock ---- */

/*
 * next[] becomes one cycle through all of 0 .. n-1: beginning anywhere, n steps i = next[i] visit every number once and
 * come back. The order is random, the same for the same seed and another for another. n == 1: next[0] == 0.
 * -EINVAL: n == 0, or n > UINT32_MAX.
 */
int mb_make_cycle(uint32_t *next, size_t n, uint64_t seed);

enum { MB_RANDOM = 0, MB_PERIODIC = 1, MB_SORTED = 2 };

/*
 * taken[] becomes n bytes, n * permille / 1000 (rounded down) of them 1 and the others 0:
 *   MB_RANDOM    in random order, by the seed, without a period;
 *   MB_PERIODIC  evenly spread: the first i bytes hold i * permille / 1000 ones, rounded down;
 *   MB_SORTED    all zeros first.
 * -EINVAL: n == 0, n > UINT32_MAX, permille > 1000, another pattern.
 */
int mb_make_pattern(uint8_t *taken, size_t n, unsigned permille, int pattern, uint64_t seed);

/* ---- 2. Judging ---- */

/*
 * median, min, mad, reps = n and noisy of n values; iters = 0. The median of an even number of values is the mean of the
 * two in the middle. -EINVAL: n == 0, n > UINT32_MAX, a value that is NaN or infinite; *out is then as before.
 */
int mb_summary(const double *v, size_t n, mb_stat *out);

/* One step of the staircase of latencies: `bytes` is the largest size that belongs to it, `ns` its median latency. */
typedef struct {
    size_t bytes;
    double ns;
} mb_level;

/*
 * Levels of a sweep: n sizes, rising, and their latencies. A level begins at the first size, and ends before the first
 * size whose latency is more than 1.4 times the smallest one of the level. The next level begins at the first size, from
 * there on, whose successor is not more than 1.4 times as slow as it is; sizes between belong to no level. The last size
 * always ends a level, and may be one. At most MB_MAX_LEVELS are reported, the first ones.
 * -EINVAL: n == 0, sizes that do not rise, a latency that is not a positive finite number.
 */
int mb_find_levels(const size_t *bytes, const double *ns, size_t n, mb_level *levels, int *count);

/* ---- 3. Timing: tested with a clock that the grader scripts ---- */

/* The overhead in ns: the smallest distance between two readings in a row, of at least 100. Never negative. */
double mb_timer_overhead_ns(void);

/* A piece of work: does `iters` operations. */
typedef void (*mb_work)(void *context, uint64_t iters);

/*
 * ns per operation of `work`, from `reps` repetitions of equal length:
 *   1. The overhead is measured, now and not in some call before.
 *   2. Calibration: work is called with iters = 1, then with more and more, until one call takes min_ns or more by the
 *      clock. These calls warm everything up and count for nothing.
 *   3. `reps` repetitions with that many iters. No iters makes a repetition last 4 * min_ns, unless 1 does.
 *   4. Each is worth (elapsed - overhead) / iters, never less than 0; *out is the summary of these, with iters.
 * A repetition in which the clock did not go on (elapsed <= 0) is no measurement: it is made again.
 * -EIO: MB_PATIENCE of those in a row, or a call with iters > 2^40 that still takes less than min_ns.
 * -EINVAL: reps == 0, min_ns == 0.
 */
int mb_measure(mb_work work, void *context, uint64_t min_ns, uint32_t reps, mb_stat *out);

/* ---- 4. Kernels: what is timed, and nothing but that. Counted on a simulated CPU ---- */

/*
 * Every node begins with the address of the next one. Follow `loads` links from `start` and return where they lead:
 * each load needs the one before it, so that nothing can overlap.
 */
void *mb_chase_run(void *start, uint64_t loads);

/* The sum of the 64-bit words at data + offsets[0], ..., data + offsets[n-1] (multiples of 8): loads that may overlap. */
uint64_t mb_access_run(const unsigned char *data, const size_t *offsets, size_t n);

enum { MB_READ = 0, MB_WRITE = 1, MB_COPY = 2, MB_TRIAD = 3 };

/*
 * READ: returns the sum of a[]; WRITE: a[i] = i; COPY: a[i] = b[i]; TRIAD: a[i] = b[i] + 3 * c[i]; but for READ it
 * returns 0. Sums of whole numbers below 2^53 are exact. Arrays that an operation does not name may be NULL.
 */
double mb_stream_run(int op, double *a, const double *b, const double *c, size_t n);

/*
 * How many of n bytes are not 0, found by one conditional jump for each byte: that jump is what mb_branch measures.
 * The compiler likes to count without jumping; look at what it made.
 */
uint64_t mb_branch_run(const uint8_t *taken, size_t n);

/* Adds 1 to *counter, `iters` times, each time in memory: in a register nothing is shared, and so nothing false. */
void mb_count_run(uint64_t *counter, uint64_t iters);

/* ---- 5. Benchmarks: prepare, then mb_measure a kernel (by calling it), MB_REPS repetitions ---- */

/*
 * ns per dependent load in a ring of bytes / stride nodes, `stride` apart. random: one random cycle; else each node leads
 * to its neighbour, and the last to the first. iters counts loads.
 * -EINVAL: stride < 8 or no multiple of 8, bytes < stride, bytes / stride > UINT32_MAX, min_ns == 0.
 */
int mb_chase(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load);

/*
 * ns per independent load of bytes / stride places, in order or in random order. iters counts loads: bytes / stride in
 * every pass. Errors as above.
 */
int mb_access(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load);

/*
 * ns per pass over arrays of `bytes` bytes each, and the rate in GB/s (10^9 bytes; STREAM's bytes: READ and WRITE move
 * `bytes` in a pass, COPY two times, TRIAD three times as many), from the median. Each of nthreads threads has its own
 * part of every array. The pages of all arrays are there, with numbers in them, and all threads run, before the clock is
 * read. iters counts passes.
 * -EINVAL: an unknown op, bytes no multiple of 8 * nthreads or 0, nthreads < 1 or > 64, min_ns == 0.
 */
int mb_bandwidth(size_t bytes, int op, int nthreads, uint64_t min_ns, mb_stat *ns_per_pass, double *gb_s);

/*
 * ns per branch over a pattern of n bytes (mb_make_pattern, any seed). iters counts branches: n in every pass.
 * -EINVAL: as mb_make_pattern, min_ns == 0.
 */
int mb_branch(size_t n, unsigned permille, int pattern, uint64_t min_ns, mb_stat *ns_per_branch);

/*
 * Thread t adds 1 to its own counter, the uint64_t at counters + t * pad_bytes, `iters` times, all threads at the same
 * time: ns per increment. Counters are set to 0 before every repetition, and so hold `iters` at the end; the bytes
 * between them are not touched. The caller is one of the nthreads threads; all run before the clock is read. No
 * calibration, one repetition to warm up, then MB_REPS of them.
 * -EINVAL: nthreads < 1 or > 64, pad_bytes < 8 or no multiple of 8, iters == 0.
 */
int mb_false_sharing(void *counters, int nthreads, size_t pad_bytes, uint64_t iters, mb_stat *ns_per_increment);

/* ---- 6. The report ---- */

/*
 * A profile of this machine as JSON (README.md has the schema), written to json[0 .. capacity-1] with a 0 behind it.
 * It is a buffer and no file since the tests let you open none. Takes about budget_ms milliseconds at most, for a budget
 * of 500 and more; with less it does what it can. -ENOSPC: it does not fit; json then holds an empty text.
 * -EINVAL: capacity == 0, budget_ms == 0.
 */
int mb_report(char *json, size_t capacity, uint64_t budget_ms);

#endif
