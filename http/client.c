/* http/client.c - one connection: requests in, one after the other.
 *
 * The happy path, again and again on one connection:
 *   on_readable      bytes have come; a part of a head: wait for the rest
 *   take_head        a whole head: the handler takes it (on_head)
 *   take_body        its body, as it comes
 *   deliver          the handler owes an answer now (on_request); we go on reading only
 *                    to see the client leave, and keep a little of what comes next
 *   client_turn      the answer is out: next request
 * When it does not go well:
 *   - the head is refused, malformed, too slow, or its body too large: an answer, and
 *     usually the end, by way of linger(): closing with bytes unread sends a reset that
 *     can overtake the answer
 *   - there is much in memory: its body waits with the client (pressure.c)
 *   - the client leaves: client_close(), whatever the state. A client that shuts only
 *     its sending side is taken to have left, as hyper does
 *   - the client does not read the answer: see reply.c
 *
 * One request at a time: the next head is not looked at before the answer is out. */
#include "http/server_private.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/failpoint.h"
#include "core/loop.h"

#define KEPT_ROOM 4096u /* of `in`, while a connection is idle */

struct server_patience server_patience = {
        .body = 30000,
        .stall = 30000,
        .linger = 2000,
};

static char scratch[64 * 1024];

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_deadline(void *arg);
static void client_turn(void *arg);

/* The one door for the state; active are those who have not got their answer yet. */
static void set_state(struct client *c, enum client_state state)
{
	bool was = c->state == CLIENT_BODY || c->state == CLIENT_ANSWER;
	bool is = state == CLIENT_BODY || state == CLIENT_ANSWER;

	if (c->state == CLIENT_BODY && state != CLIENT_BODY)
		pressure_leave(c);
	server.uploading += state == CLIENT_BODY;
	server.uploading -= c->state == CLIENT_BODY;
	c->state = state;
	if (is && !was)
		server.active++;
	else if (was && !is)
		server.active--;
}

static void wait_for_head(struct client *c, msec patience)
{
	timer_start(&c->deadline, patience, on_deadline, c);
}

static void note_address(struct client *c, const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	struct in_addr mapped;

	if (address->sa_family == AF_INET) {
		mapped = v4->sin_addr;
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		memcpy(&mapped, &v6->sin6_addr.s6_addr[12], sizeof(mapped));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, c->address, sizeof(c->address));
		c->loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
		return;
	}
	inet_ntop(AF_INET, &mapped, c->address, sizeof(c->address));
	c->loopback = ntohl(mapped.s_addr) >> 24 == IN_LOOPBACKNET;
}

void client_open(struct client *c, const struct sockaddr *address)
{
	note_address(c, address);
	c->late = server.draining;
	c->out = evbuffer_new();
	event_assign(&c->readable, loop_base(), c->fd, EV_READ | EV_PERSIST, on_readable,
	             c);
	event_assign(&c->writable, loop_base(), c->fd, EV_WRITE | EV_PERSIST,
	             on_reply_writable, c);
	event_add(&c->readable, NULL);
	server_count(+1);
	server_make_room();
	TAILQ_INSERT_TAIL(&server.clients, c, next);
	wait_for_head(c, server.options.idle_timeout);
}

/* The only way out. Tells the handler, by way of client_request_over(). */
void client_close(struct client *c)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	event_del(&c->readable);
	event_del(&c->writable);
	timer_stop(&c->deadline);
	timer_stop(&c->stall);
	timer_stop(&c->turn);
	TAILQ_REMOVE(&server.clients, c, next);
	set_state(c, CLIENT_HEAD);
	if (c->cut)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	gate_close(c);
	server_count(-1);
	server.reply_bytes -= c->counted;
	text_clear(&c->in);
	request_head_clear(&c->head);
	intake_clear(&c->intake);
	evbuffer_free(c->out);
	free(c);
}

void client_request_over(struct client *c)
{
	if (!c->open)
		return;
	c->open = false;
	server.options.handler->on_gone(c->arg);
}

