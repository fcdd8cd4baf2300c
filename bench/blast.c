/* A publisher that costs less than what it measures.

   blast PORT COUNT TOPICS QOS RATE: publishes COUNT messages of 100 bytes of JSON over TOPICS
   topics, RATE a second (0: as fast as the broker takes them), and waits for every PUBACK. At
   most WINDOW publishes wait for theirs. Prints {"first_ns", "last_ns"} when done. */
#include "mqtt.h"

#define WINDOW 1000
#define CHUNK 50
#define TICK_NS 1000000

static char packets[CHUNK * 256];

static size_t put_packet(char *at, int64_t number, int topics, int qos) {
    char topic[64], payload[PAYLOAD_BYTES + 64];
    int t = (int)(number % topics);
    int name = sprintf(topic, "bench/line%d/t%d", t % 10, t);
    int used = sprintf(payload, SENT "%lld,\"value\":%lld,\"unit\":\"C\",\"pad\":\"",
                       (long long)now_ns(), (long long)number);
    memset(payload + used, 'x', PAYLOAD_BYTES - used - 2);
    memcpy(payload + PAYLOAD_BYTES - 2, "\"}", 2);
    int size = 2 + name + (qos ? 2 : 0) + PAYLOAD_BYTES;
    char *start = at;
    *at++ = (char)(0x30 | qos << 1);
    if (size > 127) *at++ = (char)((size & 127) | 128), *at++ = (char)(size >> 7);
    else *at++ = (char)size;
    *at++ = 0, *at++ = (char)name;
    memcpy(at, topic, name), at += name;
    if (qos) {
        int id = (int)(number % 65535) + 1;
        *at++ = (char)(id >> 8), *at++ = (char)id;
    }
    memcpy(at, payload, PAYLOAD_BYTES);
    return at + PAYLOAD_BYTES - start;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: blast PORT COUNT TOPICS QOS RATE\n"), 2;
    int64_t count = atoll(argv[2]), sent = 0, answered = 0;
    int topics = atoi(argv[3]), qos = atoi(argv[4]), rate = atoi(argv[5]);
    int fd = mqtt_connect(atoi(argv[1]), "bench-blast");
    char answers[65536];
    printf("go\n"), fflush(stdout);
    int64_t first = now_ns();
    while (sent < count || (qos && answered < 4 * count)) {
        int64_t due = count;
        if (rate) {
            int64_t tick = (now_ns() - first) / TICK_NS + 1;
            due = tick * rate / 1000 < count ? tick * rate / 1000 : count;
        }
        int64_t room = qos ? sent + CHUNK - answered / 4 <= WINDOW : 1;
        if (sent < due && room) {
            size_t size = 0;
            for (int n = 0; n < CHUNK && sent < due; n++, sent++)
                size += put_packet(packets + size, sent, topics, qos);
            write_all(fd, packets, size);
        }
        int64_t next = first + ((now_ns() - first) / TICK_NS + 1) * TICK_NS - now_ns();
        struct timespec until = {0, sent < due && room ? 0 : rate && sent < count ? next : 100000000};
        struct pollfd waiting = {fd, POLLIN, 0};
        if (ppoll(&waiting, 1, &until, NULL) > 0) {
            ssize_t got = read(fd, answers, sizeof answers);
            if (got <= 0) fail("the broker left");
            answered += got;
        }
    }
    printf("{\"first_ns\":%lld,\"last_ns\":%lld}\n", (long long)first, (long long)now_ns());
    return 0;
}
