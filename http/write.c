/* http/write.c - a client's write, from its body to its answer.
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
 *   - the client leaves: the write goes on, only the answer is dropped
 *   - what it would do is refused by the catalogue (the name is taken, nothing has that
 *     name): answered in Chroma's words, after an instance has had its say about the body
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

#define LOOK_MS 250u
#define CONFLICTS_MOST 5u
#define NAME_MOST 512u /* Chroma's rule for collections and databases */
#define TENANT_NAME_MOST 1024u

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

static void on_appended(void *arg, wal_seq seq)
{
	struct exchange *ex = arg;

	ex->seq = seq;
	ex->hold_until = clock_ms() + exchange_conf->write_wait;
	timer_start(&ex->timer, exchange_conf->write_wait, on_wait_over, ex);
}

static struct blob *with_public_id(const struct exchange *ex,
                                   const struct wal_outcome *outcome)
{
	const struct collection *c = ex->collection;
	size_t len = blob_len(outcome->body);
	char *bytes;

	if (outcome->body == NULL)
		return blob_create("{}", 2);
	if (outcome->http < 400 || c == NULL || outcome->by == NULL)
		return blob_ref(outcome->body);
	bytes = mem_copy(blob_bytes(outcome->body), len);
	rewrite_id(bytes, len, &c->local[instance_index(outcome->by)], &c->public_id);
	return blob_adopt(bytes, len);
}

static void answer(struct exchange *ex, const struct wal_outcome *outcome)
{
	struct headers h = {0};
	struct blob *body = with_public_id(ex, outcome);

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
	headers_clear(&h);
	blob_unref(&body);
}

static void on_decided(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct exchange *ex = arg;

	timer_stop(&ex->timer);
	switch (s) {
	case STATUS_OK:
		answer(ex, outcome);
		break;
	case STATUS_CONFLICT:
	case STATUS_NOT_FOUND:
		if (ex->conflicts++ < CONFLICTS_MOST)
			ex->again(ex); /* the catalogue has changed meanwhile */
		else
			exchange_fail(ex, s, "none");
		break;
	case STATUS_DEPOSED:
	case STATUS_UNKNOWN:
		exchange_fail(ex, STATUS_DEPOSED, "unknown");
		break;
	default:
		exchange_fail(ex, s, "none");
	}
}

static msec left_ms(const struct exchange *ex)
{
	msec now = clock_ms();

	return ex->deadline > now ? ex->deadline - now : 1;
}

void write_log(struct exchange *ex, const struct wal_write *w,
               void (*conflict)(struct exchange *ex))
{
	if (exchange_conf->both_down == BOTH_DOWN_REJECT && health_up_count() == 0) {
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
		return;
	}
	ex->again = conflict;
	timer_start(&ex->timer, left_ms(ex), on_append_late, ex);
	wal_write(w, on_appended, on_decided, ex, &ex->pending);
}

/* --- bodies ------------------------------------------------------------------------ */

static bool is_json_type(const struct exchange *ex)
{
	const char *type = headers_get(&ex->head->headers, "content-type");
	size_t len = type != NULL ? strcspn(type, "; \t") : 0;

	if (type == NULL)
		return true;
	if (len == 16)
		return strncasecmp(type, "application/json", 16) == 0;
	return len > 17 && strncasecmp(type, "application/", 12) == 0 &&
	       strncasecmp(type + len - 5, "+json", 5) == 0;
}

static struct json_slice whole_body(const struct exchange *ex)
{
	return json_whole(blob_bytes(ex->body), blob_len(ex->body));
}

/* Only an object that we understand wholly can be a write. Chroma also takes an array for
 * one, field by field, and things nested deeper than we look; nobody sends that, and it
 * would carry names past us. */
static bool takes_part(const struct exchange *ex)
{
	return is_json_type(ex) && json_kind(whole_body(ex)) == JSON_MAP;
}

