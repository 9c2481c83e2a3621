/*
 * faults.c - stands in for the submission's clocks and for pthread_create in the "faults" build.
 *
 * Scripted, the clock stands still but for what the script says: every reading takes a given time, and so does every
 * operation of the work. Real, it is the machine's own clock, faster by a factor, or the CPU time. All readings are
 * written down, so that what a submission says can be compared with what its clock said, digit by digit, on the noisiest
 * machine.
 */
#define _GNU_SOURCE
#include "microbench.h"

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

enum { READING, WORK, THREAD, WRONG_CLOCK };
enum { ROOM = 1 << 16, MAX_SCRIPT = 4096 };

static clock_event log_of[ROOM];
static atomic_size_t logged;
static atomic_long threads_alive;
static long threads_left = -1; /* threads that may still be started; negative: any number */

static struct {
    int on;
    int64_t now;
    int64_t steps[MAX_SCRIPT];
    double slow[MAX_SCRIPT];
    size_t nsteps, nslow, readings, calls;
    double ns_per_op;
} script;

static double speed = 1.0;
static clockid_t real_clock = CLOCK_MONOTONIC;
static int64_t real_start;

int __real_clock_gettime(clockid_t which, struct timespec *now);

static int64_t real_now(clockid_t which)
{
    struct timespec now;
    __real_clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void note(uint32_t kind, int which, int64_t ns, uint64_t number)
{
    size_t i = atomic_fetch_add(&logged, 1);
    if (i < ROOM)
        log_of[i] = (clock_event){kind, which, ns, number};
}

static void begin(clockid_t clock, double factor)
{
    script.on = 0;
    speed = factor;
    real_clock = clock;
    real_start = real_now(clock);
    threads_left = -1;
    atomic_store(&threads_alive, 0);
    atomic_store(&logged, 0);
}

/* The machine's own clock from now on, `factor` times as fast; the log begins anew, and threads may be started. */
void clock_real(double factor)
{
    begin(CLOCK_MONOTONIC, factor);
}

/* The CPU time of the process from now on: a clock that stands still while other programs have the machine. */
void clock_cpu(void)
{
    begin(CLOCK_PROCESS_CPUTIME_ID, 1.0);
}

/* Let pthread_create fail from thread number nth (from 0) on; negative: none fails. */
void clock_fail_thread(long nth)
{
    threads_left = nth;
}

/* Threads that were started and neither joined nor detached. */
long clock_threads(void)
{
    return atomic_load(&threads_alive);
}

/* Copies what has happened, at most `room` events of it, and returns how many there were. */
size_t clock_log(clock_event *events, size_t room)
{
    size_t count = atomic_load(&logged);
    size_t kept = count < ROOM ? count : ROOM;
    memcpy(events, log_of, (kept < room ? kept : room) * sizeof *events);
    return count;
}

/* ---- The scripted clock ---- */

static void write_script(int64_t start_ns, const int64_t *steps, size_t nsteps, double ns_per_op, const double *slow,
                         size_t nslow)
{
    clock_real(1.0);
    script.now = start_ns;
    script.nsteps = nsteps < MAX_SCRIPT ? nsteps : MAX_SCRIPT;
    script.nslow = nslow < MAX_SCRIPT ? nslow : MAX_SCRIPT;
    memcpy(script.steps, steps, script.nsteps * sizeof *steps);
    if (script.nslow > 0)
        memcpy(script.slow, slow, script.nslow * sizeof *slow);
    script.ns_per_op = ns_per_op;
    script.readings = script.calls = 0;
    script.on = 1;
}

/* The work of the script: takes ns_per_op * slow[number of the call] for every operation, and does nothing. */
static void take_time(void *context, uint64_t iters)
{
    (void)context;
    double factor = script.slow[script.calls++ % script.nslow];
    script.now += (int64_t)((double)iters * script.ns_per_op * factor);
    note(WORK, 0, 0, iters);
}

/* mb_measure by the script: the clock begins at start_ns; after reading number i it is steps[i] later, over and over. */
int clock_scripted(int64_t start_ns, const int64_t *steps, size_t nsteps, double ns_per_op, const double *slow,
                   size_t nslow, uint64_t min_ns, uint32_t reps, mb_stat *out)
{
    write_script(start_ns, steps, nsteps, ns_per_op, slow, nslow);
    int status = mb_measure(take_time, NULL, min_ns, reps, out);
    script.on = 0;
    return status;
}

/*
 * From now on, until clock_real or clock_cpu: after reading number i the clock is steps[i] later, over and over, and
 * whatever lies between two readings takes no time. So a whole benchmark runs by the script, also on a busy machine.
 */
void clock_stepped(int64_t start_ns, const int64_t *steps, size_t nsteps)
{
    write_script(start_ns, steps, nsteps, 0.0, NULL, 0);
}

/* mb_timer_overhead_ns by the script. */
double clock_scripted_overhead(int64_t start_ns, const int64_t *steps, size_t nsteps)
{
    write_script(start_ns, steps, nsteps, 0.0, NULL, 0);
    double overhead = mb_timer_overhead_ns();
    script.on = 0;
    return overhead;
}

static int64_t scripted_now(void)
{
    int64_t now = script.now;
    script.now += script.steps[script.readings++ % script.nsteps];
    return now;
}

/* ---- What stands in for the system's functions ---- */

static int64_t reading(clockid_t which)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int64_t now = real_now(which);
    if (script.on)
        now = scripted_now();
    else if (which == CLOCK_MONOTONIC || which == CLOCK_MONOTONIC_RAW)
        now = real_start + (int64_t)((double)(real_now(real_clock) - real_start) * speed);
    note(READING, which, now, (uint64_t)usage.ru_minflt);
    return now;
}

int __wrap_clock_gettime(clockid_t which, struct timespec *now)
{
    int64_t ns = reading(which);
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return 0;
}

int __wrap_gettimeofday(struct timeval *now, void *zone)
{
    (void)zone;
    note(WRONG_CLOCK, 0, 0, 0);
    int64_t ns = reading(CLOCK_REALTIME);
    now->tv_sec = ns / 1000000000;
    now->tv_usec = ns % 1000000000 / 1000;
    return 0;
}

int __wrap_timespec_get(struct timespec *now, int base)
{
    note(WRONG_CLOCK, 1, 0, 0);
    return __wrap_clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

clock_t __wrap_clock(void)
{
    note(WRONG_CLOCK, 2, 0, 0);
    return (clock_t)(reading(CLOCK_PROCESS_CPUTIME_ID) / (1000000000 / CLOCKS_PER_SEC));
}

time_t __wrap_time(time_t *now)
{
    note(WRONG_CLOCK, 3, 0, 0);
    time_t seconds = (time_t)(reading(CLOCK_REALTIME) / 1000000000);
    if (now != NULL)
        *now = seconds;
    return seconds;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    if (threads_left > 0)
        threads_left--;
    note(THREAD, 0, 0, 0);
    int error = __real_pthread_create(thread, attributes, run, argument);
    atomic_fetch_add(&threads_alive, error == 0);
    return error;
}

int __real_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_join(pthread_t thread, void **result)
{
    int error = __real_pthread_join(thread, result);
    atomic_fetch_sub(&threads_alive, error == 0);
    return error;
}
