/*
 * transport.c - memory that is mapped from one file by all ranks: a ring buffer for each pair of them and direction.
 *
 * Each ring has one writer and one reader, so that two counters are all the agreement it needs: `head` is the writer's,
 * `tail` the reader's, both only grow. Who finds nothing to do looks again for some microseconds and then sleeps on its
 * own bell, a futex; whoever moves a counter rings the bell of the other side, if somebody sleeps there.
 *
 * The file has a name only until all ranks have it open: a killed rank leaves nothing behind that the kernel does not
 * clear away.
 */
#include "ddp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, MAX_WORLD = 64, MAX_PATH = 4096 };

/* ROOM: bytes on the way from one rank to another; less where there are many pairs. SPINS: how often to look again before
 * sleeping, some tens of microseconds in all: a message that is on its way is here by then, and waking up takes longer. */
enum { ROOM = 1 << 20, SMALL_ROOM = 1 << 15, SPINS = 2000 };

/* Each counter on a cache line of its own: it is written by one side and read by the other. */
struct ring {
    _Alignas(LINE) _Atomic uint64_t head; /* bytes ever written */
    _Alignas(LINE) _Atomic uint64_t tail; /* bytes ever read */
};

/* One for each rank. */
struct bell {
    _Alignas(LINE) _Atomic uint32_t count; /* how often it was rung; the futex */
    _Atomic uint32_t sleeping;
    _Atomic uint32_t attached, gone; /* the rank has mapped the file; it has closed its transport */
};

struct shared {
    _Alignas(LINE) _Atomic uint32_t open; /* all ranks are here, and the file has lost its name */
    uint32_t world;
    struct bell bells[MAX_WORLD];
    struct ring rings[]; /* world * world, then their bytes */
};

/* What one rank knows of it; `self` of its transport. */
struct memory {
    struct shared *shared;
    size_t size;
    int rank, world;
    size_t room;          /* of each ring, in bytes */
    unsigned char *bytes; /* of all rings; part of `shared` */
    bool spins;           /* as many cores as ranks: looking again is cheaper than sleeping */
};

static size_t room_of(int world)
{
    return world <= 8 ? ROOM : SMALL_ROOM;
}

static size_t size_of(int world)
{
    size_t rings = (size_t)world * (size_t)world;
    return sizeof(struct shared) + rings * (sizeof(struct ring) + room_of(world));
}

static struct ring *ring_of(const struct memory *m, int from, int to)
{
    return &m->shared->rings[from * m->world + to];
}

static unsigned char *bytes_of(const struct memory *m, int from, int to)
{
    return m->bytes + (size_t)(from * m->world + to) * m->room;
}

/* ---- sleeping and waking ---- */

/* Sleep until *word is rung, or for ms; not at all when it is no longer `value`. */
static void futex_sleep(_Atomic uint32_t *word, uint32_t value, int ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &time, NULL, 0);
}

/* Wake the rank if it sleeps. Two sides that each write one thing and read the other: we moved a counter and look whether
 * it sleeps, it tells that it sleeps and looks at the counter. In the strong order at least one sees the other. */
