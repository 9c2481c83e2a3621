/*
 * Single-precision matrix multiplication: packed, cache blocked, AVX2, threaded.
 *
 * The plan (Goto & van de Geijn 2008; the five loops of BLIS):
 *
 *   threads     each thread owns some rows (or columns) of C and computes them alone
 *   for ic      MC rows of C and op(A)
 *     for pc    KC of the k dimension         -> pack op(A)[ic, pc]: MC x KC, stays in L3
 *       for jc  NC columns of C and op(B)     -> pack op(B)[pc, jc]: KC x NC, stays in L2
 *         for i   MR rows                     -> one panel of packed A: MR x KC, stays in L1
 *           for j   NR columns                -> one tile of C: MR x NR, stays in registers
 *             tile: for p in KC: C tile += column p of the A panel * row p of the B panel
 *
 * The tiles advance along the rows of C, because C is row major: the next tile is in the next cache line
 * of each row. (BLIS, written for columns, has A and B the other way round.)
 *
 * Packing makes the innermost loop read both operands front to back, and hides transposition and
 * leading dimensions from everything below it. beta is applied once, to each thread's part of C, before
 * the loops; alpha once per tile, when the registers are added to C.
 *
 * Every element of C is computed by the same operations in the same order, whichever thread or tile it
 * falls in. So the result does not depend on the number of threads, bit for bit.
 */
#include "gemm.h"

#include <errno.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    MR = 6,    /* 6 x 16 floats are 12 vectors; with 2 for B and 1 for A, 15 of the 16 registers are in use */
    NR = 16,   /* two vectors of 8 */
    KC = 256,  /* a panel of A, MR x KC, is 6 KiB; it shares L1 with the panel of B that streams by, 16 KiB */
    NC = 384,  /* a block of B, KC x NC, is 384 KiB of L2 */
    MC = 3072, /* a block of A, MC x KC, is 3 MiB of L3 */
    AHEAD = 16 /* steps of k between asking for a row of B and using it */
};

enum { LINE = 16 }; /* floats in a cache line of 64 bytes */
enum { MAX_THREADS = 256 };

/* op(X) as the loops see it: element (i, j) wherever it is stored. */
typedef struct {
    gemm_op op;
    const float *data;
    size_t ld;
} operand;

typedef struct {
    size_t m, n, k;
    float alpha, beta;
    operand a, b;
    float *c;
    size_t ldc;
} problem;

static size_t min_size(size_t x, size_t y)
{
    return x < y ? x : y;
}

static size_t ceil_div(size_t x, size_t y)
{
    return x / y + (x % y != 0);
}

static const float *element(operand x, size_t i, size_t j)
{
    return x.op == GEMM_N ? x.data + i * x.ld + j : x.data + j * x.ld + i;
}

/* ---- arguments ---- */

static int is_op(gemm_op op)
{
    return op == GEMM_N || op == GEMM_T;
}

static int size_overflows(size_t rows, size_t ld)
{
    return ld != 0 && rows > SIZE_MAX / sizeof(float) / ld;
}

static int check(const problem *p)
{
    if (!is_op(p->a.op) || !is_op(p->b.op))
        return -EINVAL;
    size_t a_rows = p->a.op == GEMM_N ? p->m : p->k, a_cols = p->a.op == GEMM_N ? p->k : p->m;
    size_t b_rows = p->b.op == GEMM_N ? p->k : p->n, b_cols = p->b.op == GEMM_N ? p->n : p->k;
    if (p->a.ld < a_cols || p->b.ld < b_cols || p->ldc < p->n)
        return -EINVAL;
    int writes = p->m != 0 && p->n != 0;
    int reads = writes && p->k != 0 && p->alpha != 0.0f;
    if ((writes && !p->c) || (reads && (!p->a.data || !p->b.data)))
        return -EINVAL;
    if (size_overflows(a_rows, p->a.ld) || size_overflows(b_rows, p->b.ld) || size_overflows(p->m, p->ldc))
        return -EOVERFLOW;
    return 0;
}

/* ---- beta ---- */

static void scale_row(size_t n, float beta, float *c)
{
    size_t j = 0;
    __m256 factor = _mm256_set1_ps(beta);
    for (; j + 8 <= n; j += 8)
        _mm256_storeu_ps(c + j, _mm256_mul_ps(factor, _mm256_loadu_ps(c + j)));
    for (; j < n; j++)
        c[j] *= beta;
}

