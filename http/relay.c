/* http/relay.c - an instance's answer on its way to the client.
 *
 * The happy path:
 *   relay_start   choose an instance, aim, send
 *   on_head       remember status and headers
 *   on_data       gather; beyond 1 MB begin to pass it on, no faster than it is taken
 *   on_end        answer with what was gathered, or end what was begun
 * When it does not go well:
 *   - nothing has been passed on yet and the call fails, or a read is answered 5xx, 408
 * or 429: the next instance; none left: wait for one that is behind, or pass that answer
 *     on, or our own error
 *   - a read has neither ended nor begun to be passed on after three seconds, and another
 *     instance may be asked: it is
 *   - something has been passed on: the client's connection is cut, never ended cleanly
 *   - the client leaves: the call is cancelled with the exchange
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http/exchange.h"

#define GATHER_MOST (1024u * 1024u)
#define PATIENCE_MS 3000u

struct relay {
	const struct relay_plan *plan;
	struct blob *body;
	struct instance *in;
	struct text target;
	struct evbuffer *data; /* gathered, or waiting for a slow client */
	struct headers headers;
	int http;
	int64_t length; /* -1: not known */
	bool begun;     /* the client has had the first bytes */
	bool full;      /* enough waits for the client */
	/* the 5xx to fall back on */
	int refused_http;
	struct headers refused_headers;
	struct blob *refused_body;
	uint64_t sent_us;
	struct timer patience; /* with a read that does not get on */
};

static void try_next(struct exchange *ex);
static void on_no_patience(void *arg);

static void be_patient(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	if (rl->plan->read)
		timer_start(&rl->patience, PATIENCE_MS, on_no_patience, ex);
}

void relay_stop(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	if (rl == NULL)
		return;
	ex->relay = NULL;
	timer_stop(&rl->patience);
	op_cancel(&ex->pending);
	evbuffer_free(rl->data);
	headers_clear(&rl->headers);
	headers_clear(&rl->refused_headers);
	blob_unref(&rl->refused_body);
	blob_unref(&rl->body);
	text_clear(&rl->target);
	free(rl);
}

/* --- a whole answer ---------------------------------------------------------------- */

static void pass_on(struct exchange *ex, int http, struct headers *headers,
                    struct blob *body)
{
	if (ex->relay->plan->take != NULL)
		ex->relay->plan->take(ex, ex->relay->in, http, headers, body);
	else
		exchange_reply(ex, http, headers, body);
}

static struct blob *gathered(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	size_t len = evbuffer_get_length(rl->data);
	char *bytes = mem_alloc(len + 1);

	evbuffer_remove(rl->data, bytes, len);
	if (rl->plan->edit != NULL)
		rl->plan->edit(ex, rl->in, rl->http, bytes, len);
	return blob_adopt(bytes, len);
}

static void whole(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	struct headers headers = rl->headers;
	struct blob *body = gathered(ex);

	rl->headers = (struct headers){{0}, 0};
	pass_on(ex, rl->http, &headers, body);
	headers_clear(&headers);
	blob_unref(&body);
}

/* Keep a 5xx in case no other instance does better. */
static void keep_refusal(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	headers_clear(&rl->refused_headers);
	blob_unref(&rl->refused_body);
	rl->refused_http = rl->http;
	rl->refused_headers = rl->headers;
	rl->headers = (struct headers){{0}, 0};
	rl->refused_body = gathered(ex);
}

static void nobody_left(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	struct headers headers = rl->refused_headers;
	struct blob *body = blob_ref(rl->refused_body);
	const struct relay_plan *plan = rl->plan;
	int http = rl->refused_http;

	rl->refused_headers = (struct headers){{0}, 0};
	if (http > 0 && plan->wait != NULL && plan->wait(ex)) {
		relay_stop(ex);
		plan->none(ex);
	} else if (http > 0) {
		pass_on(ex, http, &headers, body);
	} else {
		relay_stop(ex);
		plan->none(ex);
	}
	headers_clear(&headers);
	blob_unref(&body);
}

/* --- a long answer ----------------------------------------------------------------- */

static void begin(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	exchange_headers(ex, rl->http, &rl->headers);
	ex->http = rl->http;
	rl->begun = true;
	timer_stop(&rl->patience);
	client_begin(ex->client, rl->http, &rl->headers, rl->length);
}

static void send_on(struct exchange *ex, struct evbuffer *data)
{
	ex->bytes_out += evbuffer_get_length(data);
	ex->relay->full = !client_send(ex->client, data);
}

void relay_drained(struct exchange *ex)
{
	if (ex->relay == NULL || !ex->relay->begun)
		return;
	ex->relay->full = false;
	if (ex->pending != NULL)
		upstream_resume(ex->pending);
}

static void end_long(struct exchange *ex)
{
	struct client *client = ex->client;

	ex->client = NULL;
	client_end(client);
	exchange_finish(ex);
}

/* --- the instance ------------------------------------------------------------------ */

static void on_head(void *arg, const struct reply_head *head)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;
	const char *connection = headers_get(&head->headers, "connection");
	const char *name, *value;
	size_t at = 0;

	rl->http = head->http;
	rl->length = head->framing == FRAMING_LENGTH ? (int64_t)head->content_length : -1;
	headers_clear(&rl->headers);
	while (headers_next(&head->headers, &at, &name, &value))
		if (!head_is_hop_by_hop(name, connection) &&
		    strcasecmp(name, "content-length") != 0 &&
		    strcasecmp(name, "date") != 0)
			headers_add(&rl->headers, name, value);
}

