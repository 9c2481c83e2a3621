/*
 * expand.c - from a word as it was written to the fields that it becomes.
 *
 * The result is one block: the pointers, then the texts. It is made in two passes over the word, with the same code: the
 * first one counts, the second one writes.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msh.h"

struct output {
    char **fields; /* NULL in the pass that counts */
    char *text;
    size_t count, bytes;
    bool open; /* a field has begun */
};

static void begin(struct output *o)
{
    if (o->open)
        return;
    o->open = true;
    if (o->fields != NULL)
        o->fields[o->count] = o->text + o->bytes;
    o->count++;
}

static void put(struct output *o, char c)
{
    begin(o);
    if (o->fields != NULL)
        o->text[o->bytes] = c;
    o->bytes++;
}

static void finish(struct output *o)
{
    if (!o->open)
        return;
    put(o, '\0');
    o->open = false;
}

/* A value: as it is inside of quotes, outside split at white space. */
static void put_value(struct output *o, const char *value, bool quoted)
{
    for (; *value != '\0'; value++) {
        if (!quoted && (*value == ' ' || *value == '\t' || *value == '\n'))
            finish(o);
        else
            put(o, *value);
    }
}

/* `$` at *word: put what it stands for; the place behind it. A `$` before anything else is a plain character. */
static const char *put_variable(struct output *o, const char *word, int status, bool quoted)
{
    if (word[1] == '?') {
        char digits[16];
        snprintf(digits, sizeof digits, "%d", status);
        put_value(o, digits, quoted);
        return word + 2;
    }
    size_t length = 0;
    if (isalpha((unsigned char)word[1]) || word[1] == '_')
        while (isalnum((unsigned char)word[1 + length]) || word[1 + length] == '_')
            length++;
    if (length == 0) {
        put(o, '$');
        return word + 1;
    }
    char name[256];
    if (length < sizeof name) {
        memcpy(name, word + 1, length);
        name[length] = '\0';
        const char *value = getenv(name);
        put_value(o, value != NULL ? value : "", quoted);
    }
    return word + 1 + length;
}

static void expand(struct output *o, const char *word, int status)
{
    char quote = '\0';
    while (*word != '\0') {
        if (*word == '$' && quote != '\'') {
            word = put_variable(o, word, status, quote != '\0');
        } else if (*word == '\\' && quote == '\0') {
            if (word[1] != '\n' && word[1] != '\0')
                put(o, word[1]);
            word += word[1] != '\0' ? 2 : 1;
        } else if (*word == '\\' && quote == '"' && word[1] != '\0' && strchr("\"\\$`\n", word[1]) != NULL) {
            if (word[1] != '\n')
                put(o, word[1]);
            word += 2;
        } else if (*word == quote) {
            quote = '\0';
            word++;
        } else if (quote == '\0' && (*word == '\'' || *word == '"')) {
            begin(o); /* '' is a field, and an empty one */
            quote = *word++;
        } else {
            put(o, *word++);
        }
    }
    finish(o);
}

int msh_expand(const char *word, int status, char ***fields, size_t *n)
{
    struct output counted = {0};
    *fields = NULL;
    *n = 0;
    expand(&counted, word, status);
    char **block = malloc((counted.count + 1) * sizeof *block + counted.bytes);
    if (block == NULL)
        return -ENOMEM;
    struct output written = {.fields = block, .text = (char *)(block + counted.count + 1)};
    expand(&written, word, status);
    block[counted.count] = NULL;
    *fields = block;
    *n = counted.count;
    return 0;
}
