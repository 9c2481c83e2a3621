/* driver.c - staff code for the tests; driver.h says what it offers. */
#include "ddp.h"

#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PLACES = 2, MAX_WORLD = 64 };

/* One context of this process: its transport, the weather on it, and the model that is trained with it. */
struct place {
    ddp *ddp;
    ddp_transport transport;
    bool is_own;
    int fds[MAX_WORLD];
    uint32_t weather;
    uint64_t dice;
    ddp_param *params;
    size_t np;
    float *memory;
};

static struct place places[PLACES];

/* ---- the transport over the grader's sockets ---- */

/* xorshift64*: the weather is the same again for the same seed. */
static uint32_t roll(struct place *at, uint32_t sides)
{
    at->dice ^= at->dice >> 12;
    at->dice ^= at->dice << 25;
    at->dice ^= at->dice >> 27;
    return (uint32_t)((at->dice * 2685821657736338717ull) >> 33) % sides;
}

/* A failure out of nowhere, or 0; cuts *n in short weather. */
static ssize_t weather(struct place *at, int peer, size_t *n)
{
    int next = (at->transport.rank + 1) % at->transport.world;
    int last = (at->transport.rank + at->transport.world - 1) % at->transport.world;
    if ((at->weather & DRIVE_MASKED) && peer != next && peer != last)
        return -EHOSTUNREACH;
    if ((at->weather & DRIVE_AGAIN) && roll(at, 3) != 0)
        return -EAGAIN;
    if ((at->weather & DRIVE_INTERRUPTED) && roll(at, 3) != 0)
        return -EINTR;
    if (at->weather & DRIVE_SHORT) {
        size_t most = 1 + roll(at, 7);
        *n = *n < most ? *n : most;
    }
    return 0;
}

static ssize_t wire_send(void *self, int peer, const void *p, size_t n)
{
    struct place *at = self;
    if (peer < 0 || peer >= at->transport.world || at->fds[peer] < 0)
        return -EBADF;
    ssize_t trouble = weather(at, peer, &n);
    if (trouble != 0)
        return trouble;
    ssize_t done = send(at->fds[peer], p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return done >= 0 ? done : -errno;
}

static ssize_t wire_recv(void *self, int peer, void *p, size_t n)
{
    struct place *at = self;
    if (peer < 0 || peer >= at->transport.world || at->fds[peer] < 0)
        return -EBADF;
    ssize_t trouble = weather(at, peer, &n);
    if (trouble != 0)
        return trouble;
    ssize_t done = recv(at->fds[peer], p, n, MSG_DONTWAIT);
    return done >= 0 ? done : -errno;
}

static int wire_wait(void *self, const int *rd, int nrd, const int *wr, int nwr, int timeout_ms)
{
    struct place *at = self;
    struct pollfd watched[2 * MAX_WORLD];
    nfds_t count = 0;
    if ((at->weather & DRIVE_INTERRUPTED) && roll(at, 3) == 0)
        return -EINTR;
    if ((at->weather & DRIVE_WAKES) && roll(at, 3) == 0)
        return 1;
    for (int i = 0; i < nrd; i++)
        watched[count++] = (struct pollfd){.fd = at->fds[rd[i]], .events = POLLIN};
    for (int i = 0; i < nwr; i++)
        watched[count++] = (struct pollfd){.fd = at->fds[wr[i]], .events = POLLOUT};
    int ready = poll(watched, count, timeout_ms);
    return ready < 0 ? -errno : ready > 0;
}

int drive_open(int which, int rank, int world, const int32_t *fds, uint32_t storms, uint64_t seed, int timeout_ms)
{
    struct place *at = &places[which];
    *at = (struct place){.weather = storms, .dice = seed | 1};
    for (int peer = 0; peer < world; peer++)
        at->fds[peer] = fds[peer];
    at->transport = (ddp_transport){at, rank, world, wire_send, wire_recv, wire_wait};
    return ddp_create(&at->transport, timeout_ms, &at->ddp);
}

int drive_own(int which, const char *dir, int rank, int world, int timeout_ms)
{
    struct place *at = &places[which];
    memset(at, 0, sizeof *at);
    signal(SIGPIPE, SIG_DFL); /* as in any C program; Python ignores it */
    int error = ddp_unix_transport(dir, rank, world, timeout_ms, &at->transport);
    if (error != 0)
        return error;
    at->is_own = true;
    return ddp_create(&at->transport, timeout_ms, &at->ddp);
}

void drive_close(int which)
{
    struct place *at = &places[which];
    ddp_destroy(at->ddp);
    if (at->is_own)
        ddp_unix_close(&at->transport);
    free(at->params);
    free(at->memory);
    memset(at, 0, sizeof *at);
}

ddp *drive_ddp(int which)
{
    return places[which].ddp;
}

/* ---- the submission's own transport, without the rest ---- */

/* Move one direction as far as it goes; *done of n bytes. Answers 0, or why it cannot go on. */
static ssize_t push(const ddp_transport *t, int peer, const uint8_t *p, size_t n, size_t *done)
{
    while (*done < n) {
        ssize_t moved = t->send(t->self, peer, p + *done, n - *done);
        if (moved == -EINTR)
            continue;
        if (moved <= 0)
            return moved == -EAGAIN || moved == 0 ? 0 : moved;
        *done += (size_t)moved;
    }
    return 0;
}

static ssize_t pull(const ddp_transport *t, int peer, uint8_t *p, size_t n, size_t *done)
{
    while (*done < n) {
        ssize_t moved = t->recv(t->self, peer, p + *done, n - *done);
        if (moved == -EINTR)
            continue;
        if (moved <= 0)
            return moved == -EAGAIN ? 0 : moved == 0 ? -EPIPE : moved;
        *done += (size_t)moved;
    }
    return 0;
}

int drive_exchange(int which, const uint8_t *in, uint8_t *out, size_t n)
{
    const ddp_transport *t = &places[which].transport;
    size_t sent[MAX_WORLD] = {0}, got[MAX_WORLD] = {0};
    for (;;) {
        int rd[MAX_WORLD], wr[MAX_WORLD], nrd = 0, nwr = 0;
        for (int peer = 0; peer < t->world; peer++) {
            if (peer == t->rank)
                continue;
            ssize_t error = push(t, peer, in + (size_t)peer * n, n, &sent[peer]);
            if (error == 0)
                error = pull(t, peer, out + (size_t)peer * n, n, &got[peer]);
            if (error != 0)
                return (int)error;
            if (got[peer] < n)
                rd[nrd++] = peer;
            if (sent[peer] < n)
                wr[nwr++] = peer;
        }
        if (nrd == 0 && nwr == 0)
            return 0;
        int ready = t->wait(t->self, rd, nrd, wr, nwr, 2000);
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && ready != -EINTR)
            return ready;
    }
}