static void ring_bell(struct bell *bell)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&bell->sleeping)) {
        atomic_fetch_add(&bell->count, 1);
        syscall(SYS_futex, &bell->count, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the three functions ---- */

static ssize_t memory_send(void *self, int peer, const void *p, size_t n)
{
    const struct memory *m = self;
    if (atomic_load_explicit(&m->shared->bells[peer].gone, memory_order_relaxed))
        return -EPIPE;
    struct ring *ring = ring_of(m, m->rank, peer);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t room = m->room - (size_t)(head - atomic_load_explicit(&ring->tail, memory_order_acquire));
    if (room == 0)
        return -EAGAIN;
    /* A quarter at most, so that the reader can begin while we write the next one. */
    size_t at = head % m->room, most = n < room ? n : room;
    most = most < m->room / 4 ? most : m->room / 4;
    size_t first = most < m->room - at ? most : m->room - at;
    memcpy(bytes_of(m, m->rank, peer) + at, p, first);
    memcpy(bytes_of(m, m->rank, peer), (const unsigned char *)p + first, most - first);
    atomic_store_explicit(&ring->head, head + most, memory_order_release);
    ring_bell(&m->shared->bells[peer]);
    return (ssize_t)most;
}

static ssize_t memory_recv(void *self, int peer, void *p, size_t n)
{
    const struct memory *m = self;
    bool gone = atomic_load(&m->shared->bells[peer].gone) != 0; /* before the ring: its last bytes were written earlier */
    struct ring *ring = ring_of(m, peer, m->rank);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t there = (size_t)(atomic_load_explicit(&ring->head, memory_order_acquire) - tail);
    if (there == 0)
        return gone ? 0 : -EAGAIN;
    size_t at = tail % m->room, most = n < there ? n : there;
    size_t first = most < m->room - at ? most : m->room - at;
    memcpy(p, bytes_of(m, peer, m->rank) + at, first);
    memcpy((unsigned char *)p + first, bytes_of(m, peer, m->rank), most - first);
    atomic_store_explicit(&ring->tail, tail + most, memory_order_release);
    ring_bell(&m->shared->bells[peer]);
    return (ssize_t)most;
}

/* Would recv from one of rd, or send to one of wr, do something? */
static bool is_worth_trying(const struct memory *m, const int *rd, int nrd, const int *wr, int nwr)
{
    for (int i = 0; i < nrd; i++) {
        struct ring *ring = ring_of(m, rd[i], m->rank);
        if (atomic_load(&ring->head) != atomic_load(&ring->tail) || atomic_load(&m->shared->bells[rd[i]].gone))
            return true;
    }
    for (int i = 0; i < nwr; i++) {
        struct ring *ring = ring_of(m, m->rank, wr[i]);
        if (atomic_load(&ring->head) - atomic_load(&ring->tail) < m->room || atomic_load(&m->shared->bells[wr[i]].gone))
            return true;
    }
    return false;
}

static int memory_wait(void *self, const int *rd, int nrd, const int *wr, int nwr, int timeout_ms)
{
    const struct memory *m = self;
    struct bell *bell = &m->shared->bells[m->rank];
    for (int i = 0; m->spins && i < SPINS; i++) {
        if (is_worth_trying(m, rd, nrd, wr, nwr))
            return 1;
        if (i % 16 == 15)
            sched_yield(); /* the peer may be on this core */
        else
            __builtin_ia32_pause();
    }
    int64_t deadline = now_ms() + timeout_ms;
    for (;;) {
        uint32_t count = atomic_load(&bell->count);
        atomic_store(&bell->sleeping, 1);
        bool worth = is_worth_trying(m, rd, nrd, wr, nwr); /* after telling that we sleep: nobody is missed */
        int64_t left = deadline - now_ms();
        if (!worth && left > 0)
            futex_sleep(&bell->count, count, (int)left);
        atomic_store(&bell->sleeping, 0);
        if (worth || left <= 0)
            return worth;
    }
}

/* ---- coming together ---- */

/* Map the file, which may be closed afterwards. 0, or a negative errno value. */
static int map_file(struct memory *m, int fd)
{
    void *at = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    m->shared = at;
    m->bytes = (unsigned char *)&m->shared->rings[m->world * m->world];
    return 0;
}

static void unmap(struct memory *m)
{
    if (m->shared != NULL)
        munmap(m->shared, m->size);
    m->shared = NULL;
}

/* Rank 0: make the file under another name first, so that nobody sees half of it. What lies there is of an earlier run. */
static int make_file(struct memory *m, const char *path, const char *draft)
{
    unlink(draft);
    int fd = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = ftruncate(fd, (off_t)m->size) == 0 ? map_file(m, fd) : -errno;
    close(fd);
    if (error == 0) {
        m->shared->world = (uint32_t)m->world;
        if (rename(draft, path) != 0)
            error = -errno;
    }
    if (error != 0)
        unlink(draft);
    return error;
}

static bool everybody_is_here(const struct memory *m)
{
    for (int rank = 0; rank < m->world; rank++)
        if (!atomic_load(&m->shared->bells[rank].attached))
            return false;
    return true;
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 200000}, NULL);
}

/* Rank 0: when all have mapped the file, it loses its name. */
static int gather(struct memory *m, const char *path, int64_t deadline)
{
    atomic_store(&m->shared->bells[0].attached, 1);
    while (!everybody_is_here(m)) {
        if (now_ms() >= deadline) {
            unlink(path);
            return -ETIMEDOUT;
        }
        nap();
    }
    unlink(path);
    atomic_store(&m->shared->open, 1);
    return 0;
}

/* Ranks 1 ..: take the file that lies there; if it was an old one, the name will soon lead to another. */
static int join(struct memory *m, const char *path, int64_t deadline)
{
    struct stat ours = {0}, there;
    for (;; nap()) {
        if (now_ms() >= deadline) {
            unmap(m);
            return -ETIMEDOUT;
        }
        if (m->shared != NULL && atomic_load(&m->shared->open))
            return 0;
        if (stat(path, &there) != 0 || (m->shared != NULL && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev))
            continue;
        unmap(m);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (fstat(fd, &ours) == 0 && (size_t)ours.st_size == m->size && map_file(m, fd) == 0)
            atomic_store(&m->shared->bells[m->rank].attached, 1);
        close(fd);
    }
}

int ddp_unix_transport(const char *dir, int rank, int world, int timeout_ms, ddp_transport *out)
{
    if (dir == NULL || out == NULL || world < 1 || world > MAX_WORLD || rank < 0 || rank >= world)
        return -EINVAL;
    char path[MAX_PATH], draft[MAX_PATH];
    if (snprintf(path, sizeof path, "%s/ddp.rings", dir) >= MAX_PATH - 8)
        return -ENAMETOOLONG;
    snprintf(draft, sizeof draft, "%s/ddp.draft", dir);
    struct memory *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->rank = rank;
    m->world = world;
    m->room = room_of(world);
    m->size = size_of(world);
    m->spins = sysconf(_SC_NPROCESSORS_ONLN) >= world;
    int64_t deadline = now_ms() + timeout_ms;
    int error = 0;
    if (rank == 0) {
        error = make_file(m, path, draft);
        if (error == 0)
            error = gather(m, path, deadline);
    } else
        error = join(m, path, deadline);
    if (error != 0) {
        unmap(m);
        free(m);
        return error;
    }
    *out = (ddp_transport){m, rank, world, memory_send, memory_recv, memory_wait};
    return 0;
}

void ddp_unix_close(ddp_transport *t)
{
    if (t == NULL || t->self == NULL)
        return;
    struct memory *m = t->self;
    atomic_store(&m->shared->bells[m->rank].gone, 1);
    for (int peer = 0; peer < m->world; peer++)
        if (peer != m->rank)
            ring_bell(&m->shared->bells[peer]);
    unmap(m);
    free(m);
    t->self = NULL;
}
