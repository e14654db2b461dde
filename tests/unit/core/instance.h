/* tests/unit/core/instance.h - a small HTTP server in the loop of the test, which does
 * exactly what the test says, and what a test needs to call it.
 *
 *	static void serve(struct guest *g, const struct request *r) { guest_say(g, ...); }
 *	instance_start(&in, serve);
 *
 * `serve` is called with each whole request; `on_head`, if set, when its head is there.
 */
#ifndef TESTS_UNIT_CORE_INSTANCE_H
#define TESTS_UNIT_CORE_INSTANCE_H

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/blob.h"
#include "core/dns.h"
#include "core/head.h"
#include "core/headers.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/timer.h"
#include "core/upstream.h"

#define UNUSED __attribute__((unused))

/* ---- the instance ---- */

struct instance;

struct guest {
	struct instance *in;
	struct bufferevent *bev;
	int number;   /* of the connection, from 1 */
	int requests; /* on this connection */
	bool told_head;
	TAILQ_ENTRY(guest) link;
};

struct request {
	const struct request_head *head;
	struct evbuffer *body; /* to be taken or left */
};

typedef void(serve_fn)(struct guest *g, const struct request *r);

struct instance {
	int fd;
	uint16_t port;
	struct event *accept;
	serve_fn *serve, *on_head;
	int accepted, requests, closed;
	struct text last; /* the last request, as it came */
	TAILQ_HEAD(, guest) guests;
};

static UNUSED void guest_say(struct guest *g, const char *bytes)
{
	bufferevent_write(g->bev, bytes, strlen(bytes));
}

static UNUSED void guest_leave(struct guest *g)
{
	TAILQ_REMOVE(&g->in->guests, g, link);
	g->in->closed++;
	bufferevent_free(g->bev);
	free(g);
}

static UNUSED void on_said(struct bufferevent *bev, void *arg)
{
	(void)bev;
	guest_leave(arg);
}

/* Says it, and closes when it is out. */
static UNUSED void guest_say_and_leave(struct guest *g, const char *bytes)
{
	bufferevent_disable(g->bev, EV_READ);
	bufferevent_setcb(g->bev, NULL, on_said, NULL, g);
	guest_say(g, bytes);
}

/* One whole request at the start of the input? Serves it; false if the guest is gone or
 * there is none. */
static UNUSED bool take_request(struct guest *g)
{
	struct evbuffer *input = bufferevent_get_input(g->bev);
	size_t len = evbuffer_get_length(input), scanned = 0, used = 0;
	struct request_head head;
	struct request r = {&head, input};
	struct instance *in = g->in;
	size_t seen = len < HEAD_MAX_BYTES ? len : HEAD_MAX_BYTES;
	const char *bytes = (const char *)evbuffer_pullup(input, (ssize_t)seen);
	int left = in->closed;

	if (len == 0 ||
	    head_parse_request(bytes, seen, &scanned, &used, &head) != HEAD_COMPLETE)
		return false;
	if (!g->told_head && in->on_head != NULL) {
		g->told_head = true;
		in->on_head(g, &r);
		if (in->closed != left) {
			request_head_clear(&head);
			return false;
		}
	}
	if (len - used < head.content_length) {
		request_head_clear(&head);
		return false;
	}
	text_reset(&in->last);
	text_add(&in->last, bytes, used);
	evbuffer_drain(input, used);
	in->requests++;
	g->requests++;
	g->told_head = false;
	len = evbuffer_get_length(input) - (size_t)head.content_length;
	in->serve(g, &r);
	if (in->closed == left)
		evbuffer_drain(input, evbuffer_get_length(input) - len);
	request_head_clear(&head);
	return in->closed == left;
}

static UNUSED void on_guest_data(struct bufferevent *bev, void *arg)
{
	(void)bev;
	while (take_request(arg))
		;
}

static UNUSED void on_guest_gone(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	guest_leave(arg);
}

