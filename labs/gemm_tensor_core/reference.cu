/*
 * reference.cu - what the duels are fought against: cuBLAS, the one that CuPy uses.
 *
 * It is opened by name, so that neither its headers nor its stubs are needed to build this, and so that it is there in
 * the reference's sandbox only. Its types are repeated here (cublas_api.h, library_types.h of CUDA 12 and 13).
 */
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdio.h>

#include "tcgemm.h"

namespace {

typedef struct cublasContext *Handle;
enum { OP_N = 0, R_32F = 0, R_16F = 2, COMPUTE_32F = 68, GEMM_DEFAULT = -1 };

typedef int (*Create)(Handle *);
typedef int (*SetStream)(Handle, cudaStream_t);
typedef int (*GetVersion)(Handle, int *);
typedef int (*GemmEx)(Handle, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                      const void *, void *, int, int, int, int);

void *library()
{
    static void *opened = nullptr;
    const char *const names[] = {"libcublas.so.13", "libcublas.so.12"};
    for (const char *name : names)
        if (!opened)
            opened = dlopen(name, RTLD_NOW);
    return opened;
}

template <class Function> Function symbol(const char *name) { return library() ? (Function)dlsym(library(), name) : nullptr; }

Handle handle()
{
    static Handle made = nullptr;
    if (!made && symbol<Create>("cublasCreate_v2"))
        symbol<Create>("cublasCreate_v2")(&made);
    return made;
}

/* Row major C = A B is column major C^T = B^T A^T: the same memory, the other way round. */
int multiply(size_t m, size_t n, size_t k, float alpha, const void *a, size_t lda, const void *b, size_t ldb, float beta,
             float *c, size_t ldc, int type, cudaStream_t s)
{
    static const GemmEx gemm = symbol<GemmEx>("cublasGemmEx");
    static const SetStream set_stream = symbol<SetStream>("cublasSetStream_v2");
    if (!gemm || !set_stream || !handle())
        return cudaErrorNotSupported;
    set_stream(handle(), s);
    return gemm(handle(), OP_N, OP_N, (int)n, (int)m, (int)k, &alpha, b, type, (int)ldb, a, type, (int)lda, &beta, c,
                R_32F, (int)ldc, COMPUTE_32F, GEMM_DEFAULT);
}

}  // namespace

extern "C" {

const char *reference_name(void)
{
    static char name[64] = "cuBLAS, which cannot be opened here";
    int version = 0;
    if (handle() && symbol<GetVersion>("cublasGetVersion_v2")) {
        symbol<GetVersion>("cublasGetVersion_v2")(handle(), &version);
        snprintf(name, sizeof name, "cuBLAS %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    }
    return name;
}

const char *reference_isa(void) { return ""; }

size_t tc_workspace_bytes(size_t, size_t, size_t) { return 0; }

int tc_hgemm(size_t m, size_t n, size_t k, float alpha, const void *d_A, size_t lda, const void *d_B, size_t ldb,
             float beta, float *d_C, size_t ldc, void *, size_t, cudaStream_t s)
{
    return multiply(m, n, k, alpha, d_A, lda, d_B, ldb, beta, d_C, ldc, R_16F, s);
}

int tc_sgemm_smem(size_t m, size_t n, size_t k, float alpha, const float *d_A, size_t lda, const float *d_B, size_t ldb,
                  float beta, float *d_C, size_t ldc, cudaStream_t s)
{
    return multiply(m, n, k, alpha, d_A, lda, d_B, ldb, beta, d_C, ldc, R_32F, s);
}

}
