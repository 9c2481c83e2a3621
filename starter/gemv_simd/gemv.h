/*
 * gemv.h - the contract of the lab "gemv_simd": matrix times vector in single precision, with AVX2 and FMA.
 *
 * A matrix is row major: element (i, j) of A is A[i * lda + j]. What lies between the last column and the next
 * row is padding: not yours to use.
 *
 * A vector has a stride, as in BLAS: with a positive stride element i of x is x[i * incx]. With a negative one the
 * vector is stored backwards, and x still points to the lowest address: element i of `length` is
 * x[(i - (length - 1)) * incx], so that the last element is x[0]. What lies between two elements is not yours.
 *
 * Every pointer is a multiple of 4 bytes, and need not be one of 32. No array overlaps one that is written.
 */
#ifndef GEMV_H
#define GEMV_H

#include <stddef.h>

/*
 * y = alpha * A * x + beta * y, on the calling thread. A is m x n (lda >= n), x has n elements, y has m.
 *
 * As in BLAS: beta == 0 means that y is only written, never read (it may hold NaN); alpha == 0 or n == 0 means that
 * A and x are not read and y = beta * y. (An empty sum is zero. Some BLAS leave y alone when n == 0; we do not.)
 * Otherwise NaN and Inf propagate as IEEE arithmetic says: 0 * Inf is NaN.
 *
 * Returns 0, or a negative errno value with y unchanged:
 *   -EINVAL     lda < n, incx == 0 or incy == 0, or a NULL array that would be read or written;
 *   -EOVERFLOW  a matrix (m * lda floats) or a vector whose size in bytes does not fit in size_t;
 *   -ENOSYS     not implemented (the starter).
 * When several are true, -EINVAL wins. m == 0 is fine: check the arguments, touch nothing, return 0.
 * Equal arguments give bit-identical results. No memory is allocated: a call cannot fail for lack of it.
 */
int gemv_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
             float *y, ptrdiff_t incy);

/*
 * y = alpha * A^T * x + beta * y. A is m x n as above, stored in the same way; x has m elements, y has n.
 * Everything else is as for gemv_f32 (here m == 0 is the empty sum, and n == 0 leaves nothing to do).
 */
int gemv_t_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
               float *y, ptrdiff_t incy);

/* c[i] = a[i] * b[i] + c[i] with one rounding, for i in 0 .. n - 1: exactly what fmaf gives. */
void fmadd_f32(size_t n, const float *a, const float *b, float *c);

/* The sum of x[i] * y[i], in any order of your choice; 0 for n == 0. */
float dot_f32(size_t n, const float *x, const float *y);

/* What the hot loops are made of: "avx2" for packed AVX2 FMA, "scalar" while they are plain C, "" for nothing yet. */
const char *gemv_isa(void);

#endif
