/*
 * Rung 2, shared memory (V1): tiles of both operands in shared memory, 4 x 4 sums in the registers of each thread.
 * Halves become floats on the way in, and the ordinary cores do the work.
 */
#include "tcgemm.h"

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <limits.h>

namespace {

constexpr size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

template <typename T> struct problem {
    size_t m, n, k;
    float alpha, beta;
    const T *a;
    size_t lda;
    const T *b;
    size_t ldb;
    float *c;
    size_t ldc;
};

__device__ float scaled(float value, float alpha, float beta, const float *c)
{
    return beta == 0.0f ? alpha * value : alpha * value + beta * *c; /* beta == 0: C may hold NaN */
}

__global__ void scale(size_t m, size_t n, float beta, float *c, size_t ldc)
{
    const size_t workers = static_cast<size_t>(gridDim.x) * blockDim.x;
    for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < m * n; i += workers) {
        float *to = c + i / n * ldc + i % n;
        *to = beta == 0.0f ? 0.0f : beta * *to;
    }
}

/*
 * Tiles of 64 x 64 of C for a block of 256 threads, 4 x 4 for a thread. Both operands go through shared memory as
 * floats, 16 steps of k at a time: each number is read from memory once for a block, and not once for a thread.
 */
constexpr unsigned TILE = 64, STEP = 16, THREADS = 256;

template <typename T> __global__ void __launch_bounds__(THREADS) multiply_shared(const problem<T> p)
{
    __shared__ float tile_a[STEP][TILE + 1], tile_b[STEP][TILE];
    const unsigned t = threadIdx.x, x = t % 16, y = t / 16;
    const size_t across = (p.n + TILE - 1) / TILE;
    const size_t row0 = blockIdx.x / across * TILE, col0 = blockIdx.x % across * TILE;
    float sum[4][4] = {};
    for (size_t k0 = 0; k0 < p.k; k0 += STEP) {
        for (unsigned i = 0; i < 4; i++) {
            const size_t row = row0 + y + 16 * i, ka = k0 + x, kb = k0 + t / TILE + 4 * i, col = col0 + t % TILE;
            tile_a[x][y + 16 * i] = row < p.m && ka < p.k ? static_cast<float>(p.a[row * p.lda + ka]) : 0.0f;
            tile_b[t / TILE + 4 * i][t % TILE] =
                kb < p.k && col < p.n ? static_cast<float>(p.b[kb * p.ldb + col]) : 0.0f;
        }
        __syncthreads();
        for (unsigned k = 0; k < STEP; k++) {
            float a[4], b[4];
            for (unsigned i = 0; i < 4; i++) {
                a[i] = tile_a[k][y + 16 * i];
                b[i] = tile_b[k][x + 16 * i];
            }
            for (unsigned i = 0; i < 4; i++)
                for (unsigned j = 0; j < 4; j++)
                    sum[i][j] += a[i] * b[j];
        }
        __syncthreads(); /* before the tiles are written again */
    }
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++) {
            const size_t row = row0 + y + 16 * i, col = col0 + x + 16 * j;
            float *to = p.c + row * p.ldc + col;
            if (row < p.m && col < p.n)
                *to = scaled(sum[i][j], p.alpha, p.beta, to);
        }
}

template <typename T> cudaError_t launch_shared(const problem<T> &p, cudaStream_t s)
{
    const size_t tiles = ceil_div(p.m, TILE) * ceil_div(p.n, TILE);
    if (tiles > INT_MAX)
        return cudaErrorInvalidValue;
    multiply_shared<T><<<static_cast<unsigned>(tiles), THREADS, 0, s>>>(p);
    return cudaGetLastError();
}

/* ---- arguments ---- */

template <typename T> bool is_valid(const problem<T> &p)
{
    if (p.lda < p.k || p.ldb < p.n || p.ldc < p.n)
        return false;
    const bool writes = p.m != 0 && p.n != 0, reads = writes && p.k != 0 && p.alpha != 0.0f;
    return (!writes || p.c) && (!reads || (p.a && p.b));
}

/* Is there no product to compute? Then C = beta * C is queued, if there is a C. */
template <typename T> bool is_only_scaled(const problem<T> &p, cudaStream_t s, cudaError_t *error)
{
    *error = cudaSuccess;
    if (p.m == 0 || p.n == 0)
        return true;
    if (p.k != 0 && p.alpha != 0.0f)
        return false;
    const size_t blocks = ceil_div(p.m * p.n, 256);
    scale<<<static_cast<unsigned>(blocks < 65535 ? blocks : 65535), 256, 0, s>>>(p.m, p.n, p.beta, p.c, p.ldc);
    *error = cudaGetLastError();
    return true;
}

} // namespace

/* ---- the interface ---- */

size_t tc_workspace_bytes(size_t, size_t, size_t)
{
    return 0;
}

int tc_hgemm(size_t m, size_t n, size_t k, float alpha, const void *d_A, size_t lda, const void *d_B, size_t ldb,
             float beta, float *d_C, size_t ldc, void *, size_t, cudaStream_t s)
{
    const problem<half> p = {
        m, n, k, alpha, beta, static_cast<const half *>(d_A), lda, static_cast<const half *>(d_B), ldb, d_C, ldc};
    cudaError_t error;
    if (!is_valid(p))
        return cudaErrorInvalidValue;
    return is_only_scaled(p, s, &error) ? error : launch_shared(p, s);
}

int tc_sgemm_smem(size_t m, size_t n, size_t k, float alpha, const float *d_A, size_t lda, const float *d_B, size_t ldb,
                  float beta, float *d_C, size_t ldc, cudaStream_t s)
{
    const problem<float> p = {m, n, k, alpha, beta, d_A, lda, d_B, ldb, d_C, ldc};
    cudaError_t error;
    if (!is_valid(p))
        return cudaErrorInvalidValue;
    return is_only_scaled(p, s, &error) ? error : launch_shared(p, s);
}
