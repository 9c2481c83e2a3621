/* driver.c - staff code for the tests: what driver.h says. Nothing here is trusted by the grader. */
#include "microbench.h"

#include "driver.h"

#include <string.h>
#include <sys/resource.h>

/*
 * A ring in `nodes`: node i lies at i * stride and leads to node next[i]. Follows `loads` links from node `start` by
 * mb_chase_run. Returns the number of the node where that ends, or -1 when no node begins there.
 */
int64_t drive_chase(void *nodes, size_t stride, const uint32_t *next, size_t n, size_t start, uint64_t loads)
{
    unsigned char *bytes = nodes;
    for (size_t i = 0; i < n; i++) {
        void *successor = bytes + next[i] * stride;
        memcpy(bytes + i * stride, &successor, sizeof successor);
    }
    uintptr_t end = (uintptr_t)mb_chase_run(bytes + start * stride, loads), base = (uintptr_t)bytes;
    if (end < base || (end - base) % stride != 0 || (end - base) / stride >= n)
        return -1;
    return (int64_t)((end - base) / stride);
}

/* A chain of additions that each wait for the one before. */
static void add_up(void *context, uint64_t iters)
{
    (void)context;
    uint64_t sum = 0;
    while (iters-- > 0)
        __asm__ volatile("add $1, %0" : "+r"(sum));
}

/* mb_measure with some work, on the machine's own clock. */
int drive_measure(uint64_t min_ns, uint32_t reps, mb_stat *out)
{
    return mb_measure(add_up, NULL, min_ns, reps, out);
}

/* mb_measure without work. */
int drive_measure_nothing(uint64_t min_ns, uint32_t reps, mb_stat *out)
{
    return mb_measure(NULL, NULL, min_ns, reps, out);
}

/* The most memory that this process has had, in KiB. The one page of zeros, mapped everywhere, does not count. */
long drive_peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}
