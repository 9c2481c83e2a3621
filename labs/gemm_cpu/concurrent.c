/* concurrent.c - staff code for the tests: two calls of gemm_f32 at the same time, from two threads. */
#include <pthread.h>

#include "gemm.h"

#include "concurrent.h"

struct call {
    size_t m, n, k;
    const float *A, *B;
    float *C;
    int status;
};

static void *run(void *argument)
{
    struct call *call = argument;
    call->status = gemm_f32(GEMM_N, GEMM_N, call->m, call->n, call->k, 1.0f, call->A, call->k, call->B, call->n, 0.0f,
                            call->C, call->n);
    return NULL;
}

/* Both products are N, N without padding. Returns the first status that is not 0. */
int gemm_two_callers(size_t m1, size_t n1, size_t k1, const float *A1, const float *B1, float *C1, size_t m2, size_t n2,
                     size_t k2, const float *A2, const float *B2, float *C2)
{
    struct call first = {m1, n1, k1, A1, B1, C1, 0}, second = {m2, n2, k2, A2, B2, C2, 0};
    pthread_t other;
    if (pthread_create(&other, NULL, run, &second) != 0)
        return -1;
    run(&first);
    pthread_join(other, NULL);
    return first.status != 0 ? first.status : second.status;
}
