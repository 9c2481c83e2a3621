/*
 * gemm_tensor_core, the full solution.
 *
 * A block of threads computes a tile of C, each warp a part of it that stays in registers to the end. Tiles of A and B
 * travel from memory to shared memory by cp.async, several steps ahead, so that the tensor cores never wait for them;
 * ldmatrix brings them from there to registers, one step ahead; mma.sync multiplies. In shared memory, the chunks of
 * 16 bytes of a row are permuted by an exclusive or, so that the eight rows which ldmatrix reads at once lie in
 * different banks.
 *
 * Sizes that are no multiple of a tile take the same road: cp.async fills what does not exist with zeros. Where
 * pointers or leading dimensions are no multiple of 16 bytes, chunks are put together from single halves instead.
 * Products with few tiles and a long k are cut along k: the parts go to the workspace and are added in order.
 */
#include "tcgemm.h"

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <limits.h>
#include <stdint.h>

namespace {

constexpr unsigned WARP = 32;

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

/* ---- what the GPU offers for this ---- */

constexpr unsigned CHUNK = 8; /* halves in 16 bytes: the unit of cp.async and ldmatrix */

/* Starts a copy of `bytes` (0 .. 16) to shared memory; the rest of the 16 bytes becomes zeros. */
__device__ void copy_async(uint32_t to, const void *from, unsigned bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

/* The copies that this thread has started since the last call become one group. */
__device__ void close_group()
{
    asm volatile("cp.async.commit_group;");
}

/* Waits until at most `pending` of the youngest groups are still on their way. */
template <int pending> __device__ void wait_groups()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(pending));
}

__device__ void store_chunk(uint32_t to, const uint32_t (&words)[4])
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(words[0]), "r"(words[1]), "r"(words[2]),
                 "r"(words[3]));
}

/* Four matrices of 8 x 8 halves; lane l says where a row of 16 bytes of matrix l / 8 begins. */
__device__ void load_matrices(uint32_t (&to)[4], uint32_t from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from));
}

__device__ void load_matrices_transposed(uint32_t (&to)[4], uint32_t from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from));
}

/* c += a * b for 16 x 16 of A and 16 x 8 of B, summed in single precision. */
__device__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* ---- tiles ---- */

/* A tile in shared memory: ROWS x COLS halves, a row after the other, its chunks permuted. */
template <unsigned ROWS_, unsigned COLS_> struct tile {
    static constexpr unsigned ROWS = ROWS_, COLS = COLS_, CHUNKS = COLS / CHUNK, BYTES = ROWS * COLS * sizeof(half);
    static_assert(CHUNKS >= 4 && (CHUNKS & (CHUNKS - 1)) == 0, "rows of 64, 128, ... bytes");

    /*
     * Where chunk `chunk` of row `row` lies, in bytes. 128 bytes are all banks once. A row of 64 bytes is half of
     * that, so rows change their permutation in pairs; longer rows change it one by one.
     */
    static __device__ unsigned offset(unsigned row, unsigned chunk)
    {
        const unsigned key = CHUNKS == 4 ? (row >> 1) & 3 : row & 7;
        return row * COLS * static_cast<unsigned>(sizeof(half)) + (chunk ^ key) * 16;
    }
};

/*
 * How a product is cut: BM x BN of C for a block, WM x WN of it for a warp, BK of k for a step, and STAGES steps of A
 * and B in shared memory at a time.
 */
template <unsigned BM_, unsigned BN_, unsigned BK_, unsigned WM_, unsigned WN_, unsigned STAGES_> struct shape {
    static constexpr unsigned BM = BM_, BN = BN_, BK = BK_, WM = WM_, WN = WN_, STAGES = STAGES_;
    static constexpr unsigned WARPS_M = BM / WM, WARPS_N = BN / WN, THREADS = WARPS_M * WARPS_N * WARP;
    using tile_a = tile<BM, BK>;
    using tile_b = tile<BK, BN>;
    static constexpr unsigned STAGE_BYTES = tile_a::BYTES + tile_b::BYTES, SHARED_BYTES = STAGES * STAGE_BYTES;
    static_assert(BM % WM == 0 && BN % WN == 0 && WM % 16 == 0 && WN % 16 == 0 && BK % 32 == 0 && STAGES >= 2, "");
};

