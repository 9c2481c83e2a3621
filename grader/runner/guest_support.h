/* What the guest needs from C: mapping the arenas, guard pages, and a word about a crash. Part of cffi's module. */
#ifndef GUEST_SUPPORT_H
#define GUEST_SUPPORT_H

void *guest_map(int fd, size_t size, int writable);
int guest_window(void *base, size_t size, size_t offset, size_t length, int writable);
int guest_close(void *base, size_t size);
int guest_watch(int channel);
void guest_mark(void);

/* Only in the "faults" variant of a build; elsewhere they answer -1 (see faults.c). */
int guest_fail_allocation(long nth);
long guest_allocations(void);
long guest_live_bytes(void);
long guest_peak_bytes(void);
int guest_fail_thread(long nth);

#endif
