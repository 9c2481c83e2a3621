/* builtin.c - commands that must be part of the shell: cd, exit, export, pwd, : and wait. */
#include "shell.h"

typedef int nothing_here_yet; /* a file of C may not be empty; take this away */
