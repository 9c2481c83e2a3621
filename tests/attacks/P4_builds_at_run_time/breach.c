#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int breach(void)
{
    static const char *const programs[] = {"/usr/bin/gcc", "/usr/bin/cc", "/usr/bin/as", "/usr/bin/ld", "/usr/bin/python3",
                                           "/usr/bin/perl", "/usr/bin/curl", "/usr/bin/wget", "/bin/sh", "/bin/busybox"};
    char *const arguments[] = {"tool", "--version", NULL};
    char *const nothing[] = {NULL};
    if (system("true") == 0)
        return 1;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        pid_t child;
        int status = -1;
        if (posix_spawn(&child, programs[i], NULL, NULL, arguments, nothing) == 0 && waitpid(child, &status, 0) == child &&
            WIFEXITED(status) && WEXITSTATUS(status) != 127)
            return 1;
    }
    return 0;
}
