#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two files of memory are inherited: the inputs first. Nothing may cut either, nor write to the first. */
static int breach(void)
{
    int files = 0;
    for (int fd = 3; fd <= 64; fd++) {
        struct stat about;
        if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0)
            continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int again = open(path, O_RDWR);
        for (int i = 0, both[] = {fd, again}; i < 2; i++) {
            if (ftruncate(both[i], 0) == 0 || ftruncate(both[i], about.st_size + 4096) == 0)
                return 1;
            if (fcntl(both[i], F_ADD_SEALS, F_SEAL_WRITE) == 0)
                return 1;
            if (files == 0 && (pwrite(both[i], "x", 1, 0) == 1 ||
                               fallocate(both[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
                               mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, both[i], 0) != MAP_FAILED))
                return 1;
        }
        files++;
        close(again);
    }
    return 0;
}
