/* http/write.c - a client's write, from its body to its answer. What is done to
 * collections, databases and tenants is told in collections.c.
 *
 * The happy path:
 *   write_items, create_collection, ...  what is meant, by the catalogue
 *   write_log    into the log (wal/append.c); wal/engine.c executes it on every instance
 *   on_appended  it has its place; from now on it happens, whatever becomes of us
 *   on_decided   an instance has answered: so do we
 * When it does not go well:
 *   - the log cannot take it: nothing has happened, and the client hears so
 *   - no instance can take it: after WRITE_WAIT the client hears that it is pending; it
 *     stays in the log and is executed once, in order, when an instance returns
 *   - it takes longer than REQUEST_TIMEOUT: outcome unknown, with its seq
 *   - it is sent again while the first is pending: it waits for that one (wal/join.c); or
 *     with an Idempotency-Key, at any time (repeat.c)
 *   - the client leaves: the write goes on, only the answer is dropped
 *   - what it would do is refused by the catalogue (the name is taken, nothing has that
 *     name): answered in Chroma's words, after an instance has had its say about the body
 */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/mem.h"
#include "http/exchange.h"

#define LOOK_MS 250u
#define CONFLICTS_MOST 5u

/* --- the log ----------------------------------------------------------------------- */

static void on_wait_over(void *arg)
{
	struct exchange *ex = arg;
	msec now = clock_ms();

	if (now >= ex->deadline)
		exchange_fail(ex, STATUS_UNKNOWN, "unknown");
	else if (!wal_executing(ex->seq) && now >= ex->hold_until)
		exchange_fail(ex, STATUS_PENDING, "pending");
	else
		timer_start(&ex->timer, LOOK_MS, on_wait_over, ex);
}

/* Neither logged nor refused: PostgreSQL was lost while it committed, and is still away.
 */
static void on_append_late(void *arg)
{
	exchange_fail(arg, STATUS_UNKNOWN, "unknown");
}

void write_appended(void *arg, wal_seq seq)
{
	struct exchange *ex = arg;

	ex->seq = seq;
	repeat_settled(ex);
	ex->hold_until = clock_ms() + exchange_conf->write_wait;
	timer_start(&ex->timer, exchange_conf->write_wait, on_wait_over, ex);
}

void write_answer(struct exchange *ex, const struct wal_outcome *outcome)
{
	struct headers h = {0};
	struct blob *body =
	        outcome->body != NULL ? blob_ref(outcome->body) : blob_create("{}", 2);

	if (outcome->by != NULL) {
		ex->instance = instance_name(outcome->by);
		instance_count(outcome->by, false, outcome->http < 500);
	}
	ex->log_us = outcome->log_us;
	ex->upstream_us = outcome->upstream_us;
	headers_add(&h, "content-type", "application/json");
	if (outcome->http >= 500 && outcome->http != 501)
		headers_add(&h, "x-chromatid-outcome", "unknown");
	exchange_reply(ex, outcome->http, &h, body);
	FAILPOINT("client_answered");
	headers_clear(&h);
	blob_unref(&body);
}

static void on_decided(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct exchange *ex = arg;

	timer_stop(&ex->timer);
	switch (s) {
	case STATUS_OK:
		write_answer(ex, outcome);
		break;
	case STATUS_CONFLICT:
	case STATUS_NOT_FOUND:
		if (ex->conflicts++ >= CONFLICTS_MOST)
			exchange_fail(ex, s, "none");
		else if (ex->repeat != NULL)
			repeat_again(ex); /* perhaps its key was used meanwhile */
		else
			exchange_go_on(ex); /* the catalogue has changed meanwhile */
		break;
	case STATUS_UNKNOWN:
		exchange_fail(ex, STATUS_UNKNOWN, "unknown");
		break;
	default:
		exchange_fail(ex, s, "none");
	}
}

static bool is_rejected(void)
{
	return exchange_conf->both_down == BOTH_DOWN_REJECT && health_known() &&
	       health_up_count() == 0;
}

void write_log(struct exchange *ex, const struct wal_write *w,
               void (*conflict)(struct exchange *ex))
{
	struct wal_write with = *w;

	if (is_rejected()) {
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
		return;
	}
	with.key = repeat_key(ex);
	with.trace = &ex->trace;
	ex->again = conflict;
	timer_start(&ex->timer, exchange_left(ex), on_append_late, ex);
	wal_write(&with, write_appended, on_decided, ex, &ex->pending);
}

