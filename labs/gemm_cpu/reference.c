/*
 * The reference of the duels: gemm_f32 of gemm.h over OpenBLAS, as the package scipy-openblas32 ships it.
 * Its kernels and its threads are pinned from outside: OPENBLAS_CORETYPE=Haswell, OPENBLAS_NUM_THREADS=1.
 * Staff call it with right arguments only, so it checks just what the 32-bit interface cannot express.
 */
#include "gemm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* From OpenBLAS' cblas.h, with this package's prefix. */
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
void scipy_cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *A, int lda,
                       const float *B, int ldb, float beta, float *C, int ldc);
char *scipy_openblas_get_config(void);
char *scipy_openblas_get_corename(void);

static int trans(gemm_op op)
{
    return op == GEMM_N ? NO_TRANS : TRANS;
}

int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    if (m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX || ldb > INT_MAX || ldc > INT_MAX)
        return -EOVERFLOW;
    if (m == 0 || n == 0)
        return 0;
    scipy_cblas_sgemm(ROW_MAJOR, trans(ta), trans(tb), (int)m, (int)n, (int)k, alpha, A, (int)lda, B, (int)ldb,
                      beta, C, (int)ldc);
    return 0;
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
