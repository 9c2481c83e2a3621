/*
 * Rung 3, wmma (V2): the tensor cores, through nvcuda::wmma. A step is loaded, then multiplied, then the next is
 * loaded: most of the time the tensor cores wait for memory.
 */
#include "tcgemm.h"

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <limits.h>
#include <mma.h>
#include <stdint.h>

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

/* ---- tensor cores ---- */

/* Eight halves of a row, zeros where it has ended. */
template <bool WHOLE> __device__ uint4 chunk(const half *from, size_t left)
{
    if (WHOLE)
        return *reinterpret_cast<const uint4 *>(from);
    const unsigned short *bits = reinterpret_cast<const unsigned short *>(from);
    uint32_t words[4];
#pragma unroll
    for (unsigned w = 0; w < 4; w++) {
        const uint32_t low = 2 * w < left ? bits[2 * w] : 0, high = 2 * w + 1 < left ? bits[2 * w + 1] : 0;
        words[w] = high << 16 | low;
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

__device__ size_t left_of(size_t size, size_t at)
{
    return at < size ? size - at : 0;
}

/*
 * A block of eight warps computes 128 x 128 of C, each warp 32 x 64 of it as 2 x 4 fragments. The fragments are loaded
 * from shared memory: load_matrix_sync wants rows that begin at multiples of 16 bytes, and matrices in global memory
 * need not have them. Eight halves of padding keep that alignment and move the rows to different banks.
 */
constexpr unsigned BM = 128, BN = 128, BK = 32, PAD = 8, WARPS = 8, TC_THREADS = 32 * WARPS;

struct tiles {
    half a[BM][BK + PAD], b[BK][BN + PAD];
};

template <bool WHOLE> __global__ void __launch_bounds__(TC_THREADS) multiply_wmma(const problem<half> p)
{
    namespace wm = nvcuda::wmma;
    __shared__ __align__(32) tiles now;
    __shared__ __align__(32) float result[WARPS][16][16];
    const unsigned t = threadIdx.x, lane = t % 32, warp = t / 32, warp_row = warp / 2 * 32, warp_col = warp % 2 * 64;
    const size_t across = (p.n + BN - 1) / BN;
    const size_t row0 = blockIdx.x / across * BM, col0 = blockIdx.x % across * BN;
    const unsigned a_row = t / 4, a_col = t % 4 * 8, b_row = t / 16, b_col = t % 16 * 8;
    wm::fragment<wm::accumulator, 16, 16, 16, float> sum[2][4];
#pragma unroll
    for (unsigned i = 0; i < 2; i++)
#pragma unroll
        for (unsigned j = 0; j < 4; j++)
            wm::fill_fragment(sum[i][j], 0.0f);

    for (size_t k0 = 0; k0 < p.k; k0 += BK) {
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            const size_t row = row0 + a_row + 64 * i, ka = k0 + a_col, kb = k0 + b_row + 16 * i, col = col0 + b_col;
            *reinterpret_cast<uint4 *>(&now.a[a_row + 64 * i][a_col]) =
                chunk<WHOLE>(p.a + row * p.lda + ka, row < p.m ? left_of(p.k, ka) : 0);
            *reinterpret_cast<uint4 *>(&now.b[b_row + 16 * i][b_col]) =
                chunk<WHOLE>(p.b + kb * p.ldb + col, kb < p.k ? left_of(p.n, col) : 0);
        }
        __syncthreads();
        for (unsigned k = 0; k < BK; k += 16) {
            wm::fragment<wm::matrix_a, 16, 16, 16, half, wm::row_major> a[2];
            wm::fragment<wm::matrix_b, 16, 16, 16, half, wm::row_major> b[4];
#pragma unroll
            for (unsigned i = 0; i < 2; i++)
                wm::load_matrix_sync(a[i], &now.a[warp_row + 16 * i][k], BK + PAD);
#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                wm::load_matrix_sync(b[j], &now.b[k][warp_col + 16 * j], BN + PAD);
#pragma unroll
            for (unsigned i = 0; i < 2; i++)
#pragma unroll
                for (unsigned j = 0; j < 4; j++)
                    wm::mma_sync(sum[i][j], a[i], b[j], sum[i][j]);
        }
        __syncthreads(); /* before the tiles are written again */
    }

    /* Which lane holds which element of a fragment is not ours to know, so C takes a detour over shared memory. */
#pragma unroll
    for (unsigned i = 0; i < 2; i++)
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            wm::store_matrix_sync(&result[warp][0][0], sum[i][j], 16, wm::mem_row_major);
            __syncwarp();
            for (unsigned e = lane; e < 256; e += 32) {
                const size_t row = row0 + warp_row + 16 * i + e / 16, col = col0 + warp_col + 16 * j + e % 16;
                float *to = p.c + row * p.ldc + col;
                if (row < p.m && col < p.n)
                    *to = scaled(result[warp][e / 16][e % 16], p.alpha, p.beta, to);
            }
            __syncwarp();
        }
}

cudaError_t launch_wmma(const problem<half> &p, cudaStream_t s)
{
    const size_t count = ceil_div(p.m, BM) * ceil_div(p.n, BN);
    if (count > INT_MAX)
        return cudaErrorInvalidValue;
    const bool aligned = reinterpret_cast<uintptr_t>(p.a) % 16 == 0 && reinterpret_cast<uintptr_t>(p.b) % 16 == 0 &&
                         p.lda % 8 == 0 && p.ldb % 8 == 0;
    if (aligned && p.m % BM == 0 && p.n % BN == 0 && p.k % BK == 0)
        multiply_wmma<true><<<static_cast<unsigned>(count), TC_THREADS, 0, s>>>(p);
    else
        multiply_wmma<false><<<static_cast<unsigned>(count), TC_THREADS, 0, s>>>(p);
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
    return is_only_scaled(p, s, &error) ? error : launch_wmma(p, s);
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
