/* http/quarantine_page.c - the lanes that cannot go on, and an operator's word on them.
 *
 *	GET  /status                  "quarantine": a list
 *	POST /admin/wal/{seq}/retry   try again what stands at that record
 *	POST /admin/wal/{seq}/skip    leave the record out there: {"reason": "..."}
 *
 * A collection that lacks a record differs, until a retry says that it is well. */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/log.h"
#include "http/admin.h"
#include "http/status.h"

/* --- the list ---------------------------------------------------------------------- */

struct page {
	json_t *list;
	size_t most;
};

static void add_entry(void *arg, const struct wal_quarantine *q)
{
	const struct page *page = arg;
	json_t *o;

	if (json_array_size(page->list) == page->most)
		return;
	o = json_object();
	status_set(o, "instance", json_string(instance_name(q->in)));
	status_set(o, "collection", status_text_value(q->collection->name));
	status_set(o, "collection_id", json_string(q->collection->public_id.text));
	status_set(o, "tenant", status_text_value(q->collection->db->tenant));
	status_set(o, "database", status_text_value(q->collection->db->name));
	status_set(o, "seq", status_count((uint64_t)q->seq));
	status_set(o, "cause", json_string(quarantine_cause_name(q->cause)));
	status_set(o, "http", q->http > 0 ? json_integer(q->http) : json_null());
	status_set(o, "error", status_text_value(q->error));
	status_set(o, "attempts", json_integer(q->attempts));
	status_set(o, "pending_writes", status_count(q->owed));
	status_set(o, "since", status_time(q->since_wall_ms));
	status_set(o, "next_try", status_time(q->retry_wall_ms));
	json_array_append_new(page->list, o);
}

json_t *status_quarantine(size_t most)
{
	struct page page = {.list = json_array(), .most = most};

	wal_each_quarantine(add_entry, &page);
	return page.list;
}

/* --- an operator's word ------------------------------------------------------------ */

static wal_seq seq_of(const struct exchange *ex)
{
	size_t len = strlen(ex->route.item);

	return json_int64((struct json_slice){ex->route.item, len}, -1);
}

static void answer(struct exchange *ex, enum status s, const char *verb, const char *why)
{
	if (s == STATUS_OK)
		exchange_json(ex, 200,
		              "{\"success\":true,\"seq\":%lld,\"action\":\"%s\"}",
		              (long long)seq_of(ex), verb);
	else if (s == STATUS_CONFLICT)
		exchange_error(ex, 409, "ChromaError", "%s", why);
	else
		exchange_error(ex, 404, "NotFoundError",
		               "No lane is in quarantine at this record");
}

void quarantine_retry(struct exchange *ex)
{
	admin_event(ex, "retry of record %s", ex->route.item);
	answer(ex, wal_retry(seq_of(ex)), "retry", NULL);
}

static void leave_out(struct exchange *ex, const char *reason)
{
	const char *why;
	enum status s = wal_skip(seq_of(ex), &why);

	admin_event(ex, "skip of record %s: %.200s (%s)", ex->route.item, reason,
	            status_text(s));
	answer(ex, s, "skip", why);
}

/* The instance will lack it, for good: who says so must say why. */
void quarantine_skip(struct exchange *ex)
{
	char *reason;

	reason = write_text(ex, "reason");
	if (reason == NULL || reason[0] == '\0')
		exchange_error(ex, 400, "InvalidArgumentError",
		               "A reason is needed: {\"reason\": \"...\"}");
	else
		leave_out(ex, reason);
	free(reason);
}
