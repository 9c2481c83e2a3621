/*
 * faults.c - stands in for the submission's open, fstat, mmap and munmap in the "faults" build.
 *
 * Behind the last page of every mapped file lies a page that nobody may touch: without it, reading past the end of a
 * file whose size is a multiple of the page size often finds some other mapping, and goes unnoticed.
 */
#define _GNU_SOURCE
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN, FSTAT, MMAP, CALLS };
enum { MAX_MAPPINGS = 64 };

static struct {
    long left; /* calls until the one that fails; negative: none fails */
    int error;
} plan[CALLS] = {{-1, 0}, {-1, 0}, {-1, 0}};

static struct {
    void *start;
    size_t length, region;
} mapped[MAX_MAPPINGS];
static long wrong_unmaps;

/* Let call number nth (from 0) of open (0), fstat (1) or mmap of a file (2) fail with `error`; negative: none. */
void faults_fail(int call, long nth, int error)
{
    plan[call].left = nth;
    plan[call].error = error;
}

/* How many munmaps were not just the whole of one mapping, so far. */
long faults_wrong_unmaps(void)
{
    return wrong_unmaps;
}

static int fails(int call)
{
    if (plan[call].left < 0 || plan[call].left-- > 0)
        return 0;
    errno = plan[call].error;
    return 1;
}

static size_t whole_pages(size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (length + page - 1) / page * page;
}

int __real_openat(int folder, const char *path, int flags, ...);
int __real_fstat(int fd, struct stat *about);
int __real_stat(const char *path, struct stat *about);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);

int __wrap_open(const char *path, int flags, ...)
{
    return fails(OPEN) ? -1 : __real_openat(AT_FDCWD, path, flags, 0);
}

int __wrap_open64(const char *path, int flags, ...)
{
    return fails(OPEN) ? -1 : __real_openat(AT_FDCWD, path, flags, 0);
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    return fails(OPEN) ? -1 : __real_openat(folder, path, flags, 0);
}

int __wrap_fstat(int fd, struct stat *about)
{
    return fails(FSTAT) ? -1 : __real_fstat(fd, about);
}

int __wrap_fstat64(int fd, struct stat *about)
{
    return fails(FSTAT) ? -1 : __real_fstat(fd, about);
}

int __wrap_stat(const char *path, struct stat *about)
{
    return fails(FSTAT) ? -1 : __real_stat(path, about);
}

/* Files only: memory goes its usual way. */
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (fd < 0)
        return __real_mmap(address, length, protection, flags, fd, offset);
    if (fails(MMAP))
        return MAP_FAILED;
    size_t i = 0, page = (size_t)sysconf(_SC_PAGESIZE), region = whole_pages(length) + page;
    while (i < MAX_MAPPINGS && mapped[i].start != NULL)
        i++;
    if (address != NULL || length == 0 || i == MAX_MAPPINGS)
        return __real_mmap(address, length, protection, flags, fd, offset);
    void *start = __real_mmap(NULL, region, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return MAP_FAILED;
    if (__real_mmap(start, length, protection, flags | MAP_FIXED, fd, offset) == MAP_FAILED) {
        int error = errno;
        __real_munmap(start, region);
        errno = error;
        return MAP_FAILED;
    }
    mapped[i].start = start;
    mapped[i].length = length;
    mapped[i].region = region;
    return start;
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return __wrap_mmap(address, length, protection, flags, fd, offset);
}

int __wrap_munmap(void *address, size_t length)
{
    for (size_t i = 0; i < MAX_MAPPINGS; i++)
        if (mapped[i].start != NULL && mapped[i].start == address) {
            wrong_unmaps += whole_pages(length) != whole_pages(mapped[i].length);
            mapped[i].start = NULL;
            return __real_munmap(address, mapped[i].region);
        }
    return __real_munmap(address, length);
}