/* How much the loads may take for granted. */
enum trust {
    WHOLE,   /* rows begin at multiples of 16 bytes, and every tile is full */
    ALIGNED, /* rows begin at multiples of 16 bytes */
    NOTHING  /* rows begin anywhere */
};

/*
 * One thread's part of the copies of one matrix: it brings the same places of every tile. `source` moves on by
 * `advance` from step to step along k.
 */
template <typename T, unsigned THREADS, trust TRUST> struct mover {
    static constexpr unsigned EACH = T::ROWS * T::CHUNKS / THREADS, ROW_STEP = THREADS / T::CHUNKS;
    static_assert(T::ROWS * T::CHUNKS % THREADS == 0 && THREADS % T::CHUNKS == 0 && ROW_STEP % 8 == 0,
                  "all copies of a thread lie in one column of chunks, with the same permutation");

    const half *source;
    size_t ld;
    unsigned row, column; /* of the first copy, inside the tile */

    __device__ mover(const half *first, size_t ld_) : ld(ld_)
    {
        row = threadIdx.x / T::CHUNKS;
        column = threadIdx.x % T::CHUNKS * CHUNK;
        source = first + row * ld + column;
    }

    /* rows, cols: how many of the matrix there are from the tile's corner on. */
    __device__ void bring(uint32_t tile_at, size_t rows, size_t cols) const
    {
        const uint32_t to = tile_at + T::offset(row, column / CHUNK);
#pragma unroll(TRUST == NOTHING ? 1 : EACH) /* single halves would take too many registers side by side */
        for (unsigned i = 0; i < EACH; i++) {
            const uint32_t there = to + i * ROW_STEP * T::COLS * static_cast<unsigned>(sizeof(half));
            const half *from = source + i * ROW_STEP * ld;
            if (TRUST == WHOLE) {
                copy_async(there, from, 16);
                continue;
            }
            const size_t left = row + i * ROW_STEP < rows && column < cols ? cols - column : 0;
            const unsigned count = left < CHUNK ? static_cast<unsigned>(left) : CHUNK;
            if (TRUST == ALIGNED)
                copy_async(there, count ? from : source, count * static_cast<unsigned>(sizeof(half)));
            else
                bring_halves(there, from, count);
        }
    }

    __device__ void bring_halves(uint32_t to, const half *from, unsigned count) const
    {
        const unsigned short *bits = reinterpret_cast<const unsigned short *>(from);
        uint32_t words[4];
#pragma unroll
        for (unsigned w = 0; w < 4; w++) {
            const uint32_t low = 2 * w < count ? bits[2 * w] : 0, high = 2 * w + 1 < count ? bits[2 * w + 1] : 0;
            words[w] = high << 16 | low;
        }
        store_chunk(to, words);
    }
};

/* ---- the product ---- */

/* The tiles are walked in bands of this many rows, so that those under way at a time share A and B in the L2 cache. */
constexpr unsigned BAND = 8;

struct place {
    size_t row, col;
};

template <typename S> __device__ place tile_of_block(const size_t m, const size_t n)
{
    const unsigned down = static_cast<unsigned>((m + S::BM - 1) / S::BM);
    const unsigned across = static_cast<unsigned>((n + S::BN - 1) / S::BN);
    const unsigned band = blockIdx.x / (BAND * across), inside = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, BAND);
    const unsigned row = band * BAND + inside % height, col = inside / height;
    return {static_cast<size_t>(row) * S::BM, static_cast<size_t>(col) * S::BN};
}

