/* http/exchange.c - one client request: how it begins, how it may end.
 *
 *	on_head     limits, before the body is read
 *	on_request  route it, give it to whoever answers
 *	exchange_reply, exchange_fail, ... -> exchange_finish, the only door out
 */
#include "http/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "http/http.h"

#define LOOK_MS 10u
#define CLIENTS_MOST 4096u
#define FILES_KEPT 256u
#define RETRY_AFTER "1"

const struct conf *exchange_conf;

static struct {
	TAILQ_HEAD(exchange_list, exchange) list;
	unsigned count;
	uint64_t last_id;
	bool draining;
	struct exchange_figures figures;
	struct timer drain;
	msec drain_until;
	void (*drained)(void *arg);
	void *drained_arg;
} exchanges = {.list = TAILQ_HEAD_INITIALIZER(exchanges.list)};

/* --- answering --------------------------------------------------------------------- */

static void access_line(const struct exchange *ex)
{
	struct log_field fields[] = {
	        {"op", ex->route.op, 0},
	        {"status", NULL, ex->http},
	        {"dur_us", NULL, (int64_t)(clock_us() - ex->started_us)},
	        {"bytes_in", NULL, (int64_t)blob_len(ex->body)},
	        {"bytes_out", NULL, (int64_t)ex->bytes_out},
	        {"seq", NULL, ex->seq},
	        {"instance", ex->instance != NULL ? ex->instance : "", 0},
	        {"request_id", NULL, (int64_t)ex->id},
	        {NULL, NULL, 0},
	};

	if (exchange_conf->access_log)
		log_line(LOG_INFO, "access", fields, "%s",
		         ex->http > 0 ? "answered" : "cut");
}

void exchange_finish(struct exchange *ex)
{
	relay_stop(ex);
	op_cancel(&ex->pending);
	timer_stop(&ex->timer);
	if (ex->client != NULL) {
		client_abort(ex->client);
		ex->http = 0;
	}
	exchanges.figures.classes[ex->http / 100 < 6 ? ex->http / 100 : 5]++;
	tally_answer(ex);
	access_line(ex);
	TAILQ_REMOVE(&exchanges.list, ex, link);
	exchanges.count--;
	collection_release(&ex->collection);
	database_release(&ex->database);
	blob_unref(&ex->body);
	route_clear(&ex->route);
	free(ex);
}

static void add_number(struct headers *h, const char *name, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	headers_add(h, name, text);
}

void exchange_headers(const struct exchange *ex, int http, struct headers *h)
{
	char text[96];

	if (http >= 400 && headers_get(h, "chroma-trace-id") == NULL) {
		snprintf(text, sizeof(text), "%032llx", (unsigned long long)ex->id);
		headers_add(h, "chroma-trace-id", text);
	}
	if (ex->seq > 0)
		add_number(h, "x-chromatid-seq", ex->seq);
	if (ex->instance != NULL)
		headers_add(h, "x-chromatid-instance", ex->instance);
	if (ex->stale > 0)
		add_number(h, "x-chromatid-stale", (int64_t)ex->stale);
	add_number(h, "x-request-id", (int64_t)ex->id);
	if (ex->log_us > 0 || ex->upstream_us > 0) {
		snprintf(text, sizeof(text), "log;dur=%.1f, upstream;dur=%.1f",
		         (double)ex->log_us / 1000, (double)ex->upstream_us / 1000);
		headers_add(h, "server-timing", text);
	}
}

void exchange_reply(struct exchange *ex, int http, const struct headers *more,
                    struct blob *body)
{
	struct headers h = {0};
	struct client *client = ex->client;

