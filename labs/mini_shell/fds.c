/*
 * fds - prints the numbers of the descriptors that it was started with: on standard output, or on standard error with -e;
 * with -p how many its parent has.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int of_parent(void)
{
    char name[64];
    int count = 0;
    snprintf(name, sizeof name, "/proc/%d/fd", (int)getppid());
    DIR *folder = opendir(name);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    return printf("%d\n", count) < 0 || folder == NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-p") == 0)
        return of_parent();
    char line[1024];
    int length = 0;
    for (int fd = 0; fd < 200; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            length += snprintf(line + length, sizeof line - (size_t)length, "%s%d", length > 0 ? " " : "", fd);
    return dprintf(argc > 1 ? 2 : 1, "%s\n", line) < 0;
}
