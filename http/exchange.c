/* http/exchange.c - one client request: its birth, the ways to answer it, the ways to
 * wait, and its end. Everything that answers leads to exchange_finish(), the only door
 * out. */
#include "http/exchange.h"
#include "http/access.h"
#include "http/errand.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#define LOOK_MS 10u

const struct conf *exchange_conf;
struct exchange_figures exchange_totals;

static unsigned count; /* of exchanges there are */
static uint64_t last_id;

uint64_t exchange_next_id(void)
{
	return ++last_id;
}

struct exchange *exchange_create(struct client *client, const struct request_head *head,
                                 struct blob *body)
{
	struct exchange *ex = mem_new(struct exchange);

	ex->client = client;
	ex->head = head;
	if (client != NULL)
		access_address(client, head, ex->address);
	trace_begin(&ex->trace, headers_get(&head->headers, "traceparent"));
	ex->body = blob_ref(body);
	ex->started_us = clock_us();
	ex->deadline = ex->started_us / 1000 + exchange_conf->request_timeout;
	ex->id = exchange_next_id();
	exchange_totals.total++;
	count++;
	route_parse(&ex->route, head->method, head->target);
	return ex;
}

unsigned exchange_count(void)
{
	return count;
}

/* --- answering --------------------------------------------------------------------- */

static const char *said(const char *text)
{
	return text != NULL ? text : LOG_ABSENT;
}

void exchange_log(const struct access_entry *e)
{
	char trace[TRACE_ID_BYTES];
	struct log_field fields[] = {
	        {"request_id", NULL, (int64_t)e->id},
	        {"trace_id", trace_id(&e->trace, trace), 0},
	        {"client", e->address, 0},
	        {"op", e->op, 0},
	        {"status", NULL, e->http},
	        {"dur_ms", LOG_THOUSANDTHS, (int64_t)e->took_us},
	        {"bytes_in", NULL, (int64_t)e->bytes_in},
	        {"bytes_out", NULL, (int64_t)e->bytes_out},
	        {"instance", said(e->instance), 0},
	        {"collection", said(e->collection), 0},
	        {"seq", e->seq > 0 ? NULL : LOG_ABSENT, e->seq},
	        {0},
	};

	if (exchange_conf->access_log)
		log_line(LOG_INFO, "access", fields, "%s",
		         e->http > 0 ? "answered" : "cut");
}

static void log_exchange(const struct exchange *ex)
{
	struct access_entry e = {
	        .id = ex->id,
	        .trace = ex->trace,
	        .op = ex->route.op,
	        .instance = ex->instance,
	        .collection = ex->collection != NULL ? ex->collection->name : NULL,
	        .http = ex->http,
	        .took_us = clock_us() - ex->started_us,
	        .bytes_in = blob_len(ex->body),
	        .bytes_out = ex->bytes_out,
	        .seq = ex->seq,
	};

	memcpy(e.address, ex->address, sizeof(e.address));
	exchange_log(&e);
}

void exchange_finish(struct exchange *ex)
{
	relay_stop(ex);
	together_leave(ex);
	op_cancel(&ex->pending);
	timer_stop(&ex->timer);
	repeat_end(ex);
	if (ex->client != NULL) {
		client_abort(ex->client);
		ex->http = 0;
	}
	if (ex->errand != NULL)
		errand_end(ex->errand);
	exchange_totals.classes[ex->http / 100 < 6 ? ex->http / 100 : 5]++;
	tally_answer(ex);
	log_exchange(ex);
	count--;
	collection_release(&ex->collection);
	database_release(&ex->database);
	blob_unref(&ex->body);
	route_clear(&ex->route);
	free(ex->wish);
	mem_free(ex);
}

/* In milliseconds, to tenths. */
static void add_duration(struct text *to, const char *name, uint64_t us)
{
	uint64_t tenths = (us + 50) / 100;

	text_adds(to, name);
	text_adds(to, ";dur=");
	text_add_number(to, (int64_t)(tenths / 10));
	text_addc(to, '.');
	text_add_number(to, (int64_t)(tenths % 10));
}