void client_turn_soon(struct client *c)
{
	if (!timer_running(&c->turn))
		timer_start(&c->turn, 0, client_turn, c);
}

/* Shuts our side, so that the client reads the answer to its end, and goes on receiving
 * for a while, so that the kernel does not answer late bytes with a reset. */
static void linger(struct client *c)
{
	set_state(c, CLIENT_LINGER);
	text_clear(&c->in);
	if (shutdown(c->fd, SHUT_WR) != 0) {
		client_close(c);
		return;
	}
	event_add(&c->readable, NULL);
	timer_start(&c->deadline, server_patience.linger, on_deadline, c);
}

static void drop(struct client *c, size_t len)
{
	c->dropped += len;
	if (c->dropped > CLIENT_MAX_DROPPED)
		client_close(c);
}

/* ---- answers of our own ---- */

static void refuse(struct client *c, struct refusal *r)
{
	if (server.options.handler->on_refused != NULL)
		server.options.handler->on_refused(c, &c->head, r);
	set_state(c, CLIENT_ANSWER);
	reply_whole(c, r->http, &r->headers, r->body);
	headers_clear(&r->headers);
	blob_unref(&r->body);
}

/* The client may be in the middle of sending; there is no telling where it would end. */
static void refuse_and_close(struct client *c, struct refusal *r)
{
	c->keep = false;
	c->unread = true;
	intake_clear(&c->intake);
	refuse(c, r);
}

static void refuse_malformed(struct client *c, int http)
{
	struct refusal r = {.http = http};

	server.options.handler->on_malformed(http, &r);
	refuse_and_close(c, &r);
}

static void refuse_too_large(struct client *c)
{
	struct refusal r = {.http = 413};

	server.options.handler->on_too_large(&c->head, &r);
	refuse_and_close(c, &r);
}

static void refuse_without_room(struct client *c)
{
	struct refusal r = {.http = 429};

	server.options.handler->on_no_room(&c->head, &r);
	refuse_and_close(c, &r);
}

/* ---- a request ---- */

static void deliver(struct client *c)
{
	struct blob *body = intake_take(&c->intake);

	set_state(c, CLIENT_ANSWER);
	c->open = true;
	server.options.handler->on_request(c, &c->head, body);
	blob_unref(&body);
}

static void take_body(struct client *c, enum intake_result result)
{
	switch (result) {
	case INTAKE_MORE:
		return;
	case INTAKE_WHOLE:
		deliver(c);
		return;
	case INTAKE_TOO_LARGE:
		refuse_too_large(c);
		return;
	case INTAKE_NO_ROOM:
		refuse_without_room(c);
		return;
	case INTAKE_MALFORMED:
		refuse_malformed(c, 400);
		return;
	}
}

static void add_to_body(struct client *c)
{
	size_t used;
	enum intake_result result = intake_add(&c->intake, c->in.s, c->in.len, &used);

	text_drop(&c->in, used);
	take_body(c, result);
}

static void start_body(struct client *c, size_t max)
{
	set_state(c, CLIENT_BODY);
	FAILPOINT("request_reading");
	intake_start(&c->intake, &c->head, max);
	timer_start(&c->deadline, server_patience.body, on_deadline, c);
	if (c->in.len > 0)
		add_to_body(c);
	else if (c->head.expect_continue)
		reply_continue(c);
}

static void take_head(struct client *c)
{
	bool has_body = c->head.framing != FRAMING_NONE;
	size_t max = server.options.max_body;
	struct refusal r = {.http = 503};

	c->keep = c->head.keep_alive;
	if (!gate_begin_request(c)) {
		client_close(c);
		return;
	}
	if (!server.options.handler->on_head(c, &c->head, &max, &r)) {
		if (has_body)
			refuse_and_close(c, &r);
		else
			refuse(c, &r);
		return;
	}
	if (c->head.framing == FRAMING_LENGTH && c->head.content_length > max)
		refuse_too_large(c);
	else if (has_body)
		start_body(c, max);
	else
		deliver(c);
}

