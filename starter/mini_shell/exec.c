/* exec.c - from a tree to processes. */
#include <errno.h>

#include "shell.h"

int msh_run_list(const msh_list *l, int *last_status)
{
    (void)l;
    (void)last_status;
    return -ENOSYS;
}