/* What is neither the log's nor the instance's time it has waited here. */
static void add_timing(const struct exchange *ex, struct headers *h)
{
	uint64_t took = clock_us() - ex->started_us,
	         theirs = ex->log_us + ex->upstream_us;
	static struct text durations; /* keeps its room */

	text_reset(&durations);
	add_duration(&durations, "queue", took > theirs ? took - theirs : 0);
	text_adds(&durations, ", ");
	add_duration(&durations, "log", ex->log_us);
	text_adds(&durations, ", ");
	add_duration(&durations, "upstream", ex->upstream_us);
	headers_add(h, "server-timing", durations.s);
}

/* Nobody else has been asked, and nothing is logged. */
static bool is_ours(const struct exchange *ex)
{
	return ex->seq == 0 && ex->instance == NULL;
}

void exchange_headers(const struct exchange *ex, int http, struct headers *h)
{
	char trace[TRACE_ID_BYTES];

	if (ex->route.kind == ROUTE_WRONG_METHOD)
		headers_add(h, "allow", ex->route.allow);
	if (http >= 400 && headers_get(h, "chroma-trace-id") == NULL)
		headers_add(h, "chroma-trace-id", trace_id(&ex->trace, trace));
	if (http >= 400 && is_ours(ex) && headers_get(h, "x-chromatid-outcome") == NULL)
		headers_add(h, "x-chromatid-outcome", "none");
	if (ex->seq > 0)
		headers_add_number(h, "x-chromatid-seq", ex->seq);
	if (ex->instance != NULL)
		headers_add(h, "x-chromatid-instance", ex->instance);
	if (ex->stale > 0)
		headers_add_number(h, "x-chromatid-stale", (int64_t)ex->stale);
	headers_add_number(h, "x-request-id", (int64_t)ex->id);
	if (ex->log_us > 0 || ex->upstream_us > 0)
		add_timing(ex, h);
	cors_add(ex->head, h);
}

void exchange_reply(struct exchange *ex, int http, const struct headers *more,
                    struct blob *body)
{
	struct headers h = {0};
	struct client *client = ex->client;

	ex->http = http;
	ex->bytes_out = blob_len(body);
	if (ex->errand != NULL) {
		errand_reply(ex->errand, http, more, body);
		exchange_finish(ex);
		return;
	}
	if (more != NULL)
		headers_copy(&h, more);
	exchange_headers(ex, http, &h);
	ex->client = NULL;
	client_reply(client, http, &h, body);
	headers_clear(&h);
	exchange_finish(ex);
}

static void reply_json(struct exchange *ex, int http, struct headers *h,
                       struct text *json)
{
	size_t len = json->len;
	struct blob *body = blob_adopt(text_detach(json), len);

	headers_add(h, "content-type", "application/json");
	exchange_reply(ex, http, h, body);
	headers_clear(h);
	blob_unref(&body);
}

void exchange_json_text(struct exchange *ex, int http, struct text *json)
{
	struct headers h = {0};

	reply_json(ex, http, &h, json);
}

void exchange_json(struct exchange *ex, int http, const char *format, ...)
{
	struct text json = {0};
	va_list args;

	va_start(args, format);
	text_addv(&json, format, args);
	va_end(args);
	exchange_json_text(ex, http, &json);
}

void exchange_add_error(struct text *json, const char *name, const char *message)
{
	text_addf(json, "{\"error\":\"%s\",\"message\":", name);
	json_add_quoted(json, message, strlen(message));
	text_addc(json, '}');
}

void exchange_error(struct exchange *ex, int http, const char *name, const char *format,
                    ...)
{
	struct text json = {0}, message = {0};
	va_list args;

	va_start(args, format);
	text_addv(&message, format, args);
	va_end(args);
	exchange_add_error(&json, name, text_string(&message));
	text_clear(&message);
	exchange_json_text(ex, http, &json);
}

static const char *error_name(enum status s)
{
	switch (status_http(s)) {
	case 429:
		return "Backoff";
	case 503:
		return "InternalError";
	default:
		return "ChromaError";
	}
}

void exchange_fail_saying(struct exchange *ex, enum status s, const char *outcome,
                          const char *message)
{
	struct headers h = {0};
	struct text json = {0};

	exchange_totals.timeouts += status_http(s) == 504;
	headers_add(&h, "retry-after", RETRY_AFTER);
	headers_add(&h, "x-chromatid-outcome", outcome);
	exchange_add_error(&json, error_name(s), message);
	reply_json(ex, status_http(s), &h, &json);
}

