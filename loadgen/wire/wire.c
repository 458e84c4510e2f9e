/* Sends requests at their instants and notes when bytes arrive, in a thread that never waits for Python.
 *
 * Python opens the sockets, parses the answers and keeps the rows: see client.py. Here is only what it would do late:
 * send() at an instant, and reading the clock right after each recv(), of TLS too. One thread of ours sends and
 * receives; the functions may be called from one other thread. Instants are nanoseconds of CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define READ_AT_ONCE (64 << 10)
#define LONGEST_WRITE (1 << 30)
#define LONGEST_HEAD (16 << 10)
#define SWEEP_NS 50000000 /* bytes that look like no end of an answer are handed over after so much silence */
#define SHORT_SLICE_NS 100000
#define NONE UINT32_MAX

static const uint64_t TIMER = UINT64_MAX, WAKE = UINT64_MAX - 1;
static const char EMPTY_LINE[4] = "\r\n\r\n"; /* with the end of the line before it */
#define TAIL_LENGTH (sizeof EMPTY_LINE + 1)

/* OpenSSL's functions, which Python found, so that its headers are not needed here; its constants never changed. */
struct tls {
    int (*read)(void *ssl, void *into, int most);
    int (*write)(void *ssl, const void *from, int length);
    int (*get_error)(const void *ssl, int result);
    void (*clear_errors)(void);
};
enum { TLS_WANTS_TO_READ = 2, TLS_WANTS_TO_WRITE = 3, TLS_SYSTEM_ERROR = 5, TLS_CLOSED = 6 };

struct piece {
    int64_t t_ns, end; /* end: its offset among the bytes taken with it */
};

struct slot {
    int fd; /* -1: free */
    void *ssl; /* OpenSSL's connection, Python's to free; NULL: in clear */
    uint32_t generation;
    uint32_t next; /* free, or with news */
    bool has_news, untold;

    char *bytes; /* received and not taken yet */
    size_t length, room;
    struct piece *pieces;
    size_t piece_count, piece_room;

    bool head_ended, chunked; /* what the answer under way says of its end */
    size_t head_start;        /* where its head begins among the bytes, after those of interim answers */
    size_t body_start;        /* and its body */
    char tail[TAIL_LENGTH];

    char *request; /* to be sent, from request_sent on */
    size_t request_length, request_sent;
    int64_t sent_ns;
    bool waits_to_write, used; /* used: a request was sent on it before */

    bool closed;
    int error;
    int64_t closed_ns;
};

struct due {
    int64_t at_ns;
    uint32_t slot, generation;
};

struct wire {
    pthread_mutex_t lock;
    pthread_t thread;
    int epoll, timer, wake, news;
    bool stopping;
    struct tls tls;
    struct slot *slots;
    size_t slot_count, slot_room;
    uint32_t first_free, first_news, last_news;
    struct due *heap; /* the earliest is the first */
    size_t due_count, due_room;
    size_t untold; /* slots with bytes that Python was not told of */
    int64_t swept_ns;
    char *taken;
    size_t taken_room;
    struct piece *taken_pieces;
    size_t taken_piece_room;
    char read[READ_AT_ONCE];
};

/* What Python takes of a slot; what the pointers show stands until the next call of wire_take. */
struct taken {
    const char *bytes;
    int64_t length;
    const struct piece *pieces;
    int64_t piece_count;
    int64_t sent_ns;   /* 0: not sent yet */
    int64_t closed_ns; /* 0: open */
    int64_t error;     /* errno; 0: the server closed in order */
};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* *array, with room for `count` things of `size`; NULL (and *array as it was) where there is no memory. */
static void *with_room(void **array, size_t *room, size_t count, size_t size) {
    if (count <= *room) return *array;
    size_t wanted = *room ? *room : 64;
    while (wanted < count) wanted *= 2;
    void *larger = realloc(*array, wanted * size);
    if (larger) *array = larger, *room = wanted;
    return larger;
}

#define ROOM(array, room, count) with_room((void **)&(array), &(room), (count), sizeof *(array))

static void poke(int eventfd) {
    uint64_t one = 1;
    while (write(eventfd, &one, sizeof one) < 0 && errno == EINTR) {}
}