static void read_head(struct client *c, bool first_bytes)
{
	size_t used = 0;
	int found = head_parse_request(text_string(&c->in), c->in.len, &c->scanned, &used,
	                               &c->head);

	if (found == HEAD_INCOMPLETE) {
		if (first_bytes)
			wait_for_head(c, server.options.head_timeout);
		return;
	}
	if (found != HEAD_COMPLETE) {
		refuse_malformed(c, found);
		return;
	}
	text_drop(&c->in, used);
	take_head(c);
}

/* ---- what the loop tells ---- */

static void received(struct client *c, size_t len, bool in_place)
{
	size_t before = c->in.len;

	if (c->state == CLIENT_LINGER) {
		drop(c, len);
		return;
	}
	if (in_place) {
		take_body(c, intake_received(&c->intake, len));
		return;
	}
	text_add(&c->in, scratch, len);
	if (c->state == CLIENT_HEAD)
		read_head(c, before == 0);
	else if (c->state == CLIENT_BODY)
		add_to_body(c);
	else if (c->in.len > CLIENT_MAX_SURPLUS)
		event_del(&c->readable); /* until the next request */
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	size_t room = sizeof(scratch);
	char *place = NULL;
	ssize_t n;

	(void)what;
	if (c->state == CLIENT_BODY && pressure_holds(c))
		return;
	if (c->state == CLIENT_BODY)
		place = intake_place(&c->intake, &room);
	n = recv(fd, place != NULL ? place : scratch, room, 0);
	if (n > 0)
		received(c, (size_t)n, place != NULL);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client_close(c);
}

static void on_deadline(void *arg)
{
	struct client *c = arg;
	msec left;

	switch (c->state) {
	case CLIENT_HEAD:
		if (c->in.len == 0)
			client_close(c);
		else
			refuse_malformed(c, 408);
		return;
	case CLIENT_BODY:
		left = intake_time_left(&c->intake);
		if (left > 0)
			timer_start(&c->deadline, left, on_deadline, c);
		else if (c->in_line)
			refuse_without_room(c);
		else
			refuse_malformed(c, 408);
		return;
	case CLIENT_ANSWER: /* not ours to hurry: see reply.c */
		return;
	case CLIENT_LINGER:
		client_close(c);
		return;
	}
}

static void next_request(struct client *c)
{
	set_state(c, CLIENT_HEAD);
	c->scanned = 0;
	event_add(&c->readable, NULL);
	if (c->in.len > 0) {
		read_head(c, true);
		return;
	}
	if (c->in.room > KEPT_ROOM)
		text_clear(&c->in);
	TAILQ_REMOVE(&server.clients, c, next);
	TAILQ_INSERT_TAIL(&server.clients, c, next);
	wait_for_head(c, server.options.idle_timeout);
}

static void answer_is_out(struct client *c)
{
	bool polite = c->unread || c->head.keep_alive || c->in.len > 0;
	bool keep = c->keep && !server.draining;

	gate_end_request(c);
	request_head_clear(&c->head);
	c->begun = c->complete = c->pieces = c->throttled = c->unread = false;
	c->arg = NULL;
	if (keep)
		next_request(c);
	else if (polite)
		linger(c);
	else
		client_close(c);
}

static void client_turn(void *arg)
{
	struct client *c = arg;

	if (!c->broken)
		reply_flush(c);
	if (c->broken)
		client_close(c);
	else if (c->complete && evbuffer_get_length(c->out) == 0)
		answer_is_out(c);
}

/* A request may have come that has not been read yet: it is answered, then it is over. */
bool client_is_idle(const struct client *c)
{
	char byte;

	return c->state == CLIENT_HEAD && c->in.len == 0 &&
	       recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

bool client_is_late(const struct client *c)
{
	return c->late;
}

void client_drain(struct client *c, msec last)
{
	if (!client_is_idle(c))
		return;
	if (last > 0)
		wait_for_head(c, last);
	else
		linger(c);
}
