/*
 * gemm.h - the contract of the lab "gemm_cpu": single-precision matrix multiplication on one CPU.
 *
 * Every matrix is row major: element (i, j) of a matrix X with leading dimension ldx is X[i * ldx + j].
 * The leading dimension is at least the number of columns as stored; the elements between are padding,
 * never yours to write.
 */
#ifndef GEMM_H
#define GEMM_H

#include <stddef.h>

/* Is an operand used as it is stored, or transposed? */
typedef enum { GEMM_N = 0, GEMM_T = 1 } gemm_op;

/*
 * C = alpha * op(A) * op(B) + beta * C, on the calling thread.
 *
 * op(A) is m x k: A is stored m x k (lda >= k) for GEMM_N, k x m (lda >= m) for GEMM_T.
 * op(B) is k x n: B is stored k x n (ldb >= n) for GEMM_N, n x k (ldb >= k) for GEMM_T.
 * C     is m x n (ldc >= n). A and B do not overlap C.
 *
 * As in BLAS: beta == 0 means that C is only written, never read (it may hold NaN);
 * alpha == 0 or k == 0 means that A and B are not read and C = beta * C.
 * Otherwise NaN and Inf propagate as IEEE arithmetic says: 0 * Inf is NaN.
 *
 * Returns 0, or a negative errno value with C unchanged:
 *   -EINVAL     an op that is neither N nor T, a leading dimension that is too small,
 *               or a NULL matrix that would be read or written;
 *   -EOVERFLOW  a matrix whose size in bytes does not fit in size_t;
 *   -ENOMEM     no memory for the workspace;
 *   -ENOSYS     not implemented (the starter).
 * m == 0 or n == 0 is fine: check the arguments, touch nothing, return 0.
 */
int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc);

/*
 * The same, on up to nthreads threads, or fewer where the system refuses to start one; nthreads < 1 is -EINVAL.
 * Equal inputs give bit-identical results.
 */
int gemm_f32_mt(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
                const float *B, size_t ldb, float beta, float *C, size_t ldc, int nthreads);

/*
 * The building blocks, tested on their own so that unfinished work earns points too.
 *
 * Register tile mr x nr; cache blocks mc x kc of A and kc x nc of B.
 * While mr is reported as 0 the blocks count as "not written yet".
 */
typedef struct {
    size_t mr, nr, mc, kc, nc;
} gemm_blocking;

void gemm_get_blocking(gemm_blocking *out);

/*
 * Pack a block of op(A), mc x kc, starting at A, into panels of mr rows:
 * panel p holds rows p*mr .. p*mr+mr-1, column after column, mr values each; rows beyond mc are zeros.
 * Ap has room for ceil(mc / mr) * mr * kc floats. For GEMM_T the block is stored kc x mc.
 */
void gemm_pack_a(gemm_op ta, size_t mc, size_t kc, const float *A, size_t lda, float *Ap);

/*
 * Pack a block of op(B), kc x nc, starting at B, into panels of nr columns:
 * panel p holds columns p*nr .. p*nr+nr-1, row after row, nr values each; columns beyond nc are zeros.
 * Bp has room for ceil(nc / nr) * nr * kc floats. For GEMM_T the block is stored nc x kc.
 */
void gemm_pack_b(gemm_op tb, size_t kc, size_t nc, const float *B, size_t ldb, float *Bp);

/* C[0..mr)[0..nr) += Ap * Bp, for one panel of k columns of each; C is row major with leading dimension ldc. */
void gemm_ukernel(size_t k, const float *Ap, const float *Bp, float *C, size_t ldc);

#endif
