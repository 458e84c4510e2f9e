/* A completions endpoint with known timing, which keeps the truth: when each request arrived and its tokens left.
 *
 * One thread, epoll. Each request has a schedule of its own, absolute on CLOCK_MONOTONIC: the first token FIRST_MS
 * after the request's last byte was read, then TOKENS in all, EVERY_MS apart; a send for each, as an engine makes.
 * Prints "port N" once it listens; on SIGTERM it writes the truth to a CSV file and ends. Compiled with TLS defined, and
 * linked with OpenSSL, it speaks TLS alone: what it notes are the times of the same system calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { LONGEST_REQUEST = 1 << 16, MOST_CONNECTIONS = 1 << 16, EVENTS_AT_ONCE = 256, ID_DIGITS = 16 };

typedef struct {
    int64_t arrival_ns, first_token_ns, last_token_ns;
    int tokens;
} Truth;

typedef struct {
    int fd, answering, token; /* token: how many were sent */
    size_t filled, truth;
    int64_t due_ns, arrived_ns;
    char *input;
#ifdef TLS
    SSL *tls;
    BIO *received, *to_send;
#endif
} Connection;

typedef struct {
    char *bytes;
    size_t length, id_at;
} Chunk;

static int tokens = 64;
static int64_t first_ns = 20000000, every_ns = 5000000, stall_at_ns = -1, stall_ns = 0;
static Chunk *token_chunks, usage_chunk;
static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                           "transfer-encoding: chunked\r\n\r\n";
static const char done_chunk[] = "e\r\ndata: [DONE]\n\n\r\n", end_chunk[] = "0\r\n\r\n";
static Truth *truths;
static size_t truths_used, truths_room;
static Connection *connections[MOST_CONNECTIONS];
static Connection **heap; /* those that answer, soonest due first */
static int heap_used, poll_fd, timer_fd;
static int64_t armed_ns;
static volatile sig_atomic_t ended;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void on_term(int number) {
    (void)number;
    ended = 1;
}

/* The bytes of one event, made ahead; only the id is filled in when it is sent. */
static Chunk make_chunk(const char *choices, int counted) {
    char data[1024], whole[1100];
    int length = snprintf(data, sizeof data,
                          "data: {\"id\":\"cmpl-%0*d\",\"object\":\"text_completion\",\"created\":1790000000,"
                          "\"model\":\"m\",\"choices\":[%s],\"usage\":{\"prompt_tokens\":32,"
                          "\"total_tokens\":%d,\"completion_tokens\":%d}}\n\n",
                          ID_DIGITS, 0, choices, 32 + counted, counted);
    Chunk chunk;
    chunk.length = (size_t)snprintf(whole, sizeof whole, "%x\r\n%s\r\n", length, data);
    chunk.bytes = strdup(whole);
    chunk.id_at = (size_t)(strstr(whole, "cmpl-") - whole) + 5;
    return chunk;
}

static void make_chunks(void) {
    token_chunks = calloc((size_t)tokens, sizeof *token_chunks);
    for (int i = 0; i < tokens; i++) {
        char choice[200];
        snprintf(choice, sizeof choice,
                 "{\"index\":0,\"text\":\" tok\",\"logprobs\":null,\"finish_reason\":%s,\"stop_reason\":null}",
                 i == tokens - 1 ? "\"length\"" : "null");
        token_chunks[i] = make_chunk(choice, i + 1);
    }
    usage_chunk = make_chunk("", tokens);
}

static void place(Connection *c, int at) {
    while (at > 0 && heap[(at - 1) / 2]->due_ns > c->due_ns) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = c;
}

