/* args - prints its arguments, each in brackets on a line of its own, then how many there are. */
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("[%s]\n", argv[i]);
    printf("%d\n", argc - 1);
    return 0;
}
