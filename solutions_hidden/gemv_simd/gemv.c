/*
 * Matrix times vector in single precision: AVX2 and FMA, several rows at a time.
 *
 * The plan. Every element of A is used once, so that no blocking can save reading it; what counts is to read A at the
 * speed at which the memory (or the cache) can deliver it, and to do nothing else that takes longer:
 *
 *   lanes      eight products in one instruction;
 *   sums       an FMA takes 4 cycles and two can begin per cycle: eight sums under way, or the core waits for itself;
 *   rows       ROWS rows at a time: one load of x (or one load and store of y) serves ROWS loads of A;
 *   blocks     COLUMNS columns at a time: the piece of x (or of y) that all rows share stays in the first cache.
 *
 * A piece of x that is stored with a stride is first gathered into a buffer, a piece of A^T x is collected in one, and
 * so one kernel each is enough. The buffers are small and on the stack: a call cannot fail for lack of memory.
 */
#include "gemv.h"

#include <errno.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum {
    ROWS = 8,       /* 8 rows with a sum each are the 8 sums that an FMA of 4 cycles on 2 units needs */
    COLUMNS = 4096, /* 16 KiB of x, or of A^T x, in the first cache; the rest of it is for A to stream through */
    AHEAD = 64      /* floats between asking for a piece of a row and using it: the way from the second cache is long */
};

/* ---- arguments ---- */

typedef struct {
    size_t m, n;
    float alpha;
    const float *a;
    size_t lda;
    const float *x;
    ptrdiff_t incx;
    float beta;
    float *y;
    ptrdiff_t incy;
} problem;

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The distance between two elements as a number without sign; -PTRDIFF_MIN itself would overflow. */
static size_t distance(ptrdiff_t increment)
{
    return increment < 0 ? 0 - (size_t)increment : (size_t)increment;
}

static int vector_overflows(size_t length, ptrdiff_t increment)
{
    const size_t most = SIZE_MAX / sizeof(float); /* elements that fit */
    return length > 1 && length - 1 > (most - 1) / distance(increment);
}

static int matrix_overflows(size_t rows, size_t ld)
{
    return ld != 0 && rows > SIZE_MAX / sizeof(float) / ld;
}

static int check(const problem *p, size_t x_length, size_t y_length)
{
    if (p->lda < p->n || p->incx == 0 || p->incy == 0)
        return -EINVAL;
    int reads = p->m != 0 && p->n != 0 && p->alpha != 0.0f;
    if ((y_length != 0 && !p->y) || (reads && (!p->a || !p->x)))
        return -EINVAL;
    if (matrix_overflows(p->m, p->lda) || vector_overflows(x_length, p->incx) || vector_overflows(y_length, p->incy))
        return -EOVERFLOW;
    return 0;
}

/* Where element 0 of a vector is: at the highest address when the stride is negative. */
static ptrdiff_t first_of(size_t length, ptrdiff_t increment)
{
    return increment < 0 && length != 0 ? -(ptrdiff_t)(length - 1) * increment : 0;
}

static void scale(size_t length, float beta, float *y, ptrdiff_t incy)
{
    if (beta == 1.0f)
        return;
    if (beta == 0.0f && incy == 1) {
        memset(y, 0, length * sizeof(float));
        return;
    }
    for (size_t i = 0; i < length; i++) {
        float *element = y + (ptrdiff_t)i * incy;
        *element = beta == 0.0f ? 0.0f : beta * *element; /* beta == 0: y may hold NaN, and NaN * 0 is NaN */
    }
}

/* ---- vectors of eight ---- */

/* All ones in the first `count` lanes, 0 <= count <= 8. A masked load does not touch memory in the other lanes. */
static inline __m256i first_lanes(size_t count)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - count));
}

static inline __m256 load(const float *from, int is_whole, __m256i mask)
{
    return is_whole ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask);
}

