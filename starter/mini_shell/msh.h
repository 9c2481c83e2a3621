/*
 * msh.h - the contract of the lab "mini_shell": a small shell, and the parser inside it. README.md says the language.
 *
 * The parser makes a tree of what was typed and looks into no word; words are expanded when a command is about to run,
 * since only then is it known what $? and $NAME are. Functions answer 0 or a negative errno value; the starter answers
 * -ENOSYS. They never print, and never end the process.
 */
#ifndef MSH_H
#define MSH_H

#include <stddef.h>

typedef enum { MSH_R_IN, MSH_R_OUT, MSH_R_APPEND, MSH_R_DUP } msh_rkind; /* <  >  >>  >& */

/* One redirection, e.g. `2>log`: kind MSH_R_OUT, fd 2, path "log"; `2>&1`: MSH_R_DUP, fd 2, dupfd 1, path NULL. */
typedef struct {
    msh_rkind kind;
    int fd;     /* the digit before it; 0 for < and 1 for the others when there is none */
    int dupfd;  /* MSH_R_DUP: the digit after it, or -1 for `-` (close fd); other kinds: -1 */
    char *path; /* the word as it was written, or NULL */
} msh_redir;

/* One command: its words as they were written, quotes and all, argv[argc] == NULL; its redirections in their order. */
typedef struct {
    char **argv;
    size_t argc; /* 0 when there are only redirections */
    msh_redir *redirs;
    size_t nredirs;
} msh_cmd;

typedef struct {
    msh_cmd *cmds;
    size_t ncmds; /* at least 1 */
} msh_pipeline;

/* What stands AFTER a pipeline: nothing, `;` or a new line, `&`, `&&`, `||`. `&` is for the whole chain of && and ||. */
typedef enum { MSH_END, MSH_SEMI, MSH_AMP, MSH_AND, MSH_OR } msh_conn;

typedef struct {
    msh_pipeline *pl;
    msh_conn *conn; /* conn[i] stands after pl[i]; the last one is MSH_END, MSH_SEMI or MSH_AMP */
    size_t n;       /* 0 for nothing but blanks and comments */
} msh_list;

/*
 * Parse the bytes src[0..len). Lines that follow each other are joined as if by `;`. Answers
 *   0        *out is a new tree, to be freed by msh_list_free
 *   -EINVAL  no command of the language, also a NUL byte; err holds what is wrong in words (NUL-terminated, at most
 *            errcap bytes; err may be NULL when errcap is 0)
 *   -EAGAIN  it may become one when more lines follow: an open quote, a backslash, |, && or || at the end
 *   -ENOMEM  no memory
 * On failure *out is NULL and nothing is left behind.
 */
int msh_parse(const char *src, size_t len, msh_list **out, char *err, size_t errcap);

/* Free a tree; NULL is fine. */
void msh_list_free(msh_list *l);

/*
 * Expand one word as it was written into the fields that it becomes: quotes and backslashes go, $NAME and $? (the number
 * `status`) become their values; outside of quotes a value is split at blanks, tabs and new lines, and an empty one
 * vanishes. *fields is one block of memory with the texts behind the pointers, (*fields)[*n] == NULL: free() it.
 *   -ENOMEM  no memory; *fields is NULL
 */
int msh_expand(const char *word, int status, char ***fields, size_t *n);

/* Run a tree in this process; *last_status is $? before and afterwards. Answers 0 or -errno, -ENOMEM for example. */
int msh_run_list(const msh_list *l, int *last_status);

/* The shell: `msh`, `msh FILE` or `msh -c COMMAND`. Answers its exit status. */
int msh_main(int argc, char **argv);

#endif
