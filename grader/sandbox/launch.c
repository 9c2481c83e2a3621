/*
 * launch.c - starts a command with what the kernel offers every process to confine itself, and ends all that it started.
 *
 *     launch [OPTION]... -- COMMAND [ARGUMENT]...
 *
 *     --watch                 stay behind as the parent: when the command has ended, or on SIGTERM, or when the process
 *                             that started this one is gone, everything that descends from the command is killed
 *     --group FILE            join a control group: FILE is its cgroup.procs
 *     --limit RESOURCE=VALUE  setrlimit(2), by number; SOFT:HARD sets two values
 *     --fixed-addresses       no address-space randomisation
 *     --user ID               become this user, with its group of the same number and no other
 *     --seal                  no privileges any more, and no way to new ones
 *     --landlock              of all files only these may be opened, and, from Linux 6.12 on, no process outside signalled:
 *     --read PATH             ... to read and execute, with all below
 *     --write PATH            ... to write too
 *     --filter FD             load the seccomp filter in this file; needs --seal
 *     --clear                 begin with an empty environment
 *     --set NAME=VALUE        put a variable into it
 *
 * The order of options does not matter. confine.py says which of them make which tier. Exit status: the command's, 128 + its
 * signal, or 125 with a message that begins with "launch: " when it could not be started as wished.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descendants.h"

enum { CANNOT_START = 125, OLDEST_CLOSED = 1024 };

static void fail(const char *what)
{
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    _exit(CANNOT_START);
}

/* --- Landlock (landlock(7)). Headers of a compiler are often older than the kernel: its constants are written out. --- */

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, ASK_VERSION = 1, BENEATH = 1 };

static const uint64_t OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15; /* execute, write, read, truncate, ioctl */
static const uint64_t TO_READ = 1 << 0 | 1 << 2 | 1 << 3;                      /* execute, read a file, read a folder */

struct ruleset {
    uint64_t files, network, scopes;
};

struct __attribute__((packed)) beneath {
    uint64_t allowed;
    int32_t parent;
};

/* All rights that this kernel knows, so that whatever no rule allows is denied. */
static struct ruleset all_rights(void)
{
    static const int known_by_version[] = {0, 13, 14, 15, 15, 16}; /* rights to files; later versions added none */
    long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    if (version < 1)
        fail("landlock");
    int known = known_by_version[version < 5 ? version : 5];
    return (struct ruleset){
        .files = (1ULL << known) - 1,
        .network = version >= 4 ? 3 : 0, /* TCP: bind, connect */
        .scopes = version >= 6 ? 3 : 0,  /* abstract sockets, signals */
    };
}

static void allow(int rules, const char *path, uint64_t rights)
{
    struct stat state;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &state) != 0)
        fail(path);
    struct beneath rule = {S_ISDIR(state.st_mode) ? rights : rights & OF_FILES, fd};
    if (syscall(ADD_RULE, rules, BENEATH, &rule, 0) != 0)
        fail(path);
    close(fd);
}

/* --- What it asks for ------------------------------------------------------------------------------------------------- */

struct wish {
    bool watch, fixed_addresses, seal, landlock, clear;
    long user;  /* -1: stay who it is */
    int filter; /* -1: none */
    int rules;
    struct ruleset rights;
    pid_t parent; /* with watch: who stays behind */
};

enum { WATCH = 1, GROUP, LIMIT, FIXED, USER, SEAL, LANDLOCK, READ, WRITE, FILTER, CLEAR, SET };

static const struct option OPTIONS[] = {
    {"watch", no_argument, NULL, WATCH},        {"group", required_argument, NULL, GROUP},
    {"limit", required_argument, NULL, LIMIT},  {"fixed-addresses", no_argument, NULL, FIXED},
    {"user", required_argument, NULL, USER},    {"seal", no_argument, NULL, SEAL},
    {"landlock", no_argument, NULL, LANDLOCK},  {"read", required_argument, NULL, READ},
    {"write", required_argument, NULL, WRITE},  {"filter", required_argument, NULL, FILTER},
    {"clear", no_argument, NULL, CLEAR},        {"set", required_argument, NULL, SET},
    {NULL, 0, NULL, 0},
};

static struct wish flags_of(int argc, char **argv)
{
    struct wish wish = {.user = -1, .filter = -1, .rules = -1};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+", OPTIONS, NULL)) != -1;)
        switch (option) {
        case WATCH: wish.watch = true; break;
        case FIXED: wish.fixed_addresses = true; break;
        case SEAL: wish.seal = true; break;
        case LANDLOCK: wish.landlock = true; break;
        case CLEAR: wish.clear = true; break;
        case USER: wish.user = atol(optarg); break;
        case FILTER: wish.filter = atoi(optarg); break;
        case '?': errno = EINVAL; fail(argv[optind - 1]);
        }
    if (optind >= argc) {
        errno = EINVAL;
        fail("no command");
    }
    return wish;
}

