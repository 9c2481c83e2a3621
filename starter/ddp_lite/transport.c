/*
 * ddp_lite, second file: a transport of your own, between processes of one machine. It needs nothing of ddp.c.
 *
 *   1. sockets: each rank binds, say, dir/3.sock, listens, connects to the ranks below, accepts those above, and removes
 *      the name again. Mind leftovers of a killed run, and SIGPIPE;
 *   2. last of all, memory: one file, mapped by all, with a ring buffer for each pair of ranks and direction, and a way to
 *      sleep.
 */
#include "ddp.h"

#include <errno.h>

int ddp_unix_transport(const char *dir, int rank, int world, int timeout_ms, ddp_transport *out)
{
    /* TODO: connect with all other ranks, within timeout_ms; fill in *out with your send, recv and wait. Whatever fails on
     * the way: close and remove what you have made so far. */
    (void)dir, (void)rank, (void)world, (void)timeout_ms, (void)out;
    return -ENOSYS;
}

void ddp_unix_close(ddp_transport *t)
{
    /* TODO: free what ddp_unix_transport has made. The peers may still want to read what you have sent. */
    (void)t;
}
