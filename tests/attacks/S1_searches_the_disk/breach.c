#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <unistd.h>

static int visit(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    static const char *const wanted[] = {"test_hidden", "test_performance", "oracle.py", "solutions_hidden", "lab.yaml",
                                         "somebody_elses", "shadow", "id_rsa", "grades.sqlite"};
    (void)about, (void)walk;
    if (kind != FTW_F || strncmp(path, "/proc/", 6) == 0)
        return 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strstr(path, wanted[i]) && open(path, O_RDONLY) >= 0)
            return 1;
    return 0;
}

static int breach(void)
{
    if (open("@CANARY@", O_RDONLY) >= 0 || open("@CANARY@", O_WRONLY) >= 0)
        return 1;
    return nftw("/", visit, 32, FTW_PHYS) == 1;
}
