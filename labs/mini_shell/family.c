/* family - prints how many children its parent has that have ended and were not waited for (zombies). */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)getppid(), (int)getppid());
    FILE *children = fopen(name, "r");
    int pid, zombies = 0;
    while (children != NULL && fscanf(children, "%d", &pid) == 1) {
        char state = '?';
        snprintf(name, sizeof name, "/proc/%d/stat", pid);
        FILE *stat = fopen(name, "r");
        if (stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1)
            zombies += state == 'Z';
        if (stat != NULL)
            fclose(stat);
    }
    printf("%d\n", zombies);
    return children == NULL;
}
