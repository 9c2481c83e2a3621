/*
 * exec.c - from a tree to processes, as most people write it first: every child is made by fork, which copies the page
 * tables of the shell, although execve throws them away at once.
 *
 * Every descriptor that the shell opens for itself is close-on-exec, so that no program inherits one by accident.
 */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shell.h"

extern char **environ;

/* A command whose words are expanded. argv and paths point into the blocks. */
struct ready {
    const msh_cmd *cmd;
    builtin_fn *builtin;
    char **argv;
    char **paths;   /* one for each redirection */
    char ***blocks; /* what msh_expand gave: argc of them for the words, then one for each redirection */
};

/* The two sides of a command in a pipeline; -1: the shell's own. `other` is the next one's, to be closed. */
struct ends {
    int in, out, other;
};

/* --- Words ----------------------------------------------------------------------------------------------------------------- */

static void discard(struct ready *r)
{
    for (size_t i = 0; r->blocks != NULL && i < r->cmd->argc + r->cmd->nredirs; i++)
        free(r->blocks[i]);
    free(r->blocks);
    free(r->argv);
    free(r->paths);
}

/* Expand everything. 0, -ENOMEM, or -EINVAL when a redirection's word is not one field. */
static int prepare(struct ready *r, const msh_cmd *cmd)
{
    *r = (struct ready){.cmd = cmd};
    r->blocks = calloc(cmd->argc + cmd->nredirs + 1, sizeof *r->blocks);
    r->paths = calloc(cmd->nredirs + 1, sizeof *r->paths);
    if (r->blocks == NULL || r->paths == NULL)
        return -ENOMEM;
    size_t total = 0, n;
    for (size_t i = 0; i < cmd->argc; i++) {
        if (msh_expand(cmd->argv[i], shell.status, &r->blocks[i], &n) != 0)
            return -ENOMEM;
        total += n;
    }
    r->argv = calloc(total + 1, sizeof *r->argv);
    if (r->argv == NULL)
        return -ENOMEM;
    total = 0;
    for (size_t i = 0; i < cmd->argc; i++)
        for (char **field = r->blocks[i]; *field != NULL; field++)
            r->argv[total++] = *field;
    for (size_t i = 0; i < cmd->nredirs; i++) {
        if (cmd->redirs[i].path == NULL)
            continue;
        char ***block = &r->blocks[cmd->argc + i];
        if (msh_expand(cmd->redirs[i].path, shell.status, block, &n) != 0)
            return -ENOMEM;
        if (n != 1)
            return -EINVAL;
        r->paths[i] = (*block)[0];
    }
    r->builtin = r->argv[0] != NULL ? find_builtin(r->argv[0]) : NULL;
    return 0;
}

/* --- Redirections ------------------------------------------------------------------------------------------------------------ */

/* Let `to` be what `from` is, and close `from`. */
static int move(int from, int to)
{
    if (from == to)
        return fcntl(to, F_SETFD, 0);
    if (dup2(from, to) < 0)
        return -1;
    return close(from);
}

