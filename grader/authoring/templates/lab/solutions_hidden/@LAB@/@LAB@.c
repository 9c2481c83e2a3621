/* The full-credit solution: the code that a student should be glad to have written. */
#include "@LAB@.h"

#include <errno.h>

int @LAB@_scale(size_t n, float factor, const float *x, float *y)
{
    if (n > 0 && (x == NULL || y == NULL))
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        y[i] = factor * x[i];
    return 0;
}
