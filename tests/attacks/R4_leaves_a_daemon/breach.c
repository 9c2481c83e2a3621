#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int breach(void)
{
    if (fork() != 0)
        return 1;
    setsid();
    if (fork() != 0)
        _exit(0);
    for (int number = 1; number < 65; number++)
        signal(number, SIG_IGN);
    for (int fd = 0; fd < 64; fd++)
        close(fd);
    for (;; sleep(1)) {
        int file = open("@RESULT@", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (file < 0)
            file = open("@CANARY@", O_WRONLY | O_TRUNC);
        if (file >= 0 && write(file, "owned", 5) == 5)
            _exit(0);
    }
}
