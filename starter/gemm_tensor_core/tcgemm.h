/*
 * tcgemm.h - the contract of the lab "gemm_tensor_core": matrix multiplication on the tensor cores of a GPU.
 *
 * Every matrix is row major: element (i, j) of a matrix X with leading dimension ldx is X[i * ldx + j]. The leading
 * dimension is at least the number of columns; the elements between are padding: do not write them, do not use them.
 *
 * Names that begin with d_ are pointers to device memory, aligned to their element type and to no more: a matrix of
 * halves may begin at any even address, and its leading dimension may be any number. C overlaps neither A nor B.
 *
 * Every function queues its work on the stream `s` and returns without waiting for it. It does not allocate, does not
 * synchronise, and keeps nothing between calls: no variable outlives a call, on the host or on the device. So it can
 * be called from two streams at once, and recorded into a CUDA graph. Equal inputs give bit-identical results.
 *
 * As in BLAS: beta == 0 means that C is only written, never read (it may hold NaN); alpha == 0 or k == 0 means that
 * A and B are not read and C = beta * C. Otherwise NaN and Inf go through as IEEE arithmetic says.
 *
 * The result is a cudaError_t as an int: 0 (cudaSuccess) when the work is queued, else why it is not:
 *   cudaErrorInvalidValue (1)    a leading dimension that is too small, a NULL matrix that would be read or written,
 *                                or too small a workspace; then nothing is queued or written;
 *   cudaErrorNotSupported (801)  not written yet (the starter);
 *   any other                    what the launch reported.
 * m == 0 or n == 0 is fine: check the arguments, touch nothing, return 0.
 */
#ifndef TCGEMM_H
#define TCGEMM_H

#include <stddef.h>

/* The same type as in cuda_runtime.h, repeated so that this header needs no other. */
typedef struct CUstream_st *cudaStream_t;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Bytes of workspace that tc_hgemm needs for these sizes; may be 0, is never more than 256 MiB.
 * The workspace begins at a multiple of 256 bytes and holds rubbish at every call.
 */
size_t tc_workspace_bytes(size_t m, size_t n, size_t k);

/*
 * C = alpha * A * B + beta * C. A is m x k and B is k x n, in half precision (IEEE, 16 bits); C is m x n, in single
 * precision. Products are exact and sums are in single precision, as tensor cores compute them: per element
 * |error| <= (16 * sqrt(k) + k) * 2^-24 * (|alpha| * (|A| * |B|) + |beta * C|). The second term is there because
 * tensor cores cut sums off where ordinary additions round them: errors of one sign add up.
 * lda >= k, ldb >= n, ldc >= n, ws_bytes >= tc_workspace_bytes(m, n, k); d_ws may be NULL when that is 0.
 */
int tc_hgemm(size_t m, size_t n, size_t k, float alpha, const void *d_A, size_t lda, const void *d_B, size_t ldb,
             float beta, float *d_C, size_t ldc, void *d_ws, size_t ws_bytes, cudaStream_t s);

/*
 * The first step of the road, and what the tensor cores are compared with: the same product in single precision
 * (A and B too), on the ordinary cores, with tiles of A and B in shared memory. The bound is the same. It needs no
 * workspace.
 */
int tc_sgemm_smem(size_t m, size_t n, size_t k, float alpha, const float *d_A, size_t lda, const float *d_B, size_t ldb,
                  float beta, float *d_C, size_t ldc, cudaStream_t s);

#ifdef __cplusplus
}
#endif

#endif