/* The sums of four vectors, as one vector of four. */
static inline __m128 sum_each(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

static inline float sum(__m256 v)
{
    return _mm_cvtss_f32(sum_each(v, v, v, v));
}

/* Eight vectors, one for each of eight rows. Named, not an array: gcc keeps variables in registers, but may store an
 * array to the stack at every step. */
typedef struct {
    __m256 v0, v1, v2, v3, v4, v5, v6, v7;
} eight;

/* Ask for what the next steps will read. A hint: harmless behind the last row and the last column. */
static inline void prefetch_rows(const float *a, size_t lda)
{
    const float *b = a + 4 * lda;
    for (size_t r = 0; r < 4; r++) {
        _mm_prefetch((const char *)(a + r * lda + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + r * lda + AHEAD), _MM_HINT_T0);
    }
}

/* ---- A * x: rows of A times x ---- */

/* Eight columns of eight rows: one vector of x serves them all. `is_whole` is a constant wherever this is inlined. */
static inline eight add_columns(eight s, const float *a, size_t lda, const float *x, int is_whole, __m256i mask)
{
    const float *b = a + 4 * lda;
    __m256 factor = load(x, is_whole, mask);
    s.v0 = _mm256_fmadd_ps(load(a, is_whole, mask), factor, s.v0);
    s.v1 = _mm256_fmadd_ps(load(a + lda, is_whole, mask), factor, s.v1);
    s.v2 = _mm256_fmadd_ps(load(a + 2 * lda, is_whole, mask), factor, s.v2);
    s.v3 = _mm256_fmadd_ps(load(a + 3 * lda, is_whole, mask), factor, s.v3);
    s.v4 = _mm256_fmadd_ps(load(b, is_whole, mask), factor, s.v4);
    s.v5 = _mm256_fmadd_ps(load(b + lda, is_whole, mask), factor, s.v5);
    s.v6 = _mm256_fmadd_ps(load(b + 2 * lda, is_whole, mask), factor, s.v6);
    s.v7 = _mm256_fmadd_ps(load(b + 3 * lda, is_whole, mask), factor, s.v7);
    return s;
}

/* values[r] = row r of A times x, for eight rows of length n. One pointer into A moves along; its distances to the
 * other rows stay in registers. (With an index j, gcc keeps a pointer per row, and has no registers left for that.) */
static void dot_eight_rows(size_t n, const float *a, size_t lda, const float *x, float *values)
{
    const __m256i all = first_lanes(8);
    const float *end = x + n;
    eight s = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
               _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    for (; end - x >= 16; x += 16, a += 16) { /* a whole cache line of each row */
        prefetch_rows(a, lda);
        s = add_columns(s, a, lda, x, 1, all);
        s = add_columns(s, a + 8, lda, x + 8, 1, all);
    }
    for (; end - x >= 8; x += 8, a += 8)
        s = add_columns(s, a, lda, x, 1, all);
    if (x != end)
        s = add_columns(s, a, lda, x, 0, first_lanes((size_t)(end - x)));
    _mm_storeu_ps(values, sum_each(s.v0, s.v1, s.v2, s.v3));
    _mm_storeu_ps(values + 4, sum_each(s.v4, s.v5, s.v6, s.v7));
}

/* One row: several sums of its own, since no other row keeps the FMA units busy. */
float dot_f32(size_t n, const float *x, const float *y)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8), _mm256_loadu_ps(y + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 16), _mm256_loadu_ps(y + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 24), _mm256_loadu_ps(y + i + 24), s3);
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), s0);
    if (i < n) {
        __m256i mask = first_lanes(n - i);
        s1 = _mm256_fmadd_ps(_mm256_maskload_ps(x + i, mask), _mm256_maskload_ps(y + i, mask), s1);
    }
    return sum(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static inline void add_to(float *y, float alpha, float value)
{
    *y += alpha * value;
}

/* y += alpha * A * x, for one block of columns whose piece of x is contiguous. */
static void multiply_block(size_t m, size_t n, float alpha, const float *a, size_t lda, const float *x, float *y,
                           ptrdiff_t incy)
{
    size_t i = 0;
    for (; i + ROWS <= m; i += ROWS) {
        float values[ROWS];
        dot_eight_rows(n, a + i * lda, lda, x, values);
        for (size_t r = 0; r < ROWS; r++)
            add_to(y + (ptrdiff_t)(i + r) * incy, alpha, values[r]);
    }
    for (; i < m; i++)
        add_to(y + (ptrdiff_t)i * incy, alpha, dot_f32(n, a + i * lda, x));
}

static void multiply(const problem *p, const float *x, float *y)
{
    float gathered[COLUMNS];
    for (size_t j = 0; j < p->n; j += COLUMNS) {
        size_t width = min_size(COLUMNS, p->n - j);
        const float *piece = x + (ptrdiff_t)j * p->incx;
        if (p->incx != 1) {
            for (size_t k = 0; k < width; k++)
                gathered[k] = piece[(ptrdiff_t)k * p->incx];
            piece = gathered;
        }
        multiply_block(p->m, width, p->alpha, p->a + j, p->lda, piece, y, p->incy);
    }
}

/* ---- A^T * x: each row of A times one number, added up ---- */

/* Eight numbers of x, each in all lanes. */
static inline eight broadcast(const float *x, ptrdiff_t incx)
{
    return (eight){_mm256_set1_ps(x[0]),        _mm256_set1_ps(x[incx]),     _mm256_set1_ps(x[2 * incx]),
                   _mm256_set1_ps(x[3 * incx]), _mm256_set1_ps(x[4 * incx]), _mm256_set1_ps(x[5 * incx]),
                   _mm256_set1_ps(x[6 * incx]), _mm256_set1_ps(x[7 * incx])};
}

/* total += the sum of eight rows times their numbers, for eight columns. Each FMA waits for the one before it, but the
 * next columns wait for none of these: the core works on several of them at once. */
static inline __m256 eight_products(__m256 total, const float *a, size_t lda, const eight *f)
{
    const float *b = a + 4 * lda;
    total = _mm256_fmadd_ps(_mm256_loadu_ps(a), f->v0, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(a + lda), f->v1, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(a + 2 * lda), f->v2, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(a + 3 * lda), f->v3, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(b), f->v4, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(b + lda), f->v5, total);
    total = _mm256_fmadd_ps(_mm256_loadu_ps(b + 2 * lda), f->v6, total);
    return _mm256_fmadd_ps(_mm256_loadu_ps(b + 3 * lda), f->v7, total);
}

/* total[j] += sum over eight rows of a[r * lda + j] * x[r * incx] */
static void add_eight_rows(size_t n, const float *a, size_t lda, const float *x, ptrdiff_t incx, float *total)
{
    const eight f = broadcast(x, incx);
    size_t j = 0;
    for (; j + 8 <= n; j += 8)
        _mm256_storeu_ps(total + j, eight_products(_mm256_loadu_ps(total + j), a + j, lda, &f));
    for (; j < n; j++)
        for (size_t r = 0; r < ROWS; r++)
            total[j] += a[r * lda + j] * x[(ptrdiff_t)r * incx];
}

/* y += factor * x, eight at a time; also one row of A times its number. */
static void add_scaled(size_t n, float factor, const float *x, float *y)
{
    const __m256 eight = _mm256_set1_ps(factor);
    size_t j = 0;
    for (; j + 8 <= n; j += 8)
        _mm256_storeu_ps(y + j, _mm256_fmadd_ps(_mm256_loadu_ps(x + j), eight, _mm256_loadu_ps(y + j)));
    for (; j < n; j++)
        add_to(y + j, factor, x[j]);
}

static void multiply_transposed(const problem *p, const float *x, float *y)
{
    float total[COLUMNS];
    for (size_t j = 0; j < p->n; j += COLUMNS) {
        size_t width = min_size(COLUMNS, p->n - j), i = 0;
        memset(total, 0, width * sizeof(float));
        for (; i + ROWS <= p->m; i += ROWS)
            add_eight_rows(width, p->a + i * p->lda + j, p->lda, x + (ptrdiff_t)i * p->incx, p->incx, total);
        for (; i < p->m; i++)
            add_scaled(width, x[(ptrdiff_t)i * p->incx], p->a + i * p->lda + j, total);
        if (p->incy == 1)
            add_scaled(width, p->alpha, total, y + j);
        else
            for (size_t k = 0; k < width; k++)
                add_to(y + (ptrdiff_t)(j + k) * p->incy, p->alpha, total[k]);
    }
}

/* ---- the interface ---- */

/* y += alpha * A * x, or A^T: from element 0 of x to element 0 of y, wherever these are. */
typedef void adder(const problem *p, const float *x, float *y);

static int solve(const problem *p, size_t x_length, size_t y_length, adder *add)
{
    int error = check(p, x_length, y_length);
    if (error || y_length == 0)
        return error;
    float *y = p->y + first_of(y_length, p->incy);
    scale(y_length, p->beta, y, p->incy);
    if (p->alpha != 0.0f && x_length != 0)
        add(p, p->x + first_of(x_length, p->incx), y);
    return 0;
}

int gemv_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
             float *y, ptrdiff_t incy)
{
    return solve(&(problem){m, n, alpha, A, lda, x, incx, beta, y, incy}, n, m, multiply);
}

int gemv_t_f32(size_t m, size_t n, float alpha, const float *A, size_t lda, const float *x, ptrdiff_t incx, float beta,
               float *y, ptrdiff_t incy)
{
    return solve(&(problem){m, n, alpha, A, lda, x, incx, beta, y, incy}, m, n, multiply_transposed);
}

void fmadd_f32(size_t n, const float *a, const float *b, float *c)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 total = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), _mm256_loadu_ps(c + i));
        _mm256_storeu_ps(c + i, total);
    }
    if (i < n) {
        __m256i mask = first_lanes(n - i);
        __m256 total = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask),
                                       _mm256_maskload_ps(c + i, mask));
        _mm256_maskstore_ps(c + i, mask, total);
    }
}

const char *gemv_isa(void)
{
    return "avx2";
}
