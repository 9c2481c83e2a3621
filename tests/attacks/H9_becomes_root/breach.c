#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int visit(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)path, (void)walk;
    return kind == FTW_F && (about->st_mode & 06000) && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

static int breach(void)
{
    static const char *const settings[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory",
                                           "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/etc/passwd", "/usr/bin/new",
                                           "/sys/kernel/uevent_helper", "/var/run/docker.sock", "/dev/mem", "/dev/kmsg"};
    if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0 || setgid(0) == 0 || geteuid() == 0)
        return 1;
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++)
        if (open(settings[i], O_WRONLY) >= 0)
            return 1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0)
        return 1;
    return nftw("/usr", visit, 32, FTW_PHYS) == 1;
}
