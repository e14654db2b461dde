/* http/history_page.c - POST /admin/wal/records: a stretch of the log, with the bodies as
 * they were executed, for a restore to a place behind that of an export.
 *
 *	{"after": seq, "until": seq, "until_ms": time, "limit": n}
 *
 * "until" in the answer is the last record up to that place and that time. As many
 * records come as fit, and none with a limit of 0. */
#include <string.h>

#include "http/exchange.h"

#define RECORDS_MOST 500

static void add_text(struct text *json, const char *key, const char *value)
{
	text_addf(json, ",\"%s\":", key);
	if (value != NULL)
		json_add_quoted(json, value, strlen(value));
	else
		text_adds(json, "null");
}

/* A body is JSON, or it would not have been accepted. */
static void add_record(struct text *json, const struct wal_past *p)
{
	text_addf(json, "{\"seq\":%lld,\"at_ms\":%lld,\"decided\":%s,\"accepted\":%s",
	          (long long)p->seq, (long long)p->at_wall_ms,
	          p->decided ? "true" : "false", p->accepted ? "true" : "false");
	add_text(json, "kind", record_kind_name(p->kind));
	add_text(json, "collection", p->collection);
	add_text(json, "tenant", p->tenant);
	add_text(json, "database", p->database);
	add_text(json, "name", p->name);
	text_adds(json, ",\"body\":");
	if (p->accepted && blob_len(p->body) > 0)
		text_add(json, blob_bytes(p->body), blob_len(p->body));
	else
		text_adds(json, "null");
	text_addc(json, '}');
}

static void on_history(void *arg, enum status s, const struct wal_history *h)
{
	struct exchange *ex = arg;
	struct text json = {0};

	if (s != STATUS_OK) {
		exchange_fail(ex, s, "none");
		return;
	}
	text_addf(&json,
	          "{\"cluster\":\"%s\",\"oldest\":%lld,\"last\":%lld,\"until\":%lld,"
	          "\"records\":[",
	          h->cluster.text, (long long)h->oldest, (long long)h->last,
	          (long long)h->until);
	for (size_t k = 0; k < h->n; k++) {
		text_adds(&json, k > 0 ? "," : "");
		add_record(&json, &h->rows[k]);
	}
	text_adds(&json, "]}");
	exchange_json_text(ex, 200, &json);
}

void history_page(struct exchange *ex)
{
	struct json_slice whole = write_body(ex);
	struct wal_stretch stretch = {
	        .after = json_int64(json_member(whole, "after"), -1),
	        .until = json_int64(json_member(whole, "until"), INT64_MAX),
	        .until_wall_ms =
	                json_int64(json_member(whole, "until_ms"), WAL_STRETCH_ALWAYS),
	        .limit = json_int64(json_member(whole, "limit"), RECORDS_MOST)};

	if (stretch.after < 0 || stretch.limit < 0 || stretch.limit > RECORDS_MOST)
		exchange_error(ex, 400, "InvalidArgumentError",
		               "after is needed, limit must be from 0 to %d",
		               RECORDS_MOST);
	else
		wal_history(&stretch, on_history, ex, &ex->pending);
}
