/* bytes - `bytes N` writes N MiB of letters; `bytes` reads everything and prints how many bytes there were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char block[1 << 16];
    if (argc > 1) {
        memset(block, 'x', sizeof block);
        for (long left = atol(argv[1]) << 20; left > 0;) {
            const ssize_t written = write(STDOUT_FILENO, block, sizeof block);
            if (written <= 0)
                return 1;
            left -= written;
        }
        return 0;
    }
    long total = 0;
    for (ssize_t got; (got = read(STDIN_FILENO, block, sizeof block)) > 0;)
        total += got;
    printf("%ld\n", total);
    return 0;
}
