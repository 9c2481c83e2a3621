/*
 * cuda_reduce_transpose, the full solution.
 *
 * Both halves of the lab are bound by memory, so there is one question: does every load and store use whole lines,
 * and are enough of them on their way at any moment? Everything else hides behind that.
 *
 * A sum or a maximum takes two launches on the same stream: blocks join their shares and leave one number each in
 * the workspace, then a single block joins those. No atomics: the order of additions is always the same.
 */
#include "redtr.h"

#include <cuda_runtime.h>
#include <limits.h>
#include <math_constants.h>
#include <stdint.h>

namespace {

constexpr unsigned WARP = 32, THREADS = 256;
constexpr unsigned BLOCKS_PER_SM = 4;      /* 64 registers each: room for four loads of 16 bytes under way */
constexpr size_t PER_BLOCK = THREADS * 16; /* elements that make one more block worth its launch */
constexpr size_t MAX_PARTS = 1024;
constexpr unsigned EVERYONE = 0xffffffffu;

constexpr __host__ __device__ size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

constexpr size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

/* ---- what to join with ---- */

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
    /* fmaxf would drop a NaN; this instruction keeps it. */
    static __device__ float join(float a, float b)
    {
        float result;
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
        return result;
    }
};

/* ---- joining inside a thread, a warp, a block ---- */

template <typename op> __device__ float4 join4(float4 a, float4 b)
{
    return make_float4(op::join(a.x, b.x), op::join(a.y, b.y), op::join(a.z, b.z), op::join(a.w, b.w));
}

/*
 * This thread's share of in[0 .. n): worker `me` of `workers`. Single elements until a multiple of 16 bytes, then
 * four vectors at a time into four sums of their own, so that no load waits for another, then what is left over.
 */
template <typename op> __device__ float share(const float *in, size_t n, size_t me, size_t workers)
{
    const size_t past_boundary = reinterpret_cast<uintptr_t>(in) / sizeof(float) % 4;
    const size_t head = smaller(n, (4 - past_boundary) % 4);
    const size_t vectors = (n - head) / 4;
    const size_t tail = head + 4 * vectors;
    const float4 *v = reinterpret_cast<const float4 *>(in + head);
    float4 part[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        part[j] = make_float4(op::identity(), op::identity(), op::identity(), op::identity());

    size_t i = me;
    for (; i + 3 * workers < vectors; i += 4 * workers) {
        float4 next[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            next[j] = v[i + j * workers];
#pragma unroll
        for (int j = 0; j < 4; j++)
            part[j] = join4<op>(part[j], next[j]);
    }
    for (; i < vectors; i += workers)
        part[0] = join4<op>(part[0], v[i]);

    const float4 all = join4<op>(join4<op>(part[0], part[1]), join4<op>(part[2], part[3]));
    float result = op::join(op::join(all.x, all.y), op::join(all.z, all.w));
    for (size_t j = me; j < head; j += workers)
        result = op::join(result, in[j]);
    for (size_t j = tail + me; j < n; j += workers)
        result = op::join(result, in[j]);
    return result;
}

/* Lane 0 gets the result. All 32 lanes must come here. */
template <typename op> __device__ float join_warp(float value)
{
#pragma unroll
    for (unsigned distance = WARP / 2; distance > 0; distance /= 2)
        value = op::join(value, __shfl_down_sync(EVERYONE, value, distance));
    return value;
}

/* Thread 0 gets the result. All threads of the block must come here. */
template <typename op> __device__ float join_block(float value)
{
    __shared__ float of_warp[THREADS / WARP];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    value = join_warp<op>(value);
    if (lane == 0)
        of_warp[warp] = value;
    __syncthreads();
    if (warp == 0)
        value = join_warp<op>(lane < THREADS / WARP ? of_warp[lane] : op::identity());
    __syncthreads(); /* of_warp may be written again now */
    return value;
}

/* ---- reductions ---- */

/* out[b] = what block b joins of in[0 .. n). */
template <typename op>
__global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM) reduce(const float *in, size_t n, float *out)
{
    const size_t me = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x;
    const float result = join_block<op>(share<op>(in, n, me, static_cast<size_t>(gridDim.x) * THREADS));
    if (threadIdx.x == 0)
        out[blockIdx.x] = result;
}

size_t parts_for(size_t n)
{
    return smaller(ceil_div(n, PER_BLOCK), MAX_PARTS);
}

/* As many blocks as the GPU can hold at once: no second wave that leaves most of it idle. */
cudaError_t blocks_at_once(size_t *blocks)
{
    int device, processors;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess)
        *blocks = static_cast<size_t>(processors) * BLOCKS_PER_SM;
    return error;
}

