#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

/* Always goes on: what counts is what is left. */
static int breach(void)
{
    static const char *const files[] = {"/tmp/for_the_next", "/dev/shm/for_the_next", "/var/tmp/for_the_next",
                                        "for_the_next", "/run/lock/for_the_next", "/dev/mqueue/for_the_next"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        close(open(files[i], O_CREAT | O_RDWR, 0666));
    mkdir("/tmp/a_folder_for_the_next", 0777);
    shm_open("/for_the_next_too", O_CREAT | O_RDWR, 0666);
    shmget(0x5eed, 4096, IPC_CREAT | 0666);
    semget(0x5eed, 1, IPC_CREAT | 0666);
    msgget(0x5eed, IPC_CREAT | 0666);
    return 1;
}