static int redirect(const msh_redir *redir, const char *path)
{
    static const int flags[] = {
        [MSH_R_IN] = O_RDONLY, [MSH_R_OUT] = O_WRONLY | O_CREAT | O_TRUNC, [MSH_R_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
    };
    if (redir->kind == MSH_R_DUP && redir->dupfd < 0) {
        close(redir->fd); /* closing what is closed already is no mistake */
        return 0;
    }
    if (redir->kind == MSH_R_DUP) {
        if (fcntl(redir->dupfd, F_GETFD) & FD_CLOEXEC) /* not open, or the shell's own */
            errno = EBADF;
        else if (dup2(redir->dupfd, redir->fd) >= 0)
            return 0;
        char digit[] = {(char)('0' + redir->dupfd), '\0'};
        complain(digit, strerror(errno));
        return -1;
    }
    const int file = open(path, flags[redir->kind] | O_CLOEXEC, 0666);
    if (file < 0 || move(file, redir->fd) != 0) {
        complain(path, strerror(errno));
        return -1;
    }
    return 0;
}

static int redirect_all(const struct ready *r)
{
    for (size_t i = 0; i < r->cmd->nredirs; i++)
        if (redirect(&r->cmd->redirs[i], r->paths[i]) != 0)
            return -1;
    return 0;
}

/* --- Children ---------------------------------------------------------------------------------------------------------------- */

/* Try one place. Returns only when it failed, with errno. */
static void try_exec(const char *folder, size_t length, char **argv)
{
    char path[4096];
    const int room = snprintf(path, sizeof path, "%.*s%s%s", (int)length, folder, length > 0 ? "/" : "", argv[0]);
    if (room < 0 || (size_t)room >= sizeof path)
        errno = ENAMETOOLONG;
    else
        execve(path, argv, environ);
}

_Noreturn static void exec_program(char **argv)
{
    int error = ENOENT;
    const char *folders = getenv("PATH");
    if (strchr(argv[0], '/') != NULL) {
        execve(argv[0], argv, environ);
        error = errno;
    } else {
        for (const char *at = argv[0][0] != '\0' ? folders : NULL; at != NULL; at = strchr(at, ':') != NULL ? strchr(at, ':') + 1 : NULL) {
            try_exec(at, strcspn(at, ":"), argv); /* an empty entry is the working folder */
            if (errno != ENOENT && errno != ENOTDIR)
                error = errno;
        }
    }
    complain(argv[0], error == ENOENT ? "not found" : strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

/* What a child does before it runs its command. */
_Noreturn static void be_child(const struct ready *r, const struct ends *ends, pid_t group)
{
    if (shell.interactive) {
        setpgid(0, group);
        tcsetpgrp(STDIN_FILENO, getpgrp()); /* now, or its first read would stop it */
        signals_of_child();
    }
    if ((ends->in >= 0 && move(ends->in, STDIN_FILENO) != 0) || (ends->out >= 0 && move(ends->out, STDOUT_FILENO) != 0)) {
        complain("pipe", strerror(errno));
        _exit(1);
    }
    if (ends->other >= 0)
        close(ends->other);
    if (redirect_all(r) != 0)
        _exit(1);
    if (r->argv[0] == NULL)
        _exit(0);
    if (r->builtin != NULL) {
        shell.interactive = false;
        jobs_forget();
        _exit(r->builtin(r->argv));
    }
    exec_program(r->argv);
}

/* Start one command of a pipeline; its pid, or -1 with errno. */
static pid_t spawn(const struct ready *r, const struct ends *ends, pid_t group)
{
    const pid_t pid = fork();
    if (pid == 0)
        be_child(r, ends, group);
    return pid;
}

/* --- A command in the shell itself --------------------------------------------------------------------------------------------- */

enum { SAVED_FROM = 10 }; /* the shell's copies lie above the descriptors that a script can name */

static int run_builtin(const struct ready *r)
{
    const size_t n = r->cmd->nredirs;
    enum { UNTOUCHED = -2, CLOSED = -1 };
    int saved[10], status = 0;
    for (int fd = 0; fd < 10; fd++)
        saved[fd] = UNTOUCHED;
    for (size_t i = 0; i < n && status == 0; i++) {
        const int fd = r->cmd->redirs[i].fd;
        if (saved[fd] == UNTOUCHED)
            saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, SAVED_FROM); /* fails for one that is closed */
        status = redirect(&r->cmd->redirs[i], r->paths[i]) != 0;
    }
    if (status == 0 && r->builtin != NULL)
        status = r->builtin(r->argv);
    for (int fd = 0; fd < 10; fd++) {
        if (saved[fd] >= 0) {
            dup2(saved[fd], fd);
            close(saved[fd]);
        } else if (saved[fd] == CLOSED) {
            close(fd);
        }
    }
    return status;
}

/* --- Pipelines and lists --------------------------------------------------------------------------------------------------------- */

/* Start every command; their pids, 0 for one that was not started. Answers 0, or -errno when it had to give up. */
static int start_all(const msh_pipeline *pl, struct ready *first, pid_t *pids, pid_t *group)
{
    int in = -1, error = 0;
    for (size_t i = 0; i < pl->ncmds && error == 0; i++) {
        int link[2] = {-1, -1};
        struct ready later = {0}, *r = i == 0 ? first : &later;
        if (i + 1 < pl->ncmds && pipe2(link, O_CLOEXEC) != 0) {
            error = -errno;
            complain("pipe", strerror(errno));
        }
        if (error == 0 && i > 0 && (error = prepare(r, &pl->cmds[i])) != 0)
            complain(pl->cmds[i].argc > 0 ? pl->cmds[i].argv[0] : "redirection", strerror(-error));
        if (error == 0) {
            const struct ends ends = {in, link[1], link[0]};
            pids[i] = spawn(r, &ends, *group);
            if (pids[i] < 0) {
                error = -errno;
                pids[i] = 0;
                complain("fork", strerror(errno));
            } else {
                *group = *group == 0 ? pids[i] : *group;
                if (shell.interactive)
                    setpgid(pids[i], *group); /* child and parent both do: nobody knows who is first */
            }
        }
        if (i > 0)
            discard(r);
        if (in >= 0)
            close(in);
        if (link[1] >= 0)
            close(link[1]);
        in = link[0];
    }
    if (in >= 0)
        close(in);
    return error;
}

static int run_pipeline(const msh_pipeline *pl)
{
    struct ready first;
    int error = prepare(&first, &pl->cmds[0]);
    if (error != 0) {
        complain(pl->cmds[0].argc > 0 ? pl->cmds[0].argv[0] : "redirection", strerror(-error));
        shell.status = 1;
    } else if (pl->ncmds == 1 && (first.builtin != NULL || first.argv[0] == NULL)) {
        shell.status = run_builtin(&first);
    } else {
        pid_t group = 0, *pids = calloc(pl->ncmds, sizeof *pids);
        error = pids == NULL ? -ENOMEM : start_all(pl, &first, pids, &group);
        struct job *j = pids == NULL ? NULL : job_new(pids, pl->ncmds, group);
        shell.status = j != NULL ? job_wait(j) : 1;
        if (error != 0)
            shell.status = 1;
        free(pids);
    }
    discard(&first);
    return error == -ENOMEM ? error : 0;
}

/* Pipelines joined by && and ||: from `first` to `last`. */
static int run_chain(const msh_list *l, size_t first, size_t last)
{
    int error = 0;
    for (size_t i = first; i <= last && error == 0; i++) {
        const bool skipped = i > first && (l->conn[i - 1] == MSH_AND) != (shell.status == 0);
        if (!skipped)
            error = run_pipeline(&l->pl[i]);
    }
    return error;
}

static int run_in_background(const msh_list *l, size_t first, size_t last)
{
    const pid_t pid = fork();
    if (pid < 0) {
        const int error = errno;
        complain("fork", strerror(error));
        shell.status = 1;
        return 0;
    }
    if (pid == 0) {
        if (shell.interactive) {
            setpgid(0, 0);
            signals_of_child();
        } else {
            const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (nothing >= 0)
                move(nothing, STDIN_FILENO);
        }
        shell.interactive = false;
        jobs_forget();
        run_chain(l, first, last);
        _exit(shell.status);
    }
    if (shell.interactive)
        setpgid(pid, pid);
    struct job *j = job_new(&pid, 1, pid);
    if (j != NULL)
        job_release(j);
    shell.status = 0;
    return j != NULL ? 0 : -ENOMEM;
}

int msh_run_list(const msh_list *l, int *last_status)
{
    int error = 0;
    shell.status = *last_status;
    for (size_t first = 0, last; first < l->n && error == 0; first = last + 1) {
        for (last = first; l->conn[last] == MSH_AND || l->conn[last] == MSH_OR; last++)
            ;
        jobs_look();
        error = l->conn[last] == MSH_AMP ? run_in_background(l, first, last) : run_chain(l, first, last);
    }
    *last_status = shell.status;
    return error;
}
