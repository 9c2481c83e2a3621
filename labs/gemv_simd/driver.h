/* Staff code for the tests: many calls at once, several threads at once, memory that Python cannot lay out. */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>

int gemv_chain(int transposed, size_t calls, size_t m, size_t n, const float *A, const float *X, float *Y);
int gemv_callers(size_t callers, size_t m, size_t n, const float *A, const float *X, float *Y);
int gemv_far_apart(int transposed, size_t m, size_t n, size_t lda, const float *rows, const float *x, float *y);
void gemv_isa_text(char *text, size_t size);

#endif
