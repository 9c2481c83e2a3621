/*
 * ddp.c - everything by way of rank 0, which gathers, computes and answers. Right, and slow: rank 0 sends and receives
 * what all others do together, and nobody computes while gradients travel.
 *
 *        1   2   3
 *         \  |  /        a row from each; then the answer to each
 *            0
 *
 * Nobody ever sends and receives at the same time: whoever sends has a peer that receives.
 */
#include "ddp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind { BARRIER = 1, BROADCAST, ALLREDUCE, REDUCE_SCATTER, ALLGATHER, REGISTER };

/* Goes to rank 0 before everything else, so that ranks that disagree notice before they believe a byte. */
struct header {
    uint32_t kind;
    uint32_t agreed; /* in rank 0's answer: all headers were the same */
    uint64_t n;
    uint64_t detail; /* op, root, or a hash of the model */
};

/* A gradient, under all the names that share it. */
struct slot {
    float *grad;
    size_t n;
    bool ready; /* one of its names is */
};

struct ddp {
    ddp_transport t;
    int timeout_ms;
    int error; /* the first failure; nothing works afterwards */

    bool registered, no_sync, in_step;
    size_t np, nslots;
    size_t *slot_of; /* parameter -> slot, or NONE */
    bool *is_ready;  /* by parameter */
    struct slot *slots;
};

static const size_t NONE = (size_t)-1;

int ddp_create(const ddp_transport *t, int timeout_ms, ddp **out)
{
    if (t == NULL || out == NULL || timeout_ms < 1 || t->world < 1 || t->rank < 0 || t->rank >= t->world)
        return -EINVAL;
    if (t->send == NULL || t->recv == NULL || t->wait == NULL)
        return -EINVAL;
    ddp *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->t = *t;
    d->timeout_ms = timeout_ms;
    *out = d;
    return 0;
}

static void free_model(ddp *d)
{
    free(d->slots);
    free(d->slot_of);
    free(d->is_ready);
    d->slots = NULL;
    d->slot_of = NULL;
    d->is_ready = NULL;
    d->np = d->nslots = 0;
}

void ddp_destroy(ddp *d)
{
    if (d == NULL)
        return;
    free_model(d);
    free(d);
}

/* ---- all of these bytes ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sleep until the peer may be worth trying again. The deadline starts anew whenever a byte has moved. */
static int await(const ddp *d, const int *peer, bool reads, int64_t *deadline)
{
    int64_t now = now_ms();
    if (*deadline < 0)
        *deadline = now + d->timeout_ms;
    if (now >= *deadline)
        return -ETIMEDOUT;
    int ready = d->t.wait(d->t.self, peer, reads, peer, !reads, (int)(*deadline - now));
    return ready < 0 && ready != -EINTR ? ready : 0;
}

static int send_all(const ddp *d, int peer, const void *p, size_t n)
{
    int64_t deadline = -1;
    for (size_t sent = 0; sent < n;) {
        ssize_t done = d->t.send(d->t.self, peer, (const unsigned char *)p + sent, n - sent);
        if (done > 0) {
            sent += (size_t)done;
            deadline = -1;
        } else if (done == 0 || done == -EAGAIN) {
            int error = await(d, &peer, false, &deadline);
            if (error != 0)
                return error;
        } else if (done != -EINTR)
            return (int)done;
    }
    return 0;
}

static int recv_all(const ddp *d, int peer, void *p, size_t n)
{
    int64_t deadline = -1;
    for (size_t got = 0; got < n;) {
        ssize_t done = d->t.recv(d->t.self, peer, (unsigned char *)p + got, n - got);
        if (done > 0) {
            got += (size_t)done;
            deadline = -1;
        } else if (done == -EAGAIN) {
            int error = await(d, &peer, true, &deadline);
            if (error != 0)
                return error;
        } else if (done != -EINTR)
            return done < 0 ? (int)done : -EPIPE;
    }
    return 0;
}

/* Do all ranks mean the same? Nobody hears the answer before everybody has asked: it is a barrier, too. */
static int agree(const ddp *d, enum kind kind, uint64_t n, uint64_t detail)
{
    struct header mine = {kind, 1, n, detail}, other;
    int error = 0;
    if (d->t.rank > 0) {
        error = send_all(d, 0, &mine, sizeof mine);
        if (error == 0)
            error = recv_all(d, 0, &other, sizeof other);
        return error != 0 ? error : other.agreed ? 0 : -EPROTO;
    }
    bool same = true;
    for (int peer = 1; peer < d->t.world && error == 0; peer++) {
        error = recv_all(d, peer, &other, sizeof other);
        same = same && memcmp(&mine, &other, sizeof mine) == 0;
    }
    mine.agreed = same;
    for (int peer = 1; peer < d->t.world && error == 0; peer++)
        error = send_all(d, peer, &mine, sizeof mine);
    return error != 0 ? error : same ? 0 : -EPROTO;
}