int drive_pass(int which, uint8_t *p, size_t n)
{
    const ddp_transport *t = &places[which].transport;
    size_t done = 0;
    while (t->rank < 2) {
        ssize_t error = t->rank == 0 ? push(t, 1, p, n, &done) : pull(t, 0, p, n, &done);
        if (error != 0)
            return (int)error;
        if (done == n)
            return 0;
        int peer = 1 - t->rank;
        int ready = t->wait(t->self, &peer, t->rank, &peer, 1 - t->rank, 2000);
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && ready != -EINTR)
            return ready;
    }
    return 0;
}

int drive_idle(int which, int timeout_ms)
{
    const ddp_transport *t = &places[which].transport;
    int peer = (t->rank + 1) % t->world;
    return t->wait(t->self, &peer, 1, NULL, 0, timeout_ms);
}

int drive_lifecycles(const char *dir, int rank, int world, size_t times, size_t n)
{
    float *ones = malloc((n + 1) * sizeof *ones);
    int error = ones != NULL ? 0 : -ENOMEM;
    for (size_t round = 0; round < times && error == 0; round++) {
        error = drive_own(0, dir, rank, world, 4000);
        for (int twice = 0; twice < 2 && error == 0; twice++) {
            for (size_t i = 0; i < n; i++)
                ones[i] = 1.0f;
            error = ddp_allreduce_f32(places[0].ddp, ones, n, DDP_SUM);
            for (size_t i = 0; i < n && error == 0; i++)
                if (ones[i] != (float)world)
                    error = -EILSEQ;
        }
        drive_close(0);
    }
    free(ones);
    return error;
}

/* ---- many rounds in one call, for the duels ---- */

static uint64_t mixed(uint64_t hash, const float *buf, size_t n)
{
    /* A few places are enough: which ones depends on what has been seen so far. */
    for (size_t i = 0; i < 64 && n > 0; i++) {
        uint32_t bits;
        memcpy(&bits, &buf[(hash >> 20) % n], sizeof bits);
        hash = (hash ^ bits) * 1099511628211ull + i;
    }
    return hash;
}

