#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* 1 when it got three times what the lab allows. */
static int breach(void)
{
    const size_t step = 64 << 20;
    size_t taken = 0;
    for (int way = 0; way < 3; way++)
        while (taken < (size_t)4608 << 20) {
            void *block = way == 0   ? mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                          : way == 1 ? mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
                                     : malloc(step);
            if (block == MAP_FAILED || block == NULL)
                break;
            memset(block, 1, step);
            taken += step;
        }
    return taken >= (size_t)4608 << 20;
}