bool write_joins(struct exchange *ex, const struct wal_write *w)
{
	struct wal_write with = *w;

	with.key = repeat_key(ex);
	return !is_rejected() &&
	       wal_join(&with, write_appended, on_decided, ex, &ex->pending);
}

/* --- bodies ------------------------------------------------------------------------ */

bool write_type_is_json(const char *type)
{
	size_t len = strcspn(type, "; \t");

	if (len == 16)
		return strncasecmp(type, "application/json", 16) == 0;
	return len > 17 && strncasecmp(type, "application/", 12) == 0 &&
	       strncasecmp(type + len - 5, "+json", 5) == 0;
}

bool write_is_json(const struct exchange *ex)
{
	const char *type = headers_get(&ex->head->headers, "content-type");

	return type == NULL || write_type_is_json(type);
}

struct json_slice write_body(const struct exchange *ex)
{
	return json_whole(blob_bytes(ex->body), blob_len(ex->body));
}

/* Only an object that we understand wholly can be a write. Chroma also takes an array for
 * one, field by field, and things nested deeper than we look; nobody sends that, and it
 * would carry names past us. */
bool write_takes_part(const struct exchange *ex)
{
	return write_is_json(ex) && json_kind(write_body(ex)) == JSON_MAP;
}

char *write_text(const struct exchange *ex, const char *key)
{
	return json_text(json_member(write_body(ex), key), NULL);
}

static bool is_text(struct json_slice v)
{
	return json_kind(v) == JSON_TEXT;
}

static bool begins_with_text(struct json_slice list)
{
	struct json_walk w = json_walk(list);

	return json_kind(list) == JSON_LIST && json_step(&w) && is_text(w.value);
}

/* Nothing that Chroma could take for a create of that kind (by name, or as an array field
 * by field): it may be asked to refuse it. A text shorter than our depth cannot be too
 * deep: it is broken. */
bool write_cannot_create(const struct exchange *ex)
{
	struct json_slice whole = write_body(ex);

	if (!write_is_json(ex))
		return true;
	if (whole.at == NULL)
		return blob_len(ex->body) < JSON_MAX_DEPTH;
	return !is_text(json_member(whole, "name")) && !begins_with_text(whole);
}

void write_no_sense(struct exchange *ex)
{
	exchange_error(ex, 422, "ChromaError",
	               "Failed to deserialize the JSON body into the target type");
}

/* --- items ------------------------------------------------------------------------- */

static bool is_given(struct json_slice v)
{
	return v.at != NULL && json_kind(v) != JSON_NULL_VALUE;
}

static enum record_kind delete_kind(const struct exchange *ex)
{
	struct json_slice whole = write_body(ex);
	bool filter = is_given(json_member(whole, "where")) ||
	              is_given(json_member(whole, "where_document"));

	return filter ? RECORD_DELETE_WHERE : RECORD_DELETE;
}

static enum record_kind kind_of(const struct exchange *ex)
{
	switch (ex->route.verb) {
	case VERB_ADD:
		return RECORD_ADD;
	case VERB_UPSERT:
		return RECORD_UPSERT;
	case VERB_UPDATE:
		return RECORD_UPDATE;
	default:
		return delete_kind(ex);
	}
}

/* Asked only while the collection's dimension is open: the scan reads the whole body. */
static bool carries_embeddings(const struct exchange *ex)
{
	struct json_slice list;
	struct json_walk w;

	if (ex->collection->dimension_known || ex->route.verb == VERB_DELETE)
		return false;
	list = json_member(write_body(ex), "embeddings");
	w = json_walk(list);
	while (json_step(&w))
		if (is_given(w.value))
			return true;
	return false;
}

static void log_items(struct exchange *ex)
{
	struct wal_write w = {.kind = kind_of(ex),
	                      .collection = ex->collection,
	                      .body = ex->body,
	                      .embeddings = carries_embeddings(ex)};

	write_log(ex, &w, write_items);
}

void write_items(struct exchange *ex)
{
	enum found f = find_by_id_or_name(ex);

	if (f == FOUND_UNDECIDED)
		exchange_wait_collection(ex, ex->collection, write_items);
	else if (f == FOUND && write_takes_part(ex))
		log_items(ex);
	else
		refusal_ask(ex, f == FOUND ? write_no_sense : exchange_no_collection);
}
