/* reference.c - gemm.h over OpenBLAS, which the grader measures submissions against. */
#include "gemm.h"

/* From scipy-openblas32, whose symbols carry a prefix: CBLAS with 32-bit integers. */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
void scipy_cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *A, int lda,
                       const float *B, int ldb, float beta, float *C, int ldc);
const char *scipy_openblas_get_config(void);
const char *scipy_openblas_get_corename(void);

int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    scipy_cblas_sgemm(ROW_MAJOR, ta == GEMM_T ? TRANSPOSE : NO_TRANSPOSE, tb == GEMM_T ? TRANSPOSE : NO_TRANSPOSE,
                      (int)m, (int)n, (int)k, alpha, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
    return 0;
}

const char *reference_name(void)
{
    return scipy_openblas_get_config();
}

const char *reference_isa(void)
{
    return scipy_openblas_get_corename();
}
