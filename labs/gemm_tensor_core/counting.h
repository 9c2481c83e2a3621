/* counting.h - how often the submission called what it must not: in the "faults" build only. */
#ifndef COUNTING_H
#define COUNTING_H

#include <stdint.h>

enum { COUNT_ALLOCATIONS, COUNT_WAITS, COUNT_HOST_COPIES, COUNT_KINDS };

/* Make products of n x n, in halves and in floats; counts[COUNT_*]: calls of CUDA's runtime that came from them. */
int drive_counted(uint64_t n, int64_t *counts);

#endif