static void on_data(void *arg, struct evbuffer *data)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;

	if (rl->begun) {
		if (!rl->full)
			send_on(ex, data);
		return;
	}
	evbuffer_add_buffer(rl->data, data);
	if (rl->plan->whole || evbuffer_get_length(rl->data) <= GATHER_MOST)
		return;
	begin(ex);
	send_on(ex, rl->data);
}

static bool another_may_do_better(const struct relay *rl)
{
	bool failed = (rl->http >= 500 && rl->http != 501) || rl->http == 408 ||
	              rl->http == 429;

	return (rl->plan->read && failed) || (rl->plan->exists && rl->http == 404);
}

static void on_end(void *arg, const struct reply *reply)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;
	struct reply judged = *reply;
	bool ok = reply->status == STATUS_OK;

	timer_stop(&rl->patience);
	judged.http = rl->http;
	ex->upstream_us = clock_us() - rl->sent_us;
	health_report(rl->in, health_signal_of(&judged), reply->detail);
	instance_count(rl->in, rl->plan->read, ok && rl->http < 500);
	if (rl->begun) {
		if (ok)
			end_long(ex);
		else
			exchange_finish(ex); /* cuts */
	} else if (ok && !another_may_do_better(rl)) {
		whole(ex);
	} else {
		if (ok)
			keep_refusal(ex);
		evbuffer_drain(rl->data, evbuffer_get_length(rl->data));
		if (rl->plan->read || !reply->sent)
			try_next(ex);
		else
			nobody_left(ex);
	}
}

static const struct upstream_receiver receiver = {on_head, on_data, on_end};

/* The client's own headers go along, but for credentials and what is between two ends. */
static void copy_headers(const struct exchange *ex, struct headers *to)
{
	static const char *const passed[] = {"content-type", "accept", "user-agent",
	                                     "traceparent"};
	const char *value;

	for (size_t k = 0; k < sizeof(passed) / sizeof(passed[0]); k++) {
		value = headers_get(&ex->head->headers, passed[k]);
		if (value != NULL)
			headers_add(to, passed[k], value);
	}
}

/* HEAD is asked as GET: what must be edited must be seen, and its length is the edited
 * one. */
static const char *method_of(const struct exchange *ex)
{
	if (ex->relay->plan->method != NULL)
		return ex->relay->plan->method;
	return strcmp(ex->head->method, "HEAD") == 0 ? "GET" : ex->head->method;
}

static void issue(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	struct headers headers = {0};
	struct call call = {
	        .method = method_of(ex),
	        .headers = &headers,
	        .body = rl->body,
	        .timeout = exchange_left(ex),
	        .repeatable = rl->plan->read,
	};

	copy_headers(ex, &headers);
	text_reset(&rl->target);
	rl->plan->aim(ex, rl->in, &rl->target);
	call.target = text_string(&rl->target);
	rl->http = 0;
	rl->sent_us = clock_us();
	ex->instance = instance_name(rl->in);
	be_patient(ex);
	upstream_stream(instance_upstream(rl->in), &call, &receiver, ex, &ex->pending);
	headers_clear(&headers);
}

static void go_to(struct exchange *ex, struct instance *in)
{
	ex->relay->in = in;
	ex->tried |= 1u << instance_index(in);
	issue(ex);
}

/* It may be at work on a long question, or have lost it: the other one is asked, and if
 * there is none to ask, this one waited for. */
static void on_no_patience(void *arg)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;
	struct instance *in = rl->plan->choose(ex);

	if (in == NULL) {
		be_patient(ex);
		return;
	}
	health_report(rl->in, SIGNAL_TIMED_OUT, "no answer to a read");
	op_cancel(&ex->pending);
	evbuffer_drain(rl->data, evbuffer_get_length(rl->data));
	go_to(ex, in);
}

static void try_next(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	struct instance *in;

	if (clock_ms() >= ex->deadline) {
		exchange_fail(ex, STATUS_TIMED_OUT, "none");
		return;
	}
	in = rl->plan->choose(ex);
	if (in == NULL) {
		nobody_left(ex);
		return;
	}
	go_to(ex, in);
}

void relay_start(struct exchange *ex, const struct relay_plan *plan, struct blob *body)
{
	struct relay *rl = mem_new(struct relay);

	rl->plan = plan;
	rl->body = blob_ref(body);
	rl->data = evbuffer_new();
	rl->length = -1;
	ex->relay = rl;
	try_next(ex);
}

/* --- parts of plans ---------------------------------------------------------------- */

bool relay_untried(const struct exchange *ex, const struct instance *in)
{
	return (ex->tried & 1u << instance_index(in)) == 0;
}

static bool any_untried(const struct instance *in, void *arg)
{
	return relay_untried(arg, in);
}

struct instance *relay_choose_any(struct exchange *ex)
{
	return health_choose_read(any_untried, ex);
}

void relay_aim_same(struct exchange *ex, struct instance *in, struct text *target)
{
	(void)in;
	text_adds(target, ex->head->target);
}

void relay_gave_up(struct exchange *ex)
{
	exchange_fail(ex, STATUS_NO_INSTANCE, "none");
}
