/* http/export_page.c - what a client of an export asks, and gets.
 *
 *	POST /admin/export                  begin; answered when the instance has come to
 *	                                    its place: {"instance"?, "timeout_seconds"?,
 *	                                    "hold_writes"?}
 *	GET /admin/export/{id}              is it still there?
 *	POST /admin/export/{id}/collection  {"collection": id}: as Chroma describes it
 *	POST /admin/export/{id}/items       {"collection": id, "limit", "offset"}: a page
 *	DELETE /admin/export/{id}           the end
 *
 * A 404 to the last one: it was over before, and what was read last may not belong to it.
 * Each request keeps it for another half minute. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "http/admin.h"
#include "http/export.h"
#include "http/status.h"

#define LOOK_MS 20u
#define REACH_MOST_MS 30000u
#define SECONDS_USUAL 3600
#define SECONDS_MOST (24 * 3600)
#define PAGE_MOST 100000

static void refuse(struct exchange *ex, const char *why)
{
	exchange_error(ex, 404, "NotFoundError", "The export is over: %s", why);
}

/* --- what is in it ----------------------------------------------------------------- */

static json_t *list_of_tenants(const struct export *x)
{
	json_t *list = json_array();

	for (size_t k = 0; k < x->n_tenants; k++)
		json_array_append_new(list, status_text_value(x->tenants[k]));
	return list;
}

static json_t *list_of_databases(const struct export *x)
{
	json_t *list = json_array();

	for (size_t k = 0; k < x->n_databases; k++) {
		const struct database *db = x->databases[k];

		if (db->life == LIFE_CREATING || uuid_none(&db->public_id))
			continue;
		json_array_append_new(list,
		                      json_pack("{s:o, s:o}", "tenant",
		                                status_text_value(db->tenant), "name",
		                                status_text_value(db->name)));
	}
	return list;
}

static json_t *list_of_collections(const struct export *x)
{
	json_t *list = json_array();

	for (size_t k = 0; k < x->n_collections; k++) {
		const struct collection *c = x->collections[k];

		json_array_append_new(
		        list, json_pack("{s:s, s:o, s:o}", "id", c->public_id.text,
		                        "tenant", status_text_value(c->db->tenant),
		                        "database", status_text_value(c->db->name)));
	}
	return list;
}

static json_t *summary(const struct export *x)
{
	json_t *o = json_object();
	msec now = clock_ms();

	status_set(o, "export", json_string(x->id));
	status_set(o, "instance", json_string(instance_name(x->in)));
	status_set(o, "position", json_integer((json_int_t)x->position));
	status_set(o, "at", status_time(x->at_wall_ms));
	status_set(o, "seconds_left",
	           json_integer(x->over_at > now ? (json_int_t)(x->over_at - now) / 1000
	                                         : 0));
	return o;
}

json_t *status_export(void)
{
	return export_now() != NULL ? summary(export_now()) : json_null();
}

static void reply(struct exchange *ex, int http, json_t *document)
{
	char *json = json_dumps(document, JSON_COMPACT);
	struct text text = {0};

	json_decref(document);
	text_adds(&text, json);
	free(json);
	exchange_json_text(ex, http, &text);
}

/* --- begin ------------------------------------------------------------------------- */

static void reply_content(struct exchange *ex, const struct export *x)
{
	json_t *o = summary(x);

	status_set(o, "cluster", json_string(x->cluster.text));
	status_set(o, "tenants", list_of_tenants(x));
	status_set(o, "databases", list_of_databases(x));
	status_set(o, "collections", list_of_collections(x));
	reply(ex, 201, o);
}

/* The client may leave: then nobody asks any more, and the export is soon over. */
static void on_look(void *arg)
{
	struct exchange *ex = arg;
	const char *why;
	struct export *x = export_find(ex->route.item, &why);

	if (x == NULL) {
		exchange_error(ex, 409, "ChromaError", "The export is over: %s", why);
	} else if (export_has_reached(x)) {
		reply_content(ex, x);
	} else if (clock_ms() - x->begun >= REACH_MOST_MS) {
		export_end(x, "the instance does not come to its place in time");
		exchange_error(ex, 503, "InternalError",
		               "The instance does not come to its place in time");
	} else {
		timer_start(&ex->timer, LOOK_MS, on_look, ex);
	}
}

static void begin(struct exchange *ex, const char *instance,
                  const struct wal_history *history)
{
	struct json_slice whole = write_body(ex);
	int64_t seconds =
	        json_int64(json_member(whole, "timeout_seconds"), SECONDS_USUAL);
	struct export_wish wish = {.instance = instance,
	                           .cluster = history->cluster,
	                           .hold_writes =
	                                   json_flag(json_member(whole, "hold_writes"))};
	const char *why;
	struct export *x;

	if (seconds < 1 || seconds > SECONDS_MOST) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "timeout_seconds must be from 1 to %d", SECONDS_MOST);
		return;
	}
	wish.most = (msec)seconds * 1000;
	x = export_begin(&wish, &why);
	if (x == NULL) {
		exchange_error(ex, 409, "ChromaError", "No export can begin: %s", why);
		return;
	}
	admin_event(ex, "export %s", x->id);
	ex->route.item = mem_string(x->id);
	timer_start(&ex->timer, 0, on_look, ex);
}