static void scale_c(const problem *p)
{
    if (p->beta == 1.0f)
        return;
    for (size_t i = 0; i < p->m; i++) {
        float *row = p->c + i * p->ldc;
        if (p->beta == 0.0f) /* write, do not multiply: C may hold NaN */
            memset(row, 0, p->n * sizeof(float));
        else
            scale_row(p->n, p->beta, row);
    }
}

/* ---- packing ----
 *
 * A panel holds `width` values per step of k, `width` being MR or NR. In the source these values are either
 * neighbours (GEMM_T for A, GEMM_N for B): copy; or a leading dimension apart (GEMM_N for A, GEMM_T for B):
 * transpose. `used` <= width of them exist, the others become zeros.
 */

static inline void copy_panel(size_t width, size_t used, size_t kc, const float *from, size_t ld, float *to)
{
    for (size_t p = 0; p < kc; p++) {
        memcpy(to + p * width, from + p * ld, used * sizeof(float));
        for (size_t i = used; i < width; i++)
            to[p * width + i] = 0.0f;
    }
}

static inline void transpose_panel(size_t width, size_t used, size_t kc, const float *from, size_t ld,
                                   float *to)
{
    for (size_t p = 0; p < kc; p++) {
        for (size_t i = 0; i < used; i++)
            to[p * width + i] = from[i * ld + p];
        for (size_t i = used; i < width; i++)
            to[p * width + i] = 0.0f;
    }
}

/* Four rows of four floats at `from` become four columns at `to`. */
static inline void transpose_4x4(const float *from, size_t ld, float *to, size_t width)
{
    __m128 r0 = _mm_loadu_ps(from), r1 = _mm_loadu_ps(from + ld);
    __m128 r2 = _mm_loadu_ps(from + 2 * ld), r3 = _mm_loadu_ps(from + 3 * ld);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(to, r0);
    _mm_storeu_ps(to + width, r1);
    _mm_storeu_ps(to + 2 * width, r2);
    _mm_storeu_ps(to + 3 * width, r3);
}

/* Two rows of four floats become four columns of two. */
static inline void transpose_2x4(const float *from, size_t ld, float *to, size_t width)
{
    __m128 r0 = _mm_loadu_ps(from), r1 = _mm_loadu_ps(from + ld);
    __m128 low = _mm_unpacklo_ps(r0, r1), high = _mm_unpackhi_ps(r0, r1);
    _mm_storel_pi((__m64 *)to, low);
    _mm_storeh_pi((__m64 *)(to + width), low);
    _mm_storel_pi((__m64 *)(to + 2 * width), high);
    _mm_storeh_pi((__m64 *)(to + 3 * width), high);
}

/* A full panel, four steps of k at a time. */
static inline void transpose_full_panel(size_t width, size_t kc, const float *from, size_t ld, float *to)
{
    size_t p = 0;
    for (; p + 4 <= kc; p += 4) {
        size_t i = 0;
        for (; i + 4 <= width; i += 4)
            transpose_4x4(from + i * ld + p, ld, to + p * width + i, width);
        if (i < width)
            transpose_2x4(from + i * ld + p, ld, to + p * width + i, width);
    }
    transpose_panel(width, width, kc - p, from + p, ld, to + p * width);
}

/* All panels of a block of `count` rows of op(A), or columns of op(B). */
static inline void pack(int apart, size_t width, size_t count, size_t kc, const float *from, size_t ld,
                        float *to)
{
    for (size_t i = 0; i < count; i += width) {
        const float *panel = apart ? from + i * ld : from + i;
        size_t used = min_size(width, count - i);
        if (used == width && apart)
            transpose_full_panel(width, kc, panel, ld, to + i * kc);
        else if (used == width)
            copy_panel(width, width, kc, panel, ld, to + i * kc); /* width is a constant: memcpy is inlined */
        else if (apart)
            transpose_panel(width, used, kc, panel, ld, to + i * kc);
        else
            copy_panel(width, used, kc, panel, ld, to + i * kc);
    }
}

void gemm_pack_a(gemm_op ta, size_t mc, size_t kc, const float *A, size_t lda, float *Ap)
{
    pack(ta == GEMM_N, MR, mc, kc, A, lda, Ap);
}

void gemm_pack_b(gemm_op tb, size_t kc, size_t nc, const float *B, size_t ldb, float *Bp)
{
    pack(tb == GEMM_T, NR, nc, kc, B, ldb, Bp);
}

/* ---- the micro-kernel: C tile += alpha * A panel * B panel ---- */

/* One row of the tile. Six named rows, not an array of six: gcc keeps variables in registers, but stores
 * an array back to the stack at every step. */
typedef struct {
    __m256 left, right;
} row;

