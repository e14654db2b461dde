/* http/reply.c - one answer: composing, writing, back-pressure.
 *
 * The happy path: client_reply() composes a head, adds the body (a large one as a
 * reference to the blob, not a copy) and writes both in one go, in the same call. What
 * the socket does not take waits in `out` for on_reply_writable(). In pieces:
 * client_begin(), client_send()..., client_end().
 * When it does not go well:
 *   - the client reads slowly: its answer is kept for it, up to REPLY_MOST, so that its
 *     source is free for others. Where memory is short REPLY_HIGH has to do: above it
 *     client_send() says so, and below REPLY_LOW on_drained is told
 *   - it reads slower than SLOWEST_CLIENT (SLOWEST_HOLDER while its source rests for it)
 *     for longer than server_patience.stall allows: it is cut
 *   - writing fails, or the handler gives up (client_abort), or sends more or less than
 *     it promised: the connection is cut on the next turn
 *
 * libevhtp's own replies are not used: they add a Content-Type, a Content-Length of 0
 * where there must be none, and do not know 422. */
#include "http/server_private.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <time.h>

#define PIECES_AT_ONCE 32
#define COPIED_BODY 4096u /* up to here copying is cheaper than keeping a reference */

void client_watch(struct client *c, void *arg)
{
	c->arg = arg;
}

bool client_is_loopback(const struct client *c)
{
	return c->loopback;
}

const char *client_address(const struct client *c)
{
	return c->address;
}

/* ---- composing ---- */

