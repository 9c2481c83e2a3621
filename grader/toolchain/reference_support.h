/* What every reference offers beside the lab's functions. Called by the grader, timed by the grader. */
#ifndef REFERENCE_SUPPORT_H
#define REFERENCE_SUPPORT_H

void reference_text(int which, char *out, size_t size);
double probe_fma(long iterations);
double probe_read(const float *data, size_t count, int repeats);

#endif
