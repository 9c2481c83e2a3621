/*
 * gemm_cpu: your work goes into this file. gemm.h says what each function must do; do not change gemm.h.
 *
 * A way through the lab, each step worth points by itself:
 *   1. the argument checks, and C = beta * C for k == 0: short, and tested on their own;
 *   2. gemm_f32 as three plain loops, right for all of N/T, alpha, beta and leading dimensions;
 *   3. the building blocks, then gemm_f32 on top of them;
 *   4. gemm_f32_mt. Until then it may simply call gemm_f32.
 * Keep every version that works: a slow right answer earns more than a fast wrong one.
 */
#include "gemm.h"

#include <errno.h>

int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    /* Start here: check the arguments before anything is touched, then loop over i, j and p. */
    (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)A, (void)lda;
    (void)B, (void)ldb, (void)beta, (void)C, (void)ldc;
    return -ENOSYS;
}

int gemm_f32_mt(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
                const float *B, size_t ldb, float beta, float *C, size_t ldc, int nthreads)
{
    /* Give each thread rows (or columns) of C that no other thread writes. */
    (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)A, (void)lda;
    (void)B, (void)ldb, (void)beta, (void)C, (void)ldc, (void)nthreads;
    return -ENOSYS;
}

void gemm_get_blocking(gemm_blocking *out)
{
    /* Zeros say "no building blocks yet". mr x nr must fit the 16 vector registers: 6 x 16 does. */
    *out = (gemm_blocking){0};
}

void gemm_pack_a(gemm_op ta, size_t mc, size_t kc, const float *A, size_t lda, float *Ap)
{
    /* Draw the panels on paper for mc = 3, kc = 2, mr = 2 first. Where do the zeros go? */
    (void)ta, (void)mc, (void)kc, (void)A, (void)lda, (void)Ap;
}

void gemm_pack_b(gemm_op tb, size_t kc, size_t nc, const float *B, size_t ldb, float *Bp)
{
    (void)tb, (void)kc, (void)nc, (void)B, (void)ldb, (void)Bp;
}

void gemm_ukernel(size_t k, const float *Ap, const float *Bp, float *C, size_t ldc)
{
    /* Scalar loops first; then _mm256_fmadd_ps with one variable per vector of the tile. */
    (void)k, (void)Ap, (void)Bp, (void)C, (void)ldc;
}