static void on_history(void *arg, enum status s, const struct wal_history *history)
{
	struct exchange *ex = arg;
	char *instance;

	if (s != STATUS_OK) {
		exchange_fail(ex, s, "none");
		return;
	}
	instance = write_text(ex, "instance");
	if (instance != NULL && admin_instance(instance) == NULL)
		admin_no_instance(ex, instance);
	else
		begin(ex, instance, history);
	free(instance);
}

/* Whose log it is, is asked first. */
void export_begin_page(struct exchange *ex)
{
	static const struct wal_stretch nothing;

	if (write_takes_part(ex))
		wal_history(&nothing, on_history, ex, &ex->pending);
	else
		write_no_sense(ex);
}

/* --- go on, and end ---------------------------------------------------------------- */

/* NULL: it is answered. */
static struct export *find(struct exchange *ex)
{
	const char *why;
	struct export *x;

	x = export_find(ex->route.item, &why);
	if (x == NULL || !x->reached) {
		refuse(ex, x == NULL ? why : "it has not begun");
		return NULL;
	}
	return x;
}

void export_look_page(struct exchange *ex)
{
	struct export *x = find(ex);

	if (x != NULL)
		reply(ex, 200, summary(x));
}

void export_end_page(struct exchange *ex)
{
	struct export *x = find(ex);
	json_t *o;

	if (x == NULL)
		return;
	o = summary(x);
	export_end(x, "its client has ended it");
	reply(ex, 200, o);
}

/* --- reading ----------------------------------------------------------------------- */

static struct instance *choose(struct exchange *ex)
{
	const struct export *x = export_now();

	if (x == NULL || strcmp(x->id, ex->route.item) != 0 || !relay_untried(ex, x->in))
		return NULL;
	return x->in;
}

static void aim_at(struct exchange *ex, struct instance *in, struct text *target,
                   const char *before, const char *after)
{
	const struct collection *c = ex->collection;

	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, c->db->tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, c->db->name);
	text_addf(target, "/collections/%s%s%s", before,
	          c->local[instance_index(in)].text, after);
}

static void aim_collection(struct exchange *ex, struct instance *in, struct text *target)
{
	aim_at(ex, in, target, "by-id/", "");
}

static void aim_items(struct exchange *ex, struct instance *in, struct text *target)
{
	aim_at(ex, in, target, "", "/get");
}

static void rename_id(struct exchange *ex, struct instance *in, int http,
                      struct evbuffer *data)
{
	const struct collection *c = ex->collection;

	(void)http;
	relay_rename(data, &c->local[instance_index(in)], &c->public_id);
}

static const struct relay_plan collection_plan = {.method = "GET",
                                                  .read = true,
                                                  .whole = true,
                                                  .aim = aim_collection,
                                                  .choose = choose,
                                                  .edit = rename_id,
                                                  .none = relay_gave_up};

static const struct relay_plan items_plan = {.method = "POST",
                                             .read = true,
                                             .aim = aim_items,
                                             .choose = choose,
                                             .none = relay_gave_up};

/* Into ex->collection; false: it is answered. */
static bool take_collection(struct exchange *ex)
{
	struct export *x = find(ex);
	struct collection *c;
	bool is_there;
	char *id;

	if (x == NULL)
		return false;
	id = write_text(ex, "collection");
	c = id != NULL ? table_get(&x->by_id, id) : NULL;
	is_there = c != NULL && wal_readable(x->in, c);
	free(id);
	if (c == NULL)
		exchange_error(ex, 404, "NotFoundError",
		               "No collection of this id is in the export");
	else if (!is_there)
		exchange_error(ex, 409, "ChromaError",
		               "The collection is in quarantine at the instance");
	else
		ex->collection = collection_hold(c);
	return is_there;
}

void export_collection_page(struct exchange *ex)
{
	if (take_collection(ex))
		relay_start(ex, &collection_plan, NULL);
}

static struct blob *question(int64_t limit, int64_t offset)
{
	struct text t = {0};
	size_t len;

	text_addf(&t,
	          "{\"limit\":%lld,\"offset\":%lld,\"include\":[\"documents\","
	          "\"embeddings\",\"metadatas\",\"uris\"]}",
	          (long long)limit, (long long)offset);
	len = t.len;
	return blob_adopt(text_detach(&t), len);
}

void export_items_page(struct exchange *ex)
{
	struct json_slice whole = write_body(ex);
	int64_t limit = json_int64(json_member(whole, "limit"), 0);
	int64_t offset = json_int64(json_member(whole, "offset"), -1);
	struct blob *body;

	if (!take_collection(ex))
		return;
	if (limit < 1 || limit > PAGE_MOST || offset < 0) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "limit must be from 1 to %d, offset 0 or more", PAGE_MOST);
		return;
	}
	body = question(limit, offset);
	relay_start(ex, &items_plan, body);
	blob_unref(&body);
}
