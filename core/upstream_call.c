/* core/upstream_call.c - one call, from the request to its one end.
 *
 * The happy path:
 *   upstream_call / upstream_stream   write the request head, start the clock
 *   upstream_place                    (upstream.c) a connection, now or when one is free
 *   upcall_offer                      a stream's head and data, while they come
 *   upcall_complete                   all of it is there
 *   upcall_end                        the result is settled; delivered on the next turn
 *
 * When it does not go well:
 *   - the time is over: the connection is closed, TIMED_OUT
 *   - the receiver is slow: what it leaves stays with the call; the time does not count
 *   - the owner cancels, also from inside the receiver: `abandon`, nobody is called
 *   - the connection fails: upstream_conn.c either tries again or ends the call */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/upstream_private.h"

#define MAX_REPLY ((size_t)64 * 1024 * 1024)
#define SMALL_BODY ((size_t)16 * 1024)

/* ---- the end ---- */

static void deliver(struct op *op)
{
	struct upcall *call = (struct upcall *)op;

	if (call->receiver != NULL)
		call->receiver->on_end(call->arg, &call->reply);
	else
		call->done(call->arg, &call->reply);
}

static void release(struct op *op)
{
	struct upcall *call = (struct upcall *)op;

	text_clear(&call->request);
	blob_unref(&call->content);
	text_clear(&call->head_bytes);
	text_clear(&call->whole);
	reply_head_clear(&call->head);
	blob_unref(&call->reply.body);
	if (call->pieces != NULL)
		evbuffer_free(call->pieces);
	free(call->detail);
	mem_free(call);
}

/* What a whole reply is handed on as. */
static void fill_reply(struct upcall *call)
{
	size_t len = call->whole.len;

	call->reply.http = call->head.http;
	if (call->receiver != NULL)
		return;
	call->reply.headers = &call->head.headers;
	if (len > 0)
		call->reply.body = blob_adopt(text_detach(&call->whole), len);
}

void upcall_end(struct upcall *call, enum status status, const char *detail)
{
	static const struct headers none;
	struct upstream *up = call->up;

	assert(up != NULL && call->conn == NULL);
	if (call->waiting) {
		TAILQ_REMOVE(&up->waiting, call, wait_link);
		up->figures.waiting--;
	}
	TAILQ_REMOVE(&up->open, call, link);
	call->up = NULL;
	timer_stop(&call->deadline);
	timer_stop(&call->offer);
	call->detail = mem_string(detail);
	call->reply = (struct reply){.status = status,
	                             .sent = call->sent,
	                             .headers = &none,
	                             .detail = detail != NULL ? call->detail : ""};
	if (status == STATUS_OK)
		fill_reply(call);
	else
		up->figures.failures++;
	op_end(&call->op);
}

/* Ends a call in the middle of whatever it does. */
static void stop(struct upcall *call, enum status status, const char *detail)
{
	struct upstream *up = call->up;

	if (call->conn != NULL)
		upconn_close(call->conn);
	upcall_end(call, status, detail);
	upstream_fill(up);
}

static void abandon(struct op *op)
{
	struct upcall *call = (struct upcall *)op;

	if (call->up != NULL)
		stop(call, STATUS_STOPPED, "cancelled");
}

/* ---- the time limit ---- */

static const char *phase(const struct upcall *call)
{
	if (call->waiting)
		return "waiting for a free connection";
	if (call->conn != NULL && call->conn->state != UPCONN_BUSY)
		return "connecting";
	if (call->written < call->request.len + blob_len(call->content))
		return "sending the request";
	return call->has_head ? "in the middle of the reply" : "no reply";
}

static void on_deadline(void *arg)
{
	struct upcall *call = arg;
	char detail[96];
	msec quiet;

	if (call->receiver != NULL && call->has_head) {
		quiet = clock_ms() - call->progress;
		if (upcall_holds_back(call))
			quiet = 0;
		if (quiet < call->timeout) {
			timer_start(&call->deadline, call->timeout - quiet, on_deadline,
			            call);
			return;
		}
	}
	(void)snprintf(detail, sizeof(detail), "%s after %llu ms", phase(call),
	               (unsigned long long)call->timeout);
	stop(call, STATUS_TIMED_OUT, detail);
}

/* ---- the receiver of a stream ---- */

bool upcall_holds_back(const struct upcall *call)
{
	return call->pieces != NULL && evbuffer_get_length(call->pieces) > 0;
}

/* Inside each of the two callbacks the receiver may cancel, which leaves call->up NULL;
 * the call itself stays until the next turn. */
