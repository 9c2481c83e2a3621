/*
 * ddp.h - the contract of the lab "ddp_lite": data-parallel training, from the bytes on the wire upwards.
 *
 * `world` processes, the ranks 0 .. world-1, work on the same task with different data. They exchange what they know by
 * collectives: functions that every rank calls, in the same order, with arguments that fit together. What carries the
 * bytes is given to you as a transport; at the end of the lab you write one yourself.
 *
 * Functions answer 0, or a negative errno value:
 *   -EINVAL     an argument that makes no sense: a NULL pointer (but for n == 0), an op, root or index out of range
 *   -EPROTO     the ranks do not agree: a neighbour called something else, or with another n, op, root or shape
 *   -EPIPE      a peer is gone
 *   -ETIMEDOUT  nothing has arrived and nothing could be sent for timeout_ms
 *   -ENOMEM     no memory
 * After -EPROTO, -EPIPE, -ETIMEDOUT or any other error of the transport the context is broken: every later collective
 * answers the same at once, and only ddp_destroy is left. -EINVAL changes nothing. The starter answers -ENOSYS.
 */
#ifndef DDP_H
#define DDP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Carries bytes between this rank and each peer: in order, reliably, without boundaries, like a pipe in each direction.
 * It is used by one thread at a time.
 */
typedef struct {
    void *self; /* first argument of the three functions */
    int rank, world;
    /* Take up to n bytes for a peer, or fetch up to n from it, without waiting. The answer is how many, often fewer than
     * n; or -EAGAIN (no room, nothing there), -EINTR (nothing happened, try again), -EPIPE or another negative errno
     * value (the peer is gone). recv answers 0 when the peer is gone and everything it sent has been fetched. */
    ssize_t (*send)(void *self, int peer, const void *p, size_t n);
    ssize_t (*recv)(void *self, int peer, void *p, size_t n);
    /* Sleep until recv from one of the peers rd[0..nrd-1], or send to one of wr[0..nwr-1], may do something, or for
     * timeout_ms. Answers 0 after that time, 1 when it is worth trying, or a negative errno value such as -EINTR. */
    int (*wait)(void *self, const int *rd, int nrd, const int *wr, int nwr, int timeout_ms);
} ddp_transport;

typedef struct ddp ddp;

enum { DDP_SUM, DDP_MEAN, DDP_MAX };

/*
 * A context for these ranks. *t is copied; what t->self points to must outlive the context. No byte is sent.
 *   -EINVAL  NULL, world < 1, rank not in 0 .. world-1, a function missing, timeout_ms < 1.
 */
int ddp_create(const ddp_transport *t, int timeout_ms, ddp **out);
/* Free everything but the transport. NULL is fine. */
void ddp_destroy(ddp *d);

/* Returns when every rank has called it, not before. */
int ddp_barrier(ddp *d);

/* Afterwards buf holds the bytes of rank root, on every rank. */
int ddp_broadcast(ddp *d, void *buf, size_t bytes, int root);

/*
 * Afterwards buf[i] is the sum, mean or largest of all ranks' buf[i]: the same bits on every rank, and the same in every
 * run. Infinities and NaNs go through; a NaN wins in DDP_MAX, too. A rank sends at most 2 (world-1)/world n floats, plus
 * a hundred bytes.
 */
int ddp_allreduce_f32(ddp *d, float *buf, size_t n, int op);

/* The two halves of an all-reduce. `in` of reduce_scatter and `out` of allgather hold world * n floats, one part of n
 * for each rank. Rank r gets the sum of all ranks' part r; and out[r n ..] is what rank r has put in. */
int ddp_reduce_scatter_f32(ddp *d, const float *in, float *out, size_t n);
int ddp_allgather_f32(ddp *d, const float *in, float *out, size_t n);

/* --- Training -----------------------------------------------------------------------------------------------------
 *
 * Each rank has the same model and computes gradients from its own part of the batch; then all take the mean of the
 * gradients, and so the models stay the same. For one step: zero the gradients, compute them from the last layer to the
 * first, call ddp_grad_ready for each as soon as it is there, call ddp_sync, let the optimizer run.
 */
typedef struct {
    float *data, *grad; /* n floats each; parameters may share them (tied weights): then both pointers are the same */
    size_t n;
    int requires_grad; /* 0: frozen. Its gradient, which may be NULL, is neither read nor written nor sent */
} ddp_param;

/*
 * Once, before training, on every rank, with the same n and requires_grad: rank 0's data is copied to all ranks, that of
 * frozen parameters too. ps is copied; data and grad stay yours and must stay where they are.
 *
 * Gradients travel in buckets. Walk through the parameters from the last to the first, leave out the frozen ones and
 * those whose grad has been seen, and put each into the open bucket; a bucket that holds bucket_bytes or more is closed.
 *   -EINVAL  bucket_bytes == 0; NULL where there are floats; the same grad with different n; called twice.
 *   -EPROTO  the ranks' models or bucket_bytes differ.
 */
int ddp_register(ddp *d, const ddp_param *ps, size_t np, size_t bucket_bytes);

/*
 * The gradient of parameter number `param` is complete (a shared one when all that share it are ready) and will not be
 * touched until ddp_sync has returned. Ranks may call in different orders. Never waits: starts full buckets, in the order
 * in which they were made, and moves along what can be moved now. Does nothing for a frozen parameter.
 *   -EALREADY  it has been called for this parameter since the last ddp_sync.
 */
int ddp_grad_ready(ddp *d, size_t param);

/*
 * Wait until every gradient is the mean over all ranks. The gradient of a parameter that is not ready here counts as
 * zero here, whatever its array holds; of a shared one when none of those that share it is ready. Then the next step may
 * begin. Between the first ddp_grad_ready and ddp_sync all other collectives answer -EBUSY, and change nothing.
 */
int ddp_sync(ddp *d);

/* on != 0: ddp_grad_ready and ddp_sync do nothing and answer 0, so that gradients add up over several batches.
 * 0: as usual again. -EBUSY between ddp_grad_ready and ddp_sync. */
int ddp_no_sync(ddp *d, int on);

/* --- Your own transport ---------------------------------------------------------------------------------------------
 *
 * Connect this process with the other ranks of this machine, which call it with the same dir: a folder that all may
 * write, at times with leftovers of a run that was killed. Use sockets of the file system (AF_UNIX) or memory that is
 * mapped from a file there. When the function has returned on all ranks, all are connected and the folder is empty; so
 * nothing can be left there by a rank that is killed later. On failure nothing is left in the process or in the folder.
 *   -EINVAL  NULL, world < 1, rank not in 0 .. world-1;   -ETIMEDOUT  somebody did not come within timeout_ms.
 * When a rank is killed, collectives of the others answer -EPIPE or -ETIMEDOUT.
 */
int ddp_unix_transport(const char *dir, int rank, int world, int timeout_ms, ddp_transport *out);
/* Free what ddp_unix_transport has made. What was sent before can still be received by the peers. */
void ddp_unix_close(ddp_transport *t);

#endif