/* The operands of one warp for 16 steps of k. */
template <typename S> struct fragments {
    uint32_t a[S::WM / 16][4], b[S::WN / 16][4];

    __device__ void load(uint32_t stage, unsigned warp_row, unsigned warp_col, unsigned step)
    {
        const unsigned lane = threadIdx.x % WARP, low = lane % 16, high = lane / 16;
#pragma unroll
        for (unsigned i = 0; i < S::WM / 16; i++)
            load_matrices(a[i], stage + S::tile_a::offset(warp_row + 16 * i + low, 2 * step + high));
#pragma unroll
        for (unsigned j = 0; j < S::WN / 16; j++)
            load_matrices_transposed(b[j], stage + S::tile_a::BYTES +
                                               S::tile_b::offset(16 * step + low, warp_col / CHUNK + 2 * j + high));
    }
};

__device__ float scaled(float value, float alpha, float beta, const float *c)
{
    return beta == 0.0f ? alpha * value : alpha * value + beta * *c; /* beta == 0: C may hold NaN */
}

/* Block z computes the part of k from z * k_part on. With several parts, part z of C lies at c + z * c_part. */
template <typename S, trust TRUST>
__global__ void __launch_bounds__(S::THREADS) multiply(const problem<half> p, size_t k_part, size_t c_part)
{
    extern __shared__ __align__(128) unsigned char shared[];
    const uint32_t stages = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    constexpr unsigned STEPS = S::BK / 16;

    const place at = tile_of_block<S>(p.m, p.n);
    const size_t k_first = blockIdx.z * k_part, k_count = min(k_part, p.k - k_first);
    const unsigned steps = static_cast<unsigned>((k_count + S::BK - 1) / S::BK);
    mover<typename S::tile_a, S::THREADS, TRUST> mover_a(p.a + at.row * p.lda + k_first, p.lda);
    mover<typename S::tile_b, S::THREADS, TRUST> mover_b(p.b + k_first * p.ldb + at.col, p.ldb);

    /* Step `next` of A and B goes to stage next % STAGES; past the end there is nothing to bring. */
    unsigned next = 0, next_stage = 0;
    auto bring_next = [&]() {
        if (next < steps) {
            const size_t left = k_count - static_cast<size_t>(next) * S::BK;
            const uint32_t stage = stages + next_stage * S::STAGE_BYTES;
            mover_a.bring(stage, p.m - at.row, left);
            mover_b.bring(stage + S::tile_a::BYTES, left, p.n - at.col);
            mover_a.source += S::BK;
            mover_b.source += S::BK * p.ldb;
        }
        close_group(); /* an empty group counts, too: the number of groups stays in step with the loop */
        next++;
        next_stage = next_stage + 1 == S::STAGES ? 0 : next_stage + 1;
    };
#pragma unroll
    for (unsigned i = 0; i + 1 < S::STAGES; i++)
        bring_next();

    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned warp_row = warp / S::WARPS_N * S::WM, warp_col = warp % S::WARPS_N * S::WN;
    float sum[S::WM / 16][S::WN / 8][4] = {};
    fragments<S> operands[2]; /* one is multiplied while the other is loaded */
    unsigned stage = 0;

    wait_groups<S::STAGES - 2>();
    __syncthreads();
    operands[0].load(stages, warp_row, warp_col, 0);
    for (unsigned i = 0; i < steps; i++) {
#pragma unroll
        for (unsigned step = 0; step < STEPS; step++) {
            if (step + 1 == STEPS) {
                /* My copies for the next stage are done; behind the barrier, those of all threads are. */
                wait_groups<S::STAGES - 2>();
                __syncthreads();
                stage = stage + 1 == S::STAGES ? 0 : stage + 1;
            }
            operands[(step + 1) % 2].load(stages + stage * S::STAGE_BYTES, warp_row, warp_col, (step + 1) % STEPS);
            /* All warps passed the barrier above: none of them reads the stage of the step before any more. */
            if (step == 0)
                bring_next();
#pragma unroll
            for (unsigned r = 0; r < S::WM / 16; r++)
#pragma unroll
                for (unsigned c = 0; c < S::WN / 8; c++) {
                    const unsigned column = r % 2 ? S::WN / 8 - 1 - c : c; /* back and forth: operands are used again */
                    multiply_add(sum[r][column], operands[step % 2].a[r],
                                 operands[step % 2].b[column / 2][column % 2 * 2],
                                 operands[step % 2].b[column / 2][column % 2 * 2 + 1]);
                }
        }
    }
    wait_groups<0>();

    /* A lane holds two neighbours in a row, and two more eight rows below. */
    float *c = p.c + blockIdx.z * c_part;
    const bool pairs = p.ldc % 2 == 0 && reinterpret_cast<uintptr_t>(c) % sizeof(float2) == 0;
#pragma unroll
    for (unsigned r = 0; r < S::WM / 16; r++)
#pragma unroll
        for (unsigned h = 0; h < 2; h++) {
            const size_t row = at.row + warp_row + 16 * r + 8 * h + lane / 4;
            if (row >= p.m)
                continue;
#pragma unroll
            for (unsigned s = 0; s < S::WN / 8; s++) {
                const size_t col = at.col + warp_col + 8 * s + lane % 4 * 2;
                float *to = c + row * p.ldc + col;
                const float x = sum[r][s][2 * h], y = sum[r][s][2 * h + 1];
                if (pairs && col + 1 < p.n) {
                    float2 value = make_float2(p.alpha * x, p.alpha * y);
                    if (p.beta != 0.0f) {
                        const float2 old = *reinterpret_cast<const float2 *>(to);
                        value.x += p.beta * old.x;
                        value.y += p.beta * old.y;
                    }
                    *reinterpret_cast<float2 *>(to) = value;
                } else {
                    if (col < p.n)
                        to[0] = scaled(x, p.alpha, p.beta, to);
                    if (col + 1 < p.n)
                        to[1] = scaled(y, p.alpha, p.beta, to + 1);
                }
            }
        }
}