static char *text_member(struct json_slice object, const char *key)
{
	return json_text(json_member(object, key), NULL);
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
static bool cannot_create(const struct exchange *ex)
{
	struct json_slice whole = whole_body(ex);

	if (!is_json_type(ex))
		return true;
	if (whole.at == NULL)
		return blob_len(ex->body) < JSON_MAX_DEPTH;
	return !is_text(json_member(whole, "name")) && !begins_with_text(whole);
}

static void no_sense(struct exchange *ex)
{
	exchange_error(ex, 422, "ChromaError",
	               "Failed to deserialize the JSON body into the target type");
}

static bool is_reserved(const char *name)
{
	return strncmp(name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0;
}

static void refuse_reserved(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError",
	               "Names beginning with \"" RESERVED_PREFIX "\" are reserved");
}

/* --- items ------------------------------------------------------------------------- */

static bool is_given(struct json_slice v)
{
	return v.at != NULL && json_kind(v) != JSON_NULL_VALUE;
}

static enum record_kind delete_kind(const struct exchange *ex)
{
	struct json_slice whole = whole_body(ex);
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
	list = json_member(whole_body(ex), "embeddings");
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
	else if (f == FOUND && takes_part(ex))
		log_items(ex);
	else
		refusal_ask(ex, f == FOUND ? no_sense : exchange_no_collection);
}

/* --- collections ------------------------------------------------------------------- */

/* What is executed never says get_or_create: whether it exists was decided by the log. */
static struct blob *create_body(const struct exchange *ex)
{
	const char *body = blob_bytes(ex->body);
	struct json_slice flag = json_member(whole_body(ex), "get_or_create");
	struct text out = {0};
	size_t len;

	if (!json_flag(flag))
		return blob_ref(ex->body);
	text_add(&out, body, (size_t)(flag.at - body));
	text_adds(&out, "false");
	text_add(&out, flag.at + flag.len,
	         blob_len(ex->body) - (size_t)(flag.at - body) - flag.len);
	len = out.len;
	return blob_adopt(text_detach(&out), len);
}

static void no_database(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError", "Database [%s] does not exist",
	               ex->route.database);
}

/* Its body is sound. get_or_create: as if it had been asked for by name. */
static void name_taken(struct exchange *ex)
{
	char *name = text_member(whole_body(ex), "name");

	if (catalogue_named(ex->database, name) == NULL) { /* gone meanwhile */
		free(name);
		create_collection(ex);
		return;
	}
	if (json_flag(json_member(whole_body(ex), "get_or_create"))) {
		free(ex->route.item);
		ex->route.item = name;
		ex->route.kind = ROUTE_GET_COLLECTION;
		ex->route.tail = "";
		blob_unref(&ex->body);
		read_collection(ex);
		return;
	}
	exchange_error(ex, 409, "ChromaError", "Collection [%s] already exists", name);
	free(name);
}

static void log_create(struct exchange *ex, const char *name)
{
	struct wal_write w = {.kind = RECORD_CREATE_COLLECTION,
	                      .database = ex->database,
	                      .name = name,
	                      .body = create_body(ex)};

	write_log(ex, &w, create_collection);
	blob_unref(&w.body);
}

static void create_named(struct exchange *ex, const char *name)
{
	struct collection *c = catalogue_named(ex->database, name);

	if (is_reserved(name))
		refuse_reserved(ex);
	else if (strlen(name) > NAME_MOST)
		refusal_ask(ex, no_sense);
	else if (c == NULL)
		log_create(ex, name);
	else if (c->life == LIFE_CREATING || strcmp(c->name, name) != 0 ||
	         c->next_name != NULL)
		exchange_wait_collection(ex, c, create_collection);
	else
		refusal_ask(ex, name_taken);
}

void create_collection(struct exchange *ex)
{
	enum found f = find_database(ex);
	char *name = takes_part(ex) ? text_member(whole_body(ex), "name") : NULL;

	if (f == FOUND_UNDECIDED)
		exchange_wait_database(ex, ex->database, create_collection);
	else if (f == FOUND_NOTHING || name == NULL)
		refusal_ask(ex, f == FOUND_NOTHING ? no_database : no_sense);
	else
		create_named(ex, name);
	free(name);
}

static void taken_by_another(struct exchange *ex)
{
	exchange_error(
	        ex, 500, "InternalError",
	        "Database error: error returned from database: (code: 2067) UNIQUE "
	        "constraint failed: collections.name, collections.database_id");
}