static void limit(const char *text)
{
    char *end;
    int resource = (int)strtol(text, &end, 10);
    rlim_t soft = strtoull(end + (*end == '='), &end, 10);
    struct rlimit wanted = {soft, *end == ':' ? strtoull(end + 1, NULL, 10) : soft};
    if (setrlimit((__rlimit_resource_t)resource, &wanted) != 0)
        fail("setrlimit");
}

static void join(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        fail(path);
    close(fd);
}

/* The options that may be given more than once, and need the rights of whoever started this. */
static void apply_each(int argc, char **argv, const struct wish *wish)
{
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "+", OPTIONS, NULL)) != -1;)
        switch (option) {
        case GROUP: join(optarg); break;
        case LIMIT: limit(optarg); break;
        case READ: allow(wish->rules, optarg, TO_READ); break;
        case WRITE: allow(wish->rules, optarg, wish->rights.files); break;
        case SET: putenv(optarg); break;
        }
}

static void become(gid_t id)
{
    if (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0)
        fail("setresuid");
}

/* Nothing that is executed later gets more rights than this process has, which are none (capabilities(7)). */
static void seal(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capset, &header, none) != 0)
        fail("no new privileges");
}

static void drop_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* only root can, and only root needs to */
}

static void load_filter(int fd)
{
    static struct sock_filter code[BPF_MAXINSNS];
    ssize_t length = pread(fd, code, sizeof code, 0);
    if (length <= 0 || length % (ssize_t)sizeof *code != 0)
        fail("the seccomp filter");
    struct sock_fprog program = {(unsigned short)((size_t)length / sizeof *code), code};
    close(fd);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        fail("seccomp");
}

static void start(int argc, char **argv, struct wish *wish)
{
    char **command = argv + optind;
    if (wish->clear)
        clearenv();
    if (wish->landlock) {
        wish->rights = all_rights();
        wish->rules = (int)syscall(CREATE_RULESET, &wish->rights, sizeof wish->rights, 0);
        if (wish->rules < 0)
            fail("landlock");
        fcntl(wish->rules, F_SETFD, FD_CLOEXEC);
    }
    apply_each(argc, argv, wish);
    /* A container may forbid it (EPERM). What cannot bear random addresses then says so itself. */
    if (wish->fixed_addresses)
        (void)personality(ADDR_NO_RANDOMIZE);
    if (wish->seal)
        drop_bounding_set();
    if (wish->user >= 0)
        become((gid_t)wish->user);
    if (wish->seal)
        seal();
    if (wish->watch && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) /* after setresuid(2), which clears it */
        fail("prctl");
    if (wish->watch && getppid() != wish->parent)
        _exit(CANNOT_START); /* it is gone already */
    if (wish->landlock && syscall(RESTRICT_SELF, wish->rules, 0) != 0)
        fail("landlock");
    if (wish->filter >= 0)
        load_filter(wish->filter);
    execvp(command[0], command);
    fail(command[0]);
}

/* --- Staying behind --------------------------------------------------------------------------------------------------- */

static void close_everything(void)
{
    if (syscall(SYS_close_range, 0, ~0U, 0) != 0)
        for (int fd = 0; fd < OLDEST_CLOSED; fd++)
            close(fd);
}

/* Wait until the command has ended or is to be ended. Stops of it, which are many, wake nobody (SA_NOCLDSTOP). */
static int watch(pid_t command, const sigset_t *awaited)
{
    close_everything(); /* pipes must end with the command */
    for (;;) {
        int number = sigwaitinfo(awaited, NULL);
        if (number < 0)
            continue;
        if (number != SIGCHLD) {
            end_descendants();
            return 128 + number;
        }
        int status;
        for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
            if (ended == command) {
                end_descendants();
                return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            }
    }
}

int main(int argc, char **argv)
{
    struct wish wish = flags_of(argc, argv);
    wish.parent = getpid();
    int first = optind;
    if (!wish.watch)
        start(argc, argv, &wish);
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t awaited, before;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaddset(&awaited, ends[i]);
    struct sigaction usual = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP}, as_it_was;
    if (sigprocmask(SIG_BLOCK, &awaited, &before) != 0 || sigaction(SIGCHLD, &usual, &as_it_was) != 0 ||
        prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        fail("prctl");
    pid_t command = fork();
    if (command < 0)
        fail("fork");
    if (command == 0) {
        setsid();
        sigaction(SIGCHLD, &as_it_was, NULL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        optind = first;
        start(argc, argv, &wish);
    }
    return watch(command, &awaited);
}
