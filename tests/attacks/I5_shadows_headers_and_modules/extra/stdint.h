#define OWNED 1
