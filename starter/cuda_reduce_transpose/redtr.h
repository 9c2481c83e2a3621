/*
 * redtr.h - the contract of the lab "cuda_reduce_transpose": sums, maxima and transposes on a GPU.
 *
 * Names that begin with d_ are pointers to device memory, aligned to their element type and to no more: an array of
 * floats may begin 4 bytes behind a multiple of 16. An array that is written overlaps no other array.
 *
 * Every function queues its work on the stream `s` and returns without waiting for it. It does not allocate, does not
 * synchronise, and keeps nothing between calls: no variable outlives a call, on the host or on the device. So it can
 * be called from two streams at once, and recorded into a CUDA graph. Equal inputs give bit-identical results.
 *
 * The result is a cudaError_t as an int: 0 (cudaSuccess) when the work is queued, else why it is not:
 *   cudaErrorInvalidValue (1)    arguments that contradict the text below; then nothing is queued or written;
 *   cudaErrorNotSupported (801)  not written yet (the starter);
 *   any other                    what the launch reported.
 */
#ifndef REDTR_H
#define REDTR_H

#include <stddef.h>

/* The same type as in cuda_runtime.h, repeated so that this header needs no other. */
typedef struct CUstream_st *cudaStream_t;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Bytes of workspace that red_sum_f32 and red_max_f32 need for n elements; may be 0, is never more than 1 MiB.
 * The workspace begins at a multiple of 256 bytes and holds rubbish at every call.
 */
size_t red_workspace_bytes(size_t n);

/*
 * d_out[0] = the sum of d_in[0 .. n); 0 for n == 0. What d_out[0] held before does not matter.
 * Sums are in single precision, in an order of your choice that keeps the error below 8 * 2^-24 * sum(|x|).
 * NaN and Inf go through as in additions. d_in may be NULL for n == 0, d_ws when no workspace is needed.
 * cudaErrorInvalidValue: another NULL, or ws_bytes < red_workspace_bytes(n).
 */
int red_sum_f32(const float *d_in, size_t n, float *d_out, void *d_ws, size_t ws_bytes, cudaStream_t s);

/*
 * d_out[0] = the largest of d_in[0 .. n); NaN if any element is NaN; -Inf for n == 0.
 * -0 and +0 are equal: if both are largest, either may come back. Errors as above.
 */
int red_max_f32(const float *d_in, size_t n, float *d_out, void *d_ws, size_t ws_bytes, cudaStream_t s);

/*
 * d_out[w] = the sum of d_in[32 * w .. 32 * w + 32), for w in 0 .. nwarps - 1. One warp per row, with shuffles:
 * this kernel uses no shared memory. Arrays may be NULL for nwarps == 0.
 */
int red_warp_sum_f32(const float *d_in, float *d_out, size_t nwarps, cudaStream_t s);

/*
 * Bonus: d_out[i] = the sum of row i of a row-major matrix: d_in[i * ld .. i * ld + cols), ld >= cols. In any order:
 * the error may be 8 * sqrt(cols) * 2^-24 * sum(|x|) of the row.
 * What lies between the last column and the next row is padding: not part of any sum. 0 for cols == 0.
 * cudaErrorInvalidValue: ld < cols, or a NULL array that would be read or written.
 */
int red_rows_sum_f32(const float *d_in, size_t rows, size_t cols, size_t ld, float *d_out, cudaStream_t s);

/*
 * The transpose of a row-major matrix, moved bit for bit:
 * d_out[j * ld_out + i] = d_in[i * ld_in + j], for i in 0 .. rows - 1 and j in 0 .. cols - 1.
 * ld_in >= cols, ld_out >= rows; the padding of d_out is not written. Not in place.
 * cudaErrorInvalidValue: a leading dimension that is too small, d_in == d_out, or a NULL array that would be read or
 * written. An empty matrix is fine: nothing to do.
 */
int tr_f32(const float *d_in, size_t rows, size_t cols, size_t ld_in, float *d_out, size_t ld_out, cudaStream_t s);

/* Bonus: the same for elements of 16 bits (half). */
int tr_f16(const void *d_in, size_t rows, size_t cols, size_t ld_in, void *d_out, size_t ld_out, cudaStream_t s);

#ifdef __cplusplus
}
#endif

#endif