/* ---- what is left: C = beta * C, and adding the parts of a product that was cut along k ---- */

constexpr unsigned PLAIN_THREADS = 256;

__global__ void __launch_bounds__(PLAIN_THREADS) scale(size_t m, size_t n, float beta, float *c, size_t ldc)
{
    const size_t workers = static_cast<size_t>(gridDim.x) * PLAIN_THREADS;
    for (size_t i = static_cast<size_t>(blockIdx.x) * PLAIN_THREADS + threadIdx.x; i < m * n; i += workers) {
        float *to = c + i / n * ldc + i % n;
        *to = beta == 0.0f ? 0.0f : beta * *to;
    }
}

__global__ void __launch_bounds__(PLAIN_THREADS) add_parts(const problem<half> p, const float *part, unsigned parts)
{
    const size_t workers = static_cast<size_t>(gridDim.x) * PLAIN_THREADS;
    for (size_t i = static_cast<size_t>(blockIdx.x) * PLAIN_THREADS + threadIdx.x; i < p.m * p.n; i += workers) {
        float value = 0.0f;
        for (unsigned z = 0; z < parts; z++)
            value += part[z * p.m * p.n + i];
        float *to = p.c + i / p.n * p.ldc + i % p.n;
        *to = scaled(value, p.alpha, p.beta, to);
    }
}

unsigned plain_grid(size_t elements)
{
    const size_t blocks = ceil_div(elements, PLAIN_THREADS);
    return static_cast<unsigned>(blocks < 65535 ? blocks : 65535);
}

/* ---- how to cut ---- */

#ifndef BIG_SHAPE /* -DBIG_SHAPE=... tries another */
#define BIG_SHAPE 256, 128, 64, 64, 64, 3
#endif
#ifndef SMALL_SHAPE
#define SMALL_SHAPE 64, 64, 64, 32, 32, 4
#endif

