/* @NONCE@ */
#include "/dev/zero"
static int breach(void)
{
    return 1;
}
