/* disturb.h - staff code of the faults variant: locks and conditions that behave as badly as POSIX allows; see disturb.c. */
#ifndef DISTURB_H
#define DISTURB_H

#include <stdint.h>

/*
 * From now on, chosen by `seed`: of a thousand waits on a condition variable `spurious` return at once without a reason;
 * and now and then a wait, a wake-up, a lock or an unlock comes up to `late_us` microseconds late. Zeros: undisturbed.
 * Starts all counts anew.
 */
int disturb(uint64_t seed, uint32_t spurious, uint32_t late_us);

/* Calls since then, by the submission: 0 lock functions, 1 wake-ups (signal, broadcast, post). */
long disturb_calls(int which);

#endif
