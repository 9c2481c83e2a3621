/* Staff code of the "faults" build: a clock that the grader scripts, or speeds up, and whose readings are written down. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stddef.h>
#include <stdint.h>

/* What happened. kind 0: a reading (which clock, what it said, page faults so far); 1: work was called (iters);
 * 2: a thread was started; 3: a clock that is not to be read (which function). */
typedef struct {
    uint32_t kind;
    int32_t which;
    int64_t ns;
    uint64_t number;
} clock_event;

void clock_real(double speed);
void clock_cpu(void);
void clock_fail_thread(long nth);
long clock_threads(void);
size_t clock_log(clock_event *events, size_t room);
int clock_scripted(int64_t start_ns, const int64_t *steps, size_t nsteps, double ns_per_op, const double *slow,
                   size_t nslow, uint64_t min_ns, uint32_t reps, mb_stat *out);
void clock_stepped(int64_t start_ns, const int64_t *steps, size_t nsteps);
double clock_scripted_overhead(int64_t start_ns, const int64_t *steps, size_t nsteps);

#endif
