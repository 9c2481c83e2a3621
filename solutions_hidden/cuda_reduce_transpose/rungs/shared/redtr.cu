/*
 * Rung 2, shared. Sums: each thread adds numbers of its own first, in a register, and the tree comes once, at the end.
 * Transposes: a tile goes through shared memory, so that rows are read and rows are written. The columns of the tile
 * lie in one bank each: 32 threads that read a column wait for each other.
 */
#include "redtr.h"

#include <cuda_runtime.h>
#include <limits.h>
#include <math_constants.h>

namespace {

constexpr unsigned WARP = 32, THREADS = 256;
constexpr unsigned EVERYONE = 0xffffffffu;
constexpr size_t BLOCKS = 264; /* two for each multiprocessor of a large GPU */

constexpr __host__ __device__ size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

constexpr size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

unsigned grid_of(size_t blocks)
{
    return static_cast<unsigned>(smaller(blocks, INT_MAX));
}

struct sum {
    static __device__ float identity()
    {
        return 0.0f;
    }
    static __device__ float join(float a, float b)
    {
        return a + b;
    }
};

struct largest {
    static __device__ float identity()
    {
        return -CUDART_INF_F;
    }
    static __device__ float join(float a, float b)
    {
        return a > b || a != a ? a : b; /* fmaxf would drop a NaN */
    }
};

/* Lane 0 gets the result. All 32 lanes must come here. */
template <typename op> __device__ float join_warp(float value)
{
    for (unsigned distance = WARP / 2; distance > 0; distance /= 2)
        value = op::join(value, __shfl_down_sync(EVERYONE, value, distance));
    return value;
}

/* Thread 0 gets the result. The distances fall, so that the threads that still work are neighbours. */
template <typename op> __device__ float join_block(float value)
{
    __shared__ float of_thread[THREADS];
    const unsigned t = threadIdx.x;
    of_thread[t] = value;
    __syncthreads();
    for (unsigned distance = THREADS / 2; distance > 0; distance /= 2) {
        if (t < distance)
            of_thread[t] = op::join(of_thread[t], of_thread[t + distance]);
        __syncthreads();
    }
    return of_thread[0];
}

/* out[b] = what block b joins of in[0 .. n): each thread first sums numbers of its own, one every gridDim * 256. */
template <typename op> __global__ void __launch_bounds__(THREADS) reduce(const float *in, size_t n, float *out)
{
    float value = op::identity();
    const size_t workers = static_cast<size_t>(gridDim.x) * THREADS;
    for (size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x; i < n; i += workers)
        value = op::join(value, in[i]);
    const float result = join_block<op>(value);
    if (threadIdx.x == 0)
        out[blockIdx.x] = result;
}

template <typename op>
int reduce_all(const float *in, size_t n, float *out, void *workspace, size_t ws_bytes, cudaStream_t s)
{
    const size_t needed = red_workspace_bytes(n);
    if (!out || (n != 0 && !in) || ws_bytes < needed || (needed != 0 && !workspace))
        return cudaErrorInvalidValue;
    float *part = static_cast<float *>(workspace);
    const size_t parts = needed / sizeof(float);
    if (parts != 0)
        reduce<op><<<static_cast<unsigned>(parts), THREADS, 0, s>>>(in, n, part);
    reduce<op><<<1, THREADS, 0, s>>>(parts != 0 ? part : in, parts != 0 ? parts : n, out);
    return cudaGetLastError();
}

__global__ void __launch_bounds__(THREADS) sum_warps(const float *in, float *out, size_t nwarps)
{
    const size_t row = (static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x) / WARP;
    if (row >= nwarps) /* the whole warp leaves */
        return;
    const float result = join_warp<sum>(in[row * WARP + threadIdx.x % WARP]);
    if (threadIdx.x % WARP == 0)
        out[row] = result;
}

/* A warp for each row. */
__global__ void __launch_bounds__(THREADS) sum_rows(const float *in, size_t rows, size_t cols, size_t ld, float *out)
{
    const size_t row = (static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x) / WARP;
    if (row >= rows)
        return;
    float value = 0.0f;
    for (size_t j = threadIdx.x % WARP; j < cols; j += WARP)
        value += in[row * ld + j];
    value = join_warp<sum>(value);
    if (threadIdx.x % WARP == 0)
        out[row] = value;
}

constexpr unsigned TILE = 32;

template <typename T>
__global__ void __launch_bounds__(THREADS)
    transpose(const T *in, size_t rows, size_t cols, size_t ld_in, T *out, size_t ld_out, size_t across, size_t tiles)
{
    __shared__ T tile[TILE][TILE];
    const unsigned x = threadIdx.x % TILE, y = threadIdx.x / TILE;
    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const size_t row0 = t / across * TILE, col0 = t % across * TILE;
        for (unsigned i = y; i < TILE; i += THREADS / TILE)
            if (row0 + i < rows && col0 + x < cols)
                tile[i][x] = in[(row0 + i) * ld_in + col0 + x];
        __syncthreads();
        for (unsigned i = y; i < TILE; i += THREADS / TILE)
            if (col0 + i < cols && row0 + x < rows)
                out[(col0 + i) * ld_out + row0 + x] = tile[x][i];
        __syncthreads();
    }
}

