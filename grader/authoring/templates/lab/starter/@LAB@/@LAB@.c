/* @LAB@: your work goes into this file. @LAB@.h says what each function must do; do not change it. */
#include "@LAB@.h"

#include <errno.h>

int @LAB@_scale(size_t n, float factor, const float *x, float *y)
{
    /* Start here: one loop. */
    (void)n, (void)factor, (void)x, (void)y;
    return -ENOSYS;
}
