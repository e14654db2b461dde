/* http/http.c - the client's side as a whole: what the server tells us, start and end.
 *
 *	on_head     who may do that (access.c), and limits, before the body is read
 *	on_request  an exchange is born, and given to whoever answers (dispatch.c)
 *	on_gone     its client has left
 */
#include "http/http.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "http/access.h"
#include "http/errand.h"
#include "http/exchange.h"
#include "http/operator.h"
#include "http/shown.h"
#include "http/timeline.h"

#define LOOK_MS 10u
#define LAST_REQUEST_MS 3000u
#define CLIENTS_MOST 4096u
#define FILES_KEPT 256u
#define OWN_MEMORY ((size_t)16 * 1024 * 1024) /* idle, and some more */

static struct {
	bool begun;
	struct timer look;
	msec until;
	void (*done)(void *arg);
	void *arg;
} draining;

/* --- from the server --------------------------------------------------------------- */

void http_refuse(struct refusal *out, int http, const char *name, const char *message)
{
	struct text json = {0};
	size_t len;

	exchange_add_error(&json, name, message);
	len = json.len;
	out->http = http;
	out->body = blob_adopt(text_detach(&json), len);
	headers_add(&out->headers, "content-type", "application/json");
}

static bool is_health(const char *target)
{
	return strcmp(target, "/health") == 0 || strcmp(target, "/healthz") == 0 ||
	       strcmp(target, "/livez") == 0;
}

static bool too_many(void)
{
	int64_t most = exchange_conf->max_concurrent_requests +
	               exchange_conf->request_queue_size;

	return exchange_count() >= (uint64_t)most;
}

static size_t memory(void)
{
	return (size_t)exchange_conf->max_memory_mb * 1024 * 1024;
}

/* The client of PostgreSQL may have a body in what it sends, in what it receives, and in
 * a result, and there is the copy of that; so it cannot be large. */
static size_t most_body(void)
{
	size_t most = (size_t)exchange_conf->max_body_size;

	return most < memory() / 8 ? most : memory() / 8;
}

/* Bodies and answers may have what is left. */
static size_t most_held(void)
{
	return memory() - OWN_MEMORY - 4 * most_body();
}

/* What has a body has to wait for room, but with every other request: too much is there
 * already. A request without one needs no room. */
static bool too_much(const struct request_head *head)
{
	return head->framing != FRAMING_NONE && server_held_bytes() > most_held();
}

static void refuse_for_now(const struct request_head *head, struct refusal *out)
{
	exchange_totals.rejected++;
	http_refuse(out, 429, "Backoff", "too many requests at a time");
	headers_add(&out->headers, "retry-after", RETRY_AFTER);
	headers_add(&out->headers, "x-chromatid-outcome", "none");
	cors_add(head, &out->headers);
}

/* Who had a connection before is served once more; who comes now, only if he just wants
 * to know how we are. */
static bool comes_too_late(const struct client *client, const struct request_head *head)
{
	struct route r;
	bool looks;

	if (!draining.begun || !client_is_late(client))
		return false;
	route_parse(&r, head->method, head->target);
	looks = access_need(&r) <= ACCESS_LOOK;
	route_clear(&r);
	return !looks;
}

static void refuse_for_good(const struct request_head *head, struct refusal *out)
{
	http_refuse(out, 503, "InternalError", "this proxy is shutting down");
	headers_add(&out->headers, "retry-after", RETRY_AFTER);
	cors_add(head, &out->headers);
}

static bool on_head(const struct client *client, const struct request_head *head,
                    size_t *max_body, struct refusal *out)
{
	enum access_answer answer;

	(void)max_body;
	if (is_health(head->target))
		return true;
	if (cors_preflight(head, out))
		return false;
	answer = access_judge(client, head);
	if (answer != ACCESS_GRANTED)
		access_refuse(answer, client, head, out);
	else if (comes_too_late(client, head))
		refuse_for_good(head, out);
	else if (too_many() || too_much(head))
		refuse_for_now(head, out);
	else
		return true;
	return false;
}

static void on_no_room(const struct request_head *head, struct refusal *out)
{
	refuse_for_now(head, out);
}

/* Chroma says it in plain text on the routes that carry embeddings. */
static bool plain_too_large(const struct route *r)
{
	return r->verb == VERB_ADD || r->verb == VERB_UPSERT || r->verb == VERB_UPDATE ||
	       r->verb == VERB_QUERY || strcmp(r->op, "search") == 0;
}

