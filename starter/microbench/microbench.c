/*
 * microbench: your work goes into this file. microbench.h says what each function must do; do not change microbench.h.
 *
 * A way through the lab, each step worth points by itself:
 *   1. mb_make_cycle, mb_make_pattern, mb_summary, mb_find_levels: no clock, no memory, just right or wrong;
 *   2. mb_timer_overhead_ns and mb_measure: the harness, which every benchmark then uses;
 *   3. the five kernels, one loop each. Look at what the compiler made of them (make listing);
 *   4. the benchmarks: allocate, prepare, mb_measure, free. Begin with mb_chase;
 *   5. mb_report: run them, and print what they say.
 */
#include "microbench.h"

#include <errno.h>

/* ---- 1. Preparing ---- */

int mb_make_cycle(uint32_t *next, size_t n, uint64_t seed)
{
    /* Shuffling a row of numbers gives several short cycles. How does one make sure that there is only one? */
    (void)next, (void)n, (void)seed;
    return -ENOSYS;
}

int mb_make_pattern(uint8_t *taken, size_t n, unsigned permille, int pattern, uint64_t seed)
{
    (void)taken, (void)n, (void)permille, (void)pattern, (void)seed;
    return -ENOSYS;
}

/* ---- 2. Judging ---- */

int mb_summary(const double *v, size_t n, mb_stat *out)
{
    /* v is const: sort a copy. */
    (void)v, (void)n, (void)out;
    return -ENOSYS;
}

int mb_find_levels(const size_t *bytes, const double *ns, size_t n, mb_level *levels, int *count)
{
    (void)bytes, (void)ns, (void)n, (void)levels, (void)count;
    return -ENOSYS;
}

/* ---- 3. Timing ---- */

double mb_timer_overhead_ns(void)
{
    return -1.0;
}

int mb_measure(mb_work work, void *context, uint64_t min_ns, uint32_t reps, mb_stat *out)
{
    /* A clock's seconds times 10^9 do not fit a double exactly. Subtract first, in whole numbers. */
    (void)work, (void)context, (void)min_ns, (void)reps, (void)out;
    return -ENOSYS;
}

/* ---- 4. Kernels ---- */

void *mb_chase_run(void *start, uint64_t loads)
{
    (void)start, (void)loads;
    return NULL;
}

uint64_t mb_access_run(const unsigned char *data, const size_t *offsets, size_t n)
{
    (void)data, (void)offsets, (void)n;
    return 0;
}

double mb_stream_run(int op, double *a, const double *b, const double *c, size_t n)
{
    (void)op, (void)a, (void)b, (void)c, (void)n;
    return -1.0;
}

uint64_t mb_branch_run(const uint8_t *taken, size_t n)
{
    (void)taken, (void)n;
    return UINT64_MAX;
}

void mb_count_run(uint64_t *counter, uint64_t iters)
{
    (void)counter, (void)iters;
}

/* ---- 5. Benchmarks ---- */

int mb_chase(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load)
{
    (void)bytes, (void)stride, (void)random, (void)min_ns, (void)ns_per_load;
    return -ENOSYS;
}

int mb_access(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *ns_per_load)
{
    (void)bytes, (void)stride, (void)random, (void)min_ns, (void)ns_per_load;
    return -ENOSYS;
}

int mb_bandwidth(size_t bytes, int op, int nthreads, uint64_t min_ns, mb_stat *ns_per_pass, double *gb_s)
{
    (void)bytes, (void)op, (void)nthreads, (void)min_ns, (void)ns_per_pass, (void)gb_s;
    return -ENOSYS;
}

int mb_branch(size_t n, unsigned permille, int pattern, uint64_t min_ns, mb_stat *ns_per_branch)
{
    (void)n, (void)permille, (void)pattern, (void)min_ns, (void)ns_per_branch;
    return -ENOSYS;
}

int mb_false_sharing(void *counters, int nthreads, size_t pad_bytes, uint64_t iters, mb_stat *ns_per_increment)
{
    (void)counters, (void)nthreads, (void)pad_bytes, (void)iters, (void)ns_per_increment;
    return -ENOSYS;
}

/* ---- 6. The report ---- */

int mb_report(char *json, size_t capacity, uint64_t budget_ms)
{
    (void)json, (void)capacity, (void)budget_ms;
    return -ENOSYS;
}
