/* meet - `meet N PLACE`: leaves a mark in the folder PLACE and waits until N marks are there; so N of it must run at a time. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int marks(const char *place)
{
    int count = 0;
    DIR *folder = opendir(place);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    if (folder != NULL)
        closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", argv[2], (int)getpid());
    const int mark = open(path, O_CREAT | O_WRONLY, 0600);
    if (mark < 0)
        return 65;
    close(mark);
    for (int waited = 0; marks(argv[2]) < atoi(argv[1]); waited++) {
        if (waited == 1000) { /* the others have not come in ten seconds, and are to find nobody either */
            unlink(path);
            return 66;
        }
        usleep(10000);
    }
    return 0;
}
