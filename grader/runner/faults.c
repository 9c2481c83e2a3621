/*
 * faults.c - linked into the "faults" variant of a submission with -Wl,--wrap=malloc and so on: counts what the
 * submission allocates and can make its n-th allocation fail. The wrappers are weak: a lab may bring its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WEAK __attribute__((weak))

static atomic_long countdown = -1; /* allocations until the one that fails; negative: none fails */
static atomic_long allocations, live_bytes, peak_bytes;

void faults_arm(long nth)
{
    countdown = nth;
    allocations = 0;
    live_bytes = 0;
    peak_bytes = 0;
}

long faults_count(int which)
{
    return which == 0 ? allocations : which == 1 ? live_bytes : peak_bytes;
}

static atomic_long threads_left = -1; /* threads that may still be started; negative: any number */

void faults_arm_threads(long nth)
{
    threads_left = nth;
}

static int must_fail(void)
{
    allocations++;
    return countdown >= 0 && countdown-- == 0;
}

static void account(long bytes)
{
    long now = atomic_fetch_add(&live_bytes, bytes) + bytes;
    long peak = peak_bytes;
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now))
        ;
}

static void *accounted(void *block)
{
    if (block != NULL)
        account((long)malloc_usable_size(block));
    return block;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);

WEAK void *__wrap_malloc(size_t size)
{
    return must_fail() ? (errno = ENOMEM, NULL) : accounted(__real_malloc(size));
}

WEAK void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? (errno = ENOMEM, NULL) : accounted(__real_calloc(count, size));
}

WEAK void *__wrap_realloc(void *block, size_t size)
{
    if (must_fail()) {
        errno = ENOMEM;
        return NULL;
    }
    long before = block != NULL ? (long)malloc_usable_size(block) : 0;
    void *moved = __real_realloc(block, size);
    if (moved != NULL)
        account((long)malloc_usable_size(moved) - before);
    return moved;
}

WEAK void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return must_fail() ? (errno = ENOMEM, NULL) : accounted(__real_aligned_alloc(alignment, size));
}

WEAK int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (must_fail())
        return ENOMEM;
    int error = __real_posix_memalign(block, alignment, size);
    if (error == 0)
        accounted(*block);
    return error;
}

WEAK void __wrap_free(void *block)
{
    if (block != NULL)
        account(-(long)malloc_usable_size(block));
    __real_free(block);
}

WEAK void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (must_fail()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *block = __real_mmap(address, length, protection, flags, fd, offset);
    if (block != MAP_FAILED)
        account((long)length);
    return block;
}

WEAK int __wrap_munmap(void *address, size_t length)
{
    int error = __real_munmap(address, length);
    if (error == 0)
        account(-(long)length);
    return error;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

WEAK int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    if (threads_left > 0)
        threads_left--;
    return __real_pthread_create(thread, attributes, run, argument);
}
