/* tests/unit/http/peer.h - clients on loopback, and a handler that writes down what it is
 * told, all in one loop. */
#ifndef TESTS_HTTP_PEER_H
#define TESTS_HTTP_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/text.h"
#include "http/server_private.h"

#define PATIENCE 5000 /* ms; a test that waits longer has failed */

/* What the handler has been told, and what it holds. */
static struct text trace;
static struct client *waiting; /* the last request to /later */
static struct blob *answer;    /* what /blob answers */
static size_t drained_at;      /* what was left waiting when on_drained was told */
static size_t last_body;
static uint64_t last_sum;

static uint64_t sum_of(const char *bytes, size_t len)
{
	uint64_t sum = 14695981039346656037u;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211u;
	return sum;
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	text_adds(&trace, line);
}

static void fill(struct refusal *out, int http)
{
	out->http = http;
	headers_add(&out->headers, "Content-Type", "text/plain");
	out->body = blob_create("no", 2);
}

static bool on_head(const struct client *client, const struct request_head *head,
                    size_t *max_body, struct refusal *out)
{
	(void)client;
	if (strcmp(head->target, "/refused") == 0) {
		note("refuse ");
		fill(out, 403);
		return false;
	}
	if (strcmp(head->target, "/small") == 0)
		*max_body = 10;
	return true;
}

static void on_too_large(const struct request_head *head, struct refusal *out)
{
	note("too-large:%s ", head->target);
	fill(out, 413);
}

static void on_no_room(const struct request_head *head, struct refusal *out)
{
	note("no-room:%s ", head->target);
	fill(out, 429);
}

static void on_malformed(int http, struct refusal *out)
{
	note("malformed:%d ", http);
	fill(out, http);
}

static void answer_echo(struct client *c, struct blob *body)
{
	struct headers headers = {0};

	headers_add(&headers, "Content-Type", "application/json");
	client_reply(c, 200, &headers, body);
	headers_clear(&headers);
}

static void on_request(struct client *c, const struct request_head *head,
                       struct blob *body)
{
	last_body = blob_len(body);
	last_sum = sum_of(blob_bytes(body), blob_len(body));
	note("%s:%s ", head->method, head->target);
	if (strncmp(head->target, "/later", 6) == 0) {
		client_watch(c, &waiting);
		waiting = c;
	} else if (strcmp(head->target, "/blob") == 0) {
		client_reply(c, 200, NULL, answer);
	} else if (strcmp(head->target, "/none") == 0) {
		client_reply(c, 204, NULL, NULL);
	} else {
		answer_echo(c, body);
	}
}

static void on_gone(void *arg)
{
	note("gone ");
	assert_ptr_equal(arg, &waiting);
	waiting = NULL;
}

static void on_drained(void *arg)
{
	note("drained ");
	drained_at = evbuffer_get_length(waiting->out);
	assert_ptr_equal(arg, &waiting);
}

static const struct server_handler handler = {
        .on_head = on_head,
        .on_too_large = on_too_large,
        .on_no_room = on_no_room,
        .on_malformed = on_malformed,
        .on_request = on_request,
        .on_gone = on_gone,
        .on_drained = on_drained,
};

static struct server_options options(void)
{
	return (struct server_options){
	        .listen = "127.0.0.1",
	        .max_body = 16 * 1024 * 1024,
	        .idle_timeout = 10000,
	        .head_timeout = 10000,
	        .max_clients = 64,
	        .handler = &handler,
	};
}

static int setup(void **state)
{
	struct server_options o = options();

	(void)state;
	loop_start();
	assert_null(server_start(&o));
	return 0;
}

static void restart(const struct server_options *o)
{
	server_stop();
	assert_null(server_start(o));
}

static int teardown(void **state)
{
	(void)state;
	server_stop();
	loop_stop();
	assert_int_equal(server_connections(), 0);
	assert_int_equal(server_active(), 0);
	assert_int_equal(server_body_bytes(), 0);
	assert_int_equal(server_reply_bytes(), 0);
	blob_unref(&answer);
	assert_int_equal(blob_total(), 0);
	text_clear(&trace);
	waiting = NULL;
	server_patience =
	        (struct server_patience){.body = 30000, .stall = 30000, .linger = 2000};
	return 0;
}

static void turn(void)
{
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

static void turns_for(msec time)
{
	msec end = clock_ms() + time;

	do {
		turn();
		poll(NULL, 0, 1);
	} while (clock_ms() < end);
}

/* Turns the loop until `condition`, and fails the test if it never holds. */
#define turn_until(condition)                                                            \
	do {                                                                             \
		msec end_ = clock_ms() + PATIENCE;                                       \
		while (!(condition)) {                                                   \
			if (clock_ms() > end_)                                           \
				fail_msg("never: %s", #condition);                       \
			turn();                                                          \
			poll(NULL, 0, 1);                                                \
		}                                                                        \
	} while (0)

static int dial_port(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)port),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const void *)&to, sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int dial(void)
{
	int fd = dial_port(server_port());

	assert_true(fd >= 0);
	return fd;
}

/* False: the other side has shut down. */
static bool sayn(int fd, const char *bytes, size_t len)
{
	msec end = clock_ms() + PATIENCE;

	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
		turn();
		assert_true(clock_ms() < end);
	}
	return true;
}

static void say(int fd, const char *text)
{
	assert_true(sayn(fd, text, strlen(text)));
}

static bool closed;    /* hear() has seen the end ... */
static bool was_reset; /* ... and it was not an orderly one */

static bool hear_once(int fd, struct text *to)
{
	char bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		text_add(to, bytes, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		closed = true;
	if (n < 0 && errno != EAGAIN)
		was_reset = true;
	return n > 0;
}

/* What has come when `enough` bytes are there, or the connection is closed. */
static const char *hearn(int fd, struct text *to, size_t enough)
{
	msec end = clock_ms() + PATIENCE;

	closed = was_reset = false;
	while (!closed && to->len < enough) {
		turn();
		if (!hear_once(fd, to))
			poll(NULL, 0, 1);
		if (clock_ms() > end)
			fail_msg("heard only: %.300s", text_string(to));
	}
	return text_string(to);
}

/* One whole answer with a content-length, without its date. */
static const char *hear(int fd, struct text *to)
{
	char *date, *length, *body;

	text_reset(to);
	closed = was_reset = false;
	do
		hearn(fd, to, to->len + 1);
	while (!closed && (body = strstr(text_string(to), "\r\n\r\n")) == NULL);
	length = strstr(text_string(to), "content-length: ");
	if (!closed && length != NULL) {
		body = strstr(text_string(to), "\r\n\r\n") + 4;
		hearn(fd, to, (size_t)(body - to->s) + strtoul(length + 16, NULL, 10));
	}
	date = strstr(to->s != NULL ? to->s : "", "date: ");
	if (date != NULL) {
		memmove(date, strstr(date, "\r\n") + 2,
		        strlen(strstr(date, "\r\n") + 2) + 1);
		to->len = strlen(to->s);
	}
	return text_string(to);
}

/* Everything until the connection is closed. */
static const char *hear_all(int fd, struct text *to)
{
	text_reset(to);
	return hearn(fd, to, SIZE_MAX);
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* Bytes that show when some are missing, twice there, or swapped. */
static char *pattern(size_t len)
{
	char *s = mem_alloc(len + 1);

	for (size_t i = 0; i < len; i++)
		s[i] = (char)('a' + (i * 31 + i / 997) % 26);
	return s;
}

#endif
