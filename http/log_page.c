/* http/log_page.c - the log, for operators.
 *
 *	GET /admin/wal        entries, the newest first: ?state=, ?collection=, ?limit=,
 *and ?after= the last one seen; "next" says where to go on GET /admin/wal/{seq}  one of
 *them GET /admin/wal_count, /admin/wal_errors, /admin/wal_debug   as older scripts ask
 *
 * What is durable comes from PostgreSQL (wal/pages.c); to what some instance still lacks
 * is added what is going on there now. No bodies. */
#include <stdlib.h>
#include <string.h>

#include "http/admin.h"
#include "http/shown.h"
#include "http/status.h"

#define USUAL_LIMIT 100
#define MOST 500
#define ERRORS_MOST 100
#define DEBUG_MOST 20

/* --- one entry as it is now -------------------------------------------------------- */

struct overlay {
	json_t *list; /* newest first */
	size_t at;    /* the place of the oldest one not passed yet, plus one */
};

static json_int_t seq_at(const json_t *list, size_t k)
{
	return json_integer_value(json_object_get(json_array_get(list, k), "seq"));
}

static void on_turn(void *arg, const struct wal_turn *t)
{
	struct overlay *o = arg;
	json_t *instances, *in;
	const char *noted;

	while (o->at > 0 && seq_at(o->list, o->at - 1) < t->seq)
		o->at--;
	if (o->at == 0 || seq_at(o->list, o->at - 1) != t->seq)
		return;
	instances = json_object_get(json_array_get(o->list, o->at - 1), "instances");
	in = json_object_get(instances, instance_name(health_instance(t->instance)));
	noted = json_string_value(json_object_get(in, "state"));
	if (noted == NULL || strcmp(noted, "pending") != 0)
		return;
	status_set(in, "state", json_string(t->state));
	status_set(in, "attempts", json_integer(t->attempts));
}

static void add_turns(json_t *list)
{
	struct overlay o = {list, json_array_size(list)};

	if (o.at > 0 && wal_leads())
		wal_each_turn(seq_at(list, o.at - 1), seq_at(list, 0), on_turn, &o);
}

/* --- lists ------------------------------------------------------------------------- */

static void on_entries(void *arg, enum status s, const char *json, int64_t next)
{
	struct exchange *ex = arg;
	json_t *list, *o;

	if (s != STATUS_OK) {
		admin_no_answer(ex, s);
		return;
	}
	list = json_loads(json, 0, NULL);
	add_turns(list);
	o = json_object();
	status_set(o, "count", status_count(json_array_size(list)));
	status_set(o, "next", next > 0 ? json_integer(next) : json_null());
	status_set(o, "entries", list);
	status_send(ex, o);
}

static bool is_state(const char *state)
{
	static const char *const states[] = {"pending", "executed", "synced", "failed",
	                                     "quarantined"};

	for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++)
		if (state == NULL || strcmp(state, states[k]) == 0)
			return true;
	return false;
}

void wal_list_page(struct exchange *ex)
{
	char *state = query_text(ex, "state"), *name = query_text(ex, "collection");
	struct wal_question q = {.page = WAL_PAGE_ENTRIES, .state = state, .text = name};
	bool numbers = query_number(ex, "limit", USUAL_LIMIT, &q.limit) &&
	               query_number(ex, "after", INT64_MAX, &q.seq);

	if (!numbers || q.limit < 1 || q.limit > MOST)
		admin_bad(ex, "limit is 1 to 500, after the number of an entry");
	else if (!is_state(state))
		admin_bad(ex, "state is pending, executed, synced, failed or "
		              "quarantined");
	else
		wal_ask(&q, on_entries, ex, &ex->pending);
	free(state);
	free(name);
}

static void on_entry(void *arg, enum status s, const char *json, int64_t n)
{
	struct exchange *ex = arg;
	json_t *list;

	if (s != STATUS_OK) {
		admin_no_answer(ex, s);
	} else if (n == 0) {
		exchange_error(ex, 404, "NotFoundError", "There is no entry %s",
		               ex->route.item);
	} else {
		list = json_loads(json, 0, NULL);
		add_turns(list);
		status_send(ex, json_incref(json_array_get(list, 0)));
		json_decref(list);
	}
}

void wal_entry_page(struct exchange *ex)
{
	const char *id = ex->route.item;
	struct wal_question q = {
	        .page = WAL_PAGE_ENTRY,
	        .seq = json_int64((struct json_slice){id, strlen(id)}, -1)};

	if (q.seq < 0)
		admin_bad(ex, "An entry is called by its number");
	else
		wal_ask(&q, on_entry, ex, &ex->pending);
}

/* --- as older scripts ask ---------------------------------------------------------- */

static json_t *owed(void)
{
	uint64_t n;

	return shown_pending(&n) ? status_count(n) : json_null();
}

void wal_count_page(struct exchange *ex)
{
	json_t *o = json_object();

	status_set(o, "pending_writes", owed());
	status_set(o, "wal_system_ready", json_boolean(wal_takes_writes()));
	status_send(ex, o);
}

static void on_errors(void *arg, enum status s, const char *json, int64_t n)
{
	(void)n;
	if (s == STATUS_OK)
		exchange_json(arg, 200, "%s", json);
	else
		admin_no_answer(arg, s);
}

void wal_errors_page(struct exchange *ex)
{
	wal_ask(&(struct wal_question){.page = WAL_PAGE_ERRORS, .limit = ERRORS_MOST},
	        on_errors, ex, &ex->pending);
}

static void on_debug(void *arg, enum status s, const char *json, int64_t n)
{
	struct exchange *ex = arg;
	json_t *o;

	(void)n;
	if (s != STATUS_OK) {
		admin_no_answer(ex, s);
		return;
	}
	o = json_loads(json, 0, NULL);
	status_set(json_object_get(o, "summary"), "pending_writes", owed());
	status_send(ex, o);
}

void wal_debug_page(struct exchange *ex)
{
	wal_ask(&(struct wal_question){.page = WAL_PAGE_DEBUG,
	                               .seq = INT64_MAX,
	                               .limit = DEBUG_MOST},
	        on_debug, ex, &ex->pending);
}
