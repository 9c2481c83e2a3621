/* driver.c - glue of the grader: trees as text, and many random texts at once. */
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msh.h"

struct sink {
    uint8_t *out;
    size_t cap, length;
};

static void put(struct sink *s, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++, s->length++)
        if (s->length < s->cap)
            s->out[s->length] = (uint8_t)text[i];
}

static void put_text(struct sink *s, const char *text)
{
    put(s, text, strlen(text));
}

/* Words between \x01 and \x02: nothing that a script could hold is mistaken for them. */
static void put_word(struct sink *s, const char *word)
{
    put(s, "\x01", 1);
    put_text(s, word != NULL ? word : "NULL");
    put(s, "\x02", 1);
}

static int put_command(struct sink *s, const msh_cmd *cmd)
{
    static const char *const signs[] = {"<", ">", ">>", ">&"};
    if (cmd->argv == NULL || cmd->argv[cmd->argc] != NULL)
        return -EPROTO;
    for (size_t i = 0; i < cmd->argc; i++)
        put_word(s, cmd->argv[i]);
    for (size_t i = 0; i < cmd->nredirs; i++) {
        const msh_redir *redir = &cmd->redirs[i];
        if ((unsigned)redir->kind > MSH_R_DUP || (redir->kind == MSH_R_DUP) != (redir->path == NULL))
            return -EPROTO;
        char text[64];
        snprintf(text, sizeof text, " %d%s%d", redir->fd, signs[redir->kind], redir->dupfd);
        put_text(s, text);
        if (redir->path != NULL)
            put_word(s, redir->path);
    }
    return 0;
}

static int put_tree(struct sink *s, const msh_list *l)
{
    static const char *const signs[] = {"\n", ";\n", "&\n", "&&\n", "||\n"};
    for (size_t i = 0; i < l->n; i++) {
        if (l->pl[i].ncmds == 0 || (unsigned)l->conn[i] > MSH_OR)
            return -EPROTO;
        for (size_t c = 0; c < l->pl[i].ncmds; c++) {
            put_text(s, c > 0 ? " | " : "");
            if (put_command(s, &l->pl[i].cmds[c]) != 0)
                return -EPROTO;
        }
        put_text(s, signs[l->conn[i]]);
    }
    return 0;
}

/* Parse a copy in a block of its own, so that a look past the end is seen by the sanitizer. */
static int parse(const uint8_t *src, size_t len, msh_list **list)
{
    char err[64];
    memset(err, 'E', sizeof err);
    char *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        return -ENOMEM;
    if (len > 0)
        memcpy(copy, src, len);
    *list = (msh_list *)(uintptr_t)1;
    const int status = msh_parse(copy, len, list, err, sizeof err);
    free(copy);
    const int kept = status == 0 ? *list != NULL && *list != (msh_list *)(uintptr_t)1 : *list == NULL;
    const int told = status != -EINVAL || (memchr(err, '\0', sizeof err) != NULL && err[0] != '\0' && err[0] != 'E');
    if (!kept || !told) {
        *list = NULL;
        return -EPROTO;
    }
    return status;
}

int drive_parse(const uint8_t *src, size_t len, uint8_t *out, size_t cap)
{
    msh_list *list;
    int status = parse(src, len, &list);
    if (status != 0)
        return status;
    struct sink s = {out, cap, 0};
    status = put_tree(&s, list);
    msh_list_free(list);
    return status != 0 ? status : s.length > cap ? -EMSGSIZE : (int)s.length;
}

int drive_expand(const char *word, int status, uint8_t *out, size_t cap)
{
    char **fields = NULL;
    size_t n = 0;
    const int error = msh_expand(word, status, &fields, &n);
    if (error != 0)
        return fields == NULL ? error : -EPROTO;
    if (fields == NULL || fields[n] != NULL)
        return -EPROTO;
    struct sink s = {out, cap, 0};
    for (size_t i = 0; i < n; i++)
        put(&s, fields[i], strlen(fields[i]) + 1);
    free(fields);
    return s.length > cap ? -EMSGSIZE : (int)s.length;
}

/* --- Random texts --------------------------------------------------------------------------------------------------------- */

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016). */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static size_t random_text(uint64_t *state, uint8_t *into, size_t max_len, const uint8_t *pieces, size_t size)
{
    const size_t wanted = draw(state) % (max_len + 1);
    size_t length = 0, starts[256], n = 0;
    for (size_t at = 0; at < size && n < 256; at += 1u + pieces[at])
        starts[n++] = at;
    while (length < wanted && n > 0) {
        const uint8_t *piece = pieces + starts[draw(state) % n];
        if (length + piece[0] > max_len)
            break;
        memcpy(into + length, piece + 1, piece[0]);
        length += piece[0];
    }
    return length;
}

/* Every word of a tree must be one that can be expanded. */
static int expand_all(const msh_list *l)
{
    uint8_t scrap[4096];
    int status = 0;
    for (size_t i = 0; i < l->n; i++)
        for (size_t c = 0; c < l->pl[i].ncmds; c++)
            for (size_t a = 0; a < l->pl[i].cmds[c].argc && status >= 0; a++)
                status = drive_expand(l->pl[i].cmds[c].argv[a], 127, scrap, sizeof scrap);
    return status < 0 ? status : 0;
}

int drive_fuzz(uint64_t seed, size_t count, size_t max_len, const uint8_t *pieces, size_t size, uint64_t *counts,
               uint8_t *out, size_t cap)
{
    static uint8_t text[1 << 16], scrap[1 << 18];
    uint64_t state = seed | 1;
    int first = 0;
    memset(counts, 0, 4 * sizeof *counts);
    for (size_t i = 0; i < count; i++) {
        msh_list *list = NULL;
        const size_t length = random_text(&state, text, max_len < sizeof text ? max_len : sizeof text, pieces, size);
        int status = parse(text, length, &list);
        if (status == 0) {
            struct sink s = {scrap, sizeof scrap, 0};
            status = put_tree(&s, list);
            if (status == 0)
                status = expand_all(list);
            msh_list_free(list);
        }
        const size_t kind = status == 0 ? 0 : status == -EINVAL ? 1 : status == -EAGAIN ? 2 : 3;
        counts[kind]++;
        if (kind == 3 && first == 0) {
            first = (int)(length < cap ? length : cap);
            memcpy(out, text, (size_t)first);
        }
    }
    return first;
}
