/* The fastest subscriber we know how to write: what the broker can give at all.

   mqtt_receive PORT COUNT QOS GATHER_US: subscribes to bench/#, acknowledges what comes in bursts,
   and after COUNT messages prints one line of JSON: first_ns, last_ns, count, latencies. It sleeps
   GATHER_US before each read: a broker that is answered less often has more time to send. */
#include "latencies.h"

#define BUFFER (1 << 20)

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: mqtt_receive PORT COUNT QOS GATHER_US\n"), 2;
    int gather_us = atoi(argv[4]);
    int64_t count = atoll(argv[2]), seen = 0, first = 0;
    int fd = mqtt_connect(atoi(argv[1]), "bench-receive");
    char subscribe[] = "\x82\x0c\0\1\0\7bench/#\0", *data = malloc(BUFFER), *acks = malloc(BUFFER);
    subscribe[13] = (char)atoi(argv[3]);
    write_all(fd, subscribe, 14);
    read_all(fd, data, 5);
    printf("ready\n"), fflush(stdout);
    size_t held = 0;
    while (seen < count) {
        if (gather_us) usleep(gather_us);
        ssize_t got = read(fd, data + held, BUFFER - held);
        if (got <= 0) fail("the broker left");
        held += got;
        int64_t now = now_ns();
        if (!first) first = now;
        size_t at = 0, owed = 0;
        for (;;) {
            size_t length = 0, head = 1;
            int whole = 0;
            while (at + head < held && head < 5 && !whole) {
                length |= (size_t)(data[at + head] & 127) << 7 * (head - 1);
                whole = !(data[at + head++] & 128);
            }
            if (!whole || at + head + length > held) break;
            unsigned char kind = (unsigned char)data[at];
            char *body = data + at + head;
            if ((kind & 0xf0) == 0x30) {
                size_t name = (unsigned char)body[0] << 8 | (unsigned char)body[1];
                if (kind & 6) {
                    memcpy(acks + owed, "\x40\2", 2);
                    memcpy(acks + owed + 2, body + 2 + name, 2);
                    owed += 4;
                }
                note_latency(body + 2 + name, length - 2 - name, now);
                seen++;
            }
            at += head + length;
        }
        if (owed) write_all(fd, acks, owed);
        memmove(data, data + at, held -= at);
    }
    print_result(first, now_ns(), seen);
    return 0;
}
