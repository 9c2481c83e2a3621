/* counting.cu - see counting.h. The linker sends the runtime's calls here first (--wrap). */
#include <cuda_runtime.h>

extern "C" {
#include "counting.h"
}
#include "redtr.h"

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
    const size_t ws_bytes = red_workspace_bytes(n);
    float *in = nullptr, *out = nullptr;
    void *ws = nullptr;
    __real_cudaMalloc((void **)&in, n * sizeof *in);
    __real_cudaMalloc((void **)&out, n * sizeof *out);
    __real_cudaMalloc(&ws, ws_bytes);
    cudaMemset(in, 0, n * sizeof *in);
    __real_cudaDeviceSynchronize();
    for (int kind = 0; kind < COUNT_KINDS; kind++)
        counted[kind] = 0;
    int status = red_sum_f32(in, n, out, ws, ws_bytes, nullptr);
    if (!status)
        status = red_max_f32(in, n, out, ws, ws_bytes, nullptr);
    if (!status)
        status = red_warp_sum_f32(in, out, 32, nullptr);
    if (!status)
        status = tr_f32(in, 64, 64, 64, out, 64, nullptr);
    for (int kind = 0; kind < COUNT_KINDS; kind++)
        counts[kind] = counted[kind];
    const cudaError_t error = __real_cudaDeviceSynchronize();
    __real_cudaFree(in);
    __real_cudaFree(out);
    __real_cudaFree(ws);
    return status ? status : error;
}
