/* Many WebSocket readers in one process that cost less than the service that feeds them.

   ws_receive PORT PATH CLIENTS COUNT: opens CLIENTS connections, prints "ready" when each has
   its first frame, and when each has had COUNT messages one line of JSON: first_ns, last_ns,
   count (of all deliveries) and latencies. Frames are read whole, and each one is looked at. */
#include "latencies.h"
#include <sys/epoll.h>

#define BUFFER (1 << 18)
#define MESSAGE "\"message\""
/* Where MESSAGE ends at the latest: {"type":"message" with or without a space. */
#define KIND_BYTES 18

struct reader {
    int fd;
    int64_t seen;
    size_t held;
    int greeted;
    char *data;
};

static int64_t wanted, first;
static int greeted, finished;

static void upgrade(struct reader *reader, int port, const char *path) {
    char request[512], answer[4096];
    int size = sprintf(request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       path, port);
    reader->fd = connect_to(port);
    write_all(reader->fd, request, size);
    size_t got = 0;
    while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4)) read_all(reader->fd, answer + got++, 1);
    answer[got] = 0;
    if (!strstr(answer, " 101 ")) fprintf(stderr, "%s", answer), exit(1);
    fcntl(reader->fd, F_SETFL, O_NONBLOCK);
    reader->data = malloc(BUFFER);
}

/* Take the whole frames that are there; return how many bytes they had. */
static size_t take_frames(struct reader *reader, int64_t now) {
    size_t at = 0;
    while (reader->held - at >= 2) {
        unsigned char *head = (unsigned char *)reader->data + at;
        size_t size = head[1] & 127, begin = 2;
        if (size == 126) begin = 4;
        if (size == 127) begin = 10;
        if (reader->held - at < begin) break;
        if (size == 126) size = head[2] << 8 | head[3];
        if (size == 127) size = (size_t)head[6] << 24 | head[7] << 16 | head[8] << 8 | head[9];
        if (begin + size > BUFFER) fail("a frame larger than the buffer");
        if (reader->held - at < begin + size) break;
        char *text = reader->data + at + begin;
        if ((head[0] & 15) == 1 && size > KIND_BYTES &&
            memmem(text, KIND_BYTES, MESSAGE, sizeof MESSAGE - 1)) {
            if (!first) first = now;
            note_latency(text, size, now);
            if (++reader->seen == wanted) finished++;
        } else if ((head[0] & 15) == 9) { /* a ping: an empty pong, masked as a client's must be */
            write_all(reader->fd, "\x8a\x80\0\0\0\0", 6);
        } else if (!reader->greeted) {
            reader->greeted = 1, greeted++;
        }
        at += begin + size;
    }
    return at;
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: ws_receive PORT PATH CLIENTS COUNT\n"), 2;
    int clients = atoi(argv[3]), announced = 0, epoll = epoll_create1(0);
    struct reader *readers = calloc(clients, sizeof *readers);
    struct epoll_event events[256];
    wanted = atoll(argv[4]);
    for (int n = 0; n < clients; n++) {
        upgrade(&readers[n], atoi(argv[1]), argv[2]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &readers[n]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, readers[n].fd, &event);
    }
    while (finished < clients || !announced) {
        if (greeted == clients && !announced) announced = 1, printf("ready\n"), fflush(stdout);
        if (announced && finished == clients) break;
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int n = 0; n < ready; n++) {
            struct reader *reader = events[n].data.ptr;
            ssize_t got = read(reader->fd, reader->data + reader->held, BUFFER - reader->held);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) fail("the service closed a reader");
            reader->held += got;
            size_t taken = take_frames(reader, now_ns());
            memmove(reader->data, reader->data + taken, reader->held -= taken);
        }
    }
    print_result(first, now_ns(), wanted * clients);
    return 0;
}
