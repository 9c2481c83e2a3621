/* concurrent.c - staff code for the tests: two callers of gemm_f32, again and again, at the same time. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gemm.h"

#include "concurrent.h"

enum { REPEATS = 20 };

struct call {
    size_t m, n, k;
    const float *A, *B;
    float *C;
    pthread_barrier_t *start;
    int status;
};

static int multiply(const struct call *call)
{
    return gemm_f32(GEMM_N, GEMM_N, call->m, call->n, call->k, 1.0f, call->A, call->k, call->B, call->n, 0.0f, call->C,
                    call->n);
}

/* The same product again and again; stops at the first one that differs, so that the grader sees it. */
static void *run(void *argument)
{
    struct call *call = argument;
    size_t bytes = call->m * call->n * sizeof(float);
    float *first = malloc(bytes);
    pthread_barrier_wait(call->start);
    call->status = first != NULL ? multiply(call) : -1;
    if (call->status == 0)
        memcpy(first, call->C, bytes);
    for (int i = 0; i < REPEATS && call->status == 0; i++) {
        call->status = multiply(call);
        if (memcmp(first, call->C, bytes) != 0)
            break;
    }
    free(first);
    return NULL;
}

/* Both products are N, N without padding. Returns the first status that is not 0. */
int gemm_two_callers(size_t m1, size_t n1, size_t k1, const float *A1, const float *B1, float *C1, size_t m2, size_t n2,
                     size_t k2, const float *A2, const float *B2, float *C2)
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct call first = {m1, n1, k1, A1, B1, C1, &start, 0}, second = {m2, n2, k2, A2, B2, C2, &start, 0};
    pthread_t other;
    if (pthread_create(&other, NULL, run, &second) != 0)
        return -1;
    run(&first);
    pthread_join(other, NULL);
    pthread_barrier_destroy(&start);
    return first.status != 0 ? first.status : second.status;
}
