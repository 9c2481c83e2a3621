/*
 * cdbm.c - a read-only loader for cdb files.
 *
 * The plan: map the file, look at the header's 256 tables once, and keep them as numbers that are known to be good. From
 * then on a lookup is one slot and one record, read where they lie: two places in memory, no system call, no copy.
 *
 * What makes it fast beyond that: the hash is computed four bytes at a time and keys are compared eight at a time, both
 * without a call; the header lies beside the rest of the handle, as numbers; no lookup divides; and slots
 * that hold other hashes are passed by four at a time, so that the CPU has fewer branches to guess.
 *
 * What makes it safe: every position from the file is widened to 64 bits before anything is added to it, so that no sum
 * can wrap, and is compared with the file's size before it is used. Every loop has an end that the file cannot move.
 */
#include "cdbm.h"

#include <emmintrin.h> /* SSE2, which every x86-64 CPU has */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TABLES = 256, PAIR = 8, HEADER = TABLES * PAIR, GROUP = 4 };

typedef struct {
    uint32_t position, slots;
    uint64_t inverse; /* 2^64 / slots, rounded up: see slot_of */
} table;

struct cdbm {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t records_end;
    table tables[TABLES]; /* each lies inside the file, or has no slots */
};

typedef struct {
    cdbm_slice key, value;
    uint64_t next; /* where the record behind it begins */
} record;

/* A number of the file. It may lie at any address, so it is copied; the compiler makes one load of that. */
static inline uint32_t number(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return le32toh(value);
}

/* Each byte waits for the one before it; what can be saved is the counting in between. */
static inline uint32_t hash_of(const uint8_t *p, size_t n)
{
    uint32_t h = 5381;
    for (; n >= 4; n -= 4, p += 4) {
        h = (h * 33) ^ p[0];
        h = (h * 33) ^ p[1];
        h = (h * 33) ^ p[2];
        h = (h * 33) ^ p[3];
    }
    for (; n > 0; n--)
        h = (h * 33) ^ *p++;
    return h;
}

/* memcmp would be a call, and keys are short. */
static inline int same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (; n >= 8; n -= 8, a += 8, b += 8) {
        uint64_t x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        if (x != y)
            return 0;
    }
    for (; n > 0; n--)
        if (*a++ != *b++)
            return 0;
    return 1;
}

/*
 * The slot where the search for this hash begins: hash / 256 modulo the number of slots, by multiplication, since a
 * division takes as long as a dozen other steps. The low half of x * inverse is the fraction of x / slots, in units of
 * 2^-64; times slots, its whole part is the remainder. Exact for 32 bits (Lemire, Kaser, Kurz: Faster Remainder by
 * Direct Computation, 2019).
 */
static inline uint32_t slot_of(table t, uint32_t hash)
{
    uint64_t fraction = t.inverse * (hash / TABLES);
    return (uint32_t)(((unsigned __int128)fraction * t.slots) >> 64);
}

/* ---- open ---- */

/* Take over the header's tables. No file of this format is so large that a sum of these could wrap in 64 bits. */
static int read_header(cdbm *db)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < TABLES; i++) {
        table t = {number(db->bytes + PAIR * i), number(db->bytes + PAIR * i + 4), 0};
        if (t.slots == 0)
            continue;
        t.inverse = UINT64_MAX / t.slots + 1;
        db->tables[i] = t;
        if (t.position < HEADER || t.position + (uint64_t)t.slots * PAIR > db->size)
            return -EBADMSG;
        if (t.position < first)
            first = t.position;
    }
    db->records_end = first != UINT64_MAX ? first : HEADER;
    return 0;
}

/* The record at `position`, if all of it lies between the header and `end`. */
static inline int record_at(const cdbm *db, uint64_t position, uint64_t end, record *out)
{
    if (position < HEADER || position + PAIR > end)
        return -EBADMSG;
    const uint8_t *p = db->bytes + position;
    uint64_t klen = number(p), vlen = number(p + 4);
    if (position + PAIR + klen + vlen > end)
        return -EBADMSG;
    *out = (record){{p + PAIR, klen}, {p + PAIR + klen, vlen}, position + PAIR + klen + vlen};
    return 0;
}