static const char *date_now(void)
{
	static char text[40];
	static time_t second = -1;
	time_t now = (time_t)clock_wall_seconds();
	struct tm tm;

	if (now != second) {
		second = now;
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return text;
}

static bool is_ours(const struct header *f)
{
	return header_named(f, "content-length") || header_named(f, "date") ||
	       head_is_hop_by_hop(f, NULL);
}

/* Names in small letters, as hyper writes them. */
static void add_name(struct text *to, const char *name, size_t len)
{
	text_add(to, name, len);
	for (char *c = to->s + to->len - len; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
}

/* Nothing in a value can end its line. */
static void add_value(struct text *to, const char *value, size_t len)
{
	char *at;

	text_add(to, value, len);
	while ((at = memchr(to->s + to->len - len, '\r', len)) != NULL)
		*at = ' ';
	while ((at = memchr(to->s + to->len - len, '\n', len)) != NULL)
		*at = ' ';
}

static void add_headers(struct text *to, const struct headers *headers)
{
	struct header f;
	size_t at = 0;

	while (headers != NULL && headers_next(headers, &at, &f)) {
		if (is_ours(&f))
			continue;
		add_name(to, f.name, f.name_len);
		text_adds(to, ": ");
		add_value(to, f.value, f.value_len);
		text_adds(to, "\r\n");
	}
}

static bool has_no_body(const struct client *c, int http)
{
	return strcmp(c->head.method, "HEAD") == 0 || http == 204 || http == 304;
}

/* Decides how the end of the body will be known. */
static void frame(struct client *c, int http, int64_t length, struct text *to)
{
	c->left = length;
	if (has_no_body(c, http))
		c->framing = REPLY_BODYLESS;
	else if (length < 0 && c->head.minor == 0)
		c->keep = false; /* HTTP/1.0 knows no chunks: the end is the close */
	else if (length < 0)
		c->framing = REPLY_CHUNKED;
	if (http == 204 || (http == 304 && length <= 0))
		return;
	if (length >= 0) {
		text_adds(to, "content-length: ");
		text_add_number(to, length);
		text_adds(to, "\r\n");
	} else if (c->framing == REPLY_CHUNKED) {
		text_adds(to, "transfer-encoding: chunked\r\n");
	}
}

/* What an answer in pieces keeps in memory; a whole one is a blob, which counts itself.
 */
static void count(struct client *c)
{
	size_t waits = c->pieces ? evbuffer_get_length(c->out) : 0;

	server.reply_bytes += waits - c->counted;
	c->counted = waits;
}

static void add_status_line(struct text *to, int http)
{
	text_adds(to, "HTTP/1.1 ");
	text_add_number(to, http);
	text_addc(to, ' ');
	text_adds(to, head_reason(http));
	text_adds(to, "\r\n");
}

static void begin(struct client *c, int http, const struct headers *headers,
                  int64_t length)
{
	static struct text head; /* keeps its room */

	assert(!c->begun);
	c->begun = true;
	c->framing = REPLY_PLAIN;
	if (server.draining)
		c->keep = false;
	text_reset(&head);
	add_status_line(&head, http);
	add_headers(&head, headers);
	frame(c, http, length, &head);
	text_adds(&head, "date: ");
	text_adds(&head, date_now());
	if (!c->keep)
		text_adds(&head, "\r\nconnection: close");
	else if (c->head.minor == 0)
		text_adds(&head, "\r\nconnection: keep-alive");
	text_adds(&head, "\r\n\r\n");
	evbuffer_add(c->out, head.s, head.len);
}

static void on_blob_sent(const void *bytes, size_t len, void *arg)
{
	struct blob *b = arg;

	(void)bytes;
	(void)len;
	blob_unref(&b);
}

static void add_blob(struct evbuffer *out, struct blob *body)
{
	size_t len = blob_len(body);

	if (len <= COPIED_BODY)
		evbuffer_add(out, blob_bytes(body), len);
	else
		evbuffer_add_reference(out, blob_bytes(body), len, on_blob_sent,
		                       blob_ref(body));
}

static void complete(struct client *c)
{
	c->complete = true;
	reply_flush(c);
	client_turn_soon(c);
}

void reply_whole(struct client *c, int http, const struct headers *headers,
                 struct blob *body)
{
	begin(c, http, headers, (int64_t)blob_len(body));
	if (c->framing != REPLY_BODYLESS)
		add_blob(c->out, body);
	complete(c);
}

void reply_continue(struct client *c)
{
	evbuffer_add(c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	reply_flush(c);
	if (c->broken)
		client_turn_soon(c);
}

/* ---- what handlers call ---- */

static void cut(struct client *c)
{
	evbuffer_drain(c->out, evbuffer_get_length(c->out));
	count(c);
	c->broken = true;
	c->cut = true;
	client_turn_soon(c);
}

void client_reply(struct client *c, int http, const struct headers *headers,
                  struct blob *body)
{
	assert(c->open);
	c->open = false;
	reply_whole(c, http, headers, body);
}

void client_begin(struct client *c, int http, const struct headers *headers,
                  int64_t length)
{
	assert(c->open);
	begin(c, http, headers, length);
	c->pieces = true;
	client_turn_soon(c); /* with the first bytes of the body, if they come at once */
}

/* All of it; a little is copied, so that it lies in one piece with what is before it. */
static void move(struct evbuffer *to, struct evbuffer *data, size_t len)
{
	if (len > COPIED_BODY) {
		evbuffer_add_buffer(to, data);
		return;
	}
	evbuffer_add(to, evbuffer_pullup(data, -1), len);
	evbuffer_drain(data, len);
}

/* False: more than was promised. */
static bool add_piece(struct client *c, struct evbuffer *data, size_t len)
{
	if (c->framing == REPLY_BODYLESS)
		return evbuffer_drain(data, len) == 0;
	if (c->left >= 0 && (uint64_t)c->left < len)
		return false;
	if (c->left >= 0)
		c->left -= (int64_t)len;
	if (c->framing == REPLY_CHUNKED)
		evbuffer_add_printf(c->out, "%zx\r\n", len);
	move(c->out, data, len);
	if (c->framing == REPLY_CHUNKED)
		evbuffer_add(c->out, "\r\n", 2);
	return true;
}

/* Answers may take half of the memory; beyond that their sources wait with them. */
static bool enough_waits(const struct client *c)
{
	size_t waits = evbuffer_get_length(c->out);
	size_t half = server.options.max_held / 2;

	return waits > REPLY_MOST || (waits > REPLY_HIGH && !server_has_room(half));
}

bool client_send(struct client *c, struct evbuffer *data)
{
	size_t len = evbuffer_get_length(data);

	assert(c->open && c->begun);
	if (len == 0)
		return !c->throttled;
	if (c->broken || !add_piece(c, data, len)) {
		evbuffer_drain(data, len);
		if (!c->broken)
			cut(c);
		return true; /* on_gone is on its way */
	}
	reply_flush(c);
	if (c->broken)
		client_turn_soon(c);
	c->throttled = enough_waits(c);
	return !c->throttled;
}

void client_end(struct client *c)
{
	assert(c->open && c->begun);
	c->open = false;
	c->throttled = false; /* its source is free */
	if (c->framing == REPLY_CHUNKED)
		evbuffer_add(c->out, "0\r\n\r\n", 5);
	if (c->framing == REPLY_PLAIN && c->left > 0)
		cut(c); /* less than was promised */
	else
		complete(c);
}

void client_abort(struct client *c)
{
	assert(c->open);
	c->open = false;
	cut(c);
}

/* ---- writing ---- */

static void on_stall(void *arg)
{
	struct client *c = arg;

	c->cut = true;
	client_close(c);
}

/* Both are there while output waits. */
static void stop_watching(struct client *c)
{
	if (!timer_running(&c->stall))
		return;
	timer_stop(&c->stall);
	event_del(&c->writable);
}

static void watch_output(struct client *c, size_t moved)
{
	size_t slowest = c->throttled ? SLOWEST_HOLDER : SLOWEST_CLIENT;
	msec now;

	count(c);
	if (evbuffer_get_length(c->out) == 0) {
		stop_watching(c);
		return;
	}
	now = clock_ms();
	event_add(&c->writable, NULL);
	if (!timer_running(&c->stall))
		c->patience = now + server_patience.stall;
	else
		c->patience = server_patience_after(c->patience, moved, slowest,
		                                    server_patience.stall);
	timer_start(&c->stall, c->patience > now ? c->patience - now : 0, on_stall, c);
}

/* One piece has a quicker way. */
static ssize_t send_pieces(int fd, struct evbuffer_iovec *pieces, int count)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};

	if (count == 1)
		return send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_some(struct client *c)
{
	struct evbuffer_iovec pieces[PIECES_AT_ONCE];
	int count = evbuffer_peek(c->out, -1, NULL, pieces, PIECES_AT_ONCE);
	ssize_t n;

	n = send_pieces(c->fd, pieces, count < PIECES_AT_ONCE ? count : PIECES_AT_ONCE);
	if (n > 0)
		evbuffer_drain(c->out, (size_t)n);
	return n;
}

/* Writes what the socket takes; never calls anybody. */
void reply_flush(struct client *c)
{
	ssize_t n;

	if (c->broken || evbuffer_get_length(c->out) == 0)
		return;
	n = send_some(c);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		c->broken = true;
		return;
	}
	watch_output(c, n > 0 ? (size_t)n : 0);
}

void on_reply_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	reply_flush(c);
	if (c->open && c->throttled && evbuffer_get_length(c->out) < REPLY_LOW) {
		c->throttled = false;
		server.options.handler->on_drained(c->arg);
	}
	if (c->broken || c->complete)
		client_turn_soon(c);
}
