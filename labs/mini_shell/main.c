/* main.c - the executable `msh`: everything that it does is the submission's. */
#include "msh.h"

int main(int argc, char **argv)
{
    return msh_main(argc, argv);
}
