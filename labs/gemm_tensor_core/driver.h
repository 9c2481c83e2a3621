/*
 * driver.h - staff code for the tests: the lab's functions, called on a GPU with matrices that come from the host.
 *
 * A call answers 0, or a cudaError_t that the driver itself met (no memory, a kernel that failed). What the function
 * under test returned is in `seen`.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* How a function is called. All zero: once, on a stream of its own, with aligned matrices. */
typedef struct {
    uint32_t skew_a, skew_b, skew_c; /* a matrix begins so many elements behind a multiple of 256 bytes */
    uint32_t calls;   /* so many calls in a row, nothing reset between them (0: one) */
    uint32_t graph;   /* recorded into a CUDA graph, which is launched twice */
    uint32_t delayed; /* A and B are written late, by work that is queued on the same stream before the call */
    uint32_t twin;    /* a second stream does it too, with -A (tc_hgemm), so many times as often; `c` gets both */
    uint32_t poison;  /* byte that the workspace and the guards hold before */
    uint32_t snug;    /* no guards: every array ends where its allocation ends, for a tool that watches accesses */
} drive_how;

/* What was seen besides the result. */
typedef struct {
    int32_t status;       /* what the function returned; the first that is not 0, of several calls */
    int32_t graph_status; /* what recording and launching the graph returned */
    uint64_t ws_bytes;    /* what tc_workspace_bytes answered */
    uint32_t damaged;     /* 1: wrote outside C; 2: outside the workspace; 4: changed A or B or their guards */
    uint32_t pad;
} drive_seen;

/* tc_hgemm; a, b: halves, of (m - 1) lda + k and (k - 1) ldb + n elements; c: floats, what C holds before and after. */
int drive_hgemm(const drive_how *how, size_t m, size_t n, size_t k, float alpha, const uint16_t *a, size_t lda,
                const uint16_t *b, size_t ldb, float beta, float *c, size_t ldc, drive_seen *seen);
/* tc_sgemm_smem; a, b: floats. */
int drive_sgemm(const drive_how *how, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                const float *b, size_t ldb, float beta, float *c, size_t ldc, drive_seen *seen);
/* The product of two matrices that the device makes itself, `times` times, each beside other work: c[times][m][n]. */
int drive_repeated_hgemm(size_t m, size_t n, size_t k, uint32_t seed, uint32_t times, float *c);
/* What arguments that contradict the header are answered: answers[0 .. 11], in the order of driver.cu. */
int drive_nonsense(int32_t *answers);

/* --- measured ---------------------------------------------------------------------------------------------------- */

/*
 * `count` pairs of matrices of halves (single 0) or floats (1) that the device makes itself, and room for as many
 * results. A of pair i comes from the seed's number 2 i, B from number 2 i + 1 (gpu_support.cuh).
 * `places`: room for so many samples.
 */
int drive_prepare(size_t count, size_t m, size_t n, size_t k, int single, size_t places, uint32_t seed);
/*
 * C = A B for all pairs in turn, `passes` times, with new numbers at some places of each A before every pass. Ends when
 * the device is idle. milliseconds[0]: what CUDA's events say of it.
 */
int drive_products(uint32_t passes, uint32_t seed, size_t m, size_t n, size_t k, int single, float *milliseconds);
/* out[j] = element where[j] of result which[j]. */
int drive_sample(size_t places, const uint32_t *which, const uint64_t *where, uint32_t *out);

#endif
