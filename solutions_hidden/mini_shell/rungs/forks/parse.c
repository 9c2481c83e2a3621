/*
 * parse.c - from text to a tree. One pass, no recursion: the language has no parentheses.
 *
 *     list     = [ pipeline { connector pipeline } [ ; | & ] ]       connector = ; & && || or a new line
 *     pipeline = command { | command }
 *     command  = { word | redirection }                              at least one
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msh.h"

enum kind { WORD, REDIRECTION, PIPE, CONNECTOR, NEWLINE, END };

struct token {
    enum kind kind;
    const char *text; /* WORD: where it begins; the others: how it is called in a message */
    size_t length;
    msh_conn connector;
    msh_redir redir;
};

struct parser {
    const char *at, *end;
    char *err;
    size_t errcap;
};

/* --- The lexer ----------------------------------------------------------------------------------------------------------- */

static int wrong(const struct parser *p, const char *what, size_t length)
{
    if (p->errcap > 0)
        snprintf(p->err, p->errcap, "syntax error near %.*s", *what == '\n' ? 12 : (int)length, *what == '\n' ? "the line end" : what);
    return -EINVAL;
}

static int ends_word(char c)
{
    return strchr(" \t\n|&;<>()", c) != NULL; /* also NUL, which is refused before */
}

/* Blanks, comments, and backslashes before a new line that is not the last one: nothing. */
static void skip_blanks(struct parser *p)
{
    for (; p->at < p->end; p->at++) {
        if (*p->at == '\\' && p->end - p->at > 2 && p->at[1] == '\n')
            p->at++;
        else if (*p->at == '#')
            while (p->at + 1 < p->end && p->at[1] != '\n')
                p->at++;
        else if (*p->at != ' ' && *p->at != '\t')
            return;
    }
}

/* The end of a word that begins here, quotes included. -EAGAIN when a quote stays open, or the line is to go on. */
static int take_word(struct parser *p, struct token *t)
{
    const char *at = p->at;
    char quote = '\0';
    for (; at < p->end && (quote != '\0' || !ends_word(*at)); at++) {
        if (*at == '\\' && quote != '\'') {
            if (++at == p->end || (*at == '\n' && at + 1 == p->end))
                return -EAGAIN;
        } else if (quote == *at) {
            quote = '\0';
        } else if (quote == '\0' && (*at == '\'' || *at == '"')) {
            quote = *at;
        }
    }
    if (quote != '\0')
        return -EAGAIN;
    *t = (struct token){.kind = WORD, .text = p->at, .length = (size_t)(at - p->at)};
    p->at = at;
    return 0;
}

/* `2>`, `<`, `>>`, `2>&1`, `>&-`; the path is a token of its own. */
static int take_redirection(struct parser *p, struct token *t)
{
    *t = (struct token){.kind = REDIRECTION, .text = "redirection", .length = 11, .redir = {.fd = -1, .dupfd = -1}};
    if (isdigit((unsigned char)*p->at))
        t->redir.fd = *p->at++ - '0';
    const char sign = *p->at++;
    const char next = p->at < p->end ? *p->at : '\0';
    if (t->redir.fd < 0)
        t->redir.fd = sign == '<' ? 0 : 1;
    t->redir.kind = sign == '<' ? MSH_R_IN : MSH_R_OUT;
    if (sign == '>' && next == '>') {
        t->redir.kind = MSH_R_APPEND;
        p->at++;
    } else if (sign == '>' && next == '&') {
        const char target = p->end - p->at >= 2 ? p->at[1] : '\0';
        if (target != '-' && !isdigit((unsigned char)target))
            return wrong(p, ">&", 2);
        t->redir.kind = MSH_R_DUP;
        t->redir.dupfd = target == '-' ? -1 : target - '0';
        p->at += 2;
        if (p->at < p->end && !ends_word(*p->at))
            return wrong(p, ">&", 2);
    }
    return 0;
}

static int next_token(struct parser *p, struct token *t)
{
    static const struct {
        const char *text;
        enum kind kind;
        msh_conn connector;
    } signs[] = {
        {"&&", CONNECTOR, MSH_AND}, {"||", CONNECTOR, MSH_OR}, {"&", CONNECTOR, MSH_AMP},
        {"|", PIPE, MSH_END},       {";", CONNECTOR, MSH_SEMI}, {"\n", NEWLINE, MSH_SEMI},
    };
    skip_blanks(p);
    const size_t left = (size_t)(p->end - p->at);
    if (left == 0) {
        *t = (struct token){.kind = END, .text = "end", .length = 3};
        return 0;
    }
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        const size_t length = strlen(signs[i].text);
        if (left < length || memcmp(p->at, signs[i].text, length) != 0)
            continue;
        *t = (struct token){.kind = signs[i].kind, .text = signs[i].text, .length = length, .connector = signs[i].connector};
        p->at += length;
        return 0;
    }
    if (*p->at == '<' || *p->at == '>')
        return take_redirection(p, t);
    if (left >= 2 && isdigit((unsigned char)*p->at) && (p->at[1] == '<' || p->at[1] == '>'))
        return take_redirection(p, t);
    if (*p->at == '(' || *p->at == ')')
        return wrong(p, p->at, 1);
    return take_word(p, t);
}

/* --- The tree ------------------------------------------------------------------------------------------------------------ */

