/*
 * driver.c - staff code for the tests, linked to every submission and to the reference. Nothing in here is trusted:
 * the grader knows what must come out and looks at the arrays itself.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gemv.h"

#include "driver.h"

static const float LINK = 0x1p-10f;
enum { MAX_CALLERS = 16, REPEATS = 500 };

static int multiply(int transposed, size_t m, size_t n, const float *A, size_t lda, const float *x, float *y)
{
    if (transposed)
        return gemv_t_f32(m, n, 1.0f, A, lda, x, 1, 0.0f, y, 1);
    return gemv_f32(m, n, 1.0f, A, lda, x, 1, 0.0f, y, 1);
}

/*
 * Y[c] = A X'[c] for each call c, row by row; X'[c] is X[c] but for its first element, to which a little of the last
 * element of Y[c - 1] is added. So a call can be neither put off nor guessed: its x is not known before the call
 * before it has been answered. Returns the first status that is not 0.
 */
int gemv_chain(int transposed, size_t calls, size_t m, size_t n, const float *A, const float *X, float *Y)
{
    size_t x_length = transposed ? m : n, y_length = transposed ? n : m;
    float *x = malloc(x_length * sizeof *x);
    int status = x != NULL ? 0 : -ENOMEM;
    for (size_t c = 0; c < calls && status == 0; c++, Y += y_length) {
        memcpy(x, X + c * x_length, x_length * sizeof *x);
        if (c != 0)
            x[0] += LINK * Y[-1];
        status = multiply(transposed, m, n, A, n, x, Y);
    }
    free(x);
    return status;
}

struct caller {
    size_t m, n;
    const float *A, *x;
    float *y;
    pthread_barrier_t *start;
    int status;
};

/* The same product again and again; stops at the first one that differs, so that the grader sees it. */
static void *call(void *argument)
{
    struct caller *caller = argument;
    size_t bytes = caller->m * sizeof(float);
    float *first = malloc(bytes);
    pthread_barrier_wait(caller->start);
    caller->status = first != NULL ? 0 : -ENOMEM;
    for (int i = 0; i < REPEATS && caller->status == 0; i++) {
        caller->status = multiply(0, caller->m, caller->n, caller->A, caller->n, caller->x, caller->y);
        if (i == 0)
            memcpy(first, caller->y, bytes);
        else if (memcmp(first, caller->y, bytes) != 0)
            break;
    }
    free(first);
    return NULL;
}

/* Y[c] = A X[c] on `callers` threads at the same time. Returns the first status that is not 0. */
int gemv_callers(size_t callers, size_t m, size_t n, const float *A, const float *X, float *Y)
{
    pthread_barrier_t start;
    pthread_t threads[MAX_CALLERS];
    struct caller states[MAX_CALLERS];
    if (callers == 0 || callers > MAX_CALLERS || pthread_barrier_init(&start, NULL, (unsigned)callers) != 0)
        return -EINVAL;
    for (size_t c = 0; c < callers; c++) {
        states[c] = (struct caller){m, n, A, X + c * n, Y + c * m, &start, 0};
        if (c != 0 && pthread_create(&threads[c], NULL, call, &states[c]) != 0)
            abort(); /* the others wait at the barrier: there is no way back */
    }
    call(&states[0]);
    int status = states[0].status;
    for (size_t c = 1; c < callers; c++) {
        pthread_join(threads[c], NULL);
        status = status != 0 ? status : states[c].status;
    }
    pthread_barrier_destroy(&start);
    return status;
}

/*
 * A matrix whose rows lie gigabytes apart, in memory that is reserved and mostly never touched: `rows` holds m x n
 * numbers without padding. Returns the call's status, or -ENOSPC when so much cannot be reserved.
 */
int gemv_far_apart(int transposed, size_t m, size_t n, size_t lda, const float *rows, const float *x, float *y)
{
    size_t bytes = ((m - 1) * lda + n) * sizeof(float);
    float *A = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (A == MAP_FAILED)
        return -ENOSPC;
    for (size_t i = 0; i < m; i++)
        memcpy(A + i * lda, rows + i * n, n * sizeof(float));
    int status = multiply(transposed, m, n, A, lda, x, y);
    munmap(A, bytes);
    return status;
}

/* A copy of gemv_isa() that the grader can read: at most size - 1 characters, and zeros behind them. */
void gemv_isa_text(char *text, size_t size)
{
    const char *isa = gemv_isa();
    memset(text, 0, size);
    for (size_t i = 0; isa != NULL && i + 1 < size && isa[i] != '\0'; i++)
        text[i] = isa[i];
}
