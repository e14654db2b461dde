/* http/rebuild_page.c - "resync" in the status document: the collections that are being
 * made anew at an instance from another. */
#include "http/status.h"

struct page {
	json_t *list;
	size_t most;
	int64_t now_ms;
};

static double progress_of(const struct wal_rebuild *b)
{
	if (b->total == 0)
		return 0;
	return b->items < b->total ? (double)b->items / (double)b->total : 1;
}

/* At the speed it has now; if that is not known, at that it has had so far. */
static json_t *eta(const struct wal_rebuild *b, int64_t took_ms)
{
	if (b->rate > 0 && b->total >= b->items)
		return status_rounded((double)(b->total - b->items) / b->rate);
	if (b->items == 0 || took_ms <= 0 || b->total < b->items)
		return json_null();
	return status_rounded((double)(b->total - b->items) * (double)took_ms / 1000 /
	                      (double)b->items);
}

static void add_entry(void *arg, const struct wal_rebuild *b)
{
	struct page *page = arg;
	const struct collection *c = b->collection;
	json_t *o;

	if (json_array_size(page->list) == page->most)
		return;
	o = json_object();

	status_set(o, "instance", json_string(instance_name(b->in)));
	status_set(o, "donor",
	           b->donor != NULL ? json_string(instance_name(b->donor)) : json_null());
	status_set(o, "collection", status_text_value(c->name));
	status_set(o, "collection_id", json_string(c->public_id.text));
	status_set(o, "tenant", status_text_value(c->db->tenant));
	status_set(o, "database", status_text_value(c->db->name));
	status_set(o, "step", json_string(b->step));
	status_set(o, "attempt", json_integer(b->attempt));
	status_set(o, "items", status_count(b->items));
	status_set(o, "total", status_count(b->total));
	status_set(o, "progress", status_rounded(progress_of(b)));
	status_set(o, "eta_seconds", eta(b, page->now_ms - b->since_wall_ms));
	status_set(o, "items_per_second",
	           b->rate > 0 ? status_rounded(b->rate) : json_null());
	status_set(o, "worker", b->worker != NULL ? json_string(b->worker) : json_null());
	status_set(o, "since", status_time(b->since_wall_ms));
	status_set(o, "error", status_text_or_null(b->why));
	json_array_append_new(page->list, o);
}

json_t *status_resync(int64_t now_ms, size_t most)
{
	struct page page = {.list = json_array(), .most = most, .now_ms = now_ms};

	wal_each_rebuild(add_entry, &page);
	return page.list;
}
