/* tests/lib/fake_upstream.c - endpoints that behave as a test says. */
#include "tests/lib/fake_upstream.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/mem.h"

struct fake_call {
	struct op op; /* first */
	struct upstream *up;
	upstream_fn *done;
	const struct upstream_receiver *receiver;
	void *arg;
	struct timer limit;
	struct reply reply;
	char *detail;
	bool served, alone;
	msec timeout;
	size_t most;           /* of an answer; 0: any */
	struct evbuffer *data; /* streams: what the receiver has not taken yet */
	TAILQ_ENTRY(fake_call) link;
};

enum manner { HANGS, ANSWERS, FAILS, SERVES };

struct upstream {
	char *url;
	char *auth;
	enum manner manner;
	int http;
	char *body;
	enum status status;
	char *detail;
	const struct fake_server *server;
	void *server_arg;
	struct call last;
	bool asked;
	uint64_t calls, failures;
	unsigned aborts, open, load;
	TAILQ_HEAD(, fake_call) list;
	LIST_ENTRY(upstream) link;
};

static LIST_HEAD(, upstream) all = LIST_HEAD_INITIALIZER(all);
static const struct headers no_headers;

static void forget_last(struct upstream *up)
{
	free((char *)(uintptr_t)up->last.method);
	free((char *)(uintptr_t)up->last.target);
	blob_unref(&up->last.body);
	up->last = (struct call){0};
}

struct upstream *upstream_create(const struct upstream_options *options)
{
	struct upstream *up = mem_new(struct upstream);

	up->url = mem_string(options->url);
	if (options->auth_header != NULL)
		up->auth =
		        mem_format("%s: %s", options->auth_header, options->auth_value);
	TAILQ_INIT(&up->list);
	LIST_INSERT_HEAD(&all, up, link);
	return up;
}

static void deliver(struct op *op)
{
	struct fake_call *c = (struct fake_call *)op;

	if (c->receiver != NULL)
		c->receiver->on_end(c->arg, &c->reply);
	else
		c->done(c->arg, &c->reply);
}

static void release(struct op *op)
{
	struct fake_call *c = (struct fake_call *)op;

	blob_unref(&c->reply.body);
	free(c->detail);
	if (c->data != NULL)
		evbuffer_free(c->data);
	free(c);
}

static void close_call(struct fake_call *c)
{
	timer_stop(&c->limit);
	TAILQ_REMOVE(&c->up->list, c, link);
	c->up->open--;
	if (c->served)
		c->up->server->gone(c->up->server_arg, c);
	op_end(&c->op);
}

static void abandon(struct op *op)
{
	close_call((struct fake_call *)op);
}

static void end(struct fake_call *c, enum status s, const char *detail)
{
	c->detail = mem_string(detail != NULL ? detail : "");
	c->reply = (struct reply){.status = s,
	                          .sent = s != STATUS_REFUSED,
	                          .headers = &no_headers,
	                          .detail = c->detail};
	c->up->failures++;
	close_call(c);
}

static void offer(struct fake_call *c)
{
	c->receiver->on_data(c->arg, c->data);
	if (op_wanted(&c->op) && evbuffer_get_length(c->data) == 0)
		close_call(c);
}

static void on_stream(void *arg)
{
	struct fake_call *c = arg;
	struct reply_head head = {.http = c->reply.http,
	                          .minor = 1,
	                          .framing = FRAMING_LENGTH,
	                          .content_length = evbuffer_get_length(c->data),
	                          .has_content_length = true,
	                          .keep_alive = true};

	c->receiver->on_head(c->arg, &head);
	if (op_wanted(&c->op))
		offer(c);
}

static void answer(struct fake_call *c, int http, const char *body)
{
	if (c->receiver == NULL && c->most > 0 && strlen(body) > c->most) {
		end(c, STATUS_TOO_LARGE, "the reply is too large");
		return;
	}
	c->detail = mem_string("");
	c->reply = (struct reply){.status = STATUS_OK,
	                          .sent = true,
	                          .http = http,
	                          .headers = &no_headers,
	                          .detail = c->detail};
	if (c->receiver == NULL) {
		c->reply.body = blob_create(body, strlen(body));
		close_call(c);
		return;
	}
	c->data = evbuffer_new();
	evbuffer_add(c->data, body, strlen(body));
	timer_start(&c->limit, 0, on_stream, c);
}

static void on_timeout(void *arg)
{
	end(arg, STATUS_TIMED_OUT, "");
}

static struct fake_call *begin(struct upstream *up, const struct call *call, void *arg,
                               struct op **slot)
{
	struct fake_call *c = mem_new(struct fake_call);