static int compare_positions(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Walk the records, which must end where the tables begin, and note where each one starts. */
static int walk(const cdbm *db, uint32_t *starts, uint64_t *count)
{
    record r;
    *count = 0;
    for (uint64_t position = HEADER; position < db->records_end; position = r.next) {
        if (record_at(db, position, db->records_end, &r) != 0)
            return -EBADMSG;
        if (starts != NULL)
            starts[*count] = (uint32_t)position;
        ++*count;
    }
    return 0;
}

/* Does every used slot lead to the beginning of a record that belongs there? */
static int verify_slots(const cdbm *db, const uint32_t *starts, size_t count)
{
    for (size_t t = 0; t < TABLES; t++)
        for (size_t s = 0; s < db->tables[t].slots; s++) {
            const uint8_t *slot = db->bytes + db->tables[t].position + PAIR * s;
            uint32_t hash = number(slot), position = number(slot + 4);
            if (position == 0)
                continue;
            record r;
            if (bsearch(&position, starts, count, sizeof *starts, compare_positions) == NULL ||
                record_at(db, position, db->records_end, &r) != 0 || hash_of(r.key.ptr, r.key.len) != hash)
                return -EBADMSG;
        }
    return 0;
}

static int verify(const cdbm *db)
{
    uint64_t count;
    int error = walk(db, NULL, &count);
    if (error != 0)
        return error;
    uint32_t *starts = malloc((count + 1) * sizeof *starts); /* never malloc(0) */
    if (starts == NULL)
        return -ENOMEM;
    walk(db, starts, &count);
    error = verify_slots(db, starts, count);
    free(starts);
    return error;
}

/* Map the file that fd is open on. */
static int map(int fd, unsigned flags, cdbm *db)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return -errno;
    if (S_ISDIR(about.st_mode))
        return -EISDIR;
    if (!S_ISREG(about.st_mode))
        return -ENODEV;
    if (about.st_size > UINT32_MAX)
        return -EFBIG;
    if (about.st_size < HEADER) /* also the empty file, which mmap would refuse in its own words */
        return -EBADMSG;
    int populate = flags & CDBM_POPULATE ? MAP_POPULATE : 0;
    void *bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED | populate, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    db->bytes = bytes;
    db->size = (uint64_t)about.st_size;
    return 0;
}

int cdbm_open(const char *path, unsigned flags, cdbm **out)
{
    if (out == NULL)
        return -EINVAL;
    *out = NULL;
    if (path == NULL || (flags & ~(unsigned)(CDBM_POPULATE | CDBM_VERIFY)) != 0)
        return -EINVAL;
    cdbm *db = calloc(1, sizeof *db);
    if (db == NULL)
        return -ENOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer would make us wait */
    int error = fd < 0 ? -errno : map(fd, flags, db);
    if (fd >= 0)
        close(fd); /* the mapping stays */
    if (error == 0)
        error = read_header(db);
    if (error == 0 && flags & CDBM_VERIFY)
        error = verify(db);
    if (error != 0) {
        cdbm_close(db);
        return error;
    }
    *out = db;
    return 0;
}

void cdbm_close(cdbm *db)
{
    if (db == NULL)
        return;
    if (db->bytes != NULL)
        munmap((void *)db->bytes, db->size);
    free(db);
}

/* ---- look up ---- */

/*
 * How many of the four slots from here on hold another hash, before the first one that is empty or holds this one.
 * One by one, each slot costs a branch, and where a search ends is as good as random: every lookup would pay for a
 * wrong guess or two. Here all four are compared, and counted without a branch.
 */
