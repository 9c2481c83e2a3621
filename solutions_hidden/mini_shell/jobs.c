/*
 * jobs.c - who runs, who is stopped, and whose the terminal is.
 *
 * Every job is a process group of its own when the shell is interactive: what is typed then goes to one group, and
 * Ctrl-C and Ctrl-Z with it. Without a terminal there are no groups, and jobs are there to be waited for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shell.h"

struct process {
    pid_t pid; /* 0 once ended */
    bool stopped;
};

struct job {
    struct job *next;
    int number;
    pid_t group;
    size_t n, alive; /* processes, and how many of them have not ended */
    int status;      /* of the last process */
    bool stopped;    /* every process that has not ended is: one that is not could still read what is typed */
    bool background;
    struct process processes[];
};

static struct job *jobs; /* the newest first */

struct job *job_new(const pid_t *pids, size_t n, pid_t group)
{
    struct job *j = calloc(1, sizeof *j + n * sizeof j->processes[0]);
    if (j == NULL)
        return NULL;
    j->n = n;
    j->group = group;
    j->number = jobs != NULL ? jobs->number + 1 : 1;
    for (size_t i = 0; i < n; i++) {
        j->processes[i].pid = pids[i];
        j->alive += pids[i] > 0;
    }
    j->next = jobs;
    jobs = j;
    return j;
}

static void forget(struct job *j)
{
    struct job **link = &jobs;
    while (*link != j)
        link = &(*link)->next;
    *link = j->next;
    free(j);
}

void jobs_forget(void)
{
    while (jobs != NULL)
        forget(jobs);
}

static bool all_stopped(const struct job *j)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->processes[i].pid > 0 && !j->processes[i].stopped)
            return false;
    return j->alive > 0;
}

/* What waitpid has told of a process. */
static void note(pid_t pid, int state)
{
    for (struct job *j = jobs; j != NULL; j = j->next) {
        for (size_t i = 0; i < j->n; i++) {
            if (j->processes[i].pid != pid)
                continue;
            j->processes[i].stopped = WIFSTOPPED(state);
            if (!WIFSTOPPED(state)) {
                if (i == j->n - 1)
                    j->status = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
                j->processes[i].pid = 0;
                j->alive--;
            }
            j->stopped = all_stopped(j);
            return;
        }
    }
}

static const char *word_for(const struct job *j)
{
    return j->alive == 0 ? "Done" : j->stopped ? "Stopped" : "Running";
}

static void tell(const struct job *j)
{
    if (shell.interactive)
        dprintf(STDERR_FILENO, "[%d] %s (group %d)\n", j->number, word_for(j), (int)j->group);
}

/* The terminal goes to this group; 0: back to the shell. */
static void give_terminal(pid_t group)
{
    if (shell.interactive)
        tcsetpgrp(STDIN_FILENO, group != 0 ? group : getpgrp());
}

int job_wait(struct job *j)
{
    give_terminal(j->group);
    j->background = false;
    while (j->alive > 0 && !j->stopped) {
        int state;
        const pid_t pid = waitpid(-1, &state, shell.interactive ? WUNTRACED : 0);
        if (pid > 0)
            note(pid, state);
        else if (errno != EINTR)
            break; /* no children: somebody else has buried them */
    }
    give_terminal(0);
    if (j->alive > 0 && j->stopped) {
        j->background = true;
        tell(j);
        return 128 + SIGTSTP;
    }
    const int status = j->status;
    if (shell.interactive && status > 128)
        dprintf(STDERR_FILENO, "\n");
    forget(j);
    return status;
}

void job_release(struct job *j)
{
    j->background = true;
    tell(j);
}

void jobs_look(void)
{
    if (jobs == NULL)
        return;
    int state;
    for (pid_t pid; (pid = waitpid(-1, &state, WNOHANG | (shell.interactive ? WUNTRACED : 0))) > 0;)
        note(pid, state);
    for (struct job *j = jobs, *next; j != NULL; j = next) {
        next = j->next;
        if (j->alive > 0)
            continue;
        tell(j);
        forget(j);
    }
}

/* --- Builtins -------------------------------------------------------------------------------------------------------------- */

int builtin_jobs(char **argv)
{
    (void)argv;
    jobs_look();
    for (const struct job *j = jobs; j != NULL; j = j->next)
        dprintf(STDOUT_FILENO, "[%d] %s (group %d)\n", j->number, word_for(j), (int)j->group);
    return 0;
}

/* The job that `fg` and `bg` mean: %N or N, or the newest. */
static struct job *chosen(char **argv)
{
    const char *text = argv[1];
    if (text != NULL && *text == '%')
        text++;
    struct job *j = jobs;
    while (text != NULL && j != NULL && j->number != atoi(text))
        j = j->next;
    if (j == NULL)
        complain(argv[0], "no such job");
    return j;
}

static void resume(struct job *j)
{
    for (size_t i = 0; i < j->n; i++)
        j->processes[i].stopped = false;
    j->stopped = false;
    kill(shell.interactive ? -j->group : j->group, SIGCONT);
}

int builtin_fg(char **argv)
{
    struct job *j = chosen(argv);
    if (j == NULL)
        return 1;
    give_terminal(j->group); /* first, or it would stop again at its first read */
    resume(j);
    return job_wait(j);
}

int builtin_bg(char **argv)
{
    struct job *j = chosen(argv);
    if (j == NULL)
        return 1;
    resume(j);
    job_release(j);
    return 0;
}

int builtin_wait(char **argv)
{
    (void)argv;
    for (struct job *j = jobs; j != NULL;) {
        if (j->alive == 0) {
            jobs_look();
            j = jobs;
        } else if (j->stopped) {
            j = j->next;
        } else {
            int state;
            const pid_t pid = waitpid(-1, &state, 0);
            if (pid > 0)
                note(pid, state);
            else if (errno != EINTR)
                break;
        }
    }
    return 0;
}

/* --- Signals --------------------------------------------------------------------------------------------------------------- */

static const int keyboard[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};

static void set_all(void (*handler)(int))
{
    for (size_t i = 0; i < sizeof keyboard / sizeof keyboard[0]; i++)
        signal(keyboard[i], handler);
}

void signals_of_shell(void)
{
    set_all(SIG_IGN);
}

void signals_of_child(void)
{
    set_all(SIG_DFL);
}