int drive_rounds(int which, uint32_t seed, size_t rounds, size_t n, float *buf, uint64_t *hash)
{
    int error = 0;
    uint32_t rank = (uint32_t)places[which].transport.rank;
    *hash = seed;
    for (uint32_t round = 0; round < rounds && error == 0; round++) {
        uint32_t key = rank * 13 + round * 5 + seed;
        for (size_t i = 0; i < n; i++)
            buf[i] = (float)(((uint32_t)i ^ key) & 63);
        error = ddp_allreduce_f32(places[which].ddp, buf, n, DDP_SUM);
        *hash = mixed(*hash, buf, n);
    }
    return error;
}

int drive_own_rounds(const char *dir, int rank, int world, uint32_t seed, size_t rounds, size_t n, float *buf,
                     uint64_t *hash)
{
    int error = drive_own(0, dir, rank, world, 5000);
    if (error == 0)
        error = drive_rounds(0, seed, rounds, n, buf, hash);
    drive_close(0);
    return error;
}

/* Whatever is opened meanwhile gets the descriptor 0 first. */
int drive_own_without_input(const char *dir, int rank, int world, size_t rounds, size_t n, float *buf, uint64_t *hash)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 100);
    close(0);
    int error = drive_own_rounds(dir, rank, world, 1, rounds, n, buf, hash);
    if (saved >= 0) {
        dup2(saved, 0);
        close(saved);
    }
    return error;
}

/* ---- single scenes ---- */

