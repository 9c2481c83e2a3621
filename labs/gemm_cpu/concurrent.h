/* Staff code for the tests: two calls of gemm_f32 at the same time. */
#ifndef CONCURRENT_H
#define CONCURRENT_H

int gemm_two_callers(size_t m1, size_t n1, size_t k1, const float *A1, const float *B1, float *C1, size_t m2, size_t n2,
                     size_t k2, const float *A2, const float *B2, float *C2);

#endif
