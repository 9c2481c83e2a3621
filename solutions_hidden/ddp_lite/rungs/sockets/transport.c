/*
 * transport.c - Unix sockets: one connection for each pair of ranks. Rank r listens at dir/ddp.r, connects to the ranks
 * below it and accepts those above it; the first byte on a connection says who is calling. Then the name goes.
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

enum { MAX_WORLD = 64 };

struct wires {
    int rank, world;
    int fds[MAX_WORLD];
};

static ssize_t wire_send(void *self, int peer, const void *p, size_t n)
{
    const struct wires *w = self;
    ssize_t done = send(w->fds[peer], p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return done >= 0 ? done : -errno;
}

static ssize_t wire_recv(void *self, int peer, void *p, size_t n)
{
    const struct wires *w = self;
    ssize_t done = recv(w->fds[peer], p, n, MSG_DONTWAIT);
    return done >= 0 ? done : -errno;
}

static int wire_wait(void *self, const int *rd, int nrd, const int *wr, int nwr, int timeout_ms)
{
    const struct wires *w = self;
    struct pollfd watched[2 * MAX_WORLD];
    nfds_t count = 0;
    for (int i = 0; i < nrd; i++)
        watched[count++] = (struct pollfd){.fd = w->fds[rd[i]], .events = POLLIN};
    for (int i = 0; i < nwr; i++)
        watched[count++] = (struct pollfd){.fd = w->fds[wr[i]], .events = POLLOUT};
    int ready = poll(watched, count, timeout_ms);
    return ready < 0 ? -errno : ready > 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int name_of(struct sockaddr_un *name, const char *dir, int rank)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(name->sun_path, sizeof name->sun_path, "%s/ddp.%d", dir, rank);
    return length < (int)sizeof name->sun_path ? 0 : -ENAMETOOLONG;
}

/* Call rank `peer` until it listens. A socket left by a killed run refuses, just like one that is not there yet. */
static int call(struct wires *w, const char *dir, int peer, int64_t deadline)
{
    struct sockaddr_un name;
    int error = name_of(&name, dir, peer);
    if (error != 0)
        return error;
    while (now_ms() < deadline) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
        unsigned char who = (unsigned char)w->rank;
        if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0 && send(fd, &who, 1, MSG_NOSIGNAL) == 1) {
            w->fds[peer] = fd;
            return 0;
        }
        close(fd);
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return -ETIMEDOUT;
}

/* Wait until there is something to read from fd; 0, or -ETIMEDOUT. */
static int await(int fd, int64_t deadline)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - now_ms();
    return left > 0 && poll(&watched, 1, (int)left) == 1 ? 0 : -ETIMEDOUT;
}

static int answer(struct wires *w, int listening, int64_t deadline)
{
    int error = await(listening, deadline);
    if (error != 0)
        return error;
    int fd = accept(listening, NULL, NULL);
    unsigned char who = 0;
    if (fd < 0)
        return -errno;
    error = await(fd, deadline);
    if (error != 0 || recv(fd, &who, 1, 0) != 1 || who <= w->rank || who >= w->world || w->fds[who] >= 0) {
        close(fd);
        return error;
    }
    w->fds[who] = fd;
    return 0;
}

static int connect_all(struct wires *w, const char *dir, int listening, int64_t deadline)
{
    int error = 0;
    for (int peer = 0; peer < w->rank && error == 0; peer++)
        error = call(w, dir, peer, deadline);
    for (int peer = w->rank + 1; peer < w->world && error == 0; peer++)
        while (w->fds[peer] < 0 && error == 0)
            error = answer(w, listening, deadline);
    return error;
}

static void close_all(struct wires *w)
{
    for (int peer = 0; peer < w->world; peer++)
        if (w->fds[peer] >= 0)
            close(w->fds[peer]);
    free(w);
}

int ddp_unix_transport(const char *dir, int rank, int world, int timeout_ms, ddp_transport *out)
{
    if (dir == NULL || out == NULL || world < 1 || world > MAX_WORLD || rank < 0 || rank >= world)
        return -EINVAL;
    int64_t deadline = now_ms() + timeout_ms;
    struct sockaddr_un mine;
    int error = name_of(&mine, dir, rank);
    if (error != 0)
        return error;
    struct wires *w = malloc(sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->rank = rank;
    w->world = world;
    for (int peer = 0; peer < MAX_WORLD; peer++)
        w->fds[peer] = -1;
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0)
        error = -errno;
    if (error == 0) {
        unlink(mine.sun_path);
        if (bind(listening, (struct sockaddr *)&mine, sizeof mine) != 0 || listen(listening, MAX_WORLD) != 0)
            error = -errno;
        if (error == 0)
            error = connect_all(w, dir, listening, deadline);
        unlink(mine.sun_path);
        close(listening);
    }
    if (error != 0) {
        close_all(w);
        return error;
    }
    *out = (ddp_transport){w, rank, world, wire_send, wire_recv, wire_wait};
    return 0;
}

void ddp_unix_close(ddp_transport *t)
{
    if (t == NULL || t->self == NULL)
        return;
    close_all(t->self);
    t->self = NULL;
}