static void sleep_us(uint32_t us)
{
    struct timespec time = {us / 1000000, (long)(us % 1000000) * 1000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

int drive_late_barrier(int which, uint32_t sleep_ms)
{
    sleep_us(sleep_ms * 1000);
    return ddp_barrier(places[which].ddp);
}

/* ddp_create: NULL transport, NULL out, world 0, rank -1, rank == world, no send, no recv, no wait, timeout 0; was *out
 * written; ddp_unix_transport: NULL dir, NULL out, world 0, rank -1, rank == world. Ends with ddp_destroy(NULL). */
int drive_nonsense(int64_t *seen)
{
    struct place at = {.weather = 0};
    const ddp_transport good = {&at, 0, 1, wire_send, wire_recv, wire_wait};
    ddp *out = NULL;
    ddp_transport bad[7] = {good, good, good, good, good, good, good};
    bad[0].world = 0;
    bad[1].rank = -1;
    bad[2].rank = 1;
    bad[3].send = NULL;
    bad[4].recv = NULL;
    bad[5].wait = NULL;
    seen[0] = ddp_create(NULL, 1000, &out);
    seen[1] = ddp_create(&good, 1000, NULL);
    for (int i = 0; i < 6; i++)
        seen[2 + i] = ddp_create(&bad[i], 1000, &out);
    seen[8] = ddp_create(&good, 0, &out);
    seen[9] = out != NULL;
    seen[10] = ddp_unix_transport(NULL, 0, 1, 1000, &bad[6]);
    seen[11] = ddp_unix_transport("/tmp", 0, 1, 1000, NULL);
    seen[12] = ddp_unix_transport("/tmp", 0, 0, 1000, &bad[6]);
    seen[13] = ddp_unix_transport("/tmp", -1, 1, 1000, &bad[6]);
    seen[14] = ddp_unix_transport("/tmp", 1, 1, 1000, &bad[6]);
    ddp_destroy(NULL);
    return 0;
}

/* ---- the model ---- */

int drive_register(int which, const drive_shape *shape, size_t np, size_t bucket_bytes, const float *data)
{
    struct place *at = &places[which];
    size_t total = 0;
    for (size_t i = 0; i < np; i++)
        total += shape[i].n + 1; /* one more: parameters without floats have addresses of their own, too */
    at->params = calloc(np + 1, sizeof *at->params);
    at->memory = calloc(2 * total + 2, sizeof *at->memory);
    if (at->params == NULL || at->memory == NULL)
        return -ENOMEM;
    at->np = np;
    float *next = at->memory;
    for (size_t i = 0; i < np; i++) {
        ddp_param *p = &at->params[i];
        if (shape[i].tied_to >= 0)
            *p = at->params[shape[i].tied_to];
        else {
            *p = (ddp_param){next, next + total, shape[i].n, shape[i].requires_grad};
            memcpy(next, data, shape[i].n * sizeof *data);
        }
        next += shape[i].n + 1;
        data += shape[i].n;
    }
    return ddp_register(at->ddp, at->params, np, bucket_bytes);
}

void drive_data(int which, float *out)
{
    for (size_t i = 0; i < places[which].np; i++) {
        const ddp_param *p = &places[which].params[i];
        memcpy(out, p->data, p->n * sizeof *out);
        out += p->n;
    }
}

void drive_grads(int which, float *out)
{
    for (size_t i = 0; i < places[which].np; i++) {
        const ddp_param *p = &places[which].params[i];
        memcpy(out, p->grad, p->n * sizeof *out);
        out += p->n;
    }
}

void drive_fill_grads(int which, float value)
{
    for (size_t i = 0; i < places[which].np; i++)
        for (size_t j = 0; j < places[which].params[i].n; j++)
            places[which].params[i].grad[j] = value;
}

int drive_backward(int which, const float *grads, const uint32_t *order, size_t count, uint32_t nap_us)
{
    struct place *at = &places[which];
    for (size_t i = 0; i < count; i++) {
        if (nap_us > 0)
            sleep_us(nap_us);
        if (order[i] >= at->np)
            return ddp_grad_ready(at->ddp, order[i]);
        const float *from = grads;
        for (size_t before = 0; before < order[i]; before++)
            from += at->params[before].n;
        const ddp_param *p = &at->params[order[i]];
        for (size_t j = 0; j < p->n; j++)
            p->grad[j] += from[j];
        int error = ddp_grad_ready(at->ddp, order[i]);
        if (error != 0)
            return error;
    }
    return 0;
}

/* ddp_register: NULL parameters, bucket_bytes 0, NULL data, NULL grad, the same grad with another n, and afterwards
 * ddp_grad_ready(0); then it works, with a frozen parameter without grad; then again. */
int drive_register_nonsense(int which, int64_t *seen)
{
    ddp *d = places[which].ddp;
    float data[8] = {0}, grad[8] = {0};
    ddp_param good[2] = {{data, grad, 4, 1}, {data + 4, NULL, 4, 0}};
    ddp_param no_data = {NULL, grad, 4, 1}, no_grad = {data, NULL, 4, 1};
    ddp_param tied[2] = {{data, grad, 4, 1}, {data, grad, 3, 1}};
    seen[0] = ddp_register(d, NULL, 1, 64);
    seen[1] = ddp_register(d, good, 2, 0);
    seen[2] = ddp_register(d, &no_data, 1, 64);
    seen[3] = ddp_register(d, &no_grad, 1, 64);
    seen[4] = ddp_register(d, tied, 2, 64);
    seen[5] = ddp_grad_ready(d, 0);
    seen[6] = ddp_register(d, good, 2, 64);
    seen[7] = ddp_register(d, good, 2, 64);
    seen[8] = ddp_grad_ready(d, 2);
    seen[9] = ddp_grad_ready(d, 1);
    seen[10] = ddp_grad_ready(d, 0);
    seen[11] = ddp_grad_ready(d, 0);
    seen[12] = ddp_barrier(d);
    seen[13] = ddp_no_sync(d, 1);
    seen[14] = ddp_allreduce_f32(d, data, 8, DDP_SUM);
    seen[15] = ddp_sync(d);
    seen[16] = ddp_barrier(d);
    return 0;
}

/* Answers of: the transport (own) with ddp_create, ddp_register, backward with ddp_sync, and three collectives, up to the
 * first that is not 0; 99 for those behind it. out: 7 sums, 7 sums of the rank's part, and world * 7 gathered numbers. */
int drive_hungry(const char *dir, int own, int rank, int world, const int32_t *fds, const drive_shape *shape, size_t np,
                 int64_t *seen, float *out)
{
    enum { N = 7 };
    static const uint32_t order[2] = {2, 0};
    static const float zeros[16];
    struct place *at = &places[0];
    float numbers[MAX_WORLD * N];
    for (int i = 0; i < world * N; i++)
        numbers[i] = (float)(i + 1);
    seen[0] = own ? drive_own(0, dir, rank, world, 5000) : drive_open(0, rank, world, fds, 0, 1, 5000);
    if (seen[0] == 0)
        seen[1] = drive_register(0, shape, np, 8, zeros);
    if (seen[1] == 0) {
        seen[2] = drive_backward(0, zeros, order, 2, 0);
        if (seen[2] == 0)
            seen[2] = ddp_sync(at->ddp);
    }
    if (seen[2] == 0) {
        memcpy(out, numbers, N * sizeof *out);
        seen[3] = ddp_allreduce_f32(at->ddp, out, N, DDP_SUM);
    }
    if (seen[3] == 0)
        seen[4] = ddp_reduce_scatter_f32(at->ddp, numbers, out + N, N);
    if (seen[4] == 0)
        seen[5] = ddp_allgather_f32(at->ddp, numbers, out + 2 * N, N);
    drive_close(0);
    return 0;
}
