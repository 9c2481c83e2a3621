/*
 * reference.c - the other side of the duels: a textbook ring over Unix sockets, step by step, with poll. Only what the
 * duels call is here.
 */
#include "ddp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORLD = 64, TRIES = 5000 };

struct ddp {
    ddp_transport t;
    int timeout_ms;
    float *scratch;
    size_t room;
};

/* ---- sockets ---- */

struct wires {
    int fds[MAX_WORLD];
};

static ssize_t wire_send(void *self, int peer, const void *p, size_t n)
{
    ssize_t done = send(((struct wires *)self)->fds[peer], p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return done >= 0 ? done : -errno;
}

static ssize_t wire_recv(void *self, int peer, void *p, size_t n)
{
    ssize_t done = recv(((struct wires *)self)->fds[peer], p, n, MSG_DONTWAIT);
    return done >= 0 ? done : -errno;
}

static int wire_wait(void *self, const int *rd, int nrd, const int *wr, int nwr, int timeout_ms)
{
    struct pollfd watched[2 * MAX_WORLD];
    nfds_t count = 0;
    for (int i = 0; i < nrd; i++)
        watched[count++] = (struct pollfd){.fd = ((struct wires *)self)->fds[rd[i]], .events = POLLIN};
    for (int i = 0; i < nwr; i++)
        watched[count++] = (struct pollfd){.fd = ((struct wires *)self)->fds[wr[i]], .events = POLLOUT};
    int ready = poll(watched, count, timeout_ms);
    return ready < 0 ? -errno : ready > 0;
}

static struct sockaddr_un name_of(const char *dir, int rank)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/ref%d", dir, rank);
    return name;
}

/* Every rank connects to those below it, which listen; the first byte says who it is. */
int ddp_unix_transport(const char *dir, int rank, int world, int timeout_ms, ddp_transport *out)
{
    (void)timeout_ms;
    struct wires *w = calloc(1, sizeof *w);
    struct sockaddr_un mine = name_of(dir, rank);
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w == NULL || listening < 0)
        return -errno;
    unlink(mine.sun_path);
    if (bind(listening, (struct sockaddr *)&mine, sizeof mine) != 0 || listen(listening, MAX_WORLD) != 0)
        return -errno;
    for (int peer = 0; peer < rank; peer++) {
        struct sockaddr_un name = name_of(dir, peer);
        unsigned char who = (unsigned char)rank;
        w->fds[peer] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int tries = 0;
        while (connect(w->fds[peer], (struct sockaddr *)&name, sizeof name) != 0 && tries++ < TRIES)
            nanosleep(&(struct timespec){0, 200000}, NULL);
        if (write(w->fds[peer], &who, 1) != 1)
            return -EPIPE;
    }
    for (int left = world - rank - 1; left > 0; left--) {
        unsigned char who;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0 || read(fd, &who, 1) != 1)
            return -EPIPE;
        w->fds[who] = fd;
    }
    close(listening);
    unlink(mine.sun_path);
    *out = (ddp_transport){w, rank, world, wire_send, wire_recv, wire_wait};
    return 0;
}

void ddp_unix_close(ddp_transport *t)
{
    struct wires *w = t->self;
    for (int peer = 0; peer < t->world; peer++)
        if (peer != t->rank)
            close(w->fds[peer]);
    free(w);
}

/* ---- the ring ---- */

int ddp_create(const ddp_transport *t, int timeout_ms, ddp **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return -ENOMEM;
    **out = (ddp){.t = *t, .timeout_ms = timeout_ms};
    return 0;
}

void ddp_destroy(ddp *d)
{
    if (d != NULL)
        free(d->scratch);
    free(d);
}

/* Send to the next and receive from the last at the same time. */
static int exchange(ddp *d, const char *out, size_t out_n, char *in, size_t in_n)
{
    int next = (d->t.rank + 1) % d->t.world, last = (d->t.rank + d->t.world - 1) % d->t.world;
    while (out_n > 0 || in_n > 0) {
        ssize_t sent = out_n > 0 ? d->t.send(d->t.self, next, out, out_n) : -EAGAIN;
        if (sent > 0) {
            out += sent;
            out_n -= (size_t)sent;
        }
        ssize_t got = in_n > 0 ? d->t.recv(d->t.self, last, in, in_n) : -EAGAIN;
        if (got > 0) {
            in += got;
            in_n -= (size_t)got;
        }
        if (got == 0 || (sent < 0 && sent != -EAGAIN) || (got < 0 && got != -EAGAIN))
            return -EPIPE;
        if (sent <= 0 && got <= 0 && d->t.wait(d->t.self, &last, in_n > 0, &next, out_n > 0, d->timeout_ms) == 0)
            return -ETIMEDOUT;
    }
    return 0;
}

/* Sums only. */
int ddp_allreduce_f32(ddp *d, float *buf, size_t n, int op)
{
    int world = d->t.world, error = 0;
    (void)op;
    if (n > d->room) {
        free(d->scratch);
        d->scratch = malloc((n / (size_t)world + 1) * sizeof *buf);
        if (d->scratch == NULL)
            return -ENOMEM;
        d->room = n;
    }
    for (int step = 0; step < 2 * (world - 1) && error == 0; step++) {
        size_t out = (size_t)(2 * world + d->t.rank - step) % (size_t)world;
        size_t in = (size_t)(2 * world + d->t.rank - step - 1) % (size_t)world;
        size_t out_begin = n * out / (size_t)world, out_end = n * (out + 1) / (size_t)world;
        size_t in_begin = n * in / (size_t)world, in_end = n * (in + 1) / (size_t)world;
        float *into = step < world - 1 ? d->scratch : buf + in_begin;
        error = exchange(d, (const char *)(buf + out_begin), (out_end - out_begin) * sizeof *buf, (char *)into,
                         (in_end - in_begin) * sizeof *buf);
        for (size_t i = in_begin; i < in_end && step < world - 1; i++)
            buf[i] += d->scratch[i - in_begin];
    }
    return error;
}

const char *reference_name(void)
{
    return "a ring over Unix sockets";
}

const char *reference_isa(void)
{
    return ""; /* nothing here depends on it */
}
