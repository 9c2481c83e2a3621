/*
 * descendants.h - ends every process that descends from this one, also those that fork as fast as they can.
 *
 * This process must be a subreaper (PR_SET_CHILD_SUBREAPER), so that orphans become its children. Whoever is killed makes
 * room for another process within the limit on processes, and so a fork bomb could outlive its killing for ever. Whoever is
 * stopped keeps his place: first all are stopped, until nobody runs who could fork, then all are killed.
 */
#ifndef DESCENDANTS_H
#define DESCENDANTS_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_DESCENDANTS = 1 << 15, MAX_PASSES = 2000, PASS_US = 200 };

/* The children of all threads of a process (proc_pid_children(5)) are added to those found. */
static void add_children(pid_t parent, pid_t *found, size_t *count)
{
    char name[300];
    snprintf(name, sizeof name, "/proc/%d/task", (int)parent);
    DIR *threads = opendir(name);
    for (struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(name, sizeof name, "/proc/%d/task/%s/children", (int)parent, entry->d_name);
        FILE *list = fopen(name, "re");
        for (int pid; list != NULL && *count < MAX_DESCENDANTS && fscanf(list, "%d", &pid) == 1;)
            found[(*count)++] = pid;
        if (list != NULL)
            fclose(list);
    }
    if (threads != NULL)
        closedir(threads);
}

static size_t descendants(pid_t *found)
{
    size_t count = 0;
    add_children(getpid(), found, &count);
    for (size_t i = 0; i < count; i++)
        add_children(found[i], found, &count);
    return count;
}

/* Can it not fork any more? It is stopped, or dead with all its threads (proc_pid_stat(5)). */
static bool is_still(pid_t pid)
{
    char name[64], text[512];
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return true;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    char state = 'X';
    long threads = 0;
    if (rest != NULL)
        sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state, &threads);
    return state == 'T' || state == 't' || state == 'X' || (state == 'Z' && threads <= 1);
}

/* All of them are gone and buried when this returns. */
static void end_descendants(void)
{
    static pid_t found[MAX_DESCENDANTS];
    size_t running = 1;
    for (int pass = 0; pass < MAX_PASSES && running > 0; pass++) {
        size_t count = descendants(found);
        running = 0;
        for (size_t i = 0; i < count; i++)
            if (!is_still(found[i])) {
                (void)kill(found[i], SIGSTOP);
                running++;
            }
        if (running > 0)
            usleep(PASS_US);
    }
    do {
        size_t count = descendants(found);
        for (size_t i = 0; i < count; i++)
            (void)kill(found[i], SIGKILL);
    } while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

#endif
