/*
 * serve.c - runs programs one after another inside a sandbox, each in a fresh folder, and tells what came of it.
 *
 *     serve CHANNEL FOLDER ALONE
 *
 * CHANNEL is a stream socket whose other end the grader holds; programs.py documents the frames. FOLDER is made anew for
 * every program. ALONE is 1 where this process and its descendants are the only ones of its user, as in a process
 * namespace of their own. When a program has ended, everything that it left behind is killed. As untrusted as whatever
 * else runs in the sandbox: nothing that it says is more than the submission could say itself.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "descendants.h"

enum { MAX_FILES = 64, MAX_FILE = 1 << 20, MAX_NAMES = 4096 };
enum { STDIN_EMPTY, STDIN_FILE, STDIN_PIPE, STDIN_CLOSED, STDIN_TERMINAL };
enum { TIMED_OUT = 1, FLOODED = 2, NOT_STARTED = 4, STOPPED_BY_GRADER = 8 };

/* --- Frames: numbers of four bytes, and texts with their length before them --------------------------------------- */

struct bytes {
    char *at;
    size_t length, room;
};

static void fail(const char *what)
{
    perror(what);
    _exit(70);
}

static void append(struct bytes *to, const void *data, size_t length)
{
    if (to->length + length > to->room) {
        to->room = 2 * (to->length + length) + 256;
        to->at = realloc(to->at, to->room);
        if (to->at == NULL)
            fail("serve: realloc");
    }
    if (length > 0)
        memcpy(to->at + to->length, data, length);
    to->length += length;
}

static void put_number(struct bytes *to, uint32_t number)
{
    append(to, &number, sizeof number);
}

static void put_text(struct bytes *to, const char *text, size_t length)
{
    put_number(to, (uint32_t)length);
    append(to, text, length);
}

struct frame {
    const char *at, *end;
};

static uint32_t take_number(struct frame *from)
{
    uint32_t number = 0;
    if (from->end - from->at >= (ptrdiff_t)sizeof number) {
        memcpy(&number, from->at, sizeof number);
        from->at += sizeof number;
    }
    return number;
}

/* A text in place; the grader ends every one with a NUL that its length does not count. */
static const char *take_text(struct frame *from, size_t *length)
{
    *length = take_number(from);
    const char *text = from->at;
    if ((size_t)(from->end - from->at) < *length + 1) {
        fprintf(stderr, "serve: a frame is cut off\n");
        _exit(70);
    }
    from->at += *length + 1;
    return text;
}

static const char **take_texts(struct frame *from, uint32_t count)
{
    const char **texts = calloc(count + 1, sizeof *texts);
    if (texts == NULL)
        fail("serve: calloc");
    size_t length;
    for (uint32_t i = 0; i < count; i++)
        texts[i] = take_text(from, &length);
    return texts;
}

/* The whole of `length` bytes, and a descriptor that travels with them (else -1). False at the end of the channel. */
static bool receive(int channel, void *into, size_t length, int *descriptor)
{
    for (size_t done = 0; done < length;) {
        struct iovec part = {(char *)into + done, length - done};
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(64)];
        } control;
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        struct cmsghdr *carried = CMSG_FIRSTHDR(&message);
        if (carried != NULL && carried->cmsg_type == SCM_RIGHTS)
            memcpy(descriptor, CMSG_DATA(carried), sizeof *descriptor);
        done += (size_t)got;
    }
    return true;
}

static void send_all(int channel, const char *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t sent = write(channel, data + done, length - done);
        if (sent < 0 && errno != EINTR)
            _exit(0); /* the grader is gone */
        done += sent > 0 ? (size_t)sent : 0;
    }
}

/* --- The folder --------------------------------------------------------------------------------------------------- */

/* Remove what is in a folder, whatever its permissions; links are removed, not followed. */
static void empty_folder(int parent, const char *name)
{
    if (parent != AT_FDCWD)
        fchmodat(parent, name, 0700, 0);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        empty_folder(fd, entry->d_name);
        unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(folder);
}

