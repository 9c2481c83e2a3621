/* counting.cu - see counting.h. The linker sends the runtime's calls here first (--wrap). */
#include <cuda_runtime.h>

extern "C" {
#include "counting.h"
}
#include "tcgemm.h"

namespace {
int64_t counted[COUNT_KINDS];
}

#define COUNTED(kind, name, parameters, arguments)   \
    extern "C" cudaError_t __real_##name parameters; \
    extern "C" cudaError_t __wrap_##name parameters  \
    {                                                \
        counted[kind]++;                             \
        return __real_##name arguments;              \
    }

/* clang-format off */
extern "C" {
cudaError_t __wrap_cudaMalloc(void **, size_t);
cudaError_t __wrap_cudaMallocAsync(void **, size_t, cudaStream_t);
cudaError_t __wrap_cudaMallocManaged(void **, size_t, unsigned);
cudaError_t __wrap_cudaMallocHost(void **, size_t);
cudaError_t __wrap_cudaFree(void *);
cudaError_t __wrap_cudaFreeAsync(void *, cudaStream_t);
cudaError_t __wrap_cudaDeviceSynchronize(void);
cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t);
cudaError_t __wrap_cudaEventSynchronize(cudaEvent_t);
cudaError_t __wrap_cudaStreamCreate(cudaStream_t *);
cudaError_t __wrap_cudaStreamCreateWithFlags(cudaStream_t *, unsigned);
cudaError_t __wrap_cudaMemcpy(void *, const void *, size_t, cudaMemcpyKind);
}
/* clang-format on */

COUNTED(COUNT_ALLOCATIONS, cudaMalloc, (void **p, size_t n), (p, n))
COUNTED(COUNT_ALLOCATIONS, cudaMallocAsync, (void **p, size_t n, cudaStream_t s), (p, n, s))
COUNTED(COUNT_ALLOCATIONS, cudaMallocManaged, (void **p, size_t n, unsigned flags), (p, n, flags))
COUNTED(COUNT_ALLOCATIONS, cudaMallocHost, (void **p, size_t n), (p, n))
COUNTED(COUNT_ALLOCATIONS, cudaFree, (void *p), (p))
COUNTED(COUNT_ALLOCATIONS, cudaFreeAsync, (void *p, cudaStream_t s), (p, s))
COUNTED(COUNT_ALLOCATIONS, cudaStreamCreate, (cudaStream_t * s), (s))
COUNTED(COUNT_ALLOCATIONS, cudaStreamCreateWithFlags, (cudaStream_t * s, unsigned flags), (s, flags))
COUNTED(COUNT_WAITS, cudaDeviceSynchronize, (void), ())
COUNTED(COUNT_WAITS, cudaStreamSynchronize, (cudaStream_t s), (s))
COUNTED(COUNT_WAITS, cudaEventSynchronize, (cudaEvent_t e), (e))
COUNTED(COUNT_HOST_COPIES, cudaMemcpy, (void *to, const void *from, size_t n, cudaMemcpyKind kind), (to, from, n, kind))

int drive_counted(uint64_t n, int64_t *counts)
{
    const size_t bytes = n * n * sizeof(float), ws_bytes = tc_workspace_bytes(n, n, n);
    void *a = nullptr, *b = nullptr, *c = nullptr, *ws = nullptr;
    __real_cudaMalloc(&a, bytes);
    __real_cudaMalloc(&b, bytes);
    __real_cudaMalloc(&c, bytes);
    __real_cudaMalloc(&ws, ws_bytes);
    cudaMemset(a, 0, bytes);
    cudaMemset(b, 0, bytes);
    __real_cudaDeviceSynchronize();
    for (int kind = 0; kind < COUNT_KINDS; kind++)
        counted[kind] = 0;
    int status = tc_hgemm(n, n, n, 1, a, n, b, n, 0, (float *)c, n, ws, ws_bytes, nullptr);
    if (!status)
        status = tc_hgemm(n - 1, n - 3, n - 5, 1, a, n, b, n, 0, (float *)c, n, ws, ws_bytes, nullptr);
    if (!status)
        status = tc_sgemm_smem(n, n, n, 1, (float *)a, n, (float *)b, n, 0, (float *)c, n, nullptr);
    for (int kind = 0; kind < COUNT_KINDS; kind++)
        counts[kind] = counted[kind];
    const cudaError_t error = __real_cudaDeviceSynchronize();
    __real_cudaFree(a);
    __real_cudaFree(b);
    __real_cudaFree(c);
    __real_cudaFree(ws);
    return status ? status : error;
}
