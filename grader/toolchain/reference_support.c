/*
 * reference_support.c - linked into every reference: its name as text, and what this core can do at most, in fused
 * multiply-adds from registers and in reading memory.
 */
#include <immintrin.h>
#include <stddef.h>
#include <stdio.h>

#include "reference_support.h"

/* The lab's reference.c defines these two. */
const char *reference_name(void);
const char *reference_isa(void);

/* Which library is this (which = 0), with kernels for which CPU (which = 1)? */
void reference_text(int which, char *out, size_t size)
{
    snprintf(out, size, "%s", which == 0 ? reference_name() : reference_isa());
}

enum { CHAINS = 12 }; /* enough independent chains to hide the latency of two FMA units */

/* `iterations` times 12 AVX2 FMAs of 8 floats each: 192 floating-point operations per iteration. */
double probe_fma(long iterations)
{
    __m256 sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_ps((float)i);
    const __m256 factor = _mm256_set1_ps(0.999f), step = _mm256_set1_ps(1e-3f);
    for (long n = 0; n < iterations; n++)
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm256_fmadd_ps(sums[i], factor, step);
    float lanes[8];
    double total = 0;
    for (int i = 0; i < CHAINS; i++) {
        _mm256_storeu_ps(lanes, sums[i]);
        total += lanes[0];
    }
    return total;
}

enum {
    STREAMS = 4,         /* One stream of addresses leaves the memory idle in between: 13.8 GB/s, four of them 16.6 */
    PER_STREAM = 1 << 13 /* floats: long enough for the prefetchers, short enough not to matter for small arrays */
};

/* Read `count` floats (a multiple of 64) `repeats` times, as fast as one core can: at STREAMS places at a time where
 * the array is long enough. Eight sums, since an addition takes several cycles. */
double probe_read(const float *data, size_t count, int repeats)
{
    __m256 sums[8];
    for (int i = 0; i < 8; i++)
        sums[i] = _mm256_setzero_ps();
    for (int r = 0; r < repeats; r++) {
        size_t i = 0;
        for (; i + STREAMS * PER_STREAM <= count; i += STREAMS * PER_STREAM)
            for (const float *at = data + i; at < data + i + PER_STREAM; at += 16)
                for (int lane = 0; lane < 8; lane++)
                    sums[lane] = _mm256_add_ps(sums[lane], _mm256_loadu_ps(at + lane / 2 * PER_STREAM + lane % 2 * 8));
        for (; i + 64 <= count; i += 64)
            for (int lane = 0; lane < 8; lane++)
                sums[lane] = _mm256_add_ps(sums[lane], _mm256_loadu_ps(data + i + 8 * lane));
    }
    float lanes[8];
    double total = 0;
    for (int i = 0; i < 8; i++) {
        _mm256_storeu_ps(lanes, sums[i]);
        total += lanes[0];
    }
    return total;
}