using big = shape<BIG_SHAPE>;                        /* 144 KiB of shared memory: sm_80, sm_90 */
using lean = shape<big::BM, big::BN, 32, 64, 64, 4>; /* the same tiles in 96 KiB: sm_86, sm_89 have 99 */
using small = shape<SMALL_SHAPE>;                    /* 64 KiB, and eight times as many tiles */

constexpr size_t ENOUGH_TILES = 96;   /* big ones: about as many as a large GPU computes at a time */
constexpr size_t ENOUGH_BLOCKS = 256; /* small ones: two for each multiprocessor */
constexpr size_t SHORTEST_PART = 512, MOST_PARTS = 64, MOST_WORKSPACE = static_cast<size_t>(64) << 20;

template <typename S> constexpr size_t tiles_of(size_t m, size_t n)
{
    return ceil_div(m, S::BM) * ceil_div(n, S::BN);
}

bool is_large(size_t m, size_t n)
{
    return tiles_of<big>(m, n) >= ENOUGH_TILES;
}

/* In how many parts k is cut: only as many as give all of the GPU something to do. */
size_t parts_of(size_t m, size_t n, size_t k)
{
    if (m == 0 || n == 0 || is_large(m, n))
        return 1;
    size_t parts = ENOUGH_BLOCKS / tiles_of<small>(m, n);
    parts = parts < k / SHORTEST_PART ? parts : k / SHORTEST_PART;
    const size_t room = MOST_WORKSPACE / sizeof(float) / m / n;
    parts = parts < room ? parts : room;
    parts = parts < MOST_PARTS ? parts : MOST_PARTS;
    return parts > 1 ? parts : 1;
}

template <typename S, trust TRUST>
cudaError_t launch(const problem<half> &p, size_t parts, size_t k_part, size_t c_part, cudaStream_t s)
{
    /* More than 48 KiB of shared memory have to be asked for. This only notes a limit; nothing is queued by it. */
    const cudaError_t error = cudaFuncSetAttribute(multiply<S, TRUST>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(S::SHARED_BYTES));
    if (error != cudaSuccess)
        return error;
    const size_t tiles = tiles_of<S>(p.m, p.n);
    if (tiles > INT_MAX)
        return cudaErrorInvalidValue;
    const dim3 grid(static_cast<unsigned>(tiles), 1, static_cast<unsigned>(parts));
    multiply<S, TRUST><<<grid, S::THREADS, S::SHARED_BYTES, s>>>(p, k_part, c_part);
    return cudaGetLastError();
}

int is_aligned(const half *x, size_t ld)
{
    return reinterpret_cast<uintptr_t>(x) % 16 == 0 && ld % CHUNK == 0;
}

template <typename S> cudaError_t cut(const problem<half> &p, size_t parts, float *workspace, cudaStream_t s)
{
    problem<half> q = p;
    size_t k_part = p.k, c_part = 0;
    if (parts > 1) {
        k_part = ceil_div(ceil_div(p.k, parts), S::BK) * S::BK; /* whole steps; the last part may be shorter */
        parts = ceil_div(p.k, k_part);
        c_part = p.m * p.n;
        q.alpha = 1.0f, q.beta = 0.0f, q.c = workspace, q.ldc = p.n;
    }
    const bool aligned = is_aligned(p.a, p.lda) && is_aligned(p.b, p.ldb);
    const bool whole = p.m % S::BM == 0 && p.n % S::BN == 0 && p.k % S::BK == 0;
    cudaError_t error = !aligned ? launch<S, NOTHING>(q, parts, k_part, c_part, s)
                        : !whole ? launch<S, ALIGNED>(q, parts, k_part, c_part, s)
                                 : launch<S, WHOLE>(q, parts, k_part, c_part, s);
    if (error == cudaSuccess && parts > 1) {
        add_parts<<<plain_grid(p.m * p.n), PLAIN_THREADS, 0, s>>>(p, workspace, static_cast<unsigned>(parts));
        error = cudaGetLastError();
    }
    return error;
}