static void sink(Connection *c, int at) {
    for (int child; (child = 2 * at + 1) < heap_used; at = child) {
        if (child + 1 < heap_used && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= c->due_ns) break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

static void take_top(void) {
    Connection *last = heap[--heap_used];
    if (heap_used > 0) sink(last, 0);
}

static void drop(Connection *c) {
    for (int i = 0; c->answering && i < heap_used; i++)
        if (heap[i] == c) {
            Connection *last = heap[--heap_used];
            if (i < heap_used) {
                sink(last, i);
                if (heap[i] == last) place(last, i);
            }
            break;
        }
    connections[c->fd] = NULL;
    close(c->fd);
#ifdef TLS
    SSL_free(c->tls);
#endif
    free(c->input);
    free(c);
}

static int send_bytes(Connection *c, const char *bytes, size_t length) {
    return send(c->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length; /* an answer fits into the socket's buffer */
}

#ifdef TLS
static SSL_CTX *context;

static void prepare_tls(const char *pem) {
    context = SSL_CTX_new(TLS_server_method());
    if (!pem || !context || SSL_CTX_use_certificate_file(context, pem, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static void start_tls(Connection *c) {
    c->tls = SSL_new(context);
    c->received = BIO_new(BIO_s_mem());
    c->to_send = BIO_new(BIO_s_mem());
    SSL_set_bio(c->tls, c->received, c->to_send);
    SSL_set_accept_state(c->tls);
}

static int flush_tls(Connection *c) {
    char *bytes;
    long length = BIO_get_mem_data(c->to_send, &bytes);
    int sent = length <= 0 || send_bytes(c, bytes, (size_t)length);
    BIO_reset(c->to_send);
    return sent;
}

static int send_all(Connection *c, const char *bytes, size_t length) {
    return SSL_write(c->tls, bytes, (int)length) == (int)length && flush_tls(c);
}

/* What got bytes at the input's end are, decrypted in their place; negative where the connection is no good. */
static ssize_t opened(Connection *c, ssize_t got) {
    if (BIO_write(c->received, c->input + c->filled, (int)got) != got) return -1;
    ssize_t plain = 0;
    for (int more; (size_t)plain < LONGEST_REQUEST - 1 - c->filled; plain += more) {
        more = SSL_read(c->tls, c->input + c->filled + plain, (int)(LONGEST_REQUEST - 1 - c->filled - (size_t)plain));
        if (more > 0) continue;
        int why = SSL_get_error(c->tls, more);
        if (why != SSL_ERROR_WANT_READ) return -1;
        break;
    }
    return flush_tls(c) ? plain : -1;
}
#else
static void prepare_tls(const char *pem) { (void)pem; }
static void start_tls(Connection *c) { (void)c; }
static int send_all(Connection *c, const char *bytes, size_t length) { return send_bytes(c, bytes, length); }
static ssize_t opened(Connection *c, ssize_t got) { return (void)c, got; }
#endif

static int send_chunk(Connection *c, Chunk *chunk, int with_head) {
    char id[ID_DIGITS + 1], both[2048];
    snprintf(id, sizeof id, "%0*zx", ID_DIGITS, c->truth);
    memcpy(chunk->bytes + chunk->id_at, id, ID_DIGITS);
    if (!with_head) return send_all(c, chunk->bytes, chunk->length);
    memcpy(both, head, sizeof head - 1);
    memcpy(both + sizeof head - 1, chunk->bytes, chunk->length);
    return send_all(c, both, sizeof head - 1 + chunk->length);
}

/* What would be sent while the server stalls is sent at the stall's end. */
static int64_t after_stall(int64_t due_ns) {
    if (stall_at_ns < 0) return due_ns;
    int64_t from = truths[0].arrival_ns + stall_at_ns;
    return due_ns >= from && due_ns < from + stall_ns ? from + stall_ns : due_ns;
}

static void send_token(Connection *c) { /* c is the heap's top */
    Truth *truth = &truths[c->truth];
    int64_t sent_ns = now_ns();
    if (!send_chunk(c, &token_chunks[c->token], c->token == 0)) {
        drop(c);
        return;
    }
    if (c->token == 0) truth->first_token_ns = sent_ns;
    truth->last_token_ns = sent_ns;
    truth->tokens = ++c->token;
    if (c->token < tokens) {
        c->due_ns = after_stall(c->due_ns + every_ns);
        sink(c, 0);
        return;
    }
    take_top();
    c->answering = 0;
    if (!send_chunk(c, &usage_chunk, 0) || !send_all(c, done_chunk, sizeof done_chunk - 1) ||
        !send_all(c, end_chunk, sizeof end_chunk - 1))
        drop(c);
}

static void begin(Connection *c) {
    if (truths_used == truths_room) {
        truths_room = truths_room ? 2 * truths_room : 1 << 17;
        truths = realloc(truths, truths_room * sizeof *truths);
        if (!truths) die("realloc");
    }
    c->truth = truths_used++;
    truths[c->truth] = (Truth){.arrival_ns = c->arrived_ns};
    c->token = 0;
    c->answering = 1;
    c->due_ns = after_stall(truths[c->truth].arrival_ns + first_ns);
    place(c, heap_used++);
}

static void answer_shortly(Connection *c, const char *body) {
    char whole[512];
    int length = snprintf(whole, sizeof whole, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                                               "content-length: %zu\r\n\r\n%s", strlen(body), body);
    send_all(c, whole, (size_t)length);
}

/* Take one whole request off the input; 0 if there is none yet. */
static int take_request(Connection *c) {
    c->input[c->filled] = 0;
    char *end = memmem(c->input, c->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t body = 0, head_length = (size_t)(end - c->input) + 4;
    char *said = strcasestr(c->input, "\r\ncontent-length:");
    if (said && said < end) body = strtoul(said + 17, NULL, 10);
    if (c->filled < head_length + body) return 0;
    if (!strncmp(c->input, "POST ", 5)) begin(c);
    else if (!strncmp(c->input, "GET /v1/models", 14))
        answer_shortly(c, "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\"}]}");
    else answer_shortly(c, "");
    c->filled -= head_length + body;
    memmove(c->input, c->input + head_length + body, c->filled);
    return 1;
}

/* When the last byte that recvmsg() gave came to this machine, whatever this server did then; now where it is not said. */
static int64_t arrival_of(struct msghdr *message) {
    struct timespec wall, arrived;
    int64_t now = now_ns();
    clock_gettime(CLOCK_REALTIME, &wall);
    for (struct cmsghdr *said = CMSG_FIRSTHDR(message); said; said = CMSG_NXTHDR(message, said)) {
        if (said->cmsg_level != SOL_SOCKET || said->cmsg_type != SCM_TIMESTAMPNS) continue;
        memcpy(&arrived, CMSG_DATA(said), sizeof arrived);
        return now - ((wall.tv_sec - arrived.tv_sec) * 1000000000LL + wall.tv_nsec - arrived.tv_nsec);
    }
    return now;
}

static void read_from(Connection *c) {
    char said[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec room = {.iov_base = c->input + c->filled, .iov_len = LONGEST_REQUEST - 1 - c->filled};
    struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = said, .msg_controllen = sizeof said};
    ssize_t got = recvmsg(c->fd, &message, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        drop(c);
        return;
    }
    if ((got = opened(c, got)) < 0) {
        drop(c);
        return;
    }
    c->filled += (size_t)got;
    c->arrived_ns = arrival_of(&message);
    while (!c->answering && c->filled && take_request(c)) continue;
    if (c->filled >= LONGEST_REQUEST - 1) drop(c);
}

static void meet(int listening) {
    for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST_CONNECTIONS) {
            close(fd);
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        Connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->input = malloc(LONGEST_REQUEST);
        start_tls(c);
        connections[fd] = c;
        struct epoll_event wanted = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &wanted);
    }
}

static void arm(void) {
    if (heap_used == 0 || heap[0]->due_ns == armed_ns) return;
    armed_ns = heap[0]->due_ns;
    struct itimerspec at = {.it_value = {.tv_sec = armed_ns / 1000000000, .tv_nsec = armed_ns % 1000000000}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static int listen_on_loopback(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void write_truth(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) die(path);
    fprintf(file, "arrival_ns,first_token_ns,last_token_ns,tokens\n");
    for (size_t i = 0; i < truths_used; i++)
        fprintf(file, "%lld,%lld,%lld,%d\n", (long long)truths[i].arrival_ns, (long long)truths[i].first_token_ns,
                (long long)truths[i].last_token_ns, truths[i].tokens);
    if (fclose(file)) die(path);
}

static void serve(int listening) {
    struct epoll_event ready[EVENTS_AT_ONCE];
    while (!ended) {
        arm();
        int count = epoll_wait(poll_fd, ready, EVENTS_AT_ONCE, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            uint64_t expired;
            if (fd == listening) meet(listening);
            else if (fd == timer_fd) armed_ns = read(timer_fd, &expired, sizeof expired) > 0 ? 0 : armed_ns;
            else if (connections[fd]) read_from(connections[fd]);
        }
        for (int64_t now = now_ns(); heap_used && heap[0]->due_ns <= now;) send_token(heap[0]);
    }
}

static const char *text_option(int argc, char **argv, const char *name) {
    for (int i = 2; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) return argv[i + 1];
    return NULL;
}

static double option(int argc, char **argv, const char *name, double otherwise) {
    const char *said = text_option(argc, argv, name);
    return said ? atof(said) : otherwise;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc % 2) {
        fprintf(stderr, "usage: %s TRUTH.csv [--first-ms 20] [--every-ms 5] [--tokens 64] "
                        "[--stall-at S --stall-s S] [--certificate FILE.pem, where compiled with TLS]\n", argv[0]);
        return 2;
    }
    first_ns = (int64_t)(option(argc, argv, "--first-ms", 20) * 1e6);
    every_ns = (int64_t)(option(argc, argv, "--every-ms", 5) * 1e6);
    tokens = (int)option(argc, argv, "--tokens", 64);
    stall_at_ns = (int64_t)(option(argc, argv, "--stall-at", -1e-9) * 1e9);
    stall_ns = (int64_t)(option(argc, argv, "--stall-s", 0) * 1e9);
    prepare_tls(text_option(argc, argv, "--certificate"));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    make_chunks();
    heap = calloc(MOST_CONNECTIONS, sizeof *heap);
    poll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listening = listen_on_loopback();
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listening};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listening, &wanted);
    wanted.data.fd = timer_fd;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &wanted);
    serve(listening);
    write_truth(argv[1]);
    return 0;
}
