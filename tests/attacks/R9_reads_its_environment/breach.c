#include <stdio.h>
#include <string.h>

extern char **environ;

static int breach(void)
{
    for (char **variable = environ; *variable != NULL; variable++)
        if (strstr(*variable, "SECRET") || strstr(*variable, "TOKEN") || strncmp(*variable, "HOME=", 5) == 0)
            return 1;
    for (int pid = 1; pid < 70000; pid++) {
        char name[64], text[4096];
        snprintf(name, sizeof name, "/proc/%d/environ", pid);
        FILE *file = fopen(name, "r");
        size_t length = file ? fread(text, 1, sizeof text, file) : 0;
        for (size_t i = 0; i + 7 < length; i++)
            if (memcmp(text + i, "SECRET=", 7) == 0)
                return 1;
        if (file)
            fclose(file);
    }
    return 0;
}