/* into[i] = into[i] (op) from[i] */
static void combine(float *restrict into, const float *restrict from, size_t n, int op)
{
    for (size_t i = 0; i < n; i++) {
        if (op != DDP_MAX)
            into[i] += from[i];
        else if (!(into[i] > from[i]) && into[i] == into[i]) /* a NaN on either side stays */
            into[i] = from[i];
    }
}

/* Rank 0 adds everybody's row to its own; in the order of the ranks, so that the same numbers round the same way. */
static int gather_and_add(const ddp *d, float *row, size_t n, int op)
{
    if (d->t.rank > 0)
        return send_all(d, 0, row, n * sizeof *row);
    float *theirs = malloc(n * sizeof *theirs + 1);
    int error = theirs != NULL ? 0 : -ENOMEM;
    for (int peer = 1; peer < d->t.world && error == 0; peer++) {
        error = recv_all(d, peer, theirs, n * sizeof *theirs);
        if (error == 0)
            combine(row, theirs, n, op);
    }
    free(theirs);
    for (size_t i = 0; i < n && op == DDP_MEAN; i++)
        row[i] /= (float)d->t.world;
    return error;
}

static int copy_from(const ddp *d, int root, void *buf, size_t bytes)
{
    if (d->t.rank != root)
        return recv_all(d, root, buf, bytes);
    int error = 0;
    for (int peer = 0; peer < d->t.world && error == 0; peer++)
        if (peer != root)
            error = send_all(d, peer, buf, bytes);
    return error;
}

/* ---- the collectives ---- */

/* May a collective begin? */
static int check_idle(const ddp *d)
{
    if (d->error != 0)
        return d->error;
    return d->in_step ? -EBUSY : 0;
}

static bool too_long(size_t n, size_t times)
{
    return n > (size_t)PTRDIFF_MAX / sizeof(float) / times;
}

int ddp_barrier(ddp *d)
{
    if (d == NULL)
        return -EINVAL;
    int error = check_idle(d);
    return error != 0 ? error : (d->error = agree(d, BARRIER, 0, 0));
}

int ddp_broadcast(ddp *d, void *buf, size_t bytes, int root)
{
    if (d == NULL || (buf == NULL && bytes > 0) || root < 0 || root >= d->t.world)
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    d->error = agree(d, BROADCAST, bytes, (uint64_t)root);
    if (d->error == 0)
        d->error = copy_from(d, root, buf, bytes);
    return d->error;
}

/* What ddp_allreduce_f32 and ddp_sync share: no question asked but that of the header. */
static int allreduce(ddp *d, float *buf, size_t n, int op)
{
    d->error = agree(d, ALLREDUCE, n, (uint64_t)op);
    if (d->error == 0)
        d->error = gather_and_add(d, buf, n, op);
    if (d->error == 0)
        d->error = copy_from(d, 0, buf, n * sizeof *buf);
    return d->error;
}

int ddp_allreduce_f32(ddp *d, float *buf, size_t n, int op)
{
    if (d == NULL || (buf == NULL && n > 0) || op < DDP_SUM || op > DDP_MAX || too_long(n, 1))
        return -EINVAL;
    int error = check_idle(d);
    return error != 0 ? error : allreduce(d, buf, n, op);
}

int ddp_reduce_scatter_f32(ddp *d, const float *in, float *out, size_t n)
{
    if (d == NULL || ((in == NULL || out == NULL) && n > 0) || too_long(n, (size_t)d->t.world))
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    size_t total = n * (size_t)d->t.world;
    float *sums = malloc(total * sizeof *sums + 1);
    if (sums == NULL)
        return -ENOMEM;
    if (n > 0)
        memcpy(sums, in, total * sizeof *sums);
    error = agree(d, REDUCE_SCATTER, n, 0);
    if (error == 0)
        error = gather_and_add(d, sums, total, DDP_SUM);
    if (d->t.rank > 0 && error == 0)
        error = recv_all(d, 0, out, n * sizeof *out);
    for (int peer = 1; d->t.rank == 0 && peer < d->t.world && error == 0; peer++)
        error = send_all(d, peer, sums + (size_t)peer * n, n * sizeof *sums);
    if (d->t.rank == 0 && error == 0 && n > 0)
        memcpy(out, sums, n * sizeof *out);
    free(sums);
    return d->error = error;
}

