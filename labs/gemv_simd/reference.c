/*
 * The reference of the duels: gemv_f32 and gemv_t_f32 of gemv.h over OpenBLAS, as the package scipy-openblas32 ships
 * it. Its kernels and its threads are pinned from outside: OPENBLAS_CORETYPE=Haswell, OPENBLAS_NUM_THREADS=1.
 * Staff call it with right arguments only, so it checks just what the 32-bit interface cannot express.
 */
#include "gemv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* From OpenBLAS' cblas.h, with this package's prefix. */
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
void scipy_cblas_sgemv(int order, int trans, int m, int n, float alpha, const float *A, int lda, const float *x,
                       int incx, float beta, float *y, int incy);
char *scipy_openblas_get_config(void);
char *scipy_openblas_get_corename(void);

static int multiply(int trans, size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x,
                    ptrdiff_t incx, float beta, float *y, ptrdiff_t incy)
{
    if (m > INT_MAX || n > INT_MAX || lda > INT_MAX || incx != (int)incx || incy != (int)incy)
        return -EOVERFLOW;
    scipy_cblas_sgemv(ROW_MAJOR, trans, (int)m, (int)n, alpha, A, (int)lda, x, (int)incx, beta, y, (int)incy);
    return 0;
}

int gemv_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
             float *y, ptrdiff_t incy)
{
    return multiply(NO_TRANS, m, n, alpha, A, lda, x, incx, beta, y, incy);
}

int gemv_t_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
               float *y, ptrdiff_t incy)
{
    return multiply(TRANS, m, n, alpha, A, lda, x, incx, beta, y, incy);
}

/* What this is, for the report: the first two words, "OpenBLAS 0.3.29", of a longer description. */
const char *reference_name(void)
{
    static char name[64];
    const char *config = scipy_openblas_get_config();
    size_t length = strcspn(config, " ");
    length += config[length] != '\0' ? 1 + strcspn(config + length + 1, " ") : 0;
    snprintf(name, sizeof name, "%.*s", (int)length, config);
    return name;
}

/* The kernels in use; if this is not the pinned ISA, no duel is judged. */
const char *reference_isa(void)
{
    return scipy_openblas_get_corename();
}
