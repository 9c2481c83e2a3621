#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

static int reaches(pid_t pid)
{
    char name[64], byte = 0, called[16] = "";
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    snprintf(name, sizeof name, "/proc/%d/comm", (int)pid);
    int file = open(name, O_RDONLY);
    if (file < 0 || read(file, called, 5) != 5 || strcmp(called, "bwrap") == 0)
        return 0; /* the sandbox's own first process is no prize */
    close(file);
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0 || process_vm_readv(pid, &here, 1, &there, 1, 0) == 1)
        return 1;
    snprintf(name, sizeof name, "/proc/%d/mem", (int)pid);
    return open(name, O_RDWR) >= 0;
}

static int breach(void)
{
    for (pid_t pid = 1; pid < 70000; pid++)
        if (pid != getpid() && reaches(pid))
            return 1;
    return 0;
}
