/* signals - prints which signals it was started with as ignored and as blocked, as proc_pid_status(5) writes them. */
#include <stdio.h>
#include <string.h>

int main(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "SigIgn", 6) == 0 || strncmp(line, "SigBlk", 6) == 0)
            fputs(line, stdout);
    return status == NULL;
}