/* Room for one more of these items: arrays have room for the next power of two. */
static int grow(void **items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) /* neither 0 nor a power of two: there is room */
        return 0;
    void *moved = realloc(*items, (count == 0 ? 1 : 2 * count) * size);
    if (moved == NULL)
        return -ENOMEM;
    *items = moved;
    return 0;
}

static char *copy(const struct token *word)
{
    char *text = malloc(word->length + 1);
    if (text != NULL) {
        memcpy(text, word->text, word->length);
        text[word->length] = '\0';
    }
    return text;
}

static int add_word(msh_cmd *cmd, const struct token *word)
{
    /* One place more than there are words, for the NULL at the end. */
    if (grow((void **)&cmd->argv, cmd->argc + 1, sizeof *cmd->argv) != 0)
        return -ENOMEM;
    char *text = copy(word);
    if (text == NULL)
        return -ENOMEM;
    cmd->argv[cmd->argc++] = text;
    cmd->argv[cmd->argc] = NULL;
    return 0;
}

static int add_redirection(struct parser *p, msh_cmd *cmd, msh_redir redir)
{
    if (grow((void **)&cmd->redirs, cmd->nredirs, sizeof *cmd->redirs) != 0)
        return -ENOMEM;
    if (redir.kind != MSH_R_DUP) {
        struct token path;
        const int error = next_token(p, &path);
        if (error != 0)
            return error;
        if (path.kind != WORD)
            return wrong(p, path.text, path.length);
        redir.path = copy(&path);
        if (redir.path == NULL)
            return -ENOMEM;
    }
    cmd->redirs[cmd->nredirs++] = redir;
    return 0;
}

/* One command; *t is its first token, and afterwards the one behind it. */
static int parse_command(struct parser *p, msh_pipeline *pl, struct token *t)
{
    if (grow((void **)&pl->cmds, pl->ncmds, sizeof *pl->cmds) != 0)
        return -ENOMEM;
    msh_cmd *cmd = &pl->cmds[pl->ncmds];
    *cmd = (msh_cmd){.argv = calloc(1, sizeof *cmd->argv)};
    if (cmd->argv == NULL)
        return -ENOMEM;
    pl->ncmds++;
    while (t->kind == WORD || t->kind == REDIRECTION) {
        int error = t->kind == WORD ? add_word(cmd, t) : add_redirection(p, cmd, t->redir);
        if (error == 0)
            error = next_token(p, t);
        if (error != 0)
            return error;
    }
    if (cmd->argc == 0 && cmd->nredirs == 0)
        return t->kind == END ? -EAGAIN : wrong(p, t->text, t->length);
    return 0;
}

static int skip_newlines(struct parser *p, struct token *t)
{
    int error = 0;
    while (error == 0 && t->kind == NEWLINE)
        error = next_token(p, t);
    return error;
}

static int parse_pipeline(struct parser *p, msh_list *list, struct token *t)
{
    if (grow((void **)&list->pl, list->n, sizeof *list->pl) != 0
        || grow((void **)&list->conn, list->n, sizeof *list->conn) != 0)
        return -ENOMEM;
    msh_pipeline *pl = &list->pl[list->n];
    *pl = (msh_pipeline){0};
    list->conn[list->n++] = MSH_END;
    for (;;) {
        int error = parse_command(p, pl, t);
        if (error != 0 || t->kind != PIPE)
            return error;
        error = next_token(p, t);
        if (error == 0)
            error = skip_newlines(p, t); /* a pipeline goes on in the next line */
        if (error != 0)
            return error;
    }
}

static int parse_list(struct parser *p, msh_list *list)
{
    struct token t;
    int error = next_token(p, &t);
    if (error == 0)
        error = skip_newlines(p, &t);
    while (error == 0 && t.kind != END) {
        error = parse_pipeline(p, list, &t);
        if (error != 0 || t.kind == END)
            break;
        const msh_conn connector = t.connector;
        list->conn[list->n - 1] = connector;
        error = next_token(p, &t);
        if (error == 0)
            error = skip_newlines(p, &t);
        if (error == 0 && t.kind == END && (connector == MSH_AND || connector == MSH_OR))
            error = -EAGAIN;
    }
    return error;
}

int msh_parse(const char *src, size_t len, msh_list **out, char *err, size_t errcap)
{
    struct parser p = {.at = src, .end = src + len, .err = err, .errcap = errcap};
    *out = NULL;
    if (errcap > 0)
        err[0] = '\0';
    if (len > 0 && memchr(src, '\0', len) != NULL)
        return wrong(&p, "NUL", 3);
    msh_list *list = calloc(1, sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    const int error = parse_list(&p, list);
    if (error != 0)
        msh_list_free(list);
    else
        *out = list;
    return error;
}

void msh_list_free(msh_list *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n; i++) {
        for (size_t c = 0; c < l->pl[i].ncmds; c++) {
            msh_cmd *cmd = &l->pl[i].cmds[c];
            for (size_t a = 0; a < cmd->argc; a++)
                free(cmd->argv[a]);
            for (size_t r = 0; r < cmd->nredirs; r++)
                free(cmd->redirs[r].path);
            free(cmd->argv);
            free(cmd->redirs);
        }
        free(l->pl[i].cmds);
    }
    free(l->pl);
    free(l->conn);
    free(l);
}
