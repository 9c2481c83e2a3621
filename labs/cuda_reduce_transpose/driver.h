/*
 * driver.h - staff code for the tests: the lab's functions, called on a GPU with arrays that come from the host.
 *
 * A call answers 0, or a cudaError_t that the driver itself met (no memory, a kernel that failed). What the function
 * under test returned is in `seen`.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* How a function is called. All zero: once, on a stream of its own, with aligned arrays. */
typedef struct {
    uint32_t skew;    /* the input begins so many elements behind a multiple of 256 bytes */
    uint32_t calls;   /* so many calls in a row, nothing reset between them (0: one) */
    uint32_t graph;   /* recorded into a CUDA graph, which is launched twice */
    uint32_t delayed; /* the input is written late, by work that is queued on the same stream before the call */
    uint32_t twin;    /* a second stream does it too, on -input, so many times as often; `out` gets both */
    uint32_t poison;  /* byte that outputs, workspace and guards hold before */
    uint32_t snug;    /* no guards: every array ends where its allocation ends, for a tool that watches accesses */
} drive_how;

/* What was seen besides the result. */
typedef struct {
    int32_t status;        /* what the function returned; the first that is not 0, of several calls */
    int32_t graph_status;  /* what recording and launching the graph returned */
    uint64_t ws_bytes;     /* what red_workspace_bytes answered */
    uint32_t damaged;      /* 1: wrote outside the output; 2: outside the workspace; 4: changed the input or its guards */
    uint32_t pad;
} drive_seen;

enum { DRIVE_SUM, DRIVE_MAX };

/* red_sum_f32 or red_max_f32; out: one element, two for a twin. */
int drive_reduce(int what, const drive_how *how, const float *in, size_t n, float *out, drive_seen *seen);
int drive_warp_sum(const drive_how *how, const float *in, size_t nwarps, float *out, drive_seen *seen);
int drive_rows_sum(const drive_how *how, const float *in, size_t rows, size_t cols, size_t ld, float *out,
                   drive_seen *seen);
/* tr_f32 (bytes 4) or tr_f16 (bytes 2): in holds rows * ld_in elements, out cols * ld_out. */
int drive_transpose(int bytes, const drive_how *how, const void *in, size_t rows, size_t cols, size_t ld_in, void *out,
                    size_t ld_out, drive_seen *seen);
/* What arguments that contradict the header are answered: answers[0 .. 15], in the order of driver.cu. */
int drive_nonsense(int32_t *answers);
/* The sum of n numbers that the device makes itself (gpu_support.cuh). */
int drive_filled_sum(size_t n, uint32_t seed, float *out);
/* The same sum `times` times, each beside other work on the GPU: out[0 .. times). */
int drive_repeated_sum(size_t n, uint32_t seed, uint32_t times, float *out);
/* Bits of places of a transpose of rows x cols such numbers: out[j] = result[where[j]]. */
int drive_filled_transpose(size_t rows, size_t cols, uint32_t seed, size_t places, const uint64_t *where,
                           uint32_t *out);

/* --- measured ---------------------------------------------------------------------------------------------------- */

/*
 * `count` inputs of n numbers and, with `outputs`, as many results of n; input k comes from the seed's k-th number.
 * `places`: room for so many sums or samples.
 */
int drive_prepare(size_t count, size_t n, int outputs, size_t places, uint32_t seed);
/*
 * `passes` times over all inputs, with new numbers at some places of each before every pass. Ends when the device is
 * idle. milliseconds[0]: what CUDA's events say of it.
 */
int drive_sums(uint32_t passes, uint32_t seed, size_t total, float *sums, float *milliseconds);
int drive_transposes(uint32_t passes, uint32_t seed, size_t rows, size_t cols, float *milliseconds);
/* out[j] = element where[j] of result which[j]. */
int drive_sample(size_t places, const uint32_t *which, const uint64_t *where, uint32_t *out);

#endif
