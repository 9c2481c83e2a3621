/*
 * gpu_support.cuh - what the drivers of CUDA labs share: memory on the device with guards around it, and numbers that
 * the device makes itself from a seed, since 4 GiB of fresh inputs do not travel over a bus in every round.
 *
 * Part of the untrusted process: what it says is hearsay. The grader makes the same numbers (grader/testing/gpu.py) and
 * judges by the values that come out.
 */
#ifndef GPU_SUPPORT_CUH
#define GPU_SUPPORT_CUH

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vector>

namespace gpu {

/* The last step of MurmurHash3 (A. Appleby, public domain): every bit of h moves every bit of the result. */
__host__ __device__ inline uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* Number i of the row that a seed names: 32 random bits. */
__host__ __device__ inline uint32_t bits(uint32_t seed, size_t i)
{
    return mix((uint32_t)i * 0x9e3779b9u + mix(seed ^ (uint32_t)(i >> 32)));
}

/* ... as a float in [0, 1) with 24 bits, or as a half in [0, 1) with 11 bits: both exact. */
__host__ __device__ inline float unit(uint32_t bits) { return (float)(bits >> 8) * 0x1p-24f; }

__global__ static void drive_fill(float *out, size_t n, uint32_t seed)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        out[i] = unit(bits(seed, i));
}

/* New numbers at `touches` places of an array, one in each stretch of n / touches, so that no two are the same. */
enum { TOUCHES = 64 };

__host__ __device__ inline size_t place(uint32_t seed, size_t n, uint32_t j)
{
    const size_t stretch = n / TOUCHES;
    return j * stretch + bits(seed, 2 * j) % (uint32_t)stretch;
}

__global__ static void drive_touch(float *out, size_t n, uint32_t seed)
{
    out[place(seed, n, threadIdx.x)] = unit(bits(seed, 2 * threadIdx.x + 1));
}

/* Keeps the device busy for about `cycles`, so that what is queued behind it cannot have begun. */
__global__ static void drive_delay(long long cycles)
{
    const long long start = clock64();
    while (clock64() - start < cycles) {
    }
}

/* Device memory of `bytes` that begins `skew` bytes behind a multiple of 256, with guards of 256 bytes around it. */
class Array {
public:
    Array(size_t bytes, size_t skew, int poison) : bytes_(bytes), lead_(GUARD + skew), poison_(poison)
    {
        if (cudaMalloc(&base_, lead_ + bytes_ + GUARD) != cudaSuccess)
            base_ = nullptr;
        else
            cudaMemset(base_, poison_, lead_ + bytes_ + GUARD);
    }
    ~Array() { cudaFree(base_); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    bool exists() const { return base_ != nullptr; }
    template <typename T> T *as() const { return (T *)((char *)base_ + lead_); }
    void put(const void *from) const { cudaMemcpy(as<char>(), from, bytes_, cudaMemcpyHostToDevice); }
    void get(void *to) const { cudaMemcpy(to, as<char>(), bytes_, cudaMemcpyDeviceToHost); }

    /* Did something write outside the array? */
    bool damaged() const
    {
        std::vector<unsigned char> around(lead_ + GUARD);
        cudaMemcpy(around.data(), base_, lead_, cudaMemcpyDeviceToHost);
        cudaMemcpy(around.data() + lead_, as<char>() + bytes_, GUARD, cudaMemcpyDeviceToHost);
        for (unsigned char byte : around)
            if (byte != (unsigned char)poison_)
                return true;
        return false;
    }

    /* Are the contents still these? */
    bool holds(const void *wanted) const
    {
        std::vector<char> now(bytes_);
        get(now.data());
        return memcmp(now.data(), wanted, bytes_) == 0;
    }

private:
    static const size_t GUARD = 256;
    void *base_ = nullptr;
    size_t bytes_, lead_;
    int poison_;
};

}  // namespace gpu

#endif
