/*
 * hopper.cuh - what only a GPU of compute capability 9.0 has, in its smallest form: a tile that comes by TMA, and a wgmma.
 * benchmarks/gpu_check.sh puts it in front of a submission, to see that both build and run where submissions do.
 */
#include <cuda.h>
#include <cuda_runtime.h>
#include <stdint.h>

namespace hopper {

/* out[0 .. 63]: the tile of 8 x 8 floats that TMA brought; out[64]: 3, through the tensor cores, which add zeros to it. */
__global__ void try_all(const __grid_constant__ CUtensorMap map, float *out)
{
    __shared__ alignas(128) float tile[64];
    __shared__ alignas(128) unsigned char zeros[1024];
    __shared__ alignas(8) uint64_t arrived;
    const uint32_t to = (uint32_t)__cvta_generic_to_shared(tile), bar = (uint32_t)__cvta_generic_to_shared(&arrived);
    for (unsigned i = threadIdx.x; i < sizeof zeros; i += blockDim.x)
        zeros[i] = 0;
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
        asm volatile("fence.proxy.async;" ::: "memory");
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"((uint32_t)sizeof tile));
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
                     "[%4];" ::"r"(to), "l"(&map), "r"(8), "r"(8), "r"(bar) : "memory");
    }
    for (uint32_t done = 0; !done;)
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done) : "r"(bar) : "memory");
    if (threadIdx.x < 64)
        out[threadIdx.x] = tile[threadIdx.x];

    /* A (64 x 16) in registers, B (16 x 8) in shared memory; all of both is zero, so that no layout matters. */
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    const uint64_t b = ((uint64_t)__cvta_generic_to_shared(zeros) & 0x3ffff) >> 4 | (uint64_t)8 << 16 | (uint64_t)8 << 32;
    float c0 = 3, c1 = 3, c2 = 3, c3 = 3;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0;"
                 " wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, {%4, %5, %6, %7}, %8, p, 1, 1, 0; }"
                 : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3) : "r"(0), "r"(0), "r"(0), "r"(0), "l"(b));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    if (threadIdx.x == 0)
        out[64] = c0;
}

/* 0, or what went wrong: a cudaError_t, or 9000 and more. Allocates and waits, which no submission may. */
inline int check()
{
    typedef CUresult (*Encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                               const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                               CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
    void *found = nullptr;
    cudaDriverEntryPointQueryResult answer;
    cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault,
                                                         &answer);
    if (error || !found)
        return error ? error : 9000;
    float host[1024], got[65], *in = nullptr, *out = nullptr;
    for (int i = 0; i < 1024; i++)
        host[i] = (float)i;
    cudaMalloc(&in, sizeof host);
    cudaMalloc(&out, sizeof got);
    cudaMemcpy(in, host, sizeof host, cudaMemcpyHostToDevice);
    CUtensorMap map;
    const cuuint64_t sizes[] = {32, 32}, strides[] = {32 * sizeof(float)};
    const cuuint32_t box[] = {8, 8}, steps[] = {1, 1};
    if (((Encode)found)(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, in, sizes, strides, box, steps,
                        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
        return 9001;
    try_all<<<1, 128>>>(map, out);
    error = cudaDeviceSynchronize();
    cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost);
    cudaFree(in);
    cudaFree(out);
    for (int i = 0; i < 64 && !error; i++)
        if (got[i] != host[(8 + i / 8) * 32 + 8 + i % 8])
            return 9002;
    return error ? error : got[64] == 3 ? 0 : 9003;
}

}  // namespace hopper