/* ---- single precision, without tensor cores ---- */

/*
 * A block of 256 threads computes 128 x 128 of C, each thread 8 x 8 of it: four pieces of 4 x 4, 64 apart, so that
 * neighbours read neighbouring vectors. A lies transposed in shared memory: a step of k reads a row of each.
 */
namespace single {

constexpr unsigned BM = 128, BN = 128, BK = 16, THREADS = 256, SIDE = 16;
constexpr unsigned PAD = 4; /* the transposed stores of A would otherwise meet in the same banks */

struct stage {
    float a[BK][BM + PAD], b[BK][BN];
};

/* Four neighbours of a row; zeros where the matrix has ended. */
template <bool WHOLE> __device__ float4 quad(const float *from, size_t left)
{
    if (WHOLE)
        return *reinterpret_cast<const float4 *>(from);
    return make_float4(left > 0 ? from[0] : 0.0f, left > 1 ? from[1] : 0.0f, left > 2 ? from[2] : 0.0f,
                       left > 3 ? from[3] : 0.0f);
}

__device__ size_t left_of(size_t size, size_t at)
{
    return at < size ? size - at : 0;
}

template <bool WHOLE> __global__ void __launch_bounds__(THREADS, WHOLE ? 2 : 1) multiply(const problem<float> p)
{
    __shared__ stage stages[2];
    const unsigned t = threadIdx.x, x = t % SIDE, y = t / SIDE;
    const unsigned across = static_cast<unsigned>((p.n + BN - 1) / BN);
    const size_t row0 = static_cast<size_t>(blockIdx.x / across) * BM,
                 col0 = static_cast<size_t>(blockIdx.x % across) * BN;
    const unsigned a_row = t / 4, a_col = t % 4 * 4, b_row = t / 32, b_col = t % 32 * 4;

    const float *from_a = p.a + (row0 + a_row) * p.lda + a_col, *from_b = p.b + b_row * p.ldb + col0 + b_col;
    float4 next_a[2], next_b[2];
    auto fetch = [&](size_t k0) {
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            const size_t row = row0 + a_row + 64 * i, k = k0 + b_row + 8 * i;
            next_a[i] = quad<WHOLE>(from_a + 64 * i * p.lda, row < p.m ? left_of(p.k, k0 + a_col) : 0);
            next_b[i] = quad<WHOLE>(from_b + 8 * i * p.ldb, k < p.k ? left_of(p.n, col0 + b_col) : 0);
        }
        from_a += BK;
        from_b += BK * p.ldb;
    };
    auto put = [&](stage &to) {
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            to.a[a_col + 0][a_row + 64 * i] = next_a[i].x;
            to.a[a_col + 1][a_row + 64 * i] = next_a[i].y;
            to.a[a_col + 2][a_row + 64 * i] = next_a[i].z;
            to.a[a_col + 3][a_row + 64 * i] = next_a[i].w;
            *reinterpret_cast<float4 *>(&to.b[b_row + 8 * i][b_col]) = next_b[i];
        }
    };

    float sum[8][8] = {};
    unsigned now = 0;
    fetch(0);
    put(stages[0]);
    __syncthreads();
    const unsigned steps = static_cast<unsigned>((p.k + BK - 1) / BK);
    for (unsigned step = 1; step <= steps; step++) {
        if (step < steps)
            fetch(static_cast<size_t>(step) * BK); /* under way while the step before is multiplied */
#pragma unroll
        for (unsigned k = 0; k < BK; k++) {
            float a[8], b[8];
#pragma unroll
            for (unsigned h = 0; h < 2; h++) {
                *reinterpret_cast<float4 *>(a + 4 * h) =
                    *reinterpret_cast<const float4 *>(&stages[now].a[k][64 * h + 4 * y]);
                *reinterpret_cast<float4 *>(b + 4 * h) =
                    *reinterpret_cast<const float4 *>(&stages[now].b[k][64 * h + 4 * x]);
            }
#pragma unroll
            for (unsigned i = 0; i < 8; i++)
#pragma unroll
                for (unsigned j = 0; j < 8; j++)
                    sum[i][j] += a[i] * b[j];
        }
        if (step < steps)
            put(stages[1 - now]);
        __syncthreads();
        now = 1 - now;
    }
