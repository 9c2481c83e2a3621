/* shell.c - where commands come from: a terminal, a file, the standard input or the command line. */
#include <stdio.h>

#include "shell.h"

int msh_main(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "%s: not written yet\n", argv[0]);
    return 125;
}
