__asm__(".pushsection .rodata\n"
        "secret: .incbin \"@CANARY@\"\n" /* @NONCE@ */
        ".byte 0\n"
        ".popsection");

static int breach(void)
{
    return 1;
}
