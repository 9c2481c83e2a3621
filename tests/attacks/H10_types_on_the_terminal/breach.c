#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int breach(void)
{
    int terminal = open("/dev/tty", O_RDWR);
    char key = '\n', paste[16] = {2};
    for (int fd = 0; fd < 64; fd++)
        if (ioctl(fd, TIOCSTI, &key) == 0 || ioctl(fd, TIOCLINUX, paste) == 0 || ioctl(fd, TIOCSCTTY, 1) == 0)
            return 1;
    return terminal >= 0;
}
