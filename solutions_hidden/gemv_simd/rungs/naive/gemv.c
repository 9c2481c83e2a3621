/*
 * Rung 1, naive: the definition. Each element of y is the sum of a row of A, or a column, times x.
 *
 * It is right, and slow: one multiplication and one addition at a time, each addition waiting for the one before it;
 * and A^T x walks down the columns of A, a new cache line for every number.
 */
#include "gemv.h"

#include <errno.h>
#include <math.h>
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

/* ---- the product ---- */

static float element(const problem *p, size_t i, size_t j)
{
    return p->a[i * p->lda + j];
}

static void multiply(const problem *p, const float *x, float *y)
{
    for (size_t i = 0; i < p->m; i++) {
        float sum = 0.0f;
        for (size_t j = 0; j < p->n; j++)
            sum += element(p, i, j) * x[(ptrdiff_t)j * p->incx];
        y[(ptrdiff_t)i * p->incy] += p->alpha * sum;
    }
}

static void multiply_transposed(const problem *p, const float *x, float *y)
{
    for (size_t j = 0; j < p->n; j++) {
        float sum = 0.0f;
        for (size_t i = 0; i < p->m; i++)
            sum += element(p, i, j) * x[(ptrdiff_t)i * p->incx];
        y[(ptrdiff_t)j * p->incy] += p->alpha * sum;
    }
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
    for (size_t i = 0; i < n; i++)
        c[i] = fmaf(a[i], b[i], c[i]);
}

float dot_f32(size_t n, const float *x, const float *y)
{
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

const char *gemv_isa(void)
{
    return "scalar";
}
