#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static size_t filled(int fd, size_t most)
{
    static char block[1 << 20];
    size_t written = 0;
    for (ssize_t got; written < most && (got = write(fd, block, sizeof block)) > 0;)
        written += (size_t)got;
    return written;
}

/* 1 when it got a gigabyte into one place. */
static int breach(void)
{
    static const char *const places[] = {"/dev/shm", "/tmp", "/var/tmp", "/dev", "/run", "."};
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        size_t total = 0;
        for (int number = 0; number < 32; number++) {
            char name[64];
            snprintf(name, sizeof name, "%s/fill%d", places[i], number);
            int fd = open(name, O_CREAT | O_RDWR, 0600);
            total += fd >= 0 ? filled(fd, 64 << 20) : 0;
            close(fd);
        }
        if (total >= 1 << 30)
            return 1;
    }
    return 0;
}
