/* driver.c - staff code for the tests: what driver.h says. Nothing here is trusted by the grader. */
#include "cdbm.h"

#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 16, MAX_PATH = 512, ROOM_FOR_STATUS = 4096 };

/* What *val holds before a call. */
static const cdbm_slice POISON = {(const uint8_t *)(uintptr_t)0x5a5a5a5a5a5a5a5a, 0x5a5a5a5a5a5a5a5a};

/* ---- open ---- */

/* The open database, or NULL with the status that cdbm_open returned. */
cdbm *drive_open(const char *path, unsigned flags, int *status)
{
    cdbm *db = (cdbm *)(uintptr_t)0x10; /* must be overwritten, also when it fails */
    *status = cdbm_open(path, flags, &db);
    return db;
}

/* The same in a process that has closed its standard input, so that open gives the descriptor 0. */
cdbm *drive_open_without_input(const char *path, int *status)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);
    close(0);
    cdbm *db = drive_open(path, 0, status);
    if (saved >= 0) {
        dup2(saved, 0);
        close(saved);
    }
    return db;
}

/* cdbm_advise, after a call that has failed: errno holds what nobody may take for an answer. */
int drive_advise(cdbm *db, int pattern)
{
    errno = EDOM;
    return cdbm_advise(db, pattern);
}

/* Open and close again and again. The first status that is not 0. */
int drive_reopen(const char *path, unsigned flags, int times)
{
    for (int i = 0; i < times; i++) {
        cdbm *db = NULL;
        int status = cdbm_open(path, flags, &db);
        if (status != 0)
            return status;
        cdbm_close(db);
    }
    return 0;
}

/* ---- look up ---- */

static drive_answer look_up(const cdbm *db, const uint8_t *key, size_t klen, int64_t nth, uint8_t *copy, size_t room)
{
    cdbm_slice value = POISON;
    int status = nth < 0 ? cdbm_get(db, key, klen, &value) : cdbm_get_nth(db, key, klen, (size_t)nth, &value);
    if (status != 1)
        return (drive_answer){status, value.ptr != POISON.ptr || value.len != POISON.len, 0, 0};
    if (value.len > 0 && room > 0)
        memcpy(copy, value.ptr, value.len < room ? value.len : room);
    return (drive_answer){status, 0, value.len, (uint64_t)(uintptr_t)value.ptr};
}

/* Key i is keys[starts[i] .. starts[i + 1]); nth[i] < 0 means cdbm_get. At most `room` bytes of each value are copied. */
void drive_look_up(const cdbm *db, size_t n, const uint8_t *keys, const uint32_t *starts, const int64_t *nth,
                   drive_answer *answers, uint8_t *values, size_t room)
{
    for (size_t i = 0; i < n; i++)
        answers[i] =
            look_up(db, keys + starts[i], starts[i + 1] - starts[i], nth[i], values != NULL ? values + i * room : NULL,
                    values != NULL ? room : 0);
}

/* Bytes at an address that the submission returned: a wrong address crashes here. */
void drive_peek(uint64_t address, size_t n, uint8_t *out)
{
    memcpy(out, (const uint8_t *)(uintptr_t)address, n);
}

/* ---- walk ---- */

struct walk {
    uint64_t count, stop_after;
    int answer;
    uint8_t *records;
    uint64_t used, room;
};

static void append(struct walk *walk, const void *bytes, size_t n)
{
    size_t left = walk->room - walk->used, copied = n < left ? n : left;
    if (copied > 0)
        memcpy(walk->records + walk->used, bytes, copied);
    walk->used += copied;
}

/* Writes a record down as in the file, as far as there is room. */
static int note(void *context, cdbm_slice key, cdbm_slice value)
{
    struct walk *walk = context;
    uint32_t lengths[2] = {(uint32_t)key.len, (uint32_t)value.len};
    append(walk, lengths, sizeof lengths);
    append(walk, key.ptr, key.len);
    append(walk, value.ptr, value.len);
    return ++walk->count == walk->stop_after ? walk->answer : 0;
}

/* All records through cdbm_foreach; the record number `stop_after` (from 1; 0: none) is answered with `answer`. */
int drive_walk(const cdbm *db, uint64_t stop_after, int answer, uint64_t *count, uint8_t *records, size_t room,
               uint64_t *used)
{
    struct walk walk = {0, stop_after, answer, records, 0, room};
    int status = cdbm_foreach(db, note, &walk);
    *count = walk.count;
    *used = walk.used;
    return status;
}

/* ---- many damaged files ---- */

static volatile uint8_t sink;

/* Reads every byte of a value: whatever cdbm_get returns must lie inside the file. */
static void touch(drive_answer answer)
{
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)answer.address;
    for (uint64_t i = 0; i < answer.length; i++)
        sink = bytes[i];
}

