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

/* As far as it has come. */
struct answer {
	int http; /* 0: none yet */
	struct headers headers;
	struct evbuffer *data; /* gathered, or waiting for a slow client */
};

struct relay {
	const struct relay_plan *plan;
	struct blob *body;
	struct instance *in;
	struct text target;
	struct answer answer;
	struct answer refusal; /* the 5xx to fall back on */
	int64_t length;        /* -1: not known */
	bool begun;            /* the client has had the first bytes */
	bool full;             /* enough waits for the client */
	size_t received;       /* of this call */
	uint64_t sent_us;
	struct timer patience; /* with a read that does not get on */
};

static void try_next(struct exchange *ex);
static void on_no_patience(void *arg);

static void be_patient(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	if (rl->plan->read)
		timer_start(&rl->patience, READ_PATIENCE_MS, on_no_patience, ex);
}

static void answer_clear(struct answer *a)
{
	headers_clear(&a->headers);
	if (a->data != NULL)
		evbuffer_free(a->data);
	*a = (struct answer){0};
}

static void over(struct exchange *ex, size_t bytes)
{
	if (ex->relay->plan->over != NULL)
		ex->relay->plan->over(ex, bytes);
}

void relay_stop(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	if (rl == NULL)
		return;
	over(ex, 0);
	ex->relay = NULL;
	timer_stop(&rl->patience);
	op_cancel(&ex->pending);
	answer_clear(&rl->answer);
	answer_clear(&rl->refusal);
	blob_unref(&rl->body);
	text_clear(&rl->target);
	mem_free(rl);
}

/* --- to the client ----------------------------------------------------------------- */

static void begin(struct exchange *ex, struct answer *a, int64_t length)
{
	exchange_headers(ex, a->http, &a->headers);
	ex->http = a->http;
	ex->relay->begun = true;
	timer_stop(&ex->relay->patience);
	client_begin(ex->client, a->http, &a->headers, length);
}

static void send_on(struct exchange *ex, struct evbuffer *data)
{
	ex->bytes_out += evbuffer_get_length(data);
	ex->relay->full = !client_send(ex->client, data);
}

static void end(struct exchange *ex)
{
	struct client *client = ex->client;

	ex->client = NULL;
	client_end(client);
	exchange_finish(ex);
}

/* --- a whole answer ---------------------------------------------------------------- */

/* What was gathered is moved to the client, not copied. */
static void send_whole(struct exchange *ex, struct answer *a)
{
	begin(ex, a, (int64_t)evbuffer_get_length(a->data));
	send_on(ex, a->data);
	end(ex);
}

static struct blob *content_of(struct answer *a)
{
	size_t len = evbuffer_get_length(a->data);
	struct blob *body = blob_create(evbuffer_pullup(a->data, -1), len);

	evbuffer_drain(a->data, len);
	return body;
}

static void give(struct exchange *ex, struct answer *a)
{
	struct headers headers = {0};
	struct blob *body = content_of(a);

	headers_move(&headers, &a->headers);
	ex->relay->plan->take(ex, ex->relay->in, a->http, &headers, body);
	headers_clear(&headers);
	blob_unref(&body);
}

static void pass_on(struct exchange *ex, struct answer *a)
{
	if (ex->relay->plan->take != NULL)
		give(ex, a);
	else
		send_whole(ex, a);
}

static void edit(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	if (rl->plan->edit != NULL)
		rl->plan->edit(ex, rl->in, rl->answer.http, rl->answer.data);
}

static void whole(struct exchange *ex)
{
	edit(ex);
	pass_on(ex, &ex->relay->answer);
}

/* Keep a 5xx in case no other instance does better. */
static void keep_refusal(struct exchange *ex)
{
	struct relay *rl = ex->relay;

	edit(ex);
	answer_clear(&rl->refusal);
	rl->refusal = rl->answer;
	rl->answer = (struct answer){.data = evbuffer_new()};
}

/* A Chroma beside a write: an item is in its metadata, and not yet in its index. A moment
 * later it is. */
static bool passes(const struct answer *refusal)
{
	static const char says[] = "Error finding id";

	return refusal->http == 500 &&
	       evbuffer_search(refusal->data, says, sizeof(says) - 1, NULL).pos >= 0;
}

static bool is_worth_another_round(struct exchange *ex)
{
	const struct relay *rl = ex->relay;

	return rl->plan->wait != NULL &&
	       (rl->plan->wait(ex) || (passes(&rl->refusal) && rounds_left(ex)));
}

static void nobody_left(struct exchange *ex)
{
	const struct relay_plan *plan = ex->relay->plan;
	struct answer *refusal = &ex->relay->refusal;

	if (refusal->http > 0 && !is_worth_another_round(ex)) {
		pass_on(ex, refusal);
		return;
	}
	relay_stop(ex);
	plan->none(ex);
}