	if (more != NULL)
		headers_copy(&h, more);
	exchange_headers(ex, http, &h);
	ex->http = http;
	ex->bytes_out = blob_len(body);
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

static void add_error(struct text *json, const char *name, const char *message)
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
	add_error(&json, name, text_string(&message));
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

void exchange_fail(struct exchange *ex, enum status s, const char *outcome)
{
	struct headers h = {0};
	struct text json = {0};
	char *message = ex->seq > 0 ? mem_format("%s (record %lld)", status_text(s),
	                                         (long long)ex->seq)
	                            : mem_string(status_text(s));

	exchanges.figures.timeouts += status_http(s) == 504;
	headers_add(&h, "retry-after", RETRY_AFTER);
	headers_add(&h, "x-chromatid-outcome", outcome);
	add_error(&json, error_name(s), message);
	free(message);
	reply_json(ex, status_http(s), &h, &json);
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

static void dispatch(struct exchange *ex);
static bool needs_catalogue(const struct exchange *ex);

/* What it waited for may be that the catalogue went away with our lease. */
static void on_again(void *arg)
{
	struct exchange *ex = arg;

	timer_stop(&ex->timer);
	if (needs_catalogue(ex) && !wal_leads())
		dispatch(ex);
	else
		ex->again(ex);
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

/* --- dispatch ---------------------------------------------------------------------- */

static void no_such_path(struct exchange *ex)
{
	exchange_reply(ex, 404, NULL, NULL);
}

static void wrong_method(struct exchange *ex)
{
	struct headers h = {0};

	headers_add(&h, "allow", ex->route.allow);
	exchange_reply(ex, 405, &h, NULL);
	headers_clear(&h);
}

static void heartbeat(struct exchange *ex)
{
	if (!wal_leads() && !health_known())
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	else if (health_known() && health_up_count() == 0)
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	else
		exchange_json(ex, 200, "{\"nanosecond heartbeat\":%lld}",
		              (long long)clock_wall_ms() * 1000000);
}

static void healthcheck(struct exchange *ex)
{
	bool up = health_up_count() > 0;

	exchange_json(ex, up ? 200 : 503,
	              "{\"is_executor_ready\":%s,\"is_log_client_ready\":%s}",
	              up ? "true" : "false", up ? "true" : "false");
}

static void v1_gone(struct exchange *ex)
{
	exchange_error(ex, 410, "Unimplemented",
	               "The v1 API is deprecated. Please use /v2 apis");
}

/* A well-formed CRN makes Chroma drop the connection; a malformed one it refuses. */
static void crn(struct exchange *ex)
{
	const char *first = strchr(ex->route.item, ':');

	if (first != NULL && strchr(first + 1, ':') != NULL)
		exchange_error(ex, 501, "ChromaError",
		               "Collection resource names are not supported");
	else
		read_any_instance(ex);
}

static void not_supported(struct exchange *ex)
{
	bool fork = strcmp(ex->route.op, "fork") == 0;

	exchange_error(ex, 501, "ChromaError",
	               fork ? "Collection forking is unsupported for local chroma"
	                    : "Not supported for local chroma");
}

/* No single Chroma does it. One that did would do it behind the log's back: so it is
 * asked where it cannot. */
static void unsupported(struct exchange *ex)
{
	refusal_ask(ex, not_supported);
}

typedef void(answer_fn)(struct exchange *ex);

static const struct {
	answer_fn *answer;
	bool catalogue; /* needs the catalogue */
	bool writes;    /* needs the log */
} answers[] = {
        [ROUTE_NONE] = {no_such_path, false, false},
        [ROUTE_WRONG_METHOD] = {wrong_method, false, false},
        [ROUTE_HEARTBEAT] = {heartbeat, false, false},
        [ROUTE_HEALTHCHECK] = {healthcheck, false, false},
        [ROUTE_ANY_INSTANCE] = {read_any_instance, false, false},
        [ROUTE_CRN] = {crn, false, false},
        [ROUTE_V1] = {v1_gone, false, false},
        [ROUTE_V1_HEARTBEAT] = {heartbeat, false, false},
        [ROUTE_RESET] = {reset, true, true},
        [ROUTE_CREATE_TENANT] = {create_tenant, true, true},
        [ROUTE_GET_TENANT] = {get_tenant, true, false},
        [ROUTE_PATCH_TENANT] = {read_any_instance, false, false},
        [ROUTE_LIST_DATABASES] = {list_databases, true, false},
        [ROUTE_CREATE_DATABASE] = {create_database, true, true},
        [ROUTE_GET_DATABASE] = {get_database, true, false},
        [ROUTE_DELETE_DATABASE] = {delete_database, true, true},
        [ROUTE_LIST_COLLECTIONS] = {list_collections, true, false},
        [ROUTE_COUNT_COLLECTIONS] = {count_collections, true, false},
        [ROUTE_CREATE_COLLECTION] = {create_collection, true, true},
        [ROUTE_GET_COLLECTION] = {read_collection, true, false},
        [ROUTE_GET_COLLECTION_ID] = {read_collection, true, false},
        [ROUTE_MODIFY_COLLECTION] = {modify_collection, true, true},
        [ROUTE_DELETE_COLLECTION] = {delete_collection, true, true},
        [ROUTE_WRITE_ITEMS] = {write_items, true, true},
        [ROUTE_READ_ITEMS] = {read_items, true, false},
        [ROUTE_UNSUPPORTED] = {unsupported, true, false},
        [ROUTE_HEALTH] = {operator_answer, false, false},
        [ROUTE_READY] = {operator_answer, false, false},
        [ROUTE_STATUS] = {operator_answer, false, false},
        [ROUTE_WAL_STATUS] = {operator_answer, false, false},
        [ROUTE_MAPPINGS] = {operator_answer, true, false},
        [ROUTE_METRICS] = {operator_answer, false, false},
};

static bool needs_catalogue(const struct exchange *ex)
{
	return answers[ex->route.kind].catalogue;
}

static void bad_path(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError",
	               "Invalid URL: Invalid UTF-8 in `%s`", ex->route.bad);
}

static void identity(struct exchange *ex)
{
	exchange_json(ex, 200,
	              "{\"user_id\":\"\",\"tenant\":\"" TENANT_DEFAULT
	              "\",\"databases\":[\"" DATABASE_DEFAULT "\"]}");
}

/* The catalogue is loaded, and for a write the log can take it. While another proxy's
 * lease runs out the request is held, as long as PostgreSQL is there. */
static void dispatch(struct exchange *ex)
{
	enum route_kind kind = ex->route.kind;
	bool need_log = answers[kind].writes;
	bool ready = need_log ? wal_ready() : !answers[kind].catalogue || wal_leads();
	const char *killer;

	if (kind == ROUTE_BAD_PATH) {
		bad_path(ex);
	} else if (kind == ROUTE_IDENTITY) {
		identity(ex);
	} else if (ready && ex->body != NULL && (killer = killer_in(ex)) != NULL) {
		exchange_error(ex, 400, "InvalidArgumentError", "%s", killer);
	} else if (ready) {
		ex->hold_until = 0;
		answers[kind].answer(ex);
	} else if (!wal_connected() ||
	           !exchange_hold(ex, exchange_conf->write_wait, dispatch)) {
		exchange_fail(ex, STATUS_LOG_UNAVAILABLE, "none");
	}
}

/* --- from the server --------------------------------------------------------------- */

static void refuse(struct refusal *out, int http, const char *name, const char *message)
{
	struct text json = {0};
	size_t len;

	add_error(&json, name, message);
	len = json.len;
	out->http = http;
	out->body = blob_adopt(text_detach(&json), len);
	headers_add(&out->headers, "content-type", "application/json");
	headers_add(&out->headers, "chroma-trace-id", "00000000000000000000000000000000");
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

	return exchanges.count >= (uint64_t)most;
}

/* Bodies being read and bodies held, together with this one, may take three quarters of
 * the limit. A single body always fits. */
static bool too_much(const struct request_head *head)
{
	uint64_t held = server_body_bytes() + blob_total();
	uint64_t most = (uint64_t)exchange_conf->max_memory_mb * 1024 * 1024 / 4 * 3;

	return held > 0 && head->framing != FRAMING_NONE &&
	       held + head->content_length > most;
}

static bool on_head(const struct request_head *head, size_t *max_body,
                    struct refusal *out)
{
	(void)max_body;
	if (is_health(head->target) || (!too_many() && !too_much(head)))
		return true;
	exchanges.figures.rejected++;
	refuse(out, 429, "Backoff", "too many requests at a time");
	headers_add(&out->headers, "retry-after", RETRY_AFTER);
	headers_add(&out->headers, "x-chromatid-outcome", "none");
	return false;
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

	exchanges.figures.too_large++;
	route_parse(&r, head->method, head->target);
	if (plain_too_large(&r)) {
		out->http = 413;
		out->body = blob_create("Payload too large", 17);
		headers_add(&out->headers, "chroma-trace-id",
		            "00000000000000000000000000000000");
	} else {
		refuse(out, 413, "ChromaError",
		       "Failed to buffer the request body: length limit exceeded");
	}
	headers_add(&out->headers, "x-chromatid-outcome", "none");
	route_clear(&r);
}

static void on_malformed(int http, struct refusal *out)
{
	exchanges.figures.malformed++;
	refuse(out, http, "ChromaError", head_reason(http));
}

static void on_request(struct client *client, const struct request_head *head,
                       struct blob *body)
{
	struct exchange *ex = mem_new(struct exchange);

	ex->client = client;
	ex->head = head;
	ex->body = blob_ref(body);
	ex->started_us = clock_us();
	ex->deadline = clock_ms() + exchange_conf->request_timeout;
	ex->id = ++exchanges.last_id;
	exchanges.figures.total++;
	exchanges.count++;
	TAILQ_INSERT_TAIL(&exchanges.list, ex, link);
	client_watch(client, ex);
	route_parse(&ex->route, head->method, head->target);
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
        .on_malformed = on_malformed,
        .on_request = on_request,
        .on_gone = on_gone,
        .on_drained = on_drained,
};

/* --- the whole --------------------------------------------------------------------- */

unsigned exchange_count(void)
{
	return exchanges.count;
}

const struct exchange_figures *exchange_figures(void)
{
	return &exchanges.figures;
}

bool http_draining(void)
{
	return exchanges.draining;
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
	        .max_body = (size_t)conf->max_body_size,
	        .idle_timeout = conf->idle_timeout,
	        .head_timeout = 10000,
	        .max_clients = most_clients(),
	        .handler = &handler,
	};

	exchange_conf = conf;
	return server_start(&options);
}

static void on_drain_look(void *arg)
{
	(void)arg;
	if (exchanges.count > 0 && clock_ms() < exchanges.drain_until)
		timer_start(&exchanges.drain, LOOK_MS, on_drain_look, NULL);
	else
		exchanges.drained(exchanges.drained_arg);
}

void http_drain(void (*done)(void *arg), void *arg)
{
	exchanges.draining = true;
	exchanges.drain_until = clock_ms() + exchange_conf->drain_timeout;
	exchanges.drained = done;
	exchanges.drained_arg = arg;
	server_drain();
	timer_start(&exchanges.drain, 0, on_drain_look, NULL);
}

void http_stop(void)
{
	timer_stop(&exchanges.drain);
	server_stop();
}