static void log_modify(struct exchange *ex, const char *name)
{
	struct collection *c = ex->collection, *other = NULL;
	struct wal_write w = {.kind = RECORD_MODIFY_COLLECTION,
	                      .collection = c,
	                      .name = name,
	                      .body = ex->body};

	if (name != NULL && strcmp(name, c->name) == 0)
		w.name = NULL;
	if (w.name != NULL)
		other = catalogue_named(c->db, w.name);
	if (c->next_name != NULL)
		exchange_wait_collection(ex, c, modify_collection);
	else if (other != NULL &&
	         (other->life == LIFE_CREATING || other->next_name != NULL))
		exchange_wait_collection(ex, other, modify_collection);
	else if (other != NULL)
		refusal_ask(ex, taken_by_another);
	else if (w.name != NULL && is_reserved(w.name))
		refuse_reserved(ex);
	else if (w.name != NULL && strlen(w.name) > NAME_MOST)
		refusal_ask(ex, no_sense);
	else
		write_log(ex, &w, modify_collection);
}

void modify_collection(struct exchange *ex)
{
	enum found f = find_by_id(ex);
	char *name = NULL;

	if (f == FOUND && takes_part(ex)) {
		name = text_member(whole_body(ex), "new_name");
		log_modify(ex, name);
	} else {
		refusal_ask(ex, f == FOUND ? no_sense : exchange_no_collection);
	}
	free(name);
}

void delete_collection(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_COLLECTION};
	enum found f = find_by_name(ex);

	w.collection = ex->collection;
	if (f == FOUND_UNDECIDED || (f == FOUND && w.collection->next_name != NULL))
		exchange_wait_collection(ex, w.collection, delete_collection);
	else if (f == FOUND)
		write_log(ex, &w, delete_collection);
	else
		exchange_error(ex, 404, "NotFoundError", "Collection [%s] does not exist",
		               ex->route.item);
}

/* --- databases and tenants --------------------------------------------------------- */

static void log_create_database(struct exchange *ex, const char *name)
{
	struct wal_write w = {.kind = RECORD_CREATE_DATABASE,
	                      .tenant = ex->route.tenant,
	                      .name = name,
	                      .body = ex->body};
	struct database *db = catalogue_database(ex->route.tenant, name);

	if (strlen(name) > NAME_MOST)
		refusal_ask(ex, no_sense);
	else if (db == NULL)
		write_log(ex, &w, create_database);
	else if (db->life == LIFE_CREATING)
		exchange_wait_database(ex, db, create_database);
	else
		exchange_error(ex, 409, "ChromaError", "Database [%s] already exists",
		               name);
}

void create_database(struct exchange *ex)
{
	char *name = takes_part(ex) ? text_member(whole_body(ex), "name") : NULL;

	if (name != NULL)
		log_create_database(ex, name);
	else if (cannot_create(ex))
		refusal_ask(ex, no_sense);
	else
		no_sense(ex);
	free(name);
}

void delete_database(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_DATABASE};
	enum found f = find_database(ex);

	w.database = ex->database;
	if (f == FOUND_UNDECIDED)
		exchange_wait_database(ex, w.database, delete_database);
	else if (f == FOUND)
		write_log(ex, &w, delete_database);
	else
		exchange_error(ex, 404, "NotFoundError", "Database [%s] not found",
		               ex->route.database);
}

void create_tenant(struct exchange *ex)
{
	char *name = takes_part(ex) ? text_member(whole_body(ex), "name") : NULL;
	struct wal_write w = {
	        .kind = RECORD_CREATE_TENANT, .tenant = name, .body = ex->body};

	if (name == NULL && cannot_create(ex))
		read_any_instance(ex);
	else if (name == NULL || strlen(name) > TENANT_NAME_MOST)
		no_sense(ex);
	else if (catalogue_tenant(name))
		exchange_error(ex, 409, "ChromaError", "Tenant [%s] already exists",
		               name);
	else
		write_log(ex, &w, create_tenant);
	free(name);
}

/* --- everything -------------------------------------------------------------------- */

void reset(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_RESET};

	if (exchange_conf->allow_reset)
		write_log(ex, &w, reset);
	else
		exchange_error(ex, 403, "ChromaError", "Reset is disabled by config");
}
