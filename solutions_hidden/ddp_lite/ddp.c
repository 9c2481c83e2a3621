/*
 * ddp.c - collectives in a ring, and buckets of gradients on top of them.
 *
 * Each rank sends to the next one and receives from the last one, and a collective is a row of steps: in step s a rank
 * sends one chunk of its row and receives another, and what it receives in step s is what it sends in step s + 1.
 * An all-reduce on three ranks, with chunks 0 1 2; each line says what travels over that wire:
 *
 *                    step     0    1  |  2    3
 *          rank 0 -> rank 1   2    1  |  0    2
 *          rank 1 -> rank 2   0    2  |  1    0         world-1 steps that add: now rank 0 has all of chunk 0,
 *          rank 2 -> rank 0   1    0  |  2    1         rank 1 all of 1, ...; then world-1 steps that copy
 *                             add     |  copy
 *
 * So both directions are plain streams of bytes, and a byte may leave as soon as the step before has brought it: nobody
 * ever waits for a whole chunk, and nobody sends without also receiving. A chunk's sum is made by one rank and copied by
 * the others: hence the same bits everywhere.
 */
#include "ddp.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* SCRATCH: what arrives before it is added, in bytes; it should stay in the first two caches. */
enum { SCRATCH = 1 << 16, MAGIC = 0x0ddb011 };

enum kind { BARRIER = 1, BROADCAST, ALLREDUCE, REDUCE_SCATTER, ALLGATHER, REGISTER, BUCKET };

/* Goes around before everything else: neighbours that disagree notice before they believe a byte. */
struct header {
    uint32_t magic;
    uint32_t kind;
    uint64_t n;
    uint64_t detail; /* op, root, or a hash of the model */
};

/* One collective on its way: what is to be done, and how far it is. It can be left at any byte and taken up again, which
 * is what lets gradients travel while others are computed. Sending and receiving each have their own place in it. */
struct job {
    struct header mine, theirs;
    size_t mine_sent, theirs_got; /* bytes of the headers */

    unsigned char *buf;
    size_t n;             /* bytes */
    size_t parts, unit;   /* the row is cut into `parts` chunks, at multiples of `unit` bytes */
    int base;             /* in step 0 chunk `base` is sent and chunk base-1 arrives; one less in each step after that */
    int adds, steps;      /* steps 0 .. adds-1 add what they receive, the others copy it */
    int op;               /* DDP_SUM, DDP_MEAN or DDP_MAX, for those that add */
    bool sends, receives; /* in a broadcast, the root only sends and the last rank only receives */

    int send_step, recv_step;
    size_t sent, got; /* bytes of the chunk in this step */
    size_t carried;   /* bytes of a float that has not yet arrived as a whole; they lie in scratch */
};

/* A gradient that travels, under all the names that share it. */
struct slot {
    float *grad;
    size_t n;
    size_t names, ready;   /* how many parameters share it, and how many of them are ready */
    size_t bucket, offset; /* where it travels */
};

/* Gradients that travel together, copied into one row. */
struct bucket {
    size_t n; /* floats */
    float *flat;
    size_t slots, ready; /* how many gradients, and how many of them are complete */
};

struct ddp {
    ddp_transport t;
    int timeout_ms;
    int error;      /* the first failure; nothing works afterwards */
    int next, last; /* the neighbours in the ring */
    unsigned char *scratch;

    bool registered, no_sync;
    bool in_step; /* between the first ddp_grad_ready and ddp_sync */
    size_t np, nslots, nbuckets;
    size_t *slot_of; /* parameter -> slot, or NONE */
    bool *is_ready;  /* by parameter */
    struct slot *slots;
    struct bucket *buckets;
    size_t started;  /* buckets 0 .. started-1 are on their way or done; the last of them is `job` */
    bool running; /* ... and `job` is not done yet */
    struct job job;
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
    d->scratch = malloc(SCRATCH);
    if (d->scratch == NULL) {
        free(d);
        return -ENOMEM;
    }
    d->t = *t;
    d->timeout_ms = timeout_ms;
    d->next = (t->rank + 1) % t->world;
    d->last = (t->rank + t->world - 1) % t->world;
    *out = d;
    return 0;
}