int ddp_allgather_f32(ddp *d, const float *in, float *out, size_t n)
{
    if (d == NULL || ((in == NULL || out == NULL) && n > 0) || too_long(n, (size_t)d->t.world))
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    error = agree(d, ALLGATHER, n, 0);
    if (d->t.rank > 0 && error == 0)
        error = send_all(d, 0, in, n * sizeof *in);
    for (int peer = 1; d->t.rank == 0 && peer < d->t.world && error == 0; peer++)
        error = recv_all(d, peer, out + (size_t)peer * n, n * sizeof *out);
    if (d->t.rank == 0 && error == 0 && n > 0)
        memmove(out, in, n * sizeof *out);
    if (error == 0)
        error = copy_from(d, 0, out, (size_t)d->t.world * n * sizeof *out);
    return d->error = error;
}

/* ---- the model ---- */

static bool makes_sense(const ddp_param *ps, size_t np)
{
    for (size_t i = 0; i < np; i++) {
        if (ps[i].n > 0 && (ps[i].data == NULL || (ps[i].requires_grad && ps[i].grad == NULL)))
            return false;
        if (too_long(ps[i].n, 1))
            return false;
    }
    return true;
}

/* The slot with this gradient, or NONE: without floats there is nothing to share. Models have hundreds of parameters, not
 * millions: to look through all of them is quick enough. */
static size_t find_slot(const ddp *d, const ddp_param *p)
{
    for (size_t s = 0; s < d->nslots; s++)
        if (p->n > 0 && d->slots[s].n > 0 && d->slots[s].grad == p->grad)
            return s;
    return NONE;
}

static int make_slots(ddp *d, const ddp_param *ps, size_t np)
{
    d->slots = calloc(np + 1, sizeof *d->slots);
    d->slot_of = calloc(np + 1, sizeof *d->slot_of);
    d->is_ready = calloc(np + 1, sizeof *d->is_ready);
    if (d->slots == NULL || d->slot_of == NULL || d->is_ready == NULL)
        return -ENOMEM;
    d->np = np;
    for (size_t i = 0; i < np; i++) {
        d->slot_of[i] = NONE;
        if (!ps[i].requires_grad)
            continue;
        size_t s = find_slot(d, &ps[i]);
        if (s != NONE && d->slots[s].n != ps[i].n)
            return -EINVAL;
        if (s == NONE) {
            s = d->nslots++;
            d->slots[s] = (struct slot){.grad = ps[i].grad, .n = ps[i].n};
        }
        d->slot_of[i] = s;
    }
    return 0;
}

/* FNV-1a over what the ranks' models must have in common. */
static uint64_t shape_of(const ddp_param *ps, size_t np, size_t bucket_bytes)
{
    uint64_t hash = 14695981039346656037ull ^ bucket_bytes;
    for (size_t i = 0; i < np; i++) {
        hash = (hash ^ ps[i].n) * 1099511628211ull;
        hash = (hash ^ (uint64_t)(ps[i].requires_grad != 0)) * 1099511628211ull;
    }
    return hash;
}

int ddp_register(ddp *d, const ddp_param *ps, size_t np, size_t bucket_bytes)
{
    if (d == NULL || (ps == NULL && np > 0) || bucket_bytes == 0 || d->registered || !makes_sense(ps, np))
        return -EINVAL;
    int error = check_idle(d);
    if (error == 0)
        error = make_slots(d, ps, np);
    if (error != 0) {
        free_model(d);
        return error;
    }
    d->error = agree(d, REGISTER, np, shape_of(ps, np, bucket_bytes));
    for (size_t i = 0; i < np && d->error == 0; i++)
        d->error = copy_from(d, 0, ps[i].data, ps[i].n * sizeof(float));
    d->registered = d->error == 0;
    return d->error;
}

int ddp_grad_ready(ddp *d, size_t param)
{
    if (d == NULL || param >= d->np)
        return -EINVAL;
    if (d->error != 0)
        return d->error;
    size_t s = d->slot_of[param];
    if (d->no_sync || s == NONE)
        return 0;
    if (d->is_ready[param])
        return -EALREADY;
    d->is_ready[param] = d->slots[s].ready = d->in_step = true;
    return 0;
}

/* One all-reduce for each gradient, in an order that is the same on all ranks. */
int ddp_sync(ddp *d)
{
    if (d == NULL)
        return -EINVAL;
    if (d->error != 0)
        return d->error;
    if (d->no_sync)
        return 0;
    for (size_t s = 0; s < d->nslots && d->error == 0; s++) {
        struct slot *slot = &d->slots[s];
        if (!slot->ready && slot->n > 0)
            memset(slot->grad, 0, slot->n * sizeof *slot->grad);
        allreduce(d, slot->grad, slot->n, DDP_MEAN);
        slot->ready = false;
    }
    if (d->error != 0)
        return d->error;
    for (size_t i = 0; i < d->np; i++)
        d->is_ready[i] = false;
    d->in_step = false;
    return 0;
}

int ddp_no_sync(ddp *d, int on)
{
    if (d == NULL)
        return -EINVAL;
    int error = check_idle(d);
    if (error == 0)
        d->no_sync = on != 0;
    return error;
}
