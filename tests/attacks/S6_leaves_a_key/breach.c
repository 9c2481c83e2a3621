#include <sys/syscall.h>
#include <unistd.h>

static int breach(void)
{
    const int user = -4, session = -3;
    if (syscall(SYS_keyctl, 0, user, 1) >= 0 || syscall(SYS_request_key, "user", "answers", NULL, user) >= 0)
        return 1;
    return syscall(SYS_add_key, "user", "answers", "42", 2, user) >= 0 || syscall(SYS_keyctl, 1, session) >= 0;
}
