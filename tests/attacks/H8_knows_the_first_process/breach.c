#include <stdio.h>
#include <string.h>

static int breach(void)
{
    char line[256], called[64] = "";
    int filtered = 0, bound = 0, capable = 0;
    FILE *status = fopen("/proc/1/status", "r");
    for (; status && fgets(line, sizeof line, status);) {
        sscanf(line, "Name: %60s", called);
        filtered |= strncmp(line, "Seccomp:\t2", 10) == 0;
        bound |= strncmp(line, "NoNewPrivs:\t1", 13) == 0;
        capable |= strncmp(line, "CapEff:", 7) == 0 && strtok(line + 7, " \t\n0") != NULL;
    }
    return strcmp(called, "bwrap") == 0 && !(filtered && bound && !capable);
}
