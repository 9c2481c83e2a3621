/* @LAB@.h - the contract of the lab "@LAB@". */
#ifndef LAB_@LAB@_H
#define LAB_@LAB@_H

#include <stddef.h>

/*
 * y[i] = factor * x[i] for i in 0 .. n - 1. The arrays do not overlap.
 * Returns 0, or -EINVAL when n > 0 and an array is NULL; -ENOSYS: not implemented (the starter).
 */
int @LAB@_scale(size_t n, float factor, const float *x, float *y);

#endif