static void free_model(ddp *d)
{
    for (size_t b = 0; b < d->nbuckets; b++)
        free(d->buckets[b].flat);
    free(d->buckets);
    free(d->slots);
    free(d->slot_of);
    free(d->is_ready);
    d->buckets = NULL;
    d->slots = NULL;
    d->slot_of = NULL;
    d->is_ready = NULL;
    d->nbuckets = d->nslots = d->np = 0;
}

void ddp_destroy(ddp *d)
{
    if (d == NULL)
        return;
    free_model(d);
    free(d->scratch);
    free(d);
}

/* ---- one collective, byte by byte ---- */

static int around(const ddp *d, int chunk)
{
    int world = d->t.world;
    return ((chunk % world) + world) % world;
}

/* Where a chunk begins: the row is cut as evenly as whole units allow. chunk == parts is the end. */
static size_t begin_of(const struct job *j, size_t chunk)
{
    return j->n / j->unit * chunk / j->parts * j->unit;
}

static size_t send_size(const ddp *d, const struct job *j, size_t *begin)
{
    size_t chunk = j->parts == 1 ? 0 : (size_t)around(d, j->base - j->send_step);
    *begin = begin_of(j, chunk);
    return begin_of(j, chunk + 1) - *begin;
}

static size_t recv_size(const ddp *d, const struct job *j, size_t *begin)
{
    size_t chunk = j->parts == 1 ? 0 : (size_t)around(d, j->base - j->recv_step - 1);
    *begin = begin_of(j, chunk);
    return begin_of(j, chunk + 1) - *begin;
}

/* How much of the chunk of this step may leave: all of it in the first step, and later what the step before brought. */
static size_t sendable(const struct job *j, size_t size)
{
    if (!j->receives)
        return size;
    if (j->parts == 1) /* a broadcast passes on what has come in its only step */
        return j->recv_step > 0 ? size : j->got;
    if (j->send_step == 0 || j->recv_step >= j->send_step)
        return size;
    return j->recv_step == j->send_step - 1 ? j->got - j->carried : 0;
}

static bool all_sent(const struct job *j)
{
    return j->mine_sent == sizeof j->mine && (!j->sends || j->send_step == j->steps);
}

static bool all_received(const struct job *j)
{
    return j->theirs_got == sizeof j->theirs && (!j->receives || j->recv_step == j->steps);
}

/* Send what may be sent now. *moved: something was. *stuck: more could be, if there were room. */
static int push(const ddp *d, struct job *j, bool *moved, bool *stuck)
{
    for (;;) {
        const unsigned char *from;
        size_t most, begin = 0, size = 0;
        bool is_header = j->mine_sent < sizeof j->mine;
        if (is_header) {
            from = (const unsigned char *)&j->mine + j->mine_sent;
            most = sizeof j->mine - j->mine_sent;
        } else {
            if (!j->sends || j->send_step == j->steps)
                return 0;
            size = send_size(d, j, &begin);
            if (j->sent == size) {
                j->send_step++;
                j->sent = 0;
                continue;
            }
            from = j->buf + begin + j->sent;
            most = sendable(j, size);
            if (most <= j->sent)
                return 0;
            most -= j->sent;
        }
        ssize_t done = d->t.send(d->t.self, d->next, from, most);
        if (done == -EINTR)
            continue;
        if (done == -EAGAIN || done == 0) {
            *stuck = true;
            return 0;
        }
        if (done < 0)
            return (int)done;
        *moved = true;
        *(is_header ? &j->mine_sent : &j->sent) += (size_t)done;
    }
}

/* into[i] = into[i] (op) from[i]. `divide` is 1, or the world's size when the last addition of a mean is made: nobody
 * divides a chunk that others have divided already. */