static int touch_record(void *context, cdbm_slice key, cdbm_slice value)
{
    (void)context;
    touch((drive_answer){1, 0, key.len, (uint64_t)(uintptr_t)key.ptr});
    touch((drive_answer){1, 0, value.len, (uint64_t)(uintptr_t)value.ptr});
    return 0;
}

/* The files `folder`/first, first + 1, ...: open each, look n keys up, walk, count, close. */
void drive_corpus(const char *folder, size_t first, size_t files, size_t n, const uint8_t *keys, const uint32_t *starts,
                  int32_t *opened, drive_answer *answers, uint8_t *values, size_t room, int32_t *walked,
                  int32_t *counted, uint64_t *counts)
{
    for (size_t f = 0; f < files; f++) {
        char path[MAX_PATH];
        snprintf(path, sizeof path, "%s/%zu", folder, first + f);
        cdbm *db = NULL;
        opened[f] = cdbm_open(path, CDBM_DEFAULT, &db);
        if (opened[f] != 0)
            continue;
        for (size_t i = 0; i < n; i++) {
            size_t at = f * n + i;
            answers[at] =
                look_up(db, keys + starts[i], starts[i + 1] - starts[i], -1, values + at * room, room);
            touch(answers[at]);
        }
        walked[f] = cdbm_foreach(db, touch_record, NULL);
        counted[f] = cdbm_count(db, &counts[f]);
        cdbm_close(db);
    }
}

/* ---- several threads ---- */

struct reader {
    const cdbm *db;
    int rounds;
    size_t n;
    const uint8_t *keys;
    const uint32_t *starts;
    const drive_answer *right;
    pthread_barrier_t *start;
    long wrong;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    pthread_barrier_wait(reader->start);
    for (int round = 0; round < reader->rounds; round++)
        for (size_t i = 0; i < reader->n; i++) {
            const uint8_t *key = reader->keys + reader->starts[i];
            drive_answer got = look_up(reader->db, key, reader->starts[i + 1] - reader->starts[i], -1, NULL, 0);
            reader->wrong += memcmp(&got, &reader->right[i], sizeof got) != 0;
        }
    return NULL;
}

/* Threads look the same keys up at the same time. How many answers are not those of one thread alone; -1: no threads. */
long drive_threads(const cdbm *db, int threads, int rounds, size_t n, const uint8_t *keys, const uint32_t *starts)
{
    static drive_answer right[ROOM_FOR_STATUS];
    if (threads > MAX_THREADS || n > ROOM_FOR_STATUS)
        return -1;
    for (size_t i = 0; i < n; i++)
        right[i] = look_up(db, keys + starts[i], starts[i + 1] - starts[i], -1, NULL, 0);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    pthread_t handles[MAX_THREADS];
    struct reader readers[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        readers[t] = (struct reader){db, rounds, n, keys, starts, right, &start, 0};
        if (pthread_create(&handles[t], NULL, read_all, &readers[t]) != 0)
            return -1; /* the others wait for ever; the test says so */
    }
    long wrong = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(handles[t], NULL);
        wrong += readers[t].wrong;
    }
    pthread_barrier_destroy(&start);
    return wrong;
}

/* ---- what is measured ---- */

/* Look n keys up in the database at `path`, which stays open from call to call. values[i] holds the first 8 bytes of
 * the value (they are at least that long), or 0. Returns how many were found, or what cdbm_open or cdbm_get said. */
long drive_timed(const char *path, size_t n, const uint8_t *keys, const uint32_t *starts, uint64_t *values)
{
    static char held_path[MAX_PATH];
    static cdbm *held;
    if (strcmp(path, held_path) != 0) {
        cdbm_close(held);
        held = NULL;
        held_path[0] = '\0';
        int status = cdbm_open(path, CDBM_DEFAULT, &held);
        if (status != 0)
            return status;
        snprintf(held_path, sizeof held_path, "%s", path);
    }
    long found = 0;
    for (size_t i = 0; i < n; i++) {
        cdbm_slice value;
        int status = cdbm_get(held, keys + starts[i], starts[i + 1] - starts[i], &value);
        if (status < 0)
            return status;
        values[i] = 0;
        if (status == 1)
            memcpy(&values[i], value.ptr, sizeof values[i]);
        found += status;
    }
    return found;
}

/* Open, look n keys up, close: the whole life of a small program. *found counts the hits. */
int drive_session(const char *path, size_t n, const uint8_t *keys, const uint32_t *starts, int *found)
{
    cdbm *db = NULL;
    int status = cdbm_open(path, CDBM_DEFAULT, &db);
    *found = 0;
    if (status != 0)
        return status;
    for (size_t i = 0; i < n; i++) {
        cdbm_slice value;
        *found += cdbm_get(db, keys + starts[i], starts[i + 1] - starts[i], &value) == 1;
    }
    cdbm_close(db);
    return 0;
}
