/*
 * The reference of the agreement: another mb_chase, for the same question. Nodes and definition are the lab's, the code
 * is not the solution's: loads are unrolled, and the length of a repetition comes from the time of a trial.
 */
#include "microbench.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { UNROLLED = 16 };

const char *reference_name(void)
{
    return "the grader's own chase";
}

const char *reference_isa(void)
{
    return "";
}

static double now_ns(void)
{
    static time_t start; /* a double has room for the ns of some months, not of decades */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (start == 0)
        start = now.tv_sec;
    return (double)(now.tv_sec - start) * 1e9 + (double)now.tv_nsec;
}

/* ns for `groups` times UNROLLED loads, from *position on. */
static double chase(void ***position, uint64_t groups)
{
    void **node = *position;
    double before = now_ns();
    for (uint64_t i = 0; i < groups; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < UNROLLED; j++)
            node = *node;
    }
    __asm__ volatile("" : : "r"(node) : "memory");
    double after = now_ns();
    *position = node;
    return after - before;
}

/* A random ring: a row of all nodes in random order (Fisher, Yates), each leading to the one behind it. */
static void **ring_of(unsigned char *nodes, size_t n, size_t stride)
{
    uint32_t *row = malloc(n * sizeof *row), *behind = malloc(n * sizeof *behind), state = 0x2545f491;
    for (size_t i = 0; i < n && row != NULL; i++) {
        state = state * 1664525u + 1013904223u;
        size_t j = (size_t)((uint64_t)state * (i + 1) >> 32);
        row[i] = row[j];
        row[j] = (uint32_t)i;
    }
    if (row == NULL || behind == NULL) {
        free(row);
        free(behind);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        behind[row[i]] = row[i + 1 < n ? i + 1 : 0];
    for (size_t i = 0; i < n; i++) /* written by address: what the caches hold then is what it is for everybody */
        *(void **)(void *)(nodes + i * stride) = nodes + behind[i] * stride;
    free(row);
    free(behind);
    return (void **)(void *)nodes;
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Random rings only; the grader asks for no others. */
int mb_chase(size_t bytes, size_t stride, int random, uint64_t min_ns, mb_stat *out)
{
    void *nodes = NULL;
    if (!random || posix_memalign(&nodes, 4096, bytes) != 0)
        return -EINVAL;
    void **position = ring_of(nodes, bytes / stride, stride);
    if (position == NULL) {
        free(nodes);
        return -ENOMEM;
    }
    double overhead = 1e9, each[MB_REPS];
    for (int i = 0; i < 200; i++) {
        double empty = chase(&position, 0);
        overhead = empty < overhead ? empty : overhead;
    }
    uint64_t groups = 16;
    while (chase(&position, groups) < (double)min_ns)
        groups *= 2;
    for (int rep = 0; rep < MB_REPS; rep++)
        each[rep] = (chase(&position, groups) - overhead) / (double)(groups * UNROLLED);
    qsort(each, MB_REPS, sizeof *each, by_size);
    *out = (mb_stat){.median = each[MB_REPS / 2], .min = each[0], .iters = groups * UNROLLED, .reps = MB_REPS};
    free(nodes);
    return 0;
}