static void combine(float *restrict into, const float *restrict from, size_t n, int op, float divide)
{
    if (op == DDP_MAX) {
        for (size_t i = 0; i < n; i++) /* a NaN on either side stays */
            into[i] = into[i] > from[i] || into[i] != into[i] ? into[i] : from[i];
    } else if (divide != 1.0f) {
        for (size_t i = 0; i < n; i++)
            into[i] = (into[i] + from[i]) / divide;
    } else {
        for (size_t i = 0; i < n; i++)
            into[i] += from[i];
    }
}

/* Receive into scratch and add the floats that have arrived as a whole. */
static ssize_t receive_and_add(const ddp *d, struct job *j, size_t begin, size_t size)
{
    size_t room = SCRATCH - j->carried, left = size - j->got;
    ssize_t done = d->t.recv(d->t.self, d->last, d->scratch + j->carried, left < room ? left : room);
    if (done <= 0)
        return done;
    size_t there = j->carried + (size_t)done, whole = there / sizeof(float);
    float divide = j->op == DDP_MEAN && j->recv_step == j->adds - 1 ? (float)d->t.world : 1.0f;
    float *into = (float *)(void *)(j->buf + begin + j->got - j->carried);
    combine(into, (const float *)(const void *)d->scratch, whole, j->op, divide);
    j->carried = there - whole * sizeof(float);
    memmove(d->scratch, d->scratch + whole * sizeof(float), j->carried);
    return done;
}