template <typename op>
int reduce_all(const float *in, size_t n, float *out, void *workspace, size_t ws_bytes, cudaStream_t s)
{
    const size_t needed = red_workspace_bytes(n);
    if (!out || (n != 0 && !in) || ws_bytes < needed || (needed != 0 && !workspace))
        return cudaErrorInvalidValue;
    if (needed == 0) {
        reduce<op><<<1, THREADS, 0, s>>>(in, n, out);
        return cudaGetLastError();
    }
    size_t blocks;
    const cudaError_t error = blocks_at_once(&blocks);
    if (error != cudaSuccess)
        return error;
    const size_t parts = smaller(parts_for(n), blocks);
    float *part = static_cast<float *>(workspace);
    reduce<op><<<static_cast<unsigned>(parts), THREADS, 0, s>>>(in, n, part);
    reduce<op><<<1, THREADS, 0, s>>>(part, parts, out);
    return cudaGetLastError();
}

/* Each warp takes four rows at a time: four loads under way, and four chains of shuffles side by side. */
__global__ void __launch_bounds__(THREADS) sum_warps(const float *in, float *out, size_t nwarps)
{
    constexpr size_t ROWS = 4;
    const unsigned lane = threadIdx.x % WARP;
    const size_t me = (static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x) / WARP;
    const size_t workers = static_cast<size_t>(gridDim.x) * (THREADS / WARP);
    for (size_t row = me * ROWS; row < nwarps; row += workers * ROWS) {
        float value[ROWS];
#pragma unroll
        for (size_t j = 0; j < ROWS; j++)
            value[j] = row + j < nwarps ? in[(row + j) * WARP + lane] : 0.0f;
#pragma unroll
        for (size_t j = 0; j < ROWS; j++)
            value[j] = join_warp<sum>(value[j]);
        if (lane == 0)
#pragma unroll
            for (size_t j = 0; j < ROWS; j++)
                if (row + j < nwarps)
                    out[row + j] = value[j];
    }
}

/* A warp for each row: for rows that are too short to feed a block. */
__global__ void __launch_bounds__(THREADS)
    sum_short_rows(const float *in, size_t rows, size_t cols, size_t ld, float *out)
{
    const unsigned lane = threadIdx.x % WARP;
    const size_t me = (static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x) / WARP;
    const size_t workers = static_cast<size_t>(gridDim.x) * (THREADS / WARP);
    for (size_t row = me; row < rows; row += workers) {
        const float result = join_warp<sum>(share<sum>(in + row * ld, cols, lane, WARP));
        if (lane == 0)
            out[row] = result;
    }
}

__global__ void __launch_bounds__(THREADS)
    sum_long_rows(const float *in, size_t rows, size_t cols, size_t ld, float *out)
{
    for (size_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const float result = join_block<sum>(share<sum>(in + row * ld, cols, threadIdx.x, THREADS));
        if (threadIdx.x == 0)
            out[row] = result;
    }
}

/* ---- transpose ---- */

constexpr unsigned TILE = 64, QUADS = TILE / 4; /* a tile is QUADS x QUADS blocks of 4 x 4 elements */
static_assert(QUADS * QUADS == THREADS, "one thread for each block of 4 x 4");

