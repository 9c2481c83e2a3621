/*
 * prove.c - tries what a sandbox promises to prevent, and prints what it did not prevent, or "confined".
 *
 *     prove FILE PID       FILE lies outside the sandbox and lets everybody read and write; PID is a process outside
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int broken;

static void must_fail(const char *what, int worked)
{
    if (worked)
        broken += printf("it can %s\n", what);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    must_fail("read files outside", open(argv[1], O_RDONLY) >= 0);
    must_fail("write files outside", open(argv[1], O_WRONLY) >= 0);
    must_fail("reach the network", socket(AF_INET, SOCK_STREAM, 0) >= 0);
    must_fail("signal the grader", kill(atoi(argv[2]), 0) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    must_fail("start a process", child > 0);
    if (!broken)
        puts("confined");
    return broken != 0;
}