static UNUSED void on_guest(evutil_socket_t fd, short what, void *arg)
{
	struct instance *in = arg;
	struct guest *g;
	int s;

	(void)what;
	while ((s = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		g = mem_new(struct guest);
		g->in = in;
		g->number = ++in->accepted;
		g->bev = bufferevent_socket_new(loop_base(), s, BEV_OPT_CLOSE_ON_FREE);
		bufferevent_setcb(g->bev, on_guest_data, NULL, on_guest_gone, g);
		bufferevent_enable(g->bev, EV_READ);
		TAILQ_INSERT_TAIL(&in->guests, g, link);
	}
}

static UNUSED int open_listener(uint16_t *port, int backlog)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t len = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&here, len) != 0 || listen(fd, backlog) != 0 ||
	    getsockname(fd, (struct sockaddr *)&here, &len) != 0)
		abort();
	*port = ntohs(here.sin_port);
	return fd;
}

static UNUSED void instance_start(struct instance *in, serve_fn *serve)
{
	*in = (struct instance){.serve = serve};
	TAILQ_INIT(&in->guests);
	in->fd = open_listener(&in->port, 64);
	in->accept = event_new(loop_base(), in->fd, EV_READ | EV_PERSIST, on_guest, in);
	event_add(in->accept, NULL);
}

static UNUSED void instance_stop(struct instance *in)
{
	while (!TAILQ_EMPTY(&in->guests))
		guest_leave(TAILQ_FIRST(&in->guests));
	event_free(in->accept);
	close(in->fd);
	text_clear(&in->last);
}

/* ---- time ---- */

static UNUSED void on_late(void *arg)
{
	*(bool *)arg = true;
}

/* Turns the loop until `done` is not 0; false after 10 s. */
static UNUSED bool run_until(const int *done)
{
	struct timer guard = {0};
	bool late = false;

	timer_start(&guard, 10000, on_late, &late);
	while (*done == 0 && !late)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	timer_stop(&guard);
	return !late;
}

static UNUSED void run_for(msec wait)
{
	struct timer guard = {0};
	bool over = false;

	timer_start(&guard, wait, on_late, &over);
	while (!over)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	/* On a busy machine all of that time may have been one turn. */
	for (int i = 0; i < 20; i++)
		event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

static UNUSED bool all_guests_have_left(const struct instance *in)
{
	for (int i = 0; i < 500 && in->closed != in->accepted; i++)
		run_for(10);
	return in->closed == in->accepted;
}

/* ---- a caller ---- */

struct caller {
	struct op *slot;
	int told;
	enum status status;
	bool sent;
	int http;
	struct headers headers;
	struct blob *body;
	char detail[256];
};

static UNUSED void on_reply(void *arg, const struct reply *reply)
{
	struct caller *c = arg;

	c->told++;
	c->status = reply->status;
	c->sent = reply->sent;
	c->http = reply->http;
	headers_copy(&c->headers, reply->headers);
	c->body = blob_ref(reply->body);
	snprintf(c->detail, sizeof(c->detail), "%s", reply->detail);
}

static UNUSED void caller_clear(struct caller *c)
{
	op_cancel(&c->slot);
	headers_clear(&c->headers);
	blob_unref(&c->body);
	*c = (struct caller){0};
}

static UNUSED bool caller_heard(const struct caller *c, const char *body)
{
	return blob_len(c->body) == strlen(body) &&
	       memcmp(blob_bytes(c->body), body, strlen(body)) == 0;
}

/* Bytes that differ from place to place. */
static UNUSED struct blob *big_body(size_t len)
{
	char *bytes = mem_alloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)((i * 2654435761u) >> 13);
	return blob_adopt(bytes, len);
}

static UNUSED bool same_bytes(const struct blob *a, const struct blob *b)
{
	return blob_len(a) == blob_len(b) &&
	       memcmp(blob_bytes(a), blob_bytes(b), blob_len(a)) == 0;
}

#endif
