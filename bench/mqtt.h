/* The few bytes of MQTT 3.1.1 that the load tools speak, and the clock they share. */
#ifndef BENCH_MQTT_H
#define BENCH_MQTT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Every payload begins with this, then the moment it was sent: that is how latency is measured. */
#define SENT "{\"sent\":"
#define PAYLOAD_BYTES 100

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Nanoseconds of the monotonic clock, which all processes of one machine share. */
static inline int64_t now_ns(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec * 1000000000LL + moment.tv_nsec;
}

static inline int connect_to(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline void write_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = write(fd, bytes, size);
        if (sent < 0) fail("write");
        bytes += sent;
        size -= sent;
    }
}

static inline void read_all(int fd, char *bytes, size_t size) {
    while (size) {
        ssize_t got = read(fd, bytes, size);
        if (got <= 0) fail("read");
        bytes += got;
        size -= got;
    }
}

/* CONNECT with a clean session; blocks until the broker accepts. */
static inline int mqtt_connect(int port, const char *client_id) {
    char packet[128];
    size_t name = strlen(client_id);
    memcpy(packet, "\x10\0\0\4MQTT\4\2\0\x3c\0", 13);
    packet[1] = (char)(12 + name);
    packet[13] = (char)name;
    memcpy(packet + 14, client_id, name);
    int fd = connect_to(port);
    write_all(fd, packet, 14 + name);
    read_all(fd, packet, 4);
    if (packet[0] != 0x20 || packet[3]) fail("the broker refused");
    return fd;
}

#endif