static inline uint32_t strangers(const uint8_t *slots, uint32_t hash)
{
    __m128 two = _mm_loadu_ps((const float *)slots), next = _mm_loadu_ps((const float *)(slots + 2 * PAIR));
    __m128i hashes = _mm_castps_si128(_mm_shuffle_ps(two, next, _MM_SHUFFLE(2, 0, 2, 0)));
    __m128i positions = _mm_castps_si128(_mm_shuffle_ps(two, next, _MM_SHUFFLE(3, 1, 3, 1)));
    __m128i same = _mm_cmpeq_epi32(hashes, _mm_set1_epi32((int)hash));
    __m128i empty = _mm_cmpeq_epi32(positions, _mm_setzero_si128());
    unsigned stops = (unsigned)_mm_movemask_ps(_mm_castsi128_ps(_mm_or_si128(same, empty)));
    return (uint32_t)__builtin_ctz(stops | 1u << GROUP);
}

static inline int find(const cdbm *db, const uint8_t *key, size_t klen, size_t nth, cdbm_slice *val)
{
    if (db == NULL || val == NULL || (key == NULL && klen > 0))
        return -EINVAL;
    uint32_t hash = hash_of(key, klen);
    table t = db->tables[hash % TABLES];
    if (t.slots == 0)
        return 0;
    const uint8_t *slots = db->bytes + t.position;
    uint32_t slot = slot_of(t, hash);
    for (uint64_t seen = 0; seen < t.slots; seen++) { /* a table may be full: an empty slot is no promise */
        const uint8_t *pair = slots + (size_t)slot * PAIR;
        if (t.slots - slot > GROUP) { /* four, and one behind them to look at */
            uint32_t passed = strangers(pair, hash);
            pair += (size_t)passed * PAIR;
            slot += passed;
            seen += passed;
            if (seen >= t.slots)
                return 0;
        }
        uint32_t position = number(pair + 4);
        if (position == 0)
            return 0;
        if (number(pair) == hash) { /* another key may have the same hash, so the key decides */
            record r;
            if (record_at(db, position, db->size, &r) != 0)
                return -EBADMSG;
            if (r.key.len == klen && same_bytes(r.key.ptr, key, klen) && nth-- == 0) {
                *val = r.value;
                return 1;
            }
        }
        if (++slot == t.slots)
            slot = 0;
    }
    return 0;
}

/* In a shared library these are found by name, so that they are not inlined into each other; `find` is. */
int cdbm_get(const cdbm *db, const void *key, size_t klen, cdbm_slice *val)
{
    return find(db, key, klen, 0, val);
}

int cdbm_get_nth(const cdbm *db, const void *key, size_t klen, size_t nth, cdbm_slice *val)
{
    return find(db, key, klen, nth, val);
}

uint32_t cdbm_hash(const void *p, size_t n)
{
    return hash_of(p, n);
}

/* ---- all of it ---- */

int cdbm_foreach(const cdbm *db, cdbm_iter_fn fn, void *ctx)
{
    if (db == NULL || fn == NULL)
        return -EINVAL;
    record r;
    for (uint64_t position = HEADER; position < db->records_end; position = r.next) {
        if (record_at(db, position, db->records_end, &r) != 0)
            return -EBADMSG;
        int answer = fn(ctx, r.key, r.value);
        if (answer != 0)
            return answer;
    }
    return 0;
}

int cdbm_count(const cdbm *db, uint64_t *nrec)
{
    if (db == NULL || nrec == NULL)
        return -EINVAL;
    uint64_t count;
    int error = walk(db, NULL, &count);
    if (error == 0)
        *nrec = count;
    return error;
}

int cdbm_advise(cdbm *db, int pattern)
{
    static const int advice[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED};
    if (db == NULL || pattern < 0 || pattern >= (int)(sizeof advice / sizeof *advice))
        return -EINVAL;
    return madvise((void *)db->bytes, db->size, advice[pattern]) == 0 ? 0 : -errno;
}
