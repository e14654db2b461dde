/* http/errand.c - an operator's request works through any proxy: what only the leader can
 * do is passed on to it, through PostgreSQL (wal/errand.c). Which requests those are is a
 * column in dispatch.c.
 *
 * The happy path, at a proxy that follows:
 *   errand_pass_on   who asks may do so (access.c): the request is noted, without tokens
 *   on_answer        the leader's answer, as it is, and a header that says whose it is
 * and at the one that leads:
 *   carry_out        an exchange of its own, with no client, goes the way of any other
 *   errand_reply     its answer goes into PostgreSQL instead of to a client
 * When it does not go well the client hears 503, and whether anything was done:
 *   - not noted, or taken by nobody: nothing, and nothing will be
 *   - taken, and no answer comes: perhaps; it is for who asked to look
 *   - what is said is too long to be passed on: 413 for a request, before it is noted;
 *     502 for an answer */
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "http/access.h"
#include "http/errand.h"
#include "http/exchange.h"

struct errand {
	struct wal_taken *taken; /* NULL: it is answered */
	struct request_head head;
	char *who;
	struct exchange *ex;
	TAILQ_ENTRY(errand) link;
};

static TAILQ_HEAD(errand_list, errand) list = TAILQ_HEAD_INITIALIZER(list);

/* --- at a proxy that follows -------------------------------------------------------- */

static const struct {
	enum status status;
	const char *outcome, *message;
} ends[] = {
        [ERRAND_TOO_MANY] = {STATUS_BUSY, "none",
                             "too many requests wait for the proxy that leads"},
        [ERRAND_NOT_NOTED] = {STATUS_LOG_UNAVAILABLE, "none",
                              "another proxy leads, and PostgreSQL, by which it is "
                              "asked, is unavailable: nothing was done"},
        [ERRAND_NOT_TAKEN] = {STATUS_DEPOSED, "none",
                              "no proxy that leads has taken it up in time: nothing was "
                              "done, and nothing will be"},
        [ERRAND_UNKNOWN] = {STATUS_DEPOSED, "unknown",
                            "the proxy that leads has not said what became of it: it "
                            "may have been done or not; look before you ask again"},
        [ERRAND_LATE] = {STATUS_TIMED_OUT, "unknown",
                         "the proxy that leads is still at it; look what has become of "
                         "it before you ask again"},
};

static void on_answer(void *arg, enum wal_errand_end end,
                      const struct wal_errand_answer *answer)
{
	struct exchange *ex = arg;
	struct headers h = {0};

	if (end != ERRAND_ANSWERED) {
		exchange_fail_saying(ex, ends[end].status, ends[end].outcome,
		                     ends[end].message);
		return;
	}
	errand_headers_read(answer->headers, &h);
	headers_add(&h, "x-chromatid-leader", answer->leader);
	exchange_reply(ex, answer->code, &h, answer->body);
	headers_clear(&h);
}

/* What the answer may depend on; never what says who asks. */
static bool is_passed_on(const struct header *f)
{
	return header_named(f, "content-type") || header_named(f, "idempotency-key");
}

static void add_headers(const struct exchange *ex, struct text *to)
{
	char trace[TRACE_BYTES];
	struct header f;
	size_t at = 0;

	while (headers_next(&ex->head->headers, &at, &f))
		if (is_passed_on(&f))
			errand_headers_add(to, f.name, f.value);
	errand_headers_add(to, "traceparent", trace_text(&ex->trace, trace));
}

void errand_pass_on(struct exchange *ex)
{
	struct text headers = {0};
	struct wal_errand e = {.method = ex->head->method,
	                       .target = ex->head->target,
	                       .address = ex->address,
	                       .who = access_who(ex->head),
	                       .body = ex->body};

	if (blob_len(ex->body) > WAL_ERRAND_BODY_MOST) {
		exchange_error(
		        ex, 413, "ChromaError",
		        "Another proxy leads, and more than %u bytes are not passed "
		        "on to it",
		        WAL_ERRAND_BODY_MOST);
		return;
	}
	add_headers(ex, &headers);
	e.headers = text_string(&headers);
	wal_errand_ask(&e, exchange_left(ex), on_answer, ex, &ex->pending);
	text_clear(&headers);
}

/* --- at the one that leads ---------------------------------------------------------- */

static void carry_out(const struct wal_errand *wanted, struct wal_taken *taken)
{
	struct errand *e = mem_new(struct errand);
	struct exchange *ex;

	e->taken = taken;
	e->who = mem_string(wanted->who);
	snprintf(e->head.method, sizeof(e->head.method), "%s", wanted->method);
	e->head.target = mem_string(wanted->target);
	errand_headers_read(wanted->headers, &e->head.headers);
	ex = e->ex = exchange_create(NULL, &e->head, wanted->body);
	ex->errand = e;
	snprintf(ex->address, sizeof(ex->address), "%s", wanted->address);
	TAILQ_INSERT_TAIL(&list, e, link);
	dispatch(ex);
}

static void answer(struct errand *e, int http, const struct headers *h, struct blob *body)
{
	struct text headers = {0};

	errand_headers_write(h, &headers);
	wal_errand_answer(e->taken, http, text_string(&headers), body);
	e->taken = NULL;
	text_clear(&headers);
}

static void answer_is_too_long(struct errand *e, int http, size_t len)
{
	struct headers h = {0};
	struct text json = {0};
	char *message =
	        mem_format("The proxy that leads has done it, and answered %d with "
	                   "%zu bytes; no more than %u are passed on: ask that one",
	                   http, len, WAL_ERRAND_ANSWER_MOST);
	struct blob *body;

	exchange_add_error(&json, "ChromaError", message);
	free(message);
	headers_add(&h, "content-type", "application/json");
	headers_add(&h, "x-chromatid-outcome", "unknown");
	len = json.len;
	body = blob_adopt(text_detach(&json), len);
	answer(e, 502, &h, body);
	blob_unref(&body);
	headers_clear(&h);
}

void errand_reply(struct errand *e, int http, const struct headers *h, struct blob *body)
{
	if (blob_len(body) > WAL_ERRAND_ANSWER_MOST)
		answer_is_too_long(e, http, blob_len(body));
	else
		answer(e, http, h, body);
}

const char *errand_who(const struct errand *e)
{
	return e->who;
}

void errand_end(struct errand *e)
{
	if (e->taken != NULL)
		wal_errand_drop(e->taken);
	TAILQ_REMOVE(&list, e, link);
	request_head_clear(&e->head);
	free(e->who);
	free(e);
}

/* --- start and end ------------------------------------------------------------------ */

void errand_start(void)
{
	wal_errand_start(carry_out);
}

void errand_stop_all(void)
{
	while (!TAILQ_EMPTY(&list))
		exchange_finish(TAILQ_FIRST(&list)->ex);
	wal_errand_stop();
}
