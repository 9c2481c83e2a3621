#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static int breach(void)
{
    static const int families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_KEY, AF_XDP};
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
    for (unsigned i = 0; i < sizeof families / sizeof *families; i++)
        for (unsigned j = 0; j < sizeof kinds / sizeof *kinds; j++)
            if (socket(families[i], kinds[j], 0) >= 0)
                return 1;
    struct sockaddr_in home = {.sin_family = AF_INET, .sin_port = htons(@PORT@), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (int fd = 0; fd < 64; fd++)
        if (connect(fd, (struct sockaddr *)&home, sizeof home) == 0)
            return 1;
    return 0;
}
