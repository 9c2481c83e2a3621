/* shell.c - where commands come from: a terminal, a file, the standard input or the command line. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell.h"

struct shell shell;

enum { BLOCK = 4096, NOT_FOUND = 127, WRONG_USE = 2 };

/* Text that grows. */
struct text {
    char *at;
    size_t length, room;
};

/* Where lines come from: a text that is all there, or standard input. */
struct source {
    struct text whole;
    size_t position;
    bool is_stdin, seekable;
};

void complain(const char *what, const char *detail)
{
    char line[512];
    int length = snprintf(line, sizeof line, "msh: %s: %s\n", what, detail);
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nobody is left to tell */
}

static int append(struct text *to, const char *data, size_t length)
{
    if (to->length + length > to->room) {
        const size_t room = 2 * (to->length + length) + BLOCK;
        char *moved = realloc(to->at, room);
        if (moved == NULL)
            return -ENOMEM;
        to->at = moved;
        to->room = room;
    }
    if (length > 0)
        memcpy(to->at + to->length, data, length);
    to->length += length;
    return 0;
}

/* A whole file. It is closed again before the first command runs. */
static int read_file(const char *path, struct text *into)
{
    char block[BLOCK];
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t got;
    int error = 0;
    while (error == 0 && (got = read(file, block, sizeof block)) != 0)
        error = got < 0 ? -errno : append(into, block, (size_t)got);
    close(file);
    return error;
}

/*
 * The next line of standard input. Commands read from there as well, so no byte behind the line may be taken: from a file
 * a block is read and the position set back, from a pipe every byte is read alone. A terminal gives one line at a time.
 */
static int read_stdin_line(const struct source *s, struct text *into)
{
    char block[BLOCK];
    const size_t most = shell.interactive ? sizeof block : 1;
    for (;;) {
        const ssize_t got = read(STDIN_FILENO, block, most);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        const char *end = memchr(block, '\n', (size_t)got);
        const size_t taken = end != NULL ? (size_t)(end - block) + 1 : (size_t)got;
        if (s->seekable && taken < (size_t)got)
            lseek(STDIN_FILENO, (off_t)taken - got, SEEK_CUR);
        if (append(into, block, taken) != 0)
            return -ENOMEM;
        if (end != NULL)
            return 0;
    }
}

/* Append the next line with its end; nothing at the end of the source. */
static int read_line(struct source *s, struct text *into)
{
    if (s->is_stdin)
        return read_stdin_line(s, into);
    const char *from = s->whole.at + s->position;
    const size_t left = s->whole.length - s->position;
    const char *end = left > 0 ? memchr(from, '\n', left) : NULL;
    const size_t taken = end != NULL ? (size_t)(end - from) + 1 : left;
    s->position += taken;
    return append(into, from, taken);
}

static void prompt(const char *text)
{
    if (shell.interactive)
        dprintf(STDERR_FILENO, "%s", text);
}

/* Read, parse and run until the source ends. The exit status. */
static int run_source(struct source *s)
{
    struct text command = {0};
    char why[128];
    for (bool more = false;;) {
        if (!more) {
            command.length = 0;
            if (shell.interactive)
                jobs_look();
        }
        prompt(more ? "> " : "msh$ ");
        const size_t before = command.length;
        if (read_line(s, &command) != 0)
            break;
        const bool ended = command.length == before;
        if (ended && !more)
            break;
        while (ended && command.length >= 2 && memcmp(command.at + command.length - 2, "\\\n", 2) == 0)
            command.length -= 2; /* a line that was to go on, and nothing came */
        msh_list *list;
        int error = msh_parse(command.at, command.length, &list, why, sizeof why);
        more = error == -EAGAIN && !ended;
        if (more)
            continue;
        if (error == 0) {
            error = msh_run_list(list, &shell.status);
            msh_list_free(list);
        } else {
            complain("not understood", error == -EAGAIN ? "it ends too early" : why);
            shell.status = 2;
            if (!shell.interactive)
                break;
        }
        if (error == -ENOMEM)
            complain("memory", strerror(ENOMEM));
        if (ended)
            break;
    }
    free(command.at);
    return shell.status;
}

static void become_interactive(void)
{
    shell.interactive = true;
    setpgid(0, 0);
    signals_of_shell();
    tcsetpgrp(STDIN_FILENO, getpgrp());
}

int msh_main(int argc, char **argv)
{
    struct source source = {0};
    int error = 0;
    if (argc == 1) {
        source.is_stdin = true;
        source.seekable = lseek(STDIN_FILENO, 0, SEEK_CUR) >= 0;
        if (isatty(STDIN_FILENO))
            become_interactive();
    } else if (strcmp(argv[1], "-c") == 0 && argc == 3) {
        error = append(&source.whole, argv[2], strlen(argv[2]));
    } else if (argc == 2 && argv[1][0] != '-') {
        error = read_file(argv[1], &source.whole);
    } else {
        complain("usage", "msh | msh FILE | msh -c COMMAND");
        return WRONG_USE;
    }
    if (error != 0) {
        complain(argv[1], strerror(-error));
        return NOT_FOUND;
    }
    const int status = run_source(&source);
    free(source.whole.at);
    return status;
}
