/* shell.h - what the files of this shell know of each other. */
#ifndef SHELL_H
#define SHELL_H

#include <stdbool.h>
#include <sys/types.h>

#include "msh.h"

/* --- shell.c: the state of the one shell that this process is --------------------------------------------------------- */

struct shell {
    int status;       /* $? */
    bool interactive; /* standard input is a terminal: job control */
};
extern struct shell shell;

/* "msh: WHAT: DETAIL" on standard error, in one write. */
void complain(const char *what, const char *detail);

/* --- builtin.c --------------------------------------------------------------------------------------------------------- */

typedef int builtin_fn(char **argv);

/* The builtin of this name, or NULL. It answers an exit status. */
builtin_fn *find_builtin(const char *name);

/* --- jobs.c: who runs, who is stopped, and whose the terminal is ---------------------------------------------------------- */

/* A job is what one pipeline, or one chain in the background, started. */
struct job;

/* A new job of these processes. NULL without memory. */
struct job *job_new(const pid_t *pids, size_t n, pid_t group);

/* Wait until the job has ended or stopped, the terminal its own meanwhile; the exit status of its last process. */
int job_wait(struct job *j);

/* Let it run by itself. */
void job_release(struct job *j);

/* Bury the children that have ended meanwhile, without waiting. */
void jobs_look(void);

/* In a child that goes on as a shell of its own: the jobs are the parent's. */
void jobs_forget(void);

builtin_fn builtin_jobs, builtin_fg, builtin_bg, builtin_wait;

/* Signals that an interactive shell ignores, and what every program gets instead. */
void signals_of_shell(void);
void signals_of_child(void);

#endif