void upcall_offer(struct upcall *call)
{
	if (call->receiver == NULL || !call->has_head)
		return;
	if (!call->complete) /* else all that can last is the receiver's affair */
		call->progress = clock_ms();
	if (!call->told_head) {
		call->told_head = true;
		call->receiver->on_head(call->arg, &call->head);
	}
	if (call->up != NULL && upcall_holds_back(call))
		call->receiver->on_data(call->arg, call->pieces);
}

void upcall_complete(struct upcall *call)
{
	call->complete = true;
	upcall_offer(call);
	if (call->up != NULL && !upcall_holds_back(call))
		upcall_end(call, STATUS_OK, NULL);
}

static void on_offer(void *arg)
{
	struct upcall *call = arg;

	if (call->complete) {
		upcall_complete(call);
		return;
	}
	upcall_offer(call);
	if (call->up != NULL && call->conn != NULL &&
	    evbuffer_get_length(call->pieces) <= UPSTREAM_HOLD_MAX)
		upconn_read_on(call->conn);
}

void upstream_resume(struct op *op)
{
	struct upcall *call = (struct upcall *)op;

	if (call->up != NULL && call->has_head)
		timer_start(&call->offer, 0, on_offer, call);
}

/* ---- the request ---- */

static bool has_body_by_custom(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

/* Ours, or about the client's own connection. */
static bool is_left_out(const struct upstream *up, const struct headers *headers,
                        const struct header *f)
{
	return header_named(f, "Host") || header_named(f, "Content-Length") ||
	       header_named(f, "Expect") || head_is_hop_by_hop(f, NULL) ||
	       (up->auth_header != NULL && header_named(f, up->auth_header)) ||
	       headers_has_token(headers, "Connection", f->name);
}

static void add_field(struct text *out, const char *name, const char *value)
{
	text_adds(out, name);
	text_adds(out, ": ");
	text_adds(out, value);
	text_adds(out, "\r\n");
}

static void add_fields(struct text *out, const struct upstream *up,
                       const struct headers *headers)
{
	struct header f;
	size_t at = 0;

	while (headers_next(headers, &at, &f))
		if (!is_left_out(up, headers, &f))
			add_field(out, f.name, f.value);
}

static void add_request_line(struct text *out, const struct call *from)
{
	text_adds(out, from->method);
	text_addc(out, ' ');
	text_adds(out, from->target);
	text_adds(out, " HTTP/1.1\r\n");
}

static void add_length(struct text *out, size_t len)
{
	text_adds(out, "Content-Length: ");
	text_add_number(out, (int64_t)len);
	text_adds(out, "\r\n");
}

static void write_request(struct upcall *call, const struct call *from)
{
	const struct upstream *up = call->up;
	struct text *out = &call->request;

	text_reserve(out, 512);
	add_request_line(out, from);
	add_field(out, "Host", up->address.authority);
	if (from->headers != NULL)
		add_fields(out, up, from->headers);
	if (up->auth_header != NULL)
		add_field(out, up->auth_header, up->auth_value);
	if (from->body != NULL || has_body_by_custom(from->method))
		add_length(out, blob_len(from->body));
	text_adds(out, from->alone ? "Connection: close\r\n\r\n" : "\r\n");
	/* TLS has no way to send two pieces as one. */
	if (up->tls != NULL && blob_len(from->body) <= SMALL_BODY)
		text_add(out, blob_bytes(from->body), blob_len(from->body));
	else
		call->content = blob_ref(from->body);
}

/* ---- the beginning ---- */

static struct upcall *begin(struct upstream *up, const struct call *from, void *arg,
                            struct op **slot)
{
	struct upcall *call = mem_new(struct upcall);

	assert(strlen(from->method) < sizeof(call->method));
	call->op.deliver = deliver;
	call->op.release = release;
	call->op.abandon = abandon;
	call->up = up;
	call->arg = arg;
	call->timeout = from->timeout;
	call->repeatable = from->repeatable;
	call->alone = from->alone;
	call->max_reply = from->max_reply > 0 ? from->max_reply : MAX_REPLY;
	memcpy(call->method, from->method, strlen(from->method));
	write_request(call, from);
	TAILQ_INSERT_TAIL(&up->open, call, link);
	up->figures.calls++;
	timer_start(&call->deadline, call->timeout, on_deadline, call);
	op_begin(&call->op, slot);
	return call;
}

void upstream_call(struct upstream *up, const struct call *from, upstream_fn *done,
                   void *arg, struct op **slot)
{
	struct upcall *call = begin(up, from, arg, slot);

	call->done = done;
	upstream_place(up, call);
}

void upstream_stream(struct upstream *up, const struct call *from,
                     const struct upstream_receiver *receiver, void *arg,
                     struct op **slot)
{
	struct upcall *call = begin(up, from, arg, slot);

	call->receiver = receiver;
	call->pieces = evbuffer_new();
	if (call->pieces == NULL)
		abort();
	upstream_place(up, call);
}