static inline row row_fma(row sum, const float *a, __m256 left, __m256 right)
{
    __m256 factor = _mm256_broadcast_ss(a);
    sum.left = _mm256_fmadd_ps(factor, left, sum.left);
    sum.right = _mm256_fmadd_ps(factor, right, sum.right);
    return sum;
}

static inline void row_add_to(float *c, float alpha, row sum)
{
    __m256 factor = _mm256_set1_ps(alpha);
    _mm256_storeu_ps(c, _mm256_fmadd_ps(factor, sum.left, _mm256_loadu_ps(c)));
    _mm256_storeu_ps(c + 8, _mm256_fmadd_ps(factor, sum.right, _mm256_loadu_ps(c + 8)));
}

static inline void tile(size_t kc, float alpha, const float *Ap, const float *Bp, float *C, size_t ldc)
{
    for (size_t i = 0; i < MR; i++) { /* C is needed only at the end: ask for it now */
        _mm_prefetch((const char *)(C + i * ldc), _MM_HINT_T0);
        _mm_prefetch((const char *)(C + i * ldc + NR - 1), _MM_HINT_T0);
    }
    row zero = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    row r0 = zero, r1 = zero, r2 = zero, r3 = zero, r4 = zero, r5 = zero;
    for (size_t p = 0; p < kc; p++) {
        const float *a = Ap + p * MR, *b = Bp + p * NR;
        _mm_prefetch((const char *)(b + AHEAD * NR), _MM_HINT_T0); /* a hint; harmless after the last row */
        __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
        r0 = row_fma(r0, a + 0, left, right);
        r1 = row_fma(r1, a + 1, left, right);
        r2 = row_fma(r2, a + 2, left, right);
        r3 = row_fma(r3, a + 3, left, right);
        r4 = row_fma(r4, a + 4, left, right);
        r5 = row_fma(r5, a + 5, left, right);
    }
    row_add_to(C + 0 * ldc, alpha, r0);
    row_add_to(C + 1 * ldc, alpha, r1);
    row_add_to(C + 2 * ldc, alpha, r2);
    row_add_to(C + 3 * ldc, alpha, r3);
    row_add_to(C + 4 * ldc, alpha, r4);
    row_add_to(C + 5 * ldc, alpha, r5);
}

void gemm_ukernel(size_t k, const float *Ap, const float *Bp, float *C, size_t ldc)
{
    tile(k, 1.0f, Ap, Bp, C, ldc);
}

static inline void copy_tile(size_t rows, size_t cols, const float *from, size_t ldf, float *to, size_t ldt)
{
    for (size_t i = 0; i < rows; i++)
        if (cols == NR) /* a size known to the compiler: two moves instead of a call */
            memcpy(to + i * ldt, from + i * ldf, NR * sizeof(float));
        else
            memcpy(to + i * ldt, from + i * ldf, cols * sizeof(float));
}

/* A tile that hangs over the edge of C: work on a whole one in a buffer, bring back what exists. */
static void edge_tile(size_t rows, size_t cols, size_t kc, float alpha, const float *Ap, const float *Bp,
                      float *C, size_t ldc)
{
    float buffer[MR * NR] = {0};
    copy_tile(rows, cols, C, ldc, buffer, NR);
    tile(kc, alpha, Ap, Bp, buffer, NR);
    copy_tile(rows, cols, buffer, NR, C, ldc);
}

/* ---- the five loops ---- */

/* C block += alpha * packed A * packed B */
static void macro_kernel(size_t mc, size_t nc, size_t kc, float alpha, const float *Ap, const float *Bp,
                         float *C, size_t ldc)
{
    for (size_t i = 0; i < mc; i += MR) {
        size_t rows = min_size(MR, mc - i);
        for (size_t j = 0; j < nc; j += NR) {
            size_t cols = min_size(NR, nc - j);
            float *c = C + i * ldc + j;
            if (rows == MR && cols == NR)
                tile(kc, alpha, Ap + i * kc, Bp + j * kc, c, ldc);
            else
                edge_tile(rows, cols, kc, alpha, Ap + i * kc, Bp + j * kc, c, ldc);
        }
    }
}

/* The workspace: one packed block of A, then one of B, no larger than this problem needs. Both begin on a
 * cache line. (Not aligned_alloc: glibc's leaves unusable gaps, so that the heap grows with every call.) */
static size_t a_floats(const problem *p)
{
    size_t rows = ceil_div(min_size(MC, p->m), MR) * MR;
    return ceil_div(rows * min_size(KC, p->k), LINE) * LINE;
}

static size_t b_floats(const problem *p)
{
    return ceil_div(min_size(NC, p->n), NR) * NR * min_size(KC, p->k);
}

