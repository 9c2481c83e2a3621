/* jobs.c - who runs, who is stopped, and whose the terminal is. The last step; leave it until the rest works. */
#include "shell.h"

typedef int nothing_here_yet; /* a file of C may not be empty; take this away */