#pragma unroll
    for (unsigned i = 0; i < 8; i++) {
        const size_t row = row0 + i / 4 * 64 + 4 * y + i % 4;
#pragma unroll
        for (unsigned j = 0; j < 8; j++) {
            const size_t col = col0 + j / 4 * 64 + 4 * x + j % 4;
            float *to = p.c + row * p.ldc + col;
            if (WHOLE || (row < p.m && col < p.n))
                *to = scaled(sum[i][j], p.alpha, p.beta, to);
        }
    }
}

} // namespace single

cudaError_t multiply_single(const problem<float> &p, cudaStream_t s)
{
    const size_t tiles = ceil_div(p.m, single::BM) * ceil_div(p.n, single::BN);
    if (tiles > INT_MAX)
        return cudaErrorInvalidValue;
    const bool aligned = reinterpret_cast<uintptr_t>(p.a) % 16 == 0 && reinterpret_cast<uintptr_t>(p.b) % 16 == 0 &&
                         p.lda % 4 == 0 && p.ldb % 4 == 0;
    const unsigned grid = static_cast<unsigned>(tiles);
    if (aligned && p.m % single::BM == 0 && p.n % single::BN == 0 && p.k % single::BK == 0)
        single::multiply<true><<<grid, single::THREADS, 0, s>>>(p);
    else
        single::multiply<false><<<grid, single::THREADS, 0, s>>>(p);
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
    if (p.beta != 1.0f) {
        scale<<<plain_grid(p.m * p.n), PLAIN_THREADS, 0, s>>>(p.m, p.n, p.beta, p.c, p.ldc);
        *error = cudaGetLastError();
    }
    return true;
}

} // namespace

/* ---- the interface ---- */

size_t tc_workspace_bytes(size_t m, size_t n, size_t k)
{
    const size_t parts = parts_of(m, n, k);
    return parts > 1 ? parts * m * n * sizeof(float) : 0;
}

int tc_hgemm(size_t m, size_t n, size_t k, float alpha, const void *d_A, size_t lda, const void *d_B, size_t ldb,
             float beta, float *d_C, size_t ldc, void *d_ws, size_t ws_bytes, cudaStream_t s)
{
    const problem<half> p = {
        m, n, k, alpha, beta, static_cast<const half *>(d_A), lda, static_cast<const half *>(d_B), ldb, d_C, ldc};
    const size_t needed = tc_workspace_bytes(m, n, k);
    if (!is_valid(p) || ws_bytes < needed || (needed != 0 && !d_ws))
        return cudaErrorInvalidValue;
    cudaError_t error;
    if (is_only_scaled(p, s, &error))
        return error;
    if (!is_large(m, n))
        return cut<small>(p, parts_of(m, n, k), static_cast<float *>(d_ws), s);
    int device, room = 0; /* bytes of shared memory that a block may ask for */
    error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&room, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (error != cudaSuccess)
        return error;
    return static_cast<unsigned>(room) >= big::SHARED_BYTES ? cut<big>(p, 1, nullptr, s) : cut<lean>(p, 1, nullptr, s);
}

int tc_sgemm_smem(size_t m, size_t n, size_t k, float alpha, const float *d_A, size_t lda, const float *d_B, size_t ldb,
                  float beta, float *d_C, size_t ldc, cudaStream_t s)
{
    const problem<float> p = {m, n, k, alpha, beta, d_A, lda, d_B, ldb, d_C, ldc};
    if (!is_valid(p))
        return cudaErrorInvalidValue;
    cudaError_t error;
    if (is_only_scaled(p, s, &error))
        return error;
    return multiply_single(p, s);
}
