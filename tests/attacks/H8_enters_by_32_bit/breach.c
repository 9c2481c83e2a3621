static int breach(void)
{
    int answer, number = 2; /* fork, in 32 bit */
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(0) : "memory");
    return answer != 0;
}
