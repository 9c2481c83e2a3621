/* builtin.c - commands that must be part of the shell, since they change the shell itself. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shell.h"

static int change_directory(char **argv)
{
    const char *folder = argv[1] != NULL ? argv[1] : getenv("HOME");
    if (folder == NULL || chdir(folder) != 0) {
        complain(folder != NULL ? folder : "HOME", folder != NULL ? strerror(errno) : "not set");
        return 1;
    }
    return 0;
}

static int print_directory(char **argv)
{
    (void)argv;
    char folder[PATH_MAX];
    if (getcwd(folder, sizeof folder) == NULL) {
        complain("pwd", strerror(errno));
        return 1;
    }
    return dprintf(STDOUT_FILENO, "%s\n", folder) < 0;
}

static int leave(char **argv)
{
    int status = shell.status;
    if (argv[1] != NULL) {
        char *end;
        const long given = strtol(argv[1], &end, 10);
        if (end == argv[1] || *end != '\0') {
            complain("exit", "not a number");
            exit(2);
        }
        status = (int)(given & 255);
    }
    exit(status);
}

static int export(char **argv)
{
    int status = 0;
    for (size_t i = 1; argv[i] != NULL; i++) {
        char *sign = strchr(argv[i], '=');
        if (sign == NULL)
            continue; /* every variable of this shell is exported anyway */
        *sign = '\0';
        if (sign == argv[i] || setenv(argv[i], sign + 1, 1) != 0) {
            complain("export", "not a name");
            status = 1;
        }
        *sign = '=';
    }
    return status;
}

static int nothing(char **argv)
{
    (void)argv;
    return 0;
}

builtin_fn *find_builtin(const char *name)
{
    static const struct {
        const char *name;
        builtin_fn *run;
    } known[] = {
        {"cd", change_directory}, {"exit", leave},        {"export", export},   {"pwd", print_directory}, {":", nothing},
        {"jobs", builtin_jobs},   {"fg", builtin_fg},     {"bg", builtin_bg},   {"wait", builtin_wait},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].run;
    return NULL;
}
