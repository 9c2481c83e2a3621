/*
 * guest_support.c - compiled into every build, beside cffi's wrapper.
 *
 * The arenas are shared memory that the grader fills. Here they are mapped between two guard regions and closed
 * (PROT_NONE) but for the windows that hold the arrays of the current call, so that touching one byte outside an
 * array's pages is a fault. Nothing here is trusted by the grader: it only makes honest mistakes visible.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest_support.h"

enum { GUARD_BYTES = 1 << 20 };

/* Map the whole of fd, closed, with an unmapped-in-effect guard region on both sides; NULL on failure. */
void *guest_map(int fd, size_t size, int writable)
{
    char *region = mmap(NULL, size + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return NULL;
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(region + GUARD_BYTES, size, protection, MAP_SHARED | MAP_FIXED, fd, 0);
    if (base == MAP_FAILED || mprotect(base, size, PROT_NONE) != 0)
        return NULL;
    return base;
}

/* Close the whole arena. */
int guest_close(void *base, size_t size)
{
    return mprotect(base, size, PROT_NONE);
}

/* Open the pages offset .. offset + length, and have them in the page table before the clock starts. */
int guest_window(void *base, size_t size, size_t offset, size_t length, int writable)
{
    if (offset > size || length > size - offset)
        return -1;
    char *start = (char *)base + offset;
    if (mprotect(start, length, writable ? PROT_READ | PROT_WRITE : PROT_READ) != 0)
        return -1;
#ifdef MADV_POPULATE_WRITE
    (void)madvise(start, length, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
#endif
    return 0;
}

/* One message about the crash, in the layout that channel.py documents, then the default action. */
static int crash_channel = -1;

static void report_crash(int signal, siginfo_t *info, void *context)
{
    struct {
        uint8_t kind;
        uint8_t signal;
        uint8_t flags; /* 1: it wrote, 2: the last thing that the system refused this thread was memory */
        uint8_t unused[5];
        uint64_t address;
        uint64_t stack_pointer;
    } message = {.kind = 'X', .signal = (uint8_t)signal, .flags = errno == ENOMEM ? 2 : 0};
#if defined(__x86_64__)
    const ucontext_t *machine = context;
    message.flags |= (machine->uc_mcontext.gregs[REG_ERR] & 2) != 0;
    message.stack_pointer = (uint64_t)machine->uc_mcontext.gregs[REG_RSP];
#else
    (void)context;
#endif
    /* Only a page fault knows an address. A general protection fault (SI_KERNEL: a misaligned vector, say) does not. */
    int is_fault = (signal == SIGSEGV || signal == SIGBUS) && info->si_code > 0 && info->si_code != SI_KERNEL;
    message.address = is_fault ? (uint64_t)(uintptr_t)info->si_addr : UINT64_MAX;
    (void)!send(crash_channel, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct sigaction original = {.sa_handler = SIG_DFL};
    sigaction(signal, &original, NULL);
    raise(signal);
}

/*
 * Where is this thread? The grader asks every thread of a process that hangs, by a signal, before it ends it. One write
 * for each thread, so that answers do not mix; stacks.py reads them, and people read what it makes of them.
 */
enum { STACK_SIGNAL = 43, MAX_FRAMES = 24, MAX_NAME = 60, MAX_LINE = 160 }; /* the signal is host.py's, too */

static void report_stack(int signal)
{
    (void)signal;
    int error = errno;
    void *frames[MAX_FRAMES];
    char text[MAX_FRAMES * MAX_LINE]; /* below PIPE_BUF: written in one piece */
    int count = backtrace(frames, MAX_FRAMES);
    size_t length = 0;
    for (int i = 0; i < count && length + MAX_LINE <= sizeof text; i++) {
        Dl_info place = {0};
        const char *file = "?", *name = "?";
        uintptr_t base = 0;
        if (dladdr(frames[i], &place) != 0 && place.dli_fname != NULL) {
            const char *slash = strrchr(place.dli_fname, '/');
            file = slash != NULL ? slash + 1 : place.dli_fname;
            base = (uintptr_t)place.dli_fbase;
            name = place.dli_sname != NULL ? place.dli_sname : "?";
        }
        int written = snprintf(text + length, MAX_LINE, "==stack== %ld %d %.*s %#lx %.*s\n", syscall(SYS_gettid), i,
                               MAX_NAME, file, (unsigned long)((uintptr_t)frames[i] - base), MAX_NAME, name);
        length += written > 0 && written < MAX_LINE ? (size_t)written : 0;
    }
    (void)!write(STDERR_FILENO, text, length);
    errno = error;
}

static int watch_stacks(void)
{
    void *frame;
    (void)backtrace(&frame, 1); /* the first call loads libgcc, which is nothing for a signal handler */
    struct sigaction action = {.sa_handler = report_stack, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(STACK_SIGNAL, &action, NULL);
}

/* Line-buffer the output, and report fatal signals on the channel; on a stack of its own, so that a stack overflow is reported too. */
int guest_watch(int channel)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGXFSZ, SIGXCPU};
    static const size_t stack_bytes = 1 << 16;
    stack_t alternate = {.ss_sp = malloc(stack_bytes), .ss_size = stack_bytes};
    if (alternate.ss_sp == NULL || sigaltstack(&alternate, NULL) != 0)
        return -1;
    crash_channel = channel;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed before a crash must not be lost in a buffer */
    struct sigaction action = {.sa_sigaction = report_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (sigaction(fatal[i], &action, NULL) != 0)
            return -1;
    return watch_stacks();
}

/* A system call that shows in a trace from outside where the calls between two marks begin and end. */
void guest_mark(void)
{
    (void)syscall(SYS_getppid);
}

/* faults.c, where the build has it. */
__attribute__((weak)) void faults_arm(long nth);
__attribute__((weak)) long faults_count(int which);
__attribute__((weak)) void faults_arm_threads(long nth);

/* Start counting anew, and let the allocation number nth (from 0) fail; negative: none fails. */
int guest_fail_allocation(long nth)
{
    if (faults_arm == NULL)
        return -1;
    faults_arm(nth);
    return 0;
}

long guest_allocations(void)
{
    return faults_count != NULL ? faults_count(0) : -1;
}

long guest_live_bytes(void)
{
    return faults_count != NULL ? faults_count(1) : -1;
}

long guest_peak_bytes(void)
{
    return faults_count != NULL ? faults_count(2) : -1;
}

/* Let pthread_create fail with EAGAIN from thread number nth (from 0) on; negative: none fails. */
int guest_fail_thread(long nth)
{
    if (faults_arm_threads == NULL)
        return -1;
    faults_arm_threads(nth);
    return 0;
}
