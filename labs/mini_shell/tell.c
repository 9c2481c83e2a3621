/* tell - prints its arguments on standard error, blanks between them. */
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        dprintf(2, "%s%s", argv[i], i + 1 < argc ? " " : "\n");
    return 0;
}
