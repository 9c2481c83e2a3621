/* @NONCE@ */
char huge[(size_t)-1 >> 2] = {1};
static int breach(void)
{
    return huge[5] == 0;
}
