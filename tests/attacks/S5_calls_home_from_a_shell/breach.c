#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int breach(void)
{
    static const char *const services[] = {"/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket",
                                           "/run/systemd/private", "/tmp/.X11-unix/X0"};
    struct sockaddr_in home = {.sin_family = AF_INET, .sin_port = htons(@PORT@), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int internet = socket(AF_INET, SOCK_STREAM, 0);
    if (internet >= 0 && connect(internet, (struct sockaddr *)&home, sizeof home) == 0)
        return 1;
    for (unsigned i = 0; i < sizeof services / sizeof *services; i++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        strcpy(name.sun_path, services[i]);
        int local = socket(AF_UNIX, SOCK_STREAM, 0);
        if (local >= 0 && connect(local, (struct sockaddr *)&name, sizeof name) == 0)
            return 1;
        close(local);
    }
    return 0;
}
