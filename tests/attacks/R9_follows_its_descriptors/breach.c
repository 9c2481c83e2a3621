#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int breach(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat about;
        if (openat(fd, "..", O_RDONLY | O_DIRECTORY) >= 0 || openat(fd, "etc/passwd", O_RDONLY) >= 0)
            return 1;
        if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
            return 1;
        char path[64], target[512] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0 && target[0] == '/' && access(target, R_OK) == 0 && fd > 2 &&
            openat(fd, "", O_RDONLY | O_PATH) >= 0)
            return 1;
    }
    return 0;
}
