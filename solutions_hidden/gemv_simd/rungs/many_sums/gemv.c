/*
 * Rung 3, many sums: the dot product keeps four sums under way, so that an FMA need not wait for the one before it.
 *
 * A row at a time is as good as it gets that way: x is loaded again for each row, and memory sees one stream of
 * addresses only. A^T x is as before.
 */
#include "gemv.h"

#include <errno.h>
#include <immintrin.h>
#include <stdint.h>

/* ---- arguments ---- */

typedef struct {
    size_t m, n;
    float alpha;
    const float *a;
    size_t lda;
    const float *x;
    ptrdiff_t incx;
    float beta;
    float *y;
    ptrdiff_t incy;
} problem;

/* The distance between two elements as a number without sign; -PTRDIFF_MIN itself would overflow. */
static size_t distance(ptrdiff_t increment)
{
    return increment < 0 ? 0 - (size_t)increment : (size_t)increment;
}

static int vector_overflows(size_t length, ptrdiff_t increment)
{
    const size_t most = SIZE_MAX / sizeof(float); /* elements that fit */
    return length > 1 && length - 1 > (most - 1) / distance(increment);
}

static int matrix_overflows(size_t rows, size_t ld)
{
    return ld != 0 && rows > SIZE_MAX / sizeof(float) / ld;
}

static int check(const problem *p, size_t x_length, size_t y_length)
{
    if (p->lda < p->n || p->incx == 0 || p->incy == 0)
        return -EINVAL;
    int reads = p->m != 0 && p->n != 0 && p->alpha != 0.0f;
    if ((y_length != 0 && !p->y) || (reads && (!p->a || !p->x)))
        return -EINVAL;
    if (matrix_overflows(p->m, p->lda) || vector_overflows(x_length, p->incx) || vector_overflows(y_length, p->incy))
        return -EOVERFLOW;
    return 0;
}

/* Where element 0 of a vector is: at the highest address when the stride is negative. */
static ptrdiff_t first_of(size_t length, ptrdiff_t increment)
{
    return increment < 0 && length != 0 ? -(ptrdiff_t)(length - 1) * increment : 0;
}

static void scale(size_t length, float beta, float *y, ptrdiff_t incy)
{
    for (size_t i = 0; i < length && beta != 1.0f; i++) {
        float *element = y + (ptrdiff_t)i * incy;
        *element = beta == 0.0f ? 0.0f : beta * *element; /* beta == 0: y may hold NaN, and NaN * 0 is NaN */
    }
}

/* ---- vectors of eight ---- */

/* All ones in the first `count` lanes, 0 <= count <= 8. A masked load does not touch memory in the other lanes. */
static inline __m256i first_lanes(size_t count)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - count));
}

/* The sums of four vectors, as one vector of four. */
static inline __m128 sum_each(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

static inline float sum(__m256 v)
{
    return _mm_cvtss_f32(sum_each(v, v, v, v));
}

/* ---- one row at a time ---- */

float dot_f32(size_t n, const float *x, const float *y)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8), _mm256_loadu_ps(y + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 16), _mm256_loadu_ps(y + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 24), _mm256_loadu_ps(y + i + 24), s3);
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), s0);
    if (i < n) {
        __m256i mask = first_lanes(n - i);
        s1 = _mm256_fmadd_ps(_mm256_maskload_ps(x + i, mask), _mm256_maskload_ps(y + i, mask), s1);
    }
    return sum(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static float strided_dot(size_t n, const float *a, const float *x, ptrdiff_t incx)
{
    float total = 0.0f;
    for (size_t j = 0; j < n; j++)
        total += a[j] * x[(ptrdiff_t)j * incx];
    return total;
}

static void multiply(const problem *p, const float *x, float *y)
{
    for (size_t i = 0; i < p->m; i++) {
        const float *row = p->a + i * p->lda;
        float total = p->incx == 1 ? dot_f32(p->n, row, x) : strided_dot(p->n, row, x, p->incx);
        y[(ptrdiff_t)i * p->incy] += p->alpha * total;
    }
}

/* y += factor * a: a row of A times its number of x. */
static void add_row(size_t n, float factor, const float *a, float *y, ptrdiff_t incy)
{
    size_t j = 0;
    if (incy == 1) {
        __m256 eight = _mm256_set1_ps(factor);
        for (; j + 8 <= n; j += 8)
            _mm256_storeu_ps(y + j, _mm256_fmadd_ps(_mm256_loadu_ps(a + j), eight, _mm256_loadu_ps(y + j)));
    }
    for (; j < n; j++)
        y[(ptrdiff_t)j * incy] += factor * a[j];
}

static void multiply_transposed(const problem *p, const float *x, float *y)
{
    for (size_t i = 0; i < p->m; i++)
        add_row(p->n, p->alpha * x[(ptrdiff_t)i * p->incx], p->a + i * p->lda, y, p->incy);
}

/* ---- the interface ---- */

/* y += alpha * A * x, or A^T: from element 0 of x to element 0 of y, wherever these are. */
typedef void adder(const problem *p, const float *x, float *y);

static int solve(const problem *p, size_t x_length, size_t y_length, adder *add)
{
    int error = check(p, x_length, y_length);
    if (error || y_length == 0)
        return error;
    float *y = p->y + first_of(y_length, p->incy);
    scale(y_length, p->beta, y, p->incy);
    if (p->alpha != 0.0f && x_length != 0)
        add(p, p->x + first_of(x_length, p->incx), y);
    return 0;
}

int gemv_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
             float *y, ptrdiff_t incy)
{
    return solve(&(problem){m, n, alpha, A, lda, x, incx, beta, y, incy}, n, m, multiply);
}

int gemv_t_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
               float *y, ptrdiff_t incy)
{
    return solve(&(problem){m, n, alpha, A, lda, x, incx, beta, y, incy}, m, n, multiply_transposed);
}

void fmadd_f32(size_t n, const float *a, const float *b, float *c)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 total = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), _mm256_loadu_ps(c + i));
        _mm256_storeu_ps(c + i, total);
    }
    if (i < n) {
        __m256i mask = first_lanes(n - i);
        __m256 total = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask),
                                       _mm256_maskload_ps(c + i, mask));
        _mm256_maskstore_ps(c + i, mask, total);
    }
}

const char *gemv_isa(void)
{
    return "avx2";
}