static void on_too_large(const struct request_head *head, struct refusal *out)
{
	struct route r;

	exchange_totals.too_large++;
	route_parse(&r, head->method, head->target);
	if (plain_too_large(&r)) {
		out->http = 413;
		out->body = blob_create("Payload too large", 17);
	} else {
		http_refuse(out, 413, "ChromaError",
		            "Failed to buffer the request body: length limit exceeded");
	}
	headers_add(&out->headers, "x-chromatid-outcome", "none");
	cors_add(head, &out->headers);
	route_clear(&r);
}

static void on_malformed(int http, struct refusal *out)
{
	exchange_totals.malformed++;
	http_refuse(out, http, "ChromaError", head_reason(http));
}

/* No exchange is born for it, but its client must find it in the log as any other. */
static void on_refused(const struct client *client, const struct request_head *head,
                       struct refusal *out)
{
	struct access_entry entry = {.id = exchange_next_id(),
	                             .http = out->http,
	                             .bytes_out = blob_len(out->body),
	                             .op = "unknown"};
	bool known = head->target != NULL;
	struct route r = {0};
	char text[TRACE_ID_BYTES];

	trace_begin(&entry.trace,
	            known ? headers_get(&head->headers, "traceparent") : NULL);
	access_address(client, head, entry.address);
	if (out->http >= 400)
		headers_add(&out->headers, "chroma-trace-id",
		            trace_id(&entry.trace, text));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)entry.id);
	headers_add(&out->headers, "x-request-id", text);
	if (headers_get(&out->headers, "x-chromatid-outcome") == NULL)
		headers_add(&out->headers, "x-chromatid-outcome", "none");
	if (known) {
		route_parse(&r, head->method, head->target);
		entry.op = r.op;
	}
	exchange_log(&entry);
	route_clear(&r);
}

static void on_request(struct client *client, const struct request_head *head,
                       struct blob *body)
{
	struct exchange *ex = exchange_create(client, head, body);

	client_watch(client, ex);
	dispatch(ex);
}

/* A read ends with its client. A write that is in the log goes on without this exchange;
 * one that is not there yet is taken up by the log or not, as it comes. */
static void on_gone(void *arg)
{
	struct exchange *ex = arg;

	ex->client = NULL;
	ex->http = 0;
	exchange_finish(ex);
}

static void on_drained(void *arg)
{
	relay_drained(arg);
}

static const struct server_handler handler = {
        .on_head = on_head,
        .on_too_large = on_too_large,
        .on_no_room = on_no_room,
        .on_malformed = on_malformed,
        .on_refused = on_refused,
        .on_request = on_request,
        .on_gone = on_gone,
        .on_drained = on_drained,
};

/* --- start and end ----------------------------------------------------------------- */

bool http_draining(void)
{
	return draining.begun;
}

/* Descriptors are kept back for instances, PostgreSQL and ourselves. */
static unsigned most_clients(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < 2 * FILES_KEPT)
		return FILES_KEPT;
	return files.rlim_cur - FILES_KEPT < CLIENTS_MOST
	               ? (unsigned)(files.rlim_cur - FILES_KEPT)
	               : CLIENTS_MOST;
}

char *http_start(const struct conf *conf)
{
	struct server_options options = {
	        .listen = conf->listen,
	        .port = conf->port,
	        .idle_timeout = conf->idle_timeout,
	        .head_timeout = 10000,
	        .max_clients = most_clients(),
	        .handler = &handler,
	};

	exchange_conf = conf;
	access_start(conf);
	cors_start(conf->cors_allow_origins);
	options.max_body = most_body();
	options.max_held = most_held();
	shown_start();
	timeline_start();
	errand_start();
	return server_start(&options);
}

static void on_drain_look(void *arg)
{
	(void)arg;
	if ((exchange_count() > 0 || server_awaits_last()) && clock_ms() < draining.until)
		timer_start(&draining.look, LOOK_MS, on_drain_look, NULL);
	else
		draining.done(draining.arg);
}

void http_drain(bool others, void (*done)(void *arg), void *arg)
{
	draining.begun = true;
	draining.until = clock_ms() + exchange_conf->drain_timeout;
	draining.done = done;
	draining.arg = arg;
	wal_errand_rest();
	server_drain(others ? LAST_REQUEST_MS : 0);
	timer_start(&draining.look, 0, on_drain_look, NULL);
}

bool http_ready(void)
{
	return operator_ready();
}

void http_stop(void)
{
	timer_stop(&draining.look);
	export_stop();
	timeline_stop();
	shown_stop();
	server_stop();
	errand_stop_all();
	together_stop();
}