/* Receive what is there, and add or copy it. *moved: something was. */
static int pull(const ddp *d, struct job *j, bool *moved)
{
    while (!all_received(j)) {
        ssize_t done;
        size_t begin, size;
        bool is_header = j->theirs_got < sizeof j->theirs;
        if (is_header) {
            if (j->mine_sent < sizeof j->mine)
                return 0; /* whoever disagrees must have told what it wanted before it gives up */
            unsigned char *into = (unsigned char *)&j->theirs + j->theirs_got;
            done = d->t.recv(d->t.self, d->last, into, sizeof j->theirs - j->theirs_got);
        } else {
            size = recv_size(d, j, &begin);
            if (j->got == size) {
                j->recv_step++;
                j->got = 0;
                continue;
            }
            if (j->recv_step < j->adds)
                done = receive_and_add(d, j, begin, size);
            else
                done = d->t.recv(d->t.self, d->last, j->buf + begin + j->got, size - j->got);
        }
        if (done == -EINTR)
            continue;
        if (done == -EAGAIN)
            return 0;
        if (done <= 0)
            return done < 0 ? (int)done : -EPIPE;
        *moved = true;
        *(is_header ? &j->theirs_got : &j->got) += (size_t)done;
        if (is_header && j->theirs_got == sizeof j->theirs && memcmp(&j->theirs, &j->mine, sizeof j->mine) != 0)
            return -EPROTO;
    }
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Move a job along; with `may_wait` until it is done. *done: it is. */
static int advance(const ddp *d, struct job *j, bool may_wait, bool *done)
{
    int64_t deadline = -1; /* no clock is read while things move */
    for (;;) {
        bool moved = false, stuck = false;
        int error = push(d, j, &moved, &stuck);
        if (error == 0)
            error = pull(d, j, &moved);
        if (error != 0)
            return error;
        *done = all_sent(j) && all_received(j);
        if (*done || (!moved && !may_wait))
            return 0;
        if (moved) {
            deadline = -1;
            continue;
        }
        int64_t now = now_ms(); /* the time begins when nothing moves, and begins anew when something has */
        if (deadline < 0)
            deadline = now + d->timeout_ms;
        if (now >= deadline)
            return -ETIMEDOUT;
        int ready = d->t.wait(d->t.self, &d->last, !all_received(j), &d->next, stuck, (int)(deadline - now));
        if (ready < 0 && ready != -EINTR)
            return ready;
    }
}

/* What all collectives have in common. With base = rank-1 the chunk that arrives in step world-2, the last one that adds,
 * is the rank's own: so ddp_reduce_scatter_f32 finds its part in its place. */
static struct job job_of(const ddp *d, enum kind kind, void *buf, size_t n, size_t unit)
{
    struct job j = {.buf = buf, .n = n, .parts = (size_t)d->t.world, .unit = unit};
    j.mine = (struct header){MAGIC, kind, n, 0};
    j.base = around(d, d->t.rank - 1);
    j.sends = j.receives = true;
    return j;
}

static struct job allreduce_job(const ddp *d, enum kind kind, float *buf, size_t n, int op)
{
    struct job j = job_of(d, kind, buf, n * sizeof *buf, sizeof *buf);
    j.mine.detail = (uint64_t)op;
    j.adds = d->t.world - 1;
    j.steps = 2 * (d->t.world - 1);
    j.op = op;
    return j;
}

/* Do a whole job now. The first failure stays. */
static int perform(ddp *d, struct job *j)
{
    bool done;
    if (d->t.world > 1)
        d->error = advance(d, j, true, &done);
    return d->error;
}

/* May a collective begin? 0, or why not. */
static int check_idle(const ddp *d)
{
    if (d->error != 0)
        return d->error;
    return d->in_step ? -EBUSY : 0;
}

/* ---- the collectives ---- */

static bool too_long(size_t n, size_t times)
{
    return n > (size_t)PTRDIFF_MAX / sizeof(float) / times;
}

int ddp_barrier(ddp *d)
{
    if (d == NULL)
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    float one = 1.0f; /* its sum is not known before everybody has come */
    struct job j = allreduce_job(d, BARRIER, &one, 1, DDP_SUM);
    return perform(d, &j);
}

/* A chain from the root: everybody passes on what has come, the last one before the root does not. */
int ddp_broadcast(ddp *d, void *buf, size_t bytes, int root)
{
    if (d == NULL || (buf == NULL && bytes > 0) || root < 0 || root >= d->t.world)
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    struct job j = job_of(d, BROADCAST, buf, bytes, 1);
    j.mine.detail = (uint64_t)root;
    j.parts = 1;
    j.steps = 1;
    j.receives = d->t.rank != root;
    j.sends = d->next != root;
    return perform(d, &j);
}

int ddp_allreduce_f32(ddp *d, float *buf, size_t n, int op)
{
    if (d == NULL || (buf == NULL && n > 0) || op < DDP_SUM || op > DDP_MAX || too_long(n, 1))
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    struct job j = allreduce_job(d, ALLREDUCE, buf, n, op);
    return perform(d, &j);
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
    struct job j = allreduce_job(d, REDUCE_SCATTER, sums, total, DDP_SUM);
    j.steps = j.adds;
    error = perform(d, &j);
    if (error == 0 && n > 0)
        memcpy(out, sums + (size_t)d->t.rank * n, n * sizeof *out);
    free(sums);
    return error;
}

int ddp_allgather_f32(ddp *d, const float *in, float *out, size_t n)
{
    if (d == NULL || ((in == NULL || out == NULL) && n > 0) || too_long(n, (size_t)d->t.world))
        return -EINVAL;
    int error = check_idle(d);
    if (error != 0)
        return error;
    if (n > 0)
        memmove(out + (size_t)d->t.rank * n, in, n * sizeof *out);
    struct job j = job_of(d, ALLGATHER, out, n * (size_t)d->t.world * sizeof *out, n > 0 ? n * sizeof *out : 1);
    j.base = d->t.rank;
    j.steps = d->t.world - 1;
    return perform(d, &j);
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

/* Slots and buckets, from the last parameter to the first. */
static int lay_out(ddp *d, const ddp_param *ps, size_t np, size_t bucket_bytes)
{
    d->slots = calloc(np + 1, sizeof *d->slots);
    d->slot_of = calloc(np + 1, sizeof *d->slot_of);
    d->is_ready = calloc(np + 1, sizeof *d->is_ready);
    d->buckets = calloc(np + 1, sizeof *d->buckets);
    if (d->slots == NULL || d->slot_of == NULL || d->is_ready == NULL || d->buckets == NULL)
        return -ENOMEM;
    d->np = np;
    bool is_open = false;
    for (size_t i = np; i-- > 0;) {
        d->slot_of[i] = NONE;
        if (!ps[i].requires_grad)
            continue;
        size_t s = find_slot(d, &ps[i]);
        if (s != NONE && d->slots[s].n != ps[i].n)
            return -EINVAL;
        if (s == NONE) {
            s = d->nslots++;
            if (!is_open)
                d->nbuckets++;
            struct bucket *b = &d->buckets[d->nbuckets - 1];
            d->slots[s] = (struct slot){.grad = ps[i].grad, .n = ps[i].n, .bucket = d->nbuckets - 1, .offset = b->n};
            b->n += ps[i].n;
            b->slots++;
            is_open = b->n * sizeof(float) < bucket_bytes;
        }
        d->slots[s].names++;
        d->slot_of[i] = s;
    }
    for (size_t b = 0; b < d->nbuckets; b++) {
        d->buckets[b].flat = malloc(d->buckets[b].n * sizeof(float) + 1);
        if (d->buckets[b].flat == NULL)
            return -ENOMEM;
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
        error = lay_out(d, ps, np, bucket_bytes);
    if (error != 0) {
        free_model(d);
        return error;
    }
    float nothing = 0;
    struct job j = allreduce_job(d, REGISTER, &nothing, 1, DDP_SUM);
    j.mine.n = np;
    j.mine.detail = shape_of(ps, np, bucket_bytes);
    error = perform(d, &j);
    for (size_t i = 0; i < np && error == 0; i++)
        error = ddp_broadcast(d, ps[i].data, ps[i].n * sizeof(float), 0);
    d->registered = error == 0;
    return error;
}

/* ---- buckets on their way ---- */

/* Copy a bucket's gradients into its row and begin to send it. Zeros travel for a gradient that is not ready. */
static void start_bucket(ddp *d)
{
    struct bucket *b = &d->buckets[d->started];
    for (size_t s = 0; s < d->nslots; s++) {
        const struct slot *slot = &d->slots[s];
        if (slot->bucket != d->started || slot->n == 0)
            continue;
        if (slot->ready > 0)
            memcpy(b->flat + slot->offset, slot->grad, slot->n * sizeof(float));
        else
            memset(b->flat + slot->offset, 0, slot->n * sizeof(float));
    }
    d->job = allreduce_job(d, BUCKET, b->flat, b->n, DDP_MEAN);
    d->job.mine.detail = d->started;
    d->running = d->t.world > 1;
    d->started++;
}

/* Buckets go one after the other, in their order, whichever is full first: so all ranks send the same at the same time.
 * `all`: start those too that are not full, and wait for the end. */
static int move_buckets(ddp *d, bool all)
{
    for (;;) {
        if (d->running) {
            bool done;
            d->error = advance(d, &d->job, all, &done);
            if (d->error != 0 || !done)
                return d->error;
            d->running = false;
        }
        if (d->started == d->nbuckets)
            return 0;
        const struct bucket *b = &d->buckets[d->started];
        if (!all && b->ready < b->slots)
            return 0;
        start_bucket(d);
    }
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
    d->is_ready[param] = true;
    d->in_step = true;
    struct slot *slot = &d->slots[s];
    if (++slot->ready == slot->names)
        d->buckets[slot->bucket].ready++;
    return move_buckets(d, false);
}

int ddp_sync(ddp *d)
{
    if (d == NULL)
        return -EINVAL;
    if (d->error != 0)
        return d->error;
    if (d->no_sync)
        return 0;
    int error = move_buckets(d, true);
    if (error != 0)
        return error;
    for (size_t s = 0; s < d->nslots; s++) {
        struct slot *slot = &d->slots[s];
        if (slot->n > 0)
            memcpy(slot->grad, d->buckets[slot->bucket].flat + slot->offset, slot->n * sizeof(float));
        slot->ready = 0;
    }
    for (size_t b = 0; b < d->nbuckets; b++)
        d->buckets[b].ready = 0;
    for (size_t i = 0; i < d->np; i++)
        d->is_ready[i] = false;
    d->started = 0;
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