/* Any grid up to this size is allowed in x, so tiles are counted in x alone: y would end at 65535. */
unsigned grid_of(size_t blocks)
{
    return static_cast<unsigned>(smaller(blocks, INT_MAX));
}

template <typename T, typename vec> __device__ vec load_quad(const T *from, size_t left)
{
    if (left >= 4)
        return *reinterpret_cast<const vec *>(from);
    vec quad = {};
    if (left > 0)
        quad.x = from[0];
    if (left > 1)
        quad.y = from[1];
    if (left > 2)
        quad.z = from[2];
    return quad;
}

template <typename T, typename vec> __device__ void store_quad(T *to, vec quad, size_t left)
{
    if (left >= 4) {
        *reinterpret_cast<vec *>(to) = quad;
        return;
    }
    if (left > 0)
        to[0] = quad.x;
    if (left > 1)
        to[1] = quad.y;
    if (left > 2)
        to[2] = quad.z;
}

__device__ size_t left_of(size_t size, size_t at)
{
    return at < size ? size - at : 0;
}

/*
 * Tiles of 64 x 64 in vectors of four. A thread loads a block of 4 x 4, turns it in its registers, and puts it as
 * four vectors into shared memory, where the tile lies transposed. Out of there, rows of 64 go to memory.
 *
 * Row c of the shared tile holds its vector q at place q ^ (c / 4): threads that write one place of different rows,
 * and threads that read one row, then use different banks. That is what a padding column is for, without the waste.
 */
template <typename T, typename vec>
__global__ void __launch_bounds__(THREADS) transpose_quads(const T *in, size_t rows, size_t cols, size_t ld_in, T *out,
                                                           size_t ld_out, size_t across, size_t tiles)
{
    __shared__ vec turned[TILE][QUADS];
    const unsigned x = threadIdx.x % QUADS, y = threadIdx.x / QUADS;
    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const size_t row0 = t / across * TILE, col0 = t % across * TILE;
        const bool whole = row0 + TILE <= rows && col0 + TILE <= cols; /* the same for all threads of the block */
        vec quad[4];
        if (whole)
#pragma unroll
            for (unsigned i = 0; i < 4; i++)
                quad[i] = *reinterpret_cast<const vec *>(in + (row0 + 4 * y + i) * ld_in + col0 + 4 * x);
        else
#pragma unroll
            for (unsigned i = 0; i < 4; i++) {
                const size_t row = row0 + 4 * y + i, col = col0 + 4 * x;
                quad[i] = load_quad<T, vec>(in + row * ld_in + col, row < rows ? left_of(cols, col) : 0);
            }
        turned[4 * x + 0][y ^ x] = vec{quad[0].x, quad[1].x, quad[2].x, quad[3].x};
        turned[4 * x + 1][y ^ x] = vec{quad[0].y, quad[1].y, quad[2].y, quad[3].y};
        turned[4 * x + 2][y ^ x] = vec{quad[0].z, quad[1].z, quad[2].z, quad[3].z};
        turned[4 * x + 3][y ^ x] = vec{quad[0].w, quad[1].w, quad[2].w, quad[3].w};
        __syncthreads();
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            const unsigned c = y + QUADS * i;
            const size_t row = row0 + 4 * x, col = col0 + c;
            T *to = out + col * ld_out + row;
            if (whole)
                *reinterpret_cast<vec *>(to) = turned[c][x ^ (c / 4)];
            else
                store_quad<T, vec>(to, turned[c][x ^ (c / 4)], col < cols ? left_of(rows, row) : 0);
        }
        __syncthreads(); /* the next tile goes to the same place */
    }
}

constexpr unsigned SMALL = 32;

