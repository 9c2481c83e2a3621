/*
 * ddp_lite, first file: collectives and gradients. ddp.h says what each function must do; do not change ddp.h.
 *
 * A way through the lab, each step worth points by itself:
 *   1. ddp_create, and two helpers: send all of these bytes, receive all of these bytes, with -EAGAIN, -EINTR and short
 *      transfers taken care of, and with an end when nothing moves for timeout_ms;
 *   2. the collectives, everything by way of rank 0;
 *   3. a header before each collective, so that ranks that disagree notice;
 *   4. ddp_register, ddp_grad_ready, ddp_sync: first everything in ddp_sync;
 *   5. the ring: send to the next rank and receive from the last one *at the same time*;
 *   6. buckets that start in ddp_grad_ready and travel while the next gradient is computed.
 */
#include "ddp.h"

#include <errno.h>

/* TODO: what must a context remember between two calls? Its first failure is one of these things. */
struct ddp {
    ddp_transport t;
    int timeout_ms;
};

int ddp_create(const ddp_transport *t, int timeout_ms, ddp **out)
{
    /* TODO: check every argument first; then a struct ddp with a copy of *t. No byte is sent here. */
    (void)t, (void)timeout_ms, (void)out;
    return -ENOSYS;
}

void ddp_destroy(ddp *d)
{
    /* TODO: free what ddp_create and ddp_register have made. d may be NULL. */
    (void)d;
}

int ddp_barrier(ddp *d)
{
    /* TODO: nobody may leave before everybody has come. Which other collective has that property already? */
    (void)d;
    return -ENOSYS;
}

int ddp_broadcast(ddp *d, void *buf, size_t bytes, int root)
{
    /* TODO: the root sends to everybody; later, each rank passes on what has come to the next one. */
    (void)d, (void)buf, (void)bytes, (void)root;
    return -ENOSYS;
}

int ddp_allreduce_f32(ddp *d, float *buf, size_t n, int op)
{
    /* TODO: rank 0 receives every row, adds, and sends the result back; later the ring.
     * If all ranks send first and then receive, what happens when n is larger than the transport's buffers? */
    (void)d, (void)buf, (void)n, (void)op;
    return -ENOSYS;
}

int ddp_reduce_scatter_f32(ddp *d, const float *in, float *out, size_t n)
{
    /* TODO: the first half of an all-reduce, on a row of world * n floats. `in` is not yours to change. */
    (void)d, (void)in, (void)out, (void)n;
    return -ENOSYS;
}

int ddp_allgather_f32(ddp *d, const float *in, float *out, size_t n)
{
    /* TODO: the second half. Your own part can be put in its place in `out` before anything is sent. */
    (void)d, (void)in, (void)out, (void)n;
    return -ENOSYS;
}

int ddp_register(ddp *d, const ddp_param *ps, size_t np, size_t bucket_bytes)
{
    /* TODO: check ps; copy it; lay out the buckets from the last parameter to the first; ask whether all ranks have the
     * same model; then rank 0's data goes to everybody. */
    (void)d, (void)ps, (void)np, (void)bucket_bytes;
    return -ENOSYS;
}

int ddp_grad_ready(ddp *d, size_t param)
{
    /* TODO: remember that this one is ready; later, start buckets that are complete, and never wait for anybody.
     * Ranks may call this in different orders. In which order may buckets travel? */
    (void)d, (void)param;
    return -ENOSYS;
}

int ddp_sync(ddp *d)
{
    /* TODO: send what has not been sent, wait for all of it, put the means into the gradients, begin a new step. */
    (void)d;
    return -ENOSYS;
}

int ddp_no_sync(ddp *d, int on)
{
    /* TODO: a flag that ddp_grad_ready and ddp_sync look at. */
    (void)d, (void)on;
    return -ENOSYS;
}
