/*
 * driver.h - staff code for the tests: a transport over sockets that the grader hands in, bad weather for it, and a
 * model whose parameters live in the rank's own memory. It judges nothing. Include ddp.h before it.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* Weather, added together: transfers of 1 to 7 bytes; -EAGAIN and -EINTR out of nowhere; a wait that wakes for nothing. */
enum { DRIVE_SHORT = 1, DRIVE_AGAIN = 2, DRIVE_INTERRUPTED = 4, DRIVE_WAKES = 8, DRIVE_MASKED = 16 };
/* DRIVE_MASKED: send and recv work for neighbours in the ring only. */

/* ddp_create over these descriptors, one for each peer; `which`: place 0 or 1 for the context. */
int drive_open(int which, int rank, int world, const int32_t *fds, uint32_t weather, uint64_t seed, int timeout_ms);
/* ddp_unix_transport in this folder, then ddp_create. */
int drive_own(int which, const char *dir, int rank, int world, int timeout_ms);
/* ddp_destroy and, after drive_own, ddp_unix_close; frees the model. */
void drive_close(int which);
/* The context of a place; NULL when there is none. */
ddp *drive_ddp(int which);

/* Bytes through the transport itself, after drive_own: rank 0 sends n bytes of p to rank 1 and rank 1 fetches them. */
int drive_pass(int which, uint8_t *p, size_t n);
/* All ranks send n bytes to every peer at the same time and fetch as many: p[peer n ..] in and out. */
int drive_exchange(int which, const uint8_t *in, uint8_t *out, size_t n);
/* `timeout_ms` of the transport's own wait with nothing to come; answers what it answered. */
int drive_idle(int which, int timeout_ms);
/* ddp_unix_transport, two all-reduces of n ones, close, `times` times. */
int drive_lifecycles(const char *dir, int rank, int world, size_t times, size_t n);

typedef struct {
    uint64_t n;
    int32_t requires_grad;
    int32_t tied_to; /* the parameter whose data and grad it shares; -1: its own */
} drive_shape;

/* `rounds` all-reduces (sum) of n floats. Before each, buf[i] = (i ^ (rank * 13 + round * 5 + seed)) & 63; the last
 * sum is left in buf, and a hash of all rounds' sums in *hash. */
int drive_rounds(int which, uint32_t seed, size_t rounds, size_t n, float *buf, uint64_t *hash);
/* drive_own, drive_rounds, drive_close. */
int drive_own_rounds(const char *dir, int rank, int world, uint32_t seed, size_t rounds, size_t n, float *buf,
                     uint64_t *hash);

/* The same in a process that has closed its standard input. */
int drive_own_without_input(const char *dir, int rank, int world, size_t rounds, size_t n, float *buf, uint64_t *hash);
/* A little of everything, while memory may be short; see driver.c. */
int drive_hungry(const char *dir, int own, int rank, int world, const int32_t *fds, const drive_shape *shape, size_t np,
                 int64_t *seen, float *out);

/* Sleep, then ddp_barrier. */
int drive_late_barrier(int which, uint32_t sleep_ms);
/* Answers of ddp_create for arguments without sense; see driver.c. */
int drive_nonsense(int64_t *seen);

/* Make a model and register it. data: initial values of all parameters in a row, those of tied ones too (unused). */
int drive_register(int which, const drive_shape *shape, size_t np, size_t bucket_bytes, const float *data);
/* The data, or the gradients, of all parameters in a row, as they are now. A frozen one's gradient is there, too. */
void drive_data(int which, float *out);
void drive_grads(int which, float *out);
/* Set all gradients to a value. */
void drive_fill_grads(int which, float value);
/* Add grads (all parameters in a row) to the gradients of the parameters in `order`, nap_us before each, and call
 * ddp_grad_ready for each; answers the first failure. */
int drive_backward(int which, const float *grads, const uint32_t *order, size_t count, uint32_t nap_us);
/* ddp_register with arguments without sense; see driver.c. */
int drive_register_nonsense(int which, int64_t *seen);

#endif
