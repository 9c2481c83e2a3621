/*
 * signals - prints which signals it was started with as ignored and as blocked, as proc_pid_status(5) writes them.
 * Without signals 32 and 33: they are the C library's own, and its posix_spawn leaves them ignored.
 */
#include <stdio.h>

int main(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long signals;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        signals = 0;
        if (sscanf(line, "SigBlk: %llx", &signals) == 1 || sscanf(line, "SigIgn: %llx", &signals) == 1)
            printf("%.6s:\t%016llx\n", line, signals & ~(3ULL << 31));
    }
    return status == NULL;
}