static float *align_to_line(void *memory)
{
    size_t bytes = LINE * sizeof(float);
    return (float *)(((uintptr_t)memory + bytes - 1) / bytes * bytes);
}

static void multiply(const problem *p, float *workspace)
{
    float *Ap = workspace, *Bp = workspace + a_floats(p);
    scale_c(p);
    for (size_t ic = 0; ic < p->m; ic += MC) {
        size_t mc = min_size(MC, p->m - ic);
        for (size_t pc = 0; pc < p->k; pc += KC) {
            size_t kc = min_size(KC, p->k - pc);
            gemm_pack_a(p->a.op, mc, kc, element(p->a, ic, pc), p->a.ld, Ap);
            for (size_t jc = 0; jc < p->n; jc += NC) {
                size_t nc = min_size(NC, p->n - jc);
                gemm_pack_b(p->b.op, kc, nc, element(p->b, pc, jc), p->b.ld, Bp);
                macro_kernel(mc, nc, kc, p->alpha, Ap, Bp, p->c + ic * p->ldc + jc, p->ldc);
            }
        }
    }
}

/* ---- threads ---- */

typedef struct {
    problem part;
    float *workspace;
    pthread_t thread;
    int started;
} share;

/* Share t of `count`: whole panels, along the longer side of C. */
static problem part_of(const problem *p, size_t t, size_t count)
{
    problem part = *p;
    int by_rows = p->m >= p->n;
    size_t unit = by_rows ? MR : NR, length = by_rows ? p->m : p->n;
    size_t panels = ceil_div(length, unit);
    size_t each = panels / count, extra = panels % count; /* the first `extra` shares take one panel more */
    size_t begin = (t * each + min_size(t, extra)) * unit;
    size_t end = min_size(begin + (each + (t < extra)) * unit, length);
    if (by_rows) {
        part.m = end - begin;
        part.a.data = element(p->a, begin, 0);
        part.c = p->c + begin * p->ldc;
    } else {
        part.n = end - begin;
        part.b.data = element(p->b, 0, begin);
        part.c = p->c + begin;
    }
    return part;
}

static void *run_share(void *argument)
{
    share *s = argument;
    multiply(&s->part, s->workspace);
    return NULL;
}

/* The caller works too, on share 0, and on every share that found no thread. */
static void run_shares(share *shares, size_t count)
{
    for (size_t t = 1; t < count; t++)
        shares[t].started = pthread_create(&shares[t].thread, NULL, run_share, &shares[t]) == 0;
    for (size_t t = 0; t < count; t++)
        if (!shares[t].started)
            run_share(&shares[t]);
    for (size_t t = 1; t < count; t++)
        if (shares[t].started)
            pthread_join(shares[t].thread, NULL);
}

static size_t share_count(const problem *p, int nthreads)
{
    size_t panels = p->m >= p->n ? ceil_div(p->m, MR) : ceil_div(p->n, NR);
    return min_size(min_size((size_t)nthreads, MAX_THREADS), panels);
}

static int solve(problem p, int nthreads)
{
    int error = check(&p);
    if (error || p.m == 0 || p.n == 0)
        return error;
    if (p.alpha == 0.0f || p.k == 0) { /* no product to add, and A and B may not be read */
        scale_c(&p);
        return 0;
    }

    share shares[MAX_THREADS];
    size_t count = share_count(&p, nthreads);
    problem largest = part_of(&p, 0, count);
    size_t floats = a_floats(&largest) + b_floats(&largest);
    void *memory = malloc((count * floats + LINE) * sizeof(float));
    if (!memory)
        return -ENOMEM; /* C is still untouched */
    float *workspace = align_to_line(memory);
    for (size_t t = 0; t < count; t++)
        shares[t] = (share){.part = part_of(&p, t, count), .workspace = workspace + t * floats};
    run_shares(shares, count);
    free(memory);
    return 0;
}

/* ---- the interface ---- */

void gemm_get_blocking(gemm_blocking *out)
{
    *out = (gemm_blocking){.mr = MR, .nr = NR, .mc = MC, .kc = KC, .nc = NC};
}

int gemm_f32(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
             const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    return gemm_f32_mt(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc, 1);
}

int gemm_f32_mt(gemm_op ta, gemm_op tb, size_t m, size_t n, size_t k, float alpha, const float *A, size_t lda,
                const float *B, size_t ldb, float beta, float *C, size_t ldc, int nthreads)
{
    if (nthreads < 1)
        return -EINVAL;
    return solve((problem){m, n, k, alpha, beta, {ta, A, lda}, {tb, B, ldb}, C, ldc}, nthreads);
}