static void write_all(int fd, const char *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t written = write(fd, data + done, length - done);
        if (written < 0)
            fail("serve: write");
        done += (size_t)written;
    }
}

static void lay_out(const char *folder, bool alone, struct frame *from, uint32_t count)
{
    empty_folder(AT_FDCWD, folder);
    if (alone) { /* what an earlier program wanted to remember */
        empty_folder(AT_FDCWD, "/tmp");
        empty_folder(AT_FDCWD, "/dev/shm");
    }
    if ((mkdir(folder, 0755) != 0 && errno != EEXIST) || chmod(folder, 0755) != 0)
        fail("serve: mkdir");
    int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (uint32_t i = 0; i < count; i++) {
        size_t length;
        const char *name = take_text(from, &length);
        mode_t mode = take_number(from);
        const char *data = take_text(from, &length);
        if (S_ISDIR(mode)) {
            if (mkdirat(place, name, mode & 07777) != 0)
                fail("serve: mkdirat");
            continue;
        }
        int file = openat(place, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0)
            fail("serve: openat");
        write_all(file, data, length);
        fchmod(file, mode & 07777);
        close(file);
    }
    close(place);
}

/* The regular files in the folder afterwards, so that nobody needs a program to look at them. */
static void put_files(struct bytes *answer, const char *folder)
{
    size_t where = answer->length;
    put_number(answer, 0);
    uint32_t count = 0;
    int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = place < 0 ? NULL : fdopendir(place);
    for (struct dirent *entry; listing != NULL && count < MAX_FILES && (entry = readdir(listing)) != NULL;) {
        struct stat state;
        if (fstatat(place, entry->d_name, &state, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(state.st_mode))
            continue;
        fchmodat(place, entry->d_name, 0600, 0);
        int file = openat(place, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0)
            continue;
        char *data = malloc(MAX_FILE);
        ssize_t length = data == NULL ? -1 : read(file, data, MAX_FILE);
        close(file);
        if (length >= 0) {
            put_text(answer, entry->d_name, strlen(entry->d_name));
            put_text(answer, data, (size_t)length);
            count++;
        }
        free(data);
    }
    if (listing != NULL)
        closedir(listing);
    memcpy(answer->at + where, &count, sizeof count);
}

/* --- One program -------------------------------------------------------------------------------------------------- */

struct order {
    uint32_t timeout_ms, linger_ms, output_limit, max_processes, max_descriptors, stdin_kind;
    const char **argv, **environment;
    const char *stdin_data;
    size_t stdin_length;
    int terminal;
};

static void limit(int what, uint32_t value)
{
    struct rlimit wanted = {value, value};
    if (value != 0)
        setrlimit(what, &wanted);
}

/*
 * By the system call, since signal(2) leaves out 32 and 33, which the C library keeps for itself: posix_spawn ignores
 * them in the programs that it starts, so everything that make starts begins with them ignored.
 */
static void reset_signals(void)
{
    static const struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } as_at_boot; /* zeros: SIG_DFL; the kernel's struct sigaction */
    for (int number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, &as_at_boot, NULL, sizeof as_at_boot.mask);
}

