/* @NONCE@ */
#define A(x) x x x x x x x x
#define B(x) A(A(A(A(x))))
#define C(x) B(B(B(x)))
static int breach(void)
{
    int i = 0;
    C(i++;)
    return i;
}