/* --- a long answer ----------------------------------------------------------------- */

void relay_drained(struct exchange *ex)
{
	if (ex->relay == NULL || !ex->relay->begun)
		return;
	ex->relay->full = false;
	if (ex->pending != NULL)
		upstream_resume(ex->pending);
}

/* --- the instance ------------------------------------------------------------------ */

static void on_head(void *arg, struct reply_head *head)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;

	rl->answer.http = head->http;
	rl->length = head->framing == FRAMING_LENGTH ? (int64_t)head->content_length : -1;
	headers_move(&rl->answer.headers, &head->headers);
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
	rl->received += evbuffer_get_length(data);
	evbuffer_add_buffer(rl->answer.data, data);
	if (rl->plan->whole || evbuffer_get_length(rl->answer.data) <= GATHER_MOST)
		return;
	ex->upstream_us = clock_us() - rl->sent_us;
	over(ex, rl->received); /* how fast the rest comes is the client's affair */
	begin(ex, &rl->answer, rl->length);
	send_on(ex, rl->answer.data);
}

/* What has come of an answer that will not be passed on. */
static void forget(struct relay *rl)
{
	rl->answer.http = 0;
	evbuffer_drain(rl->answer.data, evbuffer_get_length(rl->answer.data));
}

static bool another_may_do_better(const struct relay *rl)
{
	int http = rl->answer.http;
	bool failed = (http >= 500 && http != 501) || http == 408 || http == 429;

	return (rl->plan->read && failed) || (rl->plan->exists && health_is_lost(http));
}

static void on_end(void *arg, const struct reply *reply)
{
	struct exchange *ex = arg;
	struct relay *rl = ex->relay;
	struct reply judged = *reply;
	bool ok = reply->status == STATUS_OK;

	timer_stop(&rl->patience);
	judged.http = rl->answer.http;
	ex->upstream_us = clock_us() - rl->sent_us;
	health_report(rl->in, health_signal_of(&judged), reply->detail);
	instance_count(rl->in, rl->plan->read, ok && rl->answer.http < 500);
	over(ex, ok ? rl->received : 0);
	if (ok && rl->plan->exists && health_is_lost(rl->answer.http))
		instance_look(rl->in);
	if (rl->begun) {
		if (ok)
			end(ex);
		else
			exchange_finish(ex); /* cuts */
	} else if (ok && !another_may_do_better(rl)) {
		whole(ex);
	} else {
		if (ok)
			keep_refusal(ex);
		forget(rl);
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
	                                     "tracestate"};
	char trace[TRACE_BYTES];
	const char *value;

	headers_add(to, "traceparent", trace_text(&ex->trace, trace));
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

static void issue(struct exchange *ex, uint64_t now_us)
{
	struct relay *rl = ex->relay;
	struct headers headers = {0};
	struct call call = {
	        .method = method_of(ex),
	        .headers = &headers,
	        .body = rl->body,
	        .timeout = exchange_left_at(ex, now_us / 1000),
	        .repeatable = rl->plan->read,
	};

	copy_headers(ex, &headers);
	text_reset(&rl->target);
	rl->plan->aim(ex, rl->in, &rl->target);
	call.target = text_string(&rl->target);
	rl->received = 0;
	rl->sent_us = now_us;
	ex->instance = instance_name(rl->in);
	be_patient(ex);
	upstream_stream(instance_upstream(rl->in), &call, &receiver, ex, &ex->pending);
	headers_clear(&headers);
}

static void go_to(struct exchange *ex, struct instance *in, uint64_t now_us)
{
	ex->relay->in = in;
	ex->tried |= 1u << instance_index(in);
	issue(ex, now_us);
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
	over(ex, 0);
	forget(rl);
	go_to(ex, in, clock_us());
}

static void try_next(struct exchange *ex)
{
	struct relay *rl = ex->relay;
	uint64_t now_us = clock_us();
	struct instance *in;

	if (now_us / 1000 >= ex->deadline) {
		exchange_fail(ex, STATUS_TIMED_OUT, "none");
		return;
	}
	in = rl->plan->choose(ex);
	if (in == NULL) {
		nobody_left(ex);
		return;
	}
	go_to(ex, in, now_us);
}

void relay_start(struct exchange *ex, const struct relay_plan *plan, struct blob *body)
{
	struct relay *rl = mem_new(struct relay);

	rl->plan = plan;
	rl->body = blob_ref(body);
	rl->answer.data = evbuffer_new();
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

void relay_rename(struct evbuffer *data, const struct uuid *from, const struct uuid *to)
{
	char *bytes = (char *)evbuffer_pullup(data, -1);

	if (bytes != NULL)
		rewrite_id(bytes, evbuffer_get_length(data), from, to);
}

void relay_gave_up(struct exchange *ex)
{
	exchange_fail(ex, STATUS_NO_INSTANCE, "none");
}