void exchange_fail(struct exchange *ex, enum status s, const char *outcome)
{
	char *message;

	if (ex->seq == 0) {
		exchange_fail_saying(ex, s, outcome, status_text(s));
		return;
	}
	message = mem_format("%s (record %lld)", status_text(s), (long long)ex->seq);
	exchange_fail_saying(ex, s, outcome, message);
	free(message);
}

void exchange_no_collection(struct exchange *ex)
{
	struct uuid id;
	bool is_id = uuid_parse(ex->route.item, strlen(ex->route.item), &id);

	if (strlen(ex->route.database) < 3)
		exchange_error(ex, 400, "InvalidArgumentError",
		               "database name must be at least 3 characters");
	else
		exchange_error(ex, 404, "NotFoundError",
		               "Collection [%s] does not exist.",
		               is_id ? id.text : ex->route.item);
}

/* --- waiting ----------------------------------------------------------------------- */

msec exchange_left_at(const struct exchange *ex, msec now)
{
	return ex->deadline > now ? ex->deadline - now : 1;
}

msec exchange_left(const struct exchange *ex)
{
	return exchange_left_at(ex, clock_ms());
}

static void on_refreshed(void *arg, enum status s)
{
	struct exchange *ex = arg;

	if (s == STATUS_OK && wal_follows()) {
		ex->refreshed = true;
		ex->again(ex);
		return;
	}
	ex->refreshed = false;
	if (s != STATUS_LOG_UNAVAILABLE) /* the catalogue may be gone */
		dispatch(ex);
	else if (!exchange_hold(ex, exchange_conf->write_wait, ex->again))
		exchange_fail(ex, STATUS_LOG_UNAVAILABLE, "none");
}

static const void *subject(const struct exchange *ex)
{
	return ex->collection != NULL ? (const void *)ex->collection : ex->database;
}

void exchange_refresh(struct exchange *ex, void (*again)(struct exchange *ex))
{
	ex->again = again;
	ex->refreshed_for = subject(ex);
	wal_refresh(ex->collection, ex->collection == NULL ? ex->database : NULL,
	            on_refreshed, ex, &ex->pending);
}

bool exchange_refreshes(struct exchange *ex, void (*again)(struct exchange *ex))
{
	if (!wal_follows() || (ex->refreshed && ex->refreshed_for == subject(ex)))
		return false;
	exchange_refresh(ex, again);
	return true;
}

/* What it waited for may be that the catalogue went away with our lease; where another
 * leads, it is seen only by looking again. */
void exchange_go_on(struct exchange *ex)
{
	if (!dispatch_needs_catalogue(ex))
		ex->again(ex);
	else if (!wal_serves())
		dispatch(ex);
	else if (wal_follows())
		exchange_refresh(ex, ex->again);
	else
		ex->again(ex);
}

static void on_again(void *arg)
{
	struct exchange *ex = arg;

	timer_stop(&ex->timer);
	exchange_go_on(ex);
}

bool exchange_hold(struct exchange *ex, msec wait, void (*again)(struct exchange *ex))
{
	msec now = clock_ms();

	if (ex->hold_until == 0)
		ex->hold_until = now + wait;
	if (now >= ex->hold_until)
		return false;
	ex->again = again;
	timer_start(&ex->timer, LOOK_MS, on_again, ex);
	return true;
}

/* With every instance down it may stay undecided for long. */
static void on_undecided(void *arg)
{
	exchange_fail(arg, STATUS_NO_INSTANCE, "none");
}

void exchange_wait_collection(struct exchange *ex, struct collection *c,
                              void (*again)(struct exchange *ex))
{
	ex->again = again;
	collection_wait(c, on_again, ex, &ex->pending);
	timer_start(&ex->timer, exchange_conf->write_wait, on_undecided, ex);
}

void exchange_wait_database(struct exchange *ex, struct database *db,
                            void (*again)(struct exchange *ex))
{
	ex->again = again;
	database_wait(db, on_again, ex, &ex->pending);
	timer_start(&ex->timer, exchange_conf->write_wait, on_undecided, ex);
}
