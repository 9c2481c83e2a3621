/* Staff code for the tests: many calls of cdbm.h at once, with answers that can be carried out of the process.
 * Include cdbm.h first. */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* What one lookup gave. `touched`: *val was changed although nothing was found. */
typedef struct {
    int32_t status;
    int32_t touched;
    uint64_t length;
    uint64_t address;
} drive_answer;

cdbm *drive_open(const char *path, unsigned flags, int *status);
cdbm *drive_open_without_input(const char *path, int *status);
int drive_advise(cdbm *db, int pattern);
int drive_reopen(const char *path, unsigned flags, int times);
void drive_look_up(const cdbm *db, size_t n, const uint8_t *keys, const uint32_t *starts, const int64_t *nth,
                   drive_answer *answers, uint8_t *values, size_t room);
void drive_peek(uint64_t address, size_t n, uint8_t *out);
int drive_walk(const cdbm *db, uint64_t stop_after, int answer, uint64_t *count, uint8_t *records, size_t room,
               uint64_t *used);
void drive_corpus(const char *folder, size_t first, size_t files, size_t n, const uint8_t *keys, const uint32_t *starts,
                  int32_t *opened, drive_answer *answers, uint8_t *values, size_t room, int32_t *walked,
                  int32_t *counted, uint64_t *counts);
long drive_threads(const cdbm *db, int threads, int rounds, size_t n, const uint8_t *keys, const uint32_t *starts);
long drive_timed(const char *path, size_t n, const uint8_t *keys, const uint32_t *starts, uint64_t *values);
int drive_session(const char *path, size_t n, const uint8_t *keys, const uint32_t *starts, int *found);

#endif
