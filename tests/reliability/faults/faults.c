/* A disk and a clock that misbehave on demand, for one process: LD_PRELOAD=faults.so.

   FAULTS_CONTROL  a file of `struct control`, mapped: what is to fail, and how far the clock is off.
   FAULTS_WATCH    paths that begin with this text are the database: counted, failed, recorded.
   FAULTS_JOURNAL  if set, every change of those files goes into it, in the order in which it happened,
                   with what was synced when, and what was received from and sent to FAULTS_PORT.

   The -shm file is left alone: SQLite maps it, never relies on it after a crash, and rebuilds it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset_s; /* added to the wall clock */
    int64_t monotonic_offset_s; /* added to the other one: it may only grow */
    int64_t write_at;       /* the write after so many fails: counts down, 0 = none */
    int64_t sync_at;        /* the same for fsync and fdatasync */
    int64_t code;           /* the errno of the failure */
    int64_t sticky;         /* not 0: everything after it fails too, until this is 0 again */
    int64_t weight; /* not 0: removing a file *.ballast makes everything work again */
    int64_t failed;         /* how many calls were made to fail */
    int64_t writes, syncs;  /* how many there were */
};

struct record { /* the head of a journal entry; `name` and then `size` bytes of content follow */
    uint32_t kind, name_size;
    int64_t where, size;
};

enum { WRITE = 1, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, SYNC_DIRECTORY, RECEIVED, SENT };

#define FILES 4096
static struct control none, *control = &none;
static const char *watch;
static int journal = -1, port;
static char *path_of[FILES];    /* the watched files by descriptor */
static char broker_line[FILES]; /* 1: a connection to the broker */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULTS_CONTROL");
    watch = getenv("FAULTS_WATCH");
    if (text) {
        int file = open(text, O_RDWR);
        void *place = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (place != MAP_FAILED) control = place;
        close(file);
    }
    if ((text = getenv("FAULTS_PORT"))) port = atoi(text);
    if ((text = getenv("FAULTS_JOURNAL"))) journal = open(text, O_WRONLY | O_APPEND | O_CREAT, 0600);
}

static int is_watched(const char *path) {
    size_t length = strlen(path);
    return watch && !strncmp(path, watch, strlen(watch)) &&
           !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static void put(const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    while (size) {
        ssize_t done = real(journal, bytes, size);
        if (done <= 0) abort(); /* half a journal would prove nothing */
        bytes = (const char *)bytes + done;
        size -= done;
    }
}

static void note(int kind, const char *name, int64_t where, const void *bytes, int64_t size) {
    if (journal < 0) return;
    struct record head = {kind, strlen(name), where, size};
    put(&head, sizeof head);
    put(name, head.name_size);
    put(bytes, size);
}

/* Whether this call is to fail; called with the lock held. */
static int fails(int64_t *at, int64_t *count) {
    ++*count;
    if (control->sticky < 0 || (*at > 0 && --*at == 0)) {
        if (control->sticky > 0) control->sticky = -1;
        control->failed++;
        errno = (int)control->code;
        return 1;
    }
    return 0;
}

static char *watched(int file) { return file >= 0 && file < FILES ? path_of[file] : NULL; }

static int opened(int file, const char *path, int existed) {
    if (file >= 0 && file < FILES) {
        struct stat state;
        pthread_mutex_lock(&one);
        free(path_of[file]);
        path_of[file] = NULL;
        broker_line[file] = 0;
        /* a directory is watched when the database is in it: its sync makes names last */
        int directory = watch && !fstat(file, &state) && S_ISDIR(state.st_mode) &&
                        !strncmp(path, watch, strlen(path));
        if (is_watched(path) || directory) path_of[file] = strdup(path);
        if (is_watched(path) && !existed) note(CREATE, path, 0, "", 0);
        pthread_mutex_unlock(&one);
    }
    return file;
}

static int open_any(const char *name, const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    (void)name;
    int existed = !is_watched(path) || !access(path, F_OK);
    if (!existed && (flags & O_CREAT) && !control->weight) { /* a name needs room, too */
        pthread_mutex_lock(&one);
        int refused = fails(&control->write_at, &control->writes);
        pthread_mutex_unlock(&one);
        if (refused) return -1;
    }
    return opened(real(path, flags, mode), path, existed);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return open_any(#name, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    REAL(int, "close", int);
    if (file >= 0 && file < FILES) {
        pthread_mutex_lock(&one);
        free(path_of[file]);
        path_of[file] = NULL;
        broker_line[file] = 0;
        pthread_mutex_unlock(&one);
    }
    return real(file);
}

static ssize_t write_at(int file, const void *bytes, size_t size, int64_t where) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    pthread_mutex_lock(&one);
    ssize_t done = -1;
    if (!fails(&control->write_at, &control->writes)) {
        done = real(file, bytes, size, where);
        if (done > 0) note(WRITE, path_of[file], where, bytes, done);
    }
    pthread_mutex_unlock(&one);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t where) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return watched(file) ? write_at(file, bytes, size, where) : real(file, bytes, size, where);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t where) {
    return pwrite64(file, bytes, size, where);
}

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!watched(file)) return real(file, bytes, size);
    ssize_t done = write_at(file, bytes, size, lseek(file, 0, SEEK_CUR));
    if (done > 0) lseek(file, done, SEEK_CUR);
    return done;
}