	forget_last(up);
	up->last = *call;
	up->last.method = mem_string(call->method);
	up->last.target = mem_string(call->target);
	up->last.headers = NULL;
	up->last.body = blob_ref(call->body);
	up->asked = true;
	up->calls++;
	up->open++;
	c->up = up;
	c->arg = arg;
	c->alone = call->alone;
	c->timeout = call->timeout;
	c->most = call->max_reply;
	c->op.deliver = deliver;
	c->op.release = release;
	c->op.abandon = abandon;
	TAILQ_INSERT_TAIL(&up->list, c, link);
	op_begin(&c->op, slot);
	timer_start(&c->limit, call->timeout, on_timeout, c);
	return c;
}

static void behave(struct fake_call *c, const struct call *call)
{
	struct upstream *up = c->up;

	if (up->manner == SERVES) {
		c->served = true;
		up->server->take(up->server_arg, c, call);
	} else if (up->manner == ANSWERS)
		answer(c, up->http, up->body);
	else if (up->manner == FAILS)
		end(c, up->status, up->detail);
}

void upstream_call(struct upstream *up, const struct call *call, upstream_fn *done,
                   void *arg, struct op **slot)
{
	struct fake_call *c = begin(up, call, arg, slot);

	c->done = done;
	behave(c, call);
}

void upstream_stream(struct upstream *up, const struct call *call,
                     const struct upstream_receiver *receiver, void *arg,
                     struct op **slot)
{
	struct fake_call *c = begin(up, call, arg, slot);

	c->receiver = receiver;
	behave(c, call);
}

static void on_resume(void *arg)
{
	offer(arg);
}

void upstream_resume(struct op *call)
{
	struct fake_call *c = (struct fake_call *)call;

	if (c->data != NULL && !timer_running(&c->op.end))
		timer_start(&c->limit, 0, on_resume, c);
}

void upstream_abort(struct upstream *up, const char *why)
{
	up->aborts++;
	while (!TAILQ_EMPTY(&up->list))
		end(TAILQ_FIRST(&up->list), STATUS_STOPPED, why);
}

void upstream_destroy(struct upstream **up)
{
	struct upstream *old = *up;

	*up = NULL;
	if (old == NULL)
		return;
	upstream_abort(old, "destroyed");
	LIST_REMOVE(old, link);
	forget_last(old);
	free(old->url);
	free(old->auth);
	free(old->body);
	free(old->detail);
	free(old);
}

const char *upstream_url(const struct upstream *up)
{
	return up->url;
}

struct upstream_figures upstream_figures(const struct upstream *up)
{
	return (struct upstream_figures){.calls = up->calls,
	                                 .failures = up->failures,
	                                 .open = up->open + up->load};
}

msec upstream_patience(const struct upstream *up)
{
	const struct fake_call *c;
	msec longest = 0;

	TAILQ_FOREACH (c, &up->list, link)
		if (!c->alone && c->receiver == NULL && c->timeout > longest)
			longest = c->timeout;
	return longest;
}

void fake_answers(struct upstream *up, int http, const char *body)
{
	up->manner = ANSWERS;
	up->http = http;
	free(up->body);
	up->body = mem_string(body);
}

void fake_fails(struct upstream *up, enum status s, const char *detail)
{
	up->manner = FAILS;
	up->status = s;
	free(up->detail);
	up->detail = mem_string(detail);
}

void fake_hangs(struct upstream *up)
{
	up->manner = HANGS;
}

void fake_serves(struct upstream *up, const struct fake_server *server, void *arg)
{
	up->manner = SERVES;
	up->server = server;
	up->server_arg = arg;
}

void fake_call_answer(struct fake_call *c, int http, const char *body)
{
	c->served = false;
	answer(c, http, body);
}

void fake_call_fail(struct fake_call *c, enum status s, const char *detail)
{
	c->served = false;
	end(c, s, detail);
}

bool fake_reply(struct upstream *up, int http, const char *body)
{
	struct fake_call *c = TAILQ_FIRST(&up->list);

	if (c != NULL)
		answer(c, http, body);
	return c != NULL;
}

bool fake_fail(struct upstream *up, enum status s, const char *detail)
{
	struct fake_call *c = TAILQ_FIRST(&up->list);

	if (c != NULL)
		end(c, s, detail);
	return c != NULL;
}

unsigned fake_open(const struct upstream *up)
{
	return up->open;
}

uint64_t fake_calls(const struct upstream *up)
{
	return up->calls;
}

unsigned fake_aborts(const struct upstream *up)
{
	return up->aborts;
}

void fake_load(struct upstream *up, unsigned calls)
{
	up->load = calls;
}

const struct call *fake_last(const struct upstream *up)
{
	return up->asked ? &up->last : NULL;
}

const char *fake_auth_header(const struct upstream *up)
{
	return up->auth != NULL ? up->auth : "";
}

struct upstream *fake_by_url(const char *url)
{
	struct upstream *up;

	LIST_FOREACH (up, &all, link)
		if (strcmp(up->url, url) == 0)
			return up;
	return NULL;
}
