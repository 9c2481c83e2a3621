#include <linux/perf_event.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static int breach(void)
{
    char room[256] = {0};
    static const int spaces[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (unshare(spaces[i]) == 0)
            return 1;
    struct perf_event_attr counter = {.type = PERF_TYPE_SOFTWARE, .size = sizeof counter, .exclude_kernel = 1};
    return syscall(SYS_io_uring_setup, 8, room) >= 0 || syscall(SYS_bpf, 0, room, sizeof room) >= 0 ||
           syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0) >= 0 || syscall(SYS_userfaultfd, 1) >= 0 ||
           syscall(SYS_userfaultfd, 0) >= 0 || syscall(SYS_pidfd_open, 1, 0) >= 0 || syscall(SYS_setns, 0, 0) == 0 ||
           mount("none", "/tmp", "tmpfs", 0, "") == 0 || syscall(SYS_fsopen, "tmpfs", 0) >= 0 ||
           syscall(SYS_name_to_handle_at, -100, "/", room, room + 128, 0) == 0 || syscall(SYS_init_module, room, 8, "") == 0;
}