template <typename T>
int transpose_all(const T *in, size_t rows, size_t cols, size_t ld_in, T *out, size_t ld_out, cudaStream_t s)
{
    if (ld_in < cols || ld_out < rows)
        return cudaErrorInvalidValue;
    if (rows == 0 || cols == 0)
        return cudaSuccess;
    if (!in || !out || in == out)
        return cudaErrorInvalidValue;
    const size_t across = ceil_div(cols, TILE), tiles = across * ceil_div(rows, TILE);
    transpose<T><<<grid_of(tiles), THREADS, 0, s>>>(in, rows, cols, ld_in, out, ld_out, across, tiles);
    return cudaGetLastError();
}

} // namespace

/* ---- the interface ---- */

size_t red_workspace_bytes(size_t n)
{
    return n <= THREADS ? 0 : smaller(ceil_div(n, THREADS), BLOCKS) * sizeof(float);
}

int red_sum_f32(const float *d_in, size_t n, float *d_out, void *d_ws, size_t ws_bytes, cudaStream_t s)
{
    return reduce_all<sum>(d_in, n, d_out, d_ws, ws_bytes, s);
}

int red_max_f32(const float *d_in, size_t n, float *d_out, void *d_ws, size_t ws_bytes, cudaStream_t s)
{
    return reduce_all<largest>(d_in, n, d_out, d_ws, ws_bytes, s);
}

int red_warp_sum_f32(const float *d_in, float *d_out, size_t nwarps, cudaStream_t s)
{
    if (nwarps == 0)
        return cudaSuccess;
    if (!d_in || !d_out)
        return cudaErrorInvalidValue;
    sum_warps<<<grid_of(ceil_div(nwarps, THREADS / WARP)), THREADS, 0, s>>>(d_in, d_out, nwarps);
    return cudaGetLastError();
}

int red_rows_sum_f32(const float *d_in, size_t rows, size_t cols, size_t ld, float *d_out, cudaStream_t s)
{
    if (ld < cols || (rows != 0 && (!d_out || (cols != 0 && !d_in))))
        return cudaErrorInvalidValue;
    if (rows == 0)
        return cudaSuccess;
    sum_rows<<<grid_of(ceil_div(rows, THREADS / WARP)), THREADS, 0, s>>>(d_in, rows, cols, ld, d_out);
    return cudaGetLastError();
}

int tr_f32(const float *d_in, size_t rows, size_t cols, size_t ld_in, float *d_out, size_t ld_out, cudaStream_t s)
{
    return transpose_all<float>(d_in, rows, cols, ld_in, d_out, ld_out, s);
}

int tr_f16(const void *d_in, size_t rows, size_t cols, size_t ld_in, void *d_out, size_t ld_out, cudaStream_t s)
{
    return transpose_all<unsigned short>(static_cast<const unsigned short *>(d_in), rows, cols, ld_in,
                                         static_cast<unsigned short *>(d_out), ld_out, s);
}
