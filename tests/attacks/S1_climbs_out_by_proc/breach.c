#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int breach(void)
{
    static const char *const ways[] = {"root@CANARY@", "cwd/../../../../..@CANARY@", "fd/3/../../../..@CANARY@",
                                       "root/etc/shadow", "task/1/root/etc/shadow"};
    char path[512];
    for (int pid = 0; pid < 70000; pid++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            if (pid == 0)
                snprintf(path, sizeof path, "/proc/self/%s", ways[i]);
            else
                snprintf(path, sizeof path, "/proc/%d/%s", pid, ways[i]);
            if (open(path, O_RDONLY) >= 0)
                return 1;
        }
    return chroot("/proc/1/root") == 0 || open("/../..@CANARY@", O_RDONLY) >= 0;
}