/* For pointers or leading dimensions that vectors cannot use: tiles of 32 x 32, with the usual column of padding. */
template <typename T>
__global__ void __launch_bounds__(THREADS) transpose_elements(const T *in, size_t rows, size_t cols, size_t ld_in,
                                                              T *out, size_t ld_out, size_t across, size_t tiles)
{
    __shared__ T tile[SMALL][SMALL + 1];
    const unsigned x = threadIdx.x % SMALL, y = threadIdx.x / SMALL;
    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const size_t row0 = t / across * SMALL, col0 = t % across * SMALL;
#pragma unroll
        for (unsigned i = y; i < SMALL; i += THREADS / SMALL)
            if (row0 + i < rows && col0 + x < cols)
                tile[i][x] = in[(row0 + i) * ld_in + col0 + x];
        __syncthreads();
#pragma unroll
        for (unsigned i = y; i < SMALL; i += THREADS / SMALL)
            if (col0 + i < cols && row0 + x < rows)
                out[(col0 + i) * ld_out + row0 + x] = tile[x][i];
        __syncthreads();
    }
}

template <typename vec> int fits_vectors(const void *pointer, size_t ld)
{
    return reinterpret_cast<uintptr_t>(pointer) % sizeof(vec) == 0 && ld % 4 == 0;
}

template <typename T, typename vec>
int transpose(const T *in, size_t rows, size_t cols, size_t ld_in, T *out, size_t ld_out, cudaStream_t s)
{
    if (ld_in < cols || ld_out < rows)
        return cudaErrorInvalidValue;
    if (rows == 0 || cols == 0)
        return cudaSuccess;
    if (!in || !out || in == out)
        return cudaErrorInvalidValue;
    if (fits_vectors<vec>(in, ld_in) && fits_vectors<vec>(out, ld_out)) {
        const size_t across = ceil_div(cols, TILE), tiles = across * ceil_div(rows, TILE);
        transpose_quads<T, vec><<<grid_of(tiles), THREADS, 0, s>>>(in, rows, cols, ld_in, out, ld_out, across, tiles);
    } else {
        const size_t across = ceil_div(cols, SMALL), tiles = across * ceil_div(rows, SMALL);
        transpose_elements<T><<<grid_of(tiles), THREADS, 0, s>>>(in, rows, cols, ld_in, out, ld_out, across, tiles);
    }
    return cudaGetLastError();
}

} // namespace

/* ---- the interface ---- */

size_t red_workspace_bytes(size_t n)
{
    return parts_for(n) > 1 ? parts_for(n) * sizeof(float) : 0;
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
    sum_warps<<<grid_of(ceil_div(nwarps, 4 * (THREADS / WARP))), THREADS, 0, s>>>(d_in, d_out, nwarps);
    return cudaGetLastError();
}

int red_rows_sum_f32(const float *d_in, size_t rows, size_t cols, size_t ld, float *d_out, cudaStream_t s)
{
    if (ld < cols || (rows != 0 && (!d_out || (cols != 0 && !d_in))))
        return cudaErrorInvalidValue;
    if (rows == 0)
        return cudaSuccess;
    if (cols <= 16 * WARP)
        sum_short_rows<<<grid_of(ceil_div(rows, THREADS / WARP)), THREADS, 0, s>>>(d_in, rows, cols, ld, d_out);
    else
        sum_long_rows<<<grid_of(rows), THREADS, 0, s>>>(d_in, rows, cols, ld, d_out);
    return cudaGetLastError();
}

int tr_f32(const float *d_in, size_t rows, size_t cols, size_t ld_in, float *d_out, size_t ld_out, cudaStream_t s)
{
    return transpose<float, float4>(d_in, rows, cols, ld_in, d_out, ld_out, s);
}

int tr_f16(const void *d_in, size_t rows, size_t cols, size_t ld_in, void *d_out, size_t ld_out, cudaStream_t s)
{
    return transpose<unsigned short, ushort4>(static_cast<const unsigned short *>(d_in), rows, cols, ld_in,
                                              static_cast<unsigned short *>(d_out), ld_out, s);
}
