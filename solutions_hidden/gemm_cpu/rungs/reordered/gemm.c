/*
 * Rung 2, reordered: the same multiplications, the loops in the order i, q, j.
 *
 * The inner loop now walks along a row of B and a row of C: every number of a cache line is used, and
 * neighbouring additions are independent of each other.
 */
#include "gemm.h"

#include <errno.h>
#include <stdint.h>

/* op(X) as the loops see it: element (i, j) wherever it is stored. */
typedef struct {
    gemm_op op;
    const float *data;
    size_t ld;
} operand;

typedef struct {
    size_t m, n, k;
    float alpha, beta;
    operand a, b;
    float *c;
    size_t ldc;
} problem;

static const float *element(operand x, size_t i, size_t j)
{
    return x.op == GEMM_N ? x.data + i * x.ld + j : x.data + j * x.ld + i;
}

/* ---- arguments ---- */

static int is_op(gemm_op op)
{
    return op == GEMM_N || op == GEMM_T;
}

static int size_overflows(size_t rows, size_t ld)
{
    return ld != 0 && rows > SIZE_MAX / sizeof(float) / ld;
}

static int check(const problem *p)
{
    if (!is_op(p->a.op) || !is_op(p->b.op))
        return -EINVAL;
    size_t a_rows = p->a.op == GEMM_N ? p->m : p->k, a_cols = p->a.op == GEMM_N ? p->k : p->m;
    size_t b_rows = p->b.op == GEMM_N ? p->k : p->n, b_cols = p->b.op == GEMM_N ? p->n : p->k;
    if (p->a.ld < a_cols || p->b.ld < b_cols || p->ldc < p->n)
        return -EINVAL;
    int writes = p->m != 0 && p->n != 0;
    int reads = writes && p->k != 0 && p->alpha != 0.0f;
    if ((writes && !p->c) || (reads && (!p->a.data || !p->b.data)))
        return -EINVAL;
    if (size_overflows(a_rows, p->a.ld) || size_overflows(b_rows, p->b.ld) || size_overflows(p->m, p->ldc))
        return -EOVERFLOW;
    return 0;
}

/* ---- the product ---- */

static void scale_row(size_t n, float beta, float *c)
{
    for (size_t j = 0; j < n; j++)
        c[j] = beta == 0.0f ? 0.0f : beta * c[j]; /* beta == 0: write, do not multiply; C may hold NaN */
}

/* c += a * (row q of op(B)) */
static void add_row(const problem *p, float a, size_t q, float *c)
{
    for (size_t j = 0; j < p->n; j++)
        c[j] += a * *element(p->b, q, j);
}

static void multiply(const problem *p)
{
    for (size_t i = 0; i < p->m; i++) {
        float *c = p->c + i * p->ldc;
        scale_row(p->n, p->beta, c);
        for (size_t q = 0; q < p->k; q++)
            add_row(p, p->alpha * *element(p->a, i, q), q, c);
    }
}

/* ---- the interface ---- */

int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    problem p = {m, n, k, alpha, beta, {ta, A, lda}, {tb, B, ldb}, C, ldc};
    int error = check(&p);
    if (error || m == 0 || n == 0)
        return error;
    if (alpha == 0.0f) /* A and B may not be read: the same as an empty sum */
        p.k = 0;
    multiply(&p);
    return 0;
}

int gemm_f32_mt(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
                const float *B, size_t ldb, float beta, float *C, size_t ldc, int nthreads)
{
    if (nthreads < 1)
        return -EINVAL;
    return gemm_f32(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* ---- the building blocks: not written yet ---- */

void gemm_get_blocking(gemm_blocking *out)
{
    *out = (gemm_blocking){0};
}

void gemm_pack_a(gemm_op ta, size_t mc, size_t kc, const float *A, size_t lda, float *Ap)
{
    (void)ta, (void)mc, (void)kc, (void)A, (void)lda, (void)Ap;
}

void gemm_pack_b(gemm_op tb, size_t kc, size_t nc, const float *B, size_t ldb, float *Bp)
{
    (void)tb, (void)kc, (void)nc, (void)B, (void)ldb, (void)Bp;
}

void gemm_ukernel(size_t k, const float *Ap, const float *Bp, float *C, size_t ldc)
{
    (void)k, (void)Ap, (void)Bp, (void)C, (void)ldc;
}