/* In the child: descriptors 0, 1 and 2 and no others, signals as they are at boot, then the program. */
static void become(const struct order *order, const char *folder, const int standard[3])
{
    setsid();
    reset_signals();
    if (order->stdin_kind == STDIN_TERMINAL)
        ioctl(order->terminal, TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        if (standard[i] >= 0 && dup2(standard[i], i) < 0)
            _exit(71);
    if (order->stdin_kind == STDIN_CLOSED)
        close(0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(folder) != 0)
        _exit(71);
    limit(RLIMIT_NPROC, order->max_processes);
    limit(RLIMIT_NOFILE, order->max_descriptors);
    execve(order->argv[0], (char *const *)order->argv, (char *const *)order->environment);
    _exit(72);
}

static int standard_input(const struct order *order, const char *folder, int *feed)
{
    int ends[2];
    *feed = -1;
    switch (order->stdin_kind) {
    case STDIN_TERMINAL:
        return order->terminal;
    case STDIN_PIPE:
        if (pipe2(ends, O_CLOEXEC) != 0)
            fail("serve: pipe2");
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        *feed = ends[1];
        return ends[0];
    case STDIN_FILE: {
        int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (file < 0)
            fail("serve: O_TMPFILE");
        write_all(file, order->stdin_data, order->stdin_length);
        lseek(file, 0, SEEK_SET);
        return file;
    }
    case STDIN_CLOSED:
        return -1;
    default:
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* What has come through a pipe. False at its end. */
static bool drain(int fd, struct bytes *into, uint32_t limit, uint32_t *flags)
{
    static char piece[1 << 16];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        size_t kept = (size_t)got;
        if (into->length + kept > limit) {
            kept = limit - into->length;
            *flags |= FLOODED;
        }
        append(into, piece, kept);
        if (*flags & FLOODED)
            return true;
    }
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The children that there are now, as pids; orphans become children of this process (PR_SET_CHILD_SUBREAPER). */
static size_t children(pid_t *into, size_t room)
{
    char name[64], text[8192];
    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    size_t count = 0;
    text[length > 0 ? length : 0] = '\0';
    for (char *at = text, *end; count < room; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        into[count++] = (pid_t)pid;
    }
    return count;
}

static void put_names(struct bytes *names, const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count && names->length < MAX_NAMES; i++) {
        char name[64], text[64];
        snprintf(name, sizeof name, "/proc/%d/comm", (int)pids[i]);
        int file = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t length = file < 0 ? 0 : read(file, text, sizeof text);
        if (file >= 0)
            close(file);
        append(names, text, length > 0 ? (size_t)length : 0); /* ends with a line feed */
    }
}

/* Kill every descendant and bury it. One kill(2) for all of them strikes them at once, whoever forks meanwhile. */
static void kill_the_rest(bool alone)
{
    if (!alone) {
        end_descendants();
        return;
    }
    do
        kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

static void close_if(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void run(int channel, const struct order *order, const char *folder, bool alone, int ended_signal)
{
    int feed, out[2], err[2];
    int input = standard_input(order, folder, &feed);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        fail("serve: pipe2");
    const bool on_terminal = order->stdin_kind == STDIN_TERMINAL;
    const int standard[3] = {input, on_terminal ? input : out[1], on_terminal ? input : err[1]};
    struct bytes texts[2] = {{0}, {0}};
    uint32_t flags = 0, unburied = 0;
    int status = 0;
    uint64_t begun = now_us(), deadline = begun + (uint64_t)order->timeout_ms * 1000, took = 0;
    pid_t pid = fork();
    if (pid == 0)
        become(order, folder, standard);
    if (pid < 0)
        flags |= NOT_STARTED;
    close_if(&input);
    close_if(&out[1]);
    close_if(&err[1]);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    size_t fed = 0;
    bool running = pid > 0;
    while (!(flags & (FLOODED | NOT_STARTED | STOPPED_BY_GRADER))) {
        if (!running && out[0] < 0 && err[0] < 0)
            break; /* it has ended, and nobody can print any more */
        uint64_t now = now_us();
        if (now >= deadline) {
            flags |= running ? TIMED_OUT : 0;
            break;
        }
        struct pollfd watched[] = {
            {ended_signal, POLLIN, 0}, {channel, POLLIN, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}, {feed, POLLOUT, 0},
        };
        if (poll(watched, 5, (int)((deadline - now) / 1000) + 1) < 0 && errno != EINTR)
            fail("serve: poll");
        if (watched[4].revents != 0) {
            ssize_t sent = write(feed, order->stdin_data + fed, order->stdin_length - fed);
            fed += sent > 0 ? (size_t)sent : 0;
            if (fed == order->stdin_length || (sent < 0 && errno != EAGAIN && errno != EINTR))
                close_if(&feed);
        }
        if (watched[2].revents != 0 && !drain(out[0], &texts[0], order->output_limit, &flags))
            close_if(&out[0]);
        if (watched[3].revents != 0 && !drain(err[0], &texts[1], order->output_limit, &flags))
            close_if(&err[0]);
        if (watched[1].revents != 0) {
            char word;
            if (read(channel, &word, 1) <= 0)
                _exit(0);
            flags |= STOPPED_BY_GRADER;
        }
        if (watched[0].revents != 0) {
            struct signalfd_siginfo info;
            if (read(ended_signal, &info, sizeof info) < 0)
                fail("serve: signalfd");
            int state;
            for (pid_t ended; (ended = waitpid(-1, &state, WNOHANG)) > 0;) {
                if (ended != pid) {
                    unburied++; /* an orphan: whoever started it has not waited for it */
                    continue;
                }
                status = state;
                took = now_us() - begun;
                running = false;
                deadline = now_us() + (uint64_t)order->linger_ms * 1000;
            }
        }
    }
    if (running)
        took = now_us() - begun;
    pid_t left[512];
    size_t count = children(left, 512);
    if (running && count > 0)
        count--; /* the program itself */
    struct bytes names = {0}, answer = {0};
    put_names(&names, left, count);
    kill_the_rest(alone);
    if (out[0] >= 0)
        drain(out[0], &texts[0], order->output_limit, &flags);
    if (err[0] >= 0)
        drain(err[0], &texts[1], order->output_limit, &flags);
    close_if(&out[0]);
    close_if(&err[0]);
    close_if(&feed);
    put_number(&answer, 0); /* the length, below */
    put_number(&answer, (uint32_t)status);
    put_number(&answer, flags);
    put_number(&answer, (uint32_t)count);
    put_number(&answer, unburied);
    put_number(&answer, (uint32_t)(took > UINT32_MAX ? UINT32_MAX : took));
    put_text(&answer, texts[0].at, texts[0].length);
    put_text(&answer, texts[1].at, texts[1].length);
    put_text(&answer, names.at, names.length);
    put_files(&answer, folder);
    uint32_t length = (uint32_t)(answer.length - sizeof length);
    memcpy(answer.at, &length, sizeof length);
    send_all(channel, answer.at, answer.length);
    free(texts[0].at);
    free(texts[1].at);
    free(names.at);
    free(answer.at);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    int channel = atoi(argv[1]);
    const char *folder = argv[2];
    bool alone = argv[3][0] == '1';
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    int ended_signal = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ended_signal < 0)
        fail("serve: signalfd");
    send_all(channel, "H", 1);
    for (;;) {
        uint32_t length;
        int terminal = -1;
        if (!receive(channel, &length, sizeof length, &terminal))
            return 0;
        char *text = malloc((size_t)length + 1);
        if (text == NULL || !receive(channel, text, length, &terminal))
            return 70;
        text[length] = '\0';
        struct frame frame = {text, text + length};
        struct order order = {.terminal = terminal};
        order.timeout_ms = take_number(&frame);
        order.linger_ms = take_number(&frame);
        order.output_limit = take_number(&frame);
        order.max_processes = take_number(&frame);
        order.max_descriptors = take_number(&frame);
        order.stdin_kind = take_number(&frame);
        uint32_t words = take_number(&frame), variables = take_number(&frame), files = take_number(&frame);
        order.stdin_data = take_text(&frame, &order.stdin_length);
        order.argv = take_texts(&frame, words);
        order.environment = take_texts(&frame, variables);
        lay_out(folder, alone, &frame, files);
        run(channel, &order, folder, alone, ended_signal);
        free(order.argv);
        free(order.environment);
        free(text);
    }
}
