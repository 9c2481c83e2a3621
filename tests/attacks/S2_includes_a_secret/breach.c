/* @NONCE@ */
#if __has_include("@CANARY@") || __has_include("/etc/passwd") || __has_include("/proc/self/environ") || \
    __has_include("/proc/self/cmdline") || __has_include("/dev/fd/0")
static int breach(void)
{
    return 1;
}
#else
static int breach(void)
{
    return 0;
}
#endif
