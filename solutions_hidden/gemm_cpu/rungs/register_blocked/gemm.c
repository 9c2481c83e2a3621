/*
 * Rung 3, register blocked: C is computed in tiles of 6 x 16 whose sums stay in twelve AVX2 registers.
 *
 * For one step of k a tile needs 6 numbers of A and 16 of B, and does 96 multiply-adds with them: the loads
 * are no longer what limits. k is taken in pieces, so that the 16 columns of B that a tile walks down stay in
 * cache for the tiles below it. But A and B are read where they are: every step of k is another memory page
 * of B, and rows that lie a multiple of 4096 bytes apart compete for the same few places in a cache.
 */
#include "gemm.h"

#include <errno.h>
#include <immintrin.h>
#include <stdint.h>

enum { MR = 6, NR = 16, KC = 512 };

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

static size_t min_size(size_t x, size_t y)
{
    return x < y ? x : y;
}

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

/* ---- one tile: C += alpha * op(A) * op(B), starting at row i, column j ---- */

/* One row of the tile. Six named rows, not an array of six: gcc keeps variables in registers, but stores
 * an array back to the stack at every step. */
typedef struct {
    __m256 left, right;
} row;

static inline row row_fma(row sum, const float *a, __m256 left, __m256 right)
{
    __m256 factor = _mm256_broadcast_ss(a);
    sum.left = _mm256_fmadd_ps(factor, left, sum.left);
    sum.right = _mm256_fmadd_ps(factor, right, sum.right);
    return sum;
}

static inline void row_add_to(float *c, float alpha, row sum)
{
    __m256 factor = _mm256_set1_ps(alpha);
    _mm256_storeu_ps(c, _mm256_fmadd_ps(factor, sum.left, _mm256_loadu_ps(c)));
    _mm256_storeu_ps(c + 8, _mm256_fmadd_ps(factor, sum.right, _mm256_loadu_ps(c + 8)));
}

/* A whole tile and `depth` steps of k from q on; B not transposed: its rows can be loaded as vectors. */
static void vector_tile(const problem *p, size_t i, size_t j, size_t q, size_t depth)
{
    const float *a = element(p->a, i, q), *b = element(p->b, q, j);
    size_t down = p->a.op == GEMM_N ? p->a.ld : 1; /* from one row of op(A) to the next */
    size_t along = p->a.op == GEMM_N ? 1 : p->a.ld;
    row zero = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    row r0 = zero, r1 = zero, r2 = zero, r3 = zero, r4 = zero, r5 = zero;
    for (size_t step = 0; step < depth; step++) {
        __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
        r0 = row_fma(r0, a + 0 * down, left, right);
        r1 = row_fma(r1, a + 1 * down, left, right);
        r2 = row_fma(r2, a + 2 * down, left, right);
        r3 = row_fma(r3, a + 3 * down, left, right);
        r4 = row_fma(r4, a + 4 * down, left, right);
        r5 = row_fma(r5, a + 5 * down, left, right);
        a += along;
        b += p->b.ld;
    }
    float *c = p->c + i * p->ldc + j;
    row_add_to(c + 0 * p->ldc, p->alpha, r0);
    row_add_to(c + 1 * p->ldc, p->alpha, r1);
    row_add_to(c + 2 * p->ldc, p->alpha, r2);
    row_add_to(c + 3 * p->ldc, p->alpha, r3);
    row_add_to(c + 4 * p->ldc, p->alpha, r4);
    row_add_to(c + 5 * p->ldc, p->alpha, r5);
}

/* Any other tile: at the edge of C, or B transposed. */
static void scalar_tile(const problem *p, size_t i, size_t j, size_t q, size_t depth, size_t rows,
                        size_t cols)
{
    for (size_t r = i; r < i + rows; r++)
        for (size_t s = j; s < j + cols; s++) {
            float sum = 0.0f;
            for (size_t t = q; t < q + depth; t++)
                sum += *element(p->a, r, t) * *element(p->b, t, s);
            p->c[r * p->ldc + s] += p->alpha * sum;
        }
}

/* ---- the product ---- */

static void scale_row(size_t n, float beta, float *c)
{
    for (size_t j = 0; j < n; j++)
        c[j] = beta == 0.0f ? 0.0f : beta * c[j]; /* beta == 0: write, do not multiply; C may hold NaN */
}

/* C += alpha * op(A) * op(B), for `depth` steps of k from q on */
static void add_product(const problem *p, size_t q, size_t depth)
{
    for (size_t j = 0; j < p->n; j += NR) {
        size_t cols = min_size(NR, p->n - j);
        for (size_t i = 0; i < p->m; i += MR) {
            size_t rows = min_size(MR, p->m - i);
            if (rows == MR && cols == NR && p->b.op == GEMM_N)
                vector_tile(p, i, j, q, depth);
            else
                scalar_tile(p, i, j, q, depth, rows, cols);
        }
    }
}

static void multiply(const problem *p)
{
    for (size_t i = 0; i < p->m; i++)
        scale_row(p->n, p->beta, p->c + i * p->ldc);
    for (size_t q = 0; q < p->k; q += KC)
        add_product(p, q, min_size(KC, p->k - q));
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
