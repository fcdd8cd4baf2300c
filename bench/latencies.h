/* Latencies of messages that carry the moment they were sent, and their percentiles. */
#ifndef BENCH_LATENCIES_H
#define BENCH_LATENCIES_H

#include "mqtt.h"

/* Microseconds, in a table: exact to the microsecond up to a second, all above it in the last. */
#define SLOTS 1000000
static uint32_t latency_counts[SLOTS + 1];
static int64_t latency_total;

/* Note the latency of one message; `text` holds its payload, escaped as JSON or not. */
static inline void note_latency(const char *text, size_t size, int64_t now) {
    const char *found = memmem(text, size, "sent", 4), *end = text + size;
    if (!found) return;
    int64_t sent = 0;
    for (found += 4; found < end && (*found < '0' || *found > '9'); found++);
    for (; found < end && *found >= '0' && *found <= '9'; found++) sent = sent * 10 + *found - '0';
    int64_t us = (now - sent) / 1000;
    latency_counts[us < 0 ? 0 : us > SLOTS ? SLOTS : us]++;
    latency_total++;
}

static inline int64_t latency_us(double share) {
    int64_t wanted = (int64_t)(share * latency_total), seen = 0;
    for (int us = 0; us <= SLOTS; us++)
        if ((seen += latency_counts[us]) > wanted) return us;
    return SLOTS;
}

/* The one line of result that Python reads: a JSON object. */
static inline void print_result(int64_t first_ns, int64_t last_ns, int64_t count) {
    printf("{\"first_ns\":%lld,\"last_ns\":%lld,\"count\":%lld,\"p50_us\":%lld,\"p99_us\":%lld,"
           "\"max_us\":%lld}\n",
           (long long)first_ns, (long long)last_ns, (long long)count, (long long)latency_us(0.5),
           (long long)latency_us(0.99), (long long)latency_us(1.0 - 1e-9));
    fflush(stdout);
}

#endif