int ftruncate64(int file, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    if (!watched(file)) return real(file, size);
    pthread_mutex_lock(&one);
    int done = real(file, size);
    if (!done) note(TRUNCATE, path_of[file], size, "", 0);
    pthread_mutex_unlock(&one);
    return done;
}
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int posix_fallocate64(int file, off64_t where, off64_t size) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    if (watched(file)) {
        pthread_mutex_lock(&one);
        int refused = fails(&control->write_at, &control->writes);
        pthread_mutex_unlock(&one);
        if (refused) return (int)control->code;
    }
    return real(file, where, size);
}
int posix_fallocate(int file, off_t where, off_t size) { return posix_fallocate64(file, where, size); }

static int sync_file(int file, int (*real)(int)) {
    if (!watched(file)) return real(file);
    struct stat state;
    pthread_mutex_lock(&one);
    int done = -1;
    if (!fails(&control->sync_at, &control->syncs)) {
        done = real(file);
        int directory = !fstat(file, &state) && S_ISDIR(state.st_mode);
        if (!done) note(directory ? SYNC_DIRECTORY : SYNC, path_of[file], 0, "", 0);
    }
    pthread_mutex_unlock(&one);
    return done;
}

int fsync(int file) {
    REAL(int, "fsync", int);
    return sync_file(file, real);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    return sync_file(file, real);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    pthread_mutex_lock(&one);
    int done = real(path);
    size_t length = strlen(path);
    if (!done && control->weight && length > 8 && !strcmp(path + length - 8, ".ballast"))
        control->sticky = 0;
    if (!done && is_watched(path)) note(UNLINK, path, 0, "", 0);
    pthread_mutex_unlock(&one);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    pthread_mutex_lock(&one);
    int done = real(from, to);
    if (!done && is_watched(from)) note(RENAME, from, 0, to, strlen(to));
    pthread_mutex_unlock(&one);
    return done;
}

int connect(int file, const struct sockaddr *address, socklen_t size) {
    REAL(int, "connect", int, const struct sockaddr *, socklen_t);
    if (port && file >= 0 && file < FILES && address->sa_family == AF_INET)
        broker_line[file] = ntohs(((const struct sockaddr_in *)address)->sin_port) == port;
    return real(file, address, size);
}

/* The lock is held across the call: what is in the journal before a sent acknowledgement had been
   done before it was sent. */
ssize_t send(int file, const void *bytes, size_t size, int flags) {
    REAL(ssize_t, "send", int, const void *, size_t, int);
    if (file < 0 || file >= FILES || !broker_line[file]) return real(file, bytes, size, flags);
    pthread_mutex_lock(&one);
    ssize_t done = real(file, bytes, size, flags);
    if (done > 0) note(SENT, "", file, bytes, done);
    pthread_mutex_unlock(&one);
    return done;
}

ssize_t recv(int file, void *bytes, size_t size, int flags) {
    REAL(ssize_t, "recv", int, void *, size_t, int);
    ssize_t done = real(file, bytes, size, flags);
    if (done > 0 && file >= 0 && file < FILES && broker_line[file]) {
        pthread_mutex_lock(&one);
        note(RECEIVED, "", file, bytes, done);
        pthread_mutex_unlock(&one);
    }
    return done;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int done = real(clock, now);
    if (!done && clock == CLOCK_REALTIME) now->tv_sec += control->clock_offset_s;
    if (!done && clock == CLOCK_MONOTONIC) now->tv_sec += control->monotonic_offset_s;
    return done;
}