static void drain(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

/* ---- telling Python ---- */

static void told(struct wire *wire, struct slot *slot) {
    if (slot->untold) wire->untold--;
    slot->untold = false;
}

static void tell(struct wire *wire, uint32_t number) {
    struct slot *slot = &wire->slots[number];
    told(wire, slot);
    if (slot->has_news) return;
    slot->has_news = true;
    slot->next = NONE;
    if (wire->first_news == NONE) {
        wire->first_news = number;
        poke(wire->news);
    } else {
        wire->slots[wire->last_news].next = number;
    }
    wire->last_news = number;
}

static void lose(struct wire *wire, uint32_t number, int error) {
    struct slot *slot = &wire->slots[number];
    slot->closed = true;
    slot->error = error;
    slot->closed_ns = now_ns();
    epoll_ctl(wire->epoll, EPOLL_CTL_DEL, slot->fd, NULL);
    tell(wire, number);
}

static void sweep(struct wire *wire) {
    int64_t now = now_ns();
    if (!wire->untold || now - wire->swept_ns < SWEEP_NS) return;
    wire->swept_ns = now;
    for (uint32_t number = 0; number < wire->slot_count; number++) {
        struct slot *slot = &wire->slots[number];
        if (slot->untold && now - slot->pieces[slot->piece_count - 1].t_ns >= SWEEP_NS) tell(wire, number);
    }
}

static int64_t receive(struct wire *wire, uint32_t number, bool ends);

/* ---- a socket's bytes, in clear or in TLS ---- */

static void watch(struct wire *wire, uint32_t number, int operation, bool writing);

/* What OpenSSL's failure is in the words of recv() and send(): 0 for the end, or -1 and errno. */
static ssize_t in_words_of_sockets(struct wire *wire, const struct slot *slot, int result, int retried) {
    int system_error = errno;
    int why = wire->tls.get_error(slot->ssl, result);
    if (why == TLS_CLOSED || (why == TLS_SYSTEM_ERROR && !system_error)) return 0;
    bool again = why == TLS_WANTS_TO_READ || why == TLS_WANTS_TO_WRITE;
    errno = why == TLS_SYSTEM_ERROR ? system_error : again && why >= retried ? EAGAIN : EPROTO;
    return -1;
}

static ssize_t read_some(struct wire *wire, uint32_t number) {
    struct slot *slot = &wire->slots[number];
    if (!slot->ssl) return recv(slot->fd, wire->read, sizeof wire->read, MSG_DONTWAIT);
    wire->tls.clear_errors();
    errno = 0;
    int length = wire->tls.read(slot->ssl, wire->read, sizeof wire->read);
    if (length > 0) return length;
    bool must_write = wire->tls.get_error(slot->ssl, length) == TLS_WANTS_TO_WRITE; /* the answer to a change of keys */
    ssize_t result = in_words_of_sockets(wire, slot, length, TLS_WANTS_TO_READ);
    if (!must_write || slot->waits_to_write) return result;
    watch(wire, number, EPOLL_CTL_MOD, true);
    errno = EAGAIN;
    return -1;
}

static ssize_t write_some(struct wire *wire, const struct slot *slot, const char *from, size_t length) {
    if (!slot->ssl) return send(slot->fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    wire->tls.clear_errors();
    errno = 0;
    int written = wire->tls.write(slot->ssl, from, length < LONGEST_WRITE ? (int)length : LONGEST_WRITE);
    if (written > 0) return written;
    if (in_words_of_sockets(wire, slot, written, TLS_WANTS_TO_WRITE) == 0) errno = EPIPE;
    return -1;
}

/* ---- sending ---- */

static void watch(struct wire *wire, uint32_t number, int operation, bool writing) {
    struct slot *slot = &wire->slots[number];
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLRDHUP | EPOLLET | (writing ? EPOLLOUT : 0),
        .data.u64 = (uint64_t)slot->generation << 32 | number,
    };
    slot->waits_to_write = writing;
    if (epoll_ctl(wire->epoll, operation, slot->fd, &event) < 0) lose(wire, number, errno);
}

/* Whether nothing has come since the last answer: what has is no answer to the next request. */
static bool nothing_unread(struct wire *wire, uint32_t number) {
    struct slot *slot = &wire->slots[number];
    receive(wire, number, false);
    if (slot->closed) return false;
    if (slot->length) lose(wire, number, EPROTO);
    return !slot->length;
}

static void send_what_is_left(struct wire *wire, uint32_t number) {
    struct slot *slot = &wire->slots[number];
    if (!slot->request || slot->closed) return;
    if (!slot->sent_ns) {
        if (slot->used && !nothing_unread(wire, number)) return;
        slot->used = true;
        slot->sent_ns = now_ns();
    }
    while (slot->request_sent < slot->request_length) {
        ssize_t sent = write_some(wire, slot, slot->request + slot->request_sent,
                                  slot->request_length - slot->request_sent);
        if (sent >= 0) {
            slot->request_sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            if (!slot->waits_to_write) watch(wire, number, EPOLL_CTL_MOD, true);
            return;
        } else if (errno != EINTR) {
            int error = errno;
            receive(wire, number, true); /* the server may have said why it wants no more of the request */
            if (!slot->closed) lose(wire, number, error);
            return;
        }
    }
    free(slot->request);
    slot->request = NULL;
    if (slot->waits_to_write) watch(wire, number, EPOLL_CTL_MOD, false);
}

static void set_timer(struct wire *wire) {
    struct itimerspec when = {0};
    if (wire->due_count) {
        when.it_value.tv_sec = wire->heap[0].at_ns / 1000000000;
        when.it_value.tv_nsec = wire->heap[0].at_ns % 1000000000;
    }
    timerfd_settime(wire->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static bool put_off(struct wire *wire, struct due due) {
    struct due *heap = ROOM(wire->heap, wire->due_room, wire->due_count + 1);
    if (!heap) return false;
    size_t at = wire->due_count++;
    for (; at && due.at_ns < heap[(at - 1) / 2].at_ns; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = due;
    if (at == 0) set_timer(wire);
    return true;
}

static struct due take_earliest(struct wire *wire) {
    struct due *heap = wire->heap, earliest = heap[0], last = heap[--wire->due_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < wire->due_count; at = child) {
        if (child + 1 < wire->due_count && heap[child + 1].at_ns < heap[child].at_ns) child++;
        if (last.at_ns <= heap[child].at_ns) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return earliest;
}

static void send_what_is_due(struct wire *wire, int64_t now) {
    bool any = false;
    while (wire->due_count && wire->heap[0].at_ns <= now) {
        struct due due = take_earliest(wire);
        any = true;
        if (wire->slots[due.slot].generation == due.generation) send_what_is_left(wire, due.slot);
    }
    if (any) set_timer(wire);
}

/* ---- receiving ---- */

static void keep_tail(char tail[TAIL_LENGTH], const char *piece, size_t length) {
    const size_t wanted = TAIL_LENGTH;
    if (length >= wanted) {
        memcpy(tail, piece + length - wanted, wanted);
    } else {
        memmove(tail, tail + length, wanted - length);
        memcpy(tail + wanted - length, piece, length);
    }
}

/* Whether a header from here to the head's end says that the body is chunked. */
static bool says_chunked(const char *head, const char *end) {
    static const char NAME[] = "\ntransfer-encoding:", CODING[] = "chunked";
    const size_t name = sizeof NAME - 1, coding = sizeof CODING - 1;
    for (const char *at = head; at + name + coding <= end; at++) {
        if (strncasecmp(at, NAME, name) != 0) continue;
        for (at += name; at + coding <= end && *at != '\n'; at++)
            if (strncasecmp(at, CODING, coding) == 0) return true;
        at--; /* the next line begins with this newline */
    }
    return false;
}

static bool is_interim(const char *head, const char *end) { /* HTTP/1.1 1xx: the answer's own head follows */
    return end - head > 9 && memcmp(head, "HTTP/1.", 7) == 0 && head[8] == ' ' && head[9] == '1';
}

static void look_for_the_head(struct slot *slot) {
    for (;;) {
        const char *head = slot->bytes + slot->head_start;
        const char *end = memmem(head, slot->length - slot->head_start, EMPTY_LINE, sizeof EMPTY_LINE);
        if (end && is_interim(head, end)) {
            slot->head_start = (size_t)(end - slot->bytes) + sizeof EMPTY_LINE;
            continue;
        }
        slot->head_ended = end || slot->length > LONGEST_HEAD; /* no HTTP then: the parser shall say so */
        slot->chunked = end && says_chunked(head, end);
        if (end) slot->body_start = (size_t)(end - slot->bytes) + sizeof EMPTY_LINE;
        return;
    }
}

/* Whether the answer may be whole. Where it is chunked it ends in an empty line after a line that is not: the size of
 * its last chunk, an extension of that, or a trailer. Few chunks of data do, and the parser knows. */
static bool may_be_whole(struct slot *slot) {
    if (!slot->head_ended) look_for_the_head(slot);
    if (!slot->head_ended) return false;
    if (!slot->chunked) return true;
    return slot->length > slot->body_start && slot->tail[0] != '\n' &&
           memcmp(slot->tail + 1, EMPTY_LINE, sizeof EMPTY_LINE) == 0;
}

static void keep(struct wire *wire, uint32_t number, ssize_t length, int64_t t_ns) {
    struct slot *slot = &wire->slots[number];
    if (!ROOM(slot->bytes, slot->room, slot->length + (size_t)length) ||
        !ROOM(slot->pieces, slot->piece_room, slot->piece_count + 1)) {
        lose(wire, number, ENOMEM);
        return;
    }
    memcpy(slot->bytes + slot->length, wire->read, (size_t)length);
    slot->length += (size_t)length;
    slot->pieces[slot->piece_count++] = (struct piece){t_ns, (int64_t)slot->length};
    keep_tail(slot->tail, wire->read, (size_t)length);
    if (may_be_whole(slot)) {
        tell(wire, number);
    } else if (!slot->has_news && !slot->untold) {
        slot->untold = true;
        wire->untold++;
    }
}

/* Read until nothing is left, since the kernel tells of it once: a short read was the last, unless the end follows, or
 * it is TLS, which reads record by record. */
static int64_t receive(struct wire *wire, uint32_t number, bool ends) {
    struct slot *slot = &wire->slots[number];
    for (;;) {
        ssize_t length = read_some(wire, number);
        int64_t t_ns = now_ns();
        if (length < 0 && errno == EINTR) continue;
        if (length < 0 && errno == EAGAIN) return t_ns;
        if (length > 0) keep(wire, number, length, t_ns);
        else lose(wire, number, length < 0 ? errno : 0);
        if (slot->closed || (!ends && !slot->ssl && (size_t)length < sizeof wire->read)) return t_ns;
    }
}

/* Returns the instant, as late as it knows it. */
static int64_t heed(struct wire *wire, const struct epoll_event *event) {
    if (event->data.u64 == TIMER || event->data.u64 == WAKE) {
        drain(event->data.u64 == TIMER ? wire->timer : wire->wake);
        return now_ns();
    }
    uint32_t number = (uint32_t)event->data.u64;
    struct slot *slot = &wire->slots[number];
    if (slot->fd < 0 || slot->closed || slot->generation != event->data.u64 >> 32) return 0; /* removed meanwhile */
    if (event->events & EPOLLOUT) send_what_is_left(wire, number);
    const uint32_t ending = EPOLLRDHUP | EPOLLHUP | EPOLLERR, reading = EPOLLIN | (slot->ssl ? EPOLLOUT : 0);
    if (!(event->events & (reading | ending)) || slot->closed) return 0;
    return receive(wire, number, event->events & ending);
}

/* Ask for short turns, and so for early ones, beside a busy Python on the same CPU; a refusal changes nothing else. */
static void be_prompt(void) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } wanted = {.size = 48, .policy = SCHED_OTHER, .runtime_ns = SHORT_SLICE_NS}; /* a slice: Linux 6.12 */
    syscall(SYS_sched_setattr, 0, &wanted, 0);
}

static void *run(void *argument) {
    struct wire *wire = argument;
    be_prompt();
    struct epoll_event events[EVENTS_AT_ONCE];
    pthread_mutex_lock(&wire->lock);
    while (!wire->stopping) {
        int timeout_ms = wire->untold ? SWEEP_NS / 1000000 : -1;
        pthread_mutex_unlock(&wire->lock);
        int count = epoll_wait(wire->epoll, events, EVENTS_AT_ONCE, timeout_ms);
        pthread_mutex_lock(&wire->lock);
        send_what_is_due(wire, now_ns());
        for (int index = 0; index < count; index++) send_what_is_due(wire, heed(wire, &events[index]));
        sweep(wire);
    }
    pthread_mutex_unlock(&wire->lock);
    return NULL;
}

/* ---- what Python calls ---- */

/* Stop and free everything; the sockets are Python's. */
void wire_close(struct wire *wire) {
    if (wire->thread) {
        pthread_mutex_lock(&wire->lock);
        wire->stopping = true;
        pthread_mutex_unlock(&wire->lock);
        poke(wire->wake);
        pthread_join(wire->thread, NULL);
    }
    for (size_t number = 0; number < wire->slot_count; number++) {
        free(wire->slots[number].bytes);
        free(wire->slots[number].pieces);
        free(wire->slots[number].request);
    }
    int fds[] = {wire->epoll, wire->timer, wire->wake, wire->news};
    for (size_t index = 0; index < sizeof fds / sizeof *fds; index++)
        if (fds[index] >= 0) close(fds[index]);
    free(wire->slots);
    free(wire->heap);
    free(wire->taken);
    free(wire->taken_pieces);
    pthread_mutex_destroy(&wire->lock);
    free(wire);
}

/* NULL, and errno, where the machine has no more descriptors, threads or memory. */
struct wire *wire_open(void) {
    struct wire *wire = calloc(1, sizeof *wire);
    if (!wire) return NULL;
    pthread_mutex_init(&wire->lock, NULL);
    wire->first_free = wire->first_news = wire->last_news = NONE;
    wire->epoll = epoll_create1(EPOLL_CLOEXEC);
    wire->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    wire->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wire->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event timer = {.events = EPOLLIN, .data.u64 = TIMER}, wake = {.events = EPOLLIN, .data.u64 = WAKE};
    sigset_t all, before; /* signals are Python's */
    sigfillset(&all);
    int error = 0;
    if (wire->epoll < 0 || wire->timer < 0 || wire->wake < 0 || wire->news < 0 ||
        epoll_ctl(wire->epoll, EPOLL_CTL_ADD, wire->timer, &timer) < 0 ||
        epoll_ctl(wire->epoll, EPOLL_CTL_ADD, wire->wake, &wake) < 0) {
        error = errno;
    } else {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&wire->thread, NULL, run, wire);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (error) wire->thread = 0;
    }
    if (error) {
        wire_close(wire);
        errno = error;
        return NULL;
    }
    return wire;
}

/* Readable while a slot has news. */
int wire_news_fd(const struct wire *wire) { return wire->news; }

/* Speak TLS by these functions on the slots that have an `ssl`. */
void wire_speak_tls(struct wire *wire, const struct tls *tls) { wire->tls = *tls; }

/* Read from this connected socket from now on; returns its slot, or -errno. `ssl`: its TLS, after the handshake. */
int64_t wire_add(struct wire *wire, int fd, void *ssl) {
    pthread_mutex_lock(&wire->lock);
    int64_t result = -ENOMEM;
    if (wire->first_free == NONE && ROOM(wire->slots, wire->slot_room, wire->slot_count + 1)) {
        wire->slots[wire->slot_count] = (struct slot){.fd = -1, .next = NONE};
        wire->first_free = (uint32_t)wire->slot_count++;
    }
    if (wire->first_free != NONE) {
        uint32_t number = wire->first_free;
        struct slot *slot = &wire->slots[number];
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
            .data.u64 = (uint64_t)slot->generation << 32 | number,
        };
        if (epoll_ctl(wire->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
            result = -errno;
        } else {
            wire->first_free = slot->next;
            slot->fd = fd;
            slot->ssl = ssl;
            result = number;
            if (ssl) receive(wire, number, false); /* what came with the handshake's last record */
        }
    }
    pthread_mutex_unlock(&wire->lock);
    return result;
}

/* Send a request at an instant, or at once where that is past; the answer before it was taken whole. 0 or errno. */
int wire_send(struct wire *wire, uint32_t number, const char *request, int64_t length, int64_t due_ns) {
    char *copy = malloc((size_t)length);
    if (!copy) return ENOMEM;
    memcpy(copy, request, (size_t)length);
    pthread_mutex_lock(&wire->lock);
    struct slot *slot = &wire->slots[number];
    int error = slot->closed ? (slot->error ? slot->error : EPIPE) : slot->request ? EBUSY : 0;
    if (error) {
        free(copy);
    } else {
        free(slot->request);
        slot->request = copy;
        slot->request_length = (size_t)length;
        slot->request_sent = 0;
        slot->sent_ns = 0;
        slot->head_ended = slot->chunked = false;
        slot->head_start = slot->body_start = 0;
        if (due_ns <= now_ns())
            send_what_is_left(wire, number);
        else if (!put_off(wire, (struct due){due_ns, number, slot->generation}))
            error = ENOMEM;
    }
    pthread_mutex_unlock(&wire->lock);
    return error;
}

/* The slots with news, at most so many, each once; returns how many. */
int64_t wire_news(struct wire *wire, uint32_t *numbers, int64_t most) {
    pthread_mutex_lock(&wire->lock);
    int64_t count = 0;
    for (; count < most && wire->first_news != NONE; count++) {
        struct slot *slot = &wire->slots[wire->first_news];
        numbers[count] = wire->first_news;
        wire->first_news = slot->next;
        slot->next = NONE;
        slot->has_news = false;
    }
    if (wire->first_news == NONE) drain(wire->news);
    pthread_mutex_unlock(&wire->lock);
    return count;
}

/* Everything that a slot has received and was not taken yet; bytes that find no memory stay where they are. */
void wire_take(struct wire *wire, uint32_t number, struct taken *taken) {
    pthread_mutex_lock(&wire->lock);
    struct slot *slot = &wire->slots[number];
    *taken = (struct taken){.sent_ns = slot->sent_ns, .closed_ns = slot->closed_ns, .error = slot->error};
    if (ROOM(wire->taken, wire->taken_room, slot->length + 1) &&
        ROOM(wire->taken_pieces, wire->taken_piece_room, slot->piece_count + 1)) {
        if (slot->length) memcpy(wire->taken, slot->bytes, slot->length);
        if (slot->piece_count) memcpy(wire->taken_pieces, slot->pieces, slot->piece_count * sizeof *slot->pieces);
        taken->bytes = wire->taken;
        taken->length = (int64_t)slot->length;
        taken->pieces = wire->taken_pieces;
        taken->piece_count = (int64_t)slot->piece_count;
        if (slot->length > slot->head_start) slot->head_ended = true; /* in mid-head: tell of each piece from now on */
        slot->length = slot->piece_count = slot->head_start = slot->body_start = 0;
        told(wire, slot);
    }
    pthread_mutex_unlock(&wire->lock);
}

/* Forget a slot: nothing of it is read or sent any more, and its socket may be closed. */
void wire_remove(struct wire *wire, uint32_t number) {
    pthread_mutex_lock(&wire->lock);
    struct slot *slot = &wire->slots[number];
    if (!slot->closed) epoll_ctl(wire->epoll, EPOLL_CTL_DEL, slot->fd, NULL);
    told(wire, slot);
    if (slot->has_news) { /* rare: leave no hole in the list */
        uint32_t before = NONE;
        for (uint32_t at = wire->first_news; at != number; at = wire->slots[at].next) before = at;
        if (before == NONE) wire->first_news = slot->next;
        else wire->slots[before].next = slot->next;
        if (wire->last_news == number) wire->last_news = before;
        if (wire->first_news == NONE) drain(wire->news);
    }
    free(slot->bytes);
    free(slot->pieces);
    free(slot->request);
    *slot = (struct slot){.fd = -1, .generation = slot->generation + 1, .next = wire->first_free};
    wire->first_free = number;
    pthread_mutex_unlock(&wire->lock);
}
