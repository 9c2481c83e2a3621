/* ends - ends as it is told: `ends 3` with this exit status, `ends -11` by this signal. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const int how = argc > 1 ? atoi(argv[1]) : 0;
    if (how < 0) {
        signal(-how, SIG_DFL);
        kill(getpid(), -how);
        pause();
    }
    return how;
}
