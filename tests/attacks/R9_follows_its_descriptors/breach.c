#include <fcntl.h>
#include <sys/stat.h>

static int breach(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat about;
        if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
            return 1;
        if (openat(fd, "..", O_RDONLY | O_DIRECTORY) >= 0 || openat(fd, "etc/passwd", O_RDONLY) >= 0)
            return 1;
    }
    return 0;
}
