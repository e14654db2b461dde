/* http/resync_page.c - an operator has collections made anew at an instance.
 *
 *	POST /admin/resync            {"instance"?, "collection"?, "tenant"?, "database"?}
 *	POST /admin/sync_collections  {"target_instance"}: all of them there
 *	GET  /admin/resync            those under way, and those in quarantine, as in
 * /status
 *
 * Each goes into quarantine there, from where it is made anew (wal/rebuild.c): it is not
 * read there meanwhile. Without an instance: wherever it is in quarantine already. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/admin.h"
#include "http/status.h"

struct wish {
	char *instance, *collection, *tenant, *database;
};

struct outcome {
	json_t *begun;
	size_t meant;
};

static void wish_clear(struct wish *w)
{
	free(w->instance);
	free(w->collection);
	free(w->tenant);
	free(w->database);
}

static bool is_meant(const char *wish, const char *text)
{
	return wish == NULL || strcmp(wish, text) == 0;
}

static bool is_meant_collection(const struct wish *w, const struct collection *c)
{
	return c->life == LIFE_LIVE && is_meant(w->tenant, c->db->tenant) &&
	       is_meant(w->database, c->db->name) &&
	       (is_meant(w->collection, c->name) ||
	        strcmp(w->collection, c->public_id.text) == 0);
}

static void begin(struct collection *c, const struct instance *in, struct outcome *out)
{
	out->meant++;
	if (wal_rebuild(c, in, "an operator asked for it") != STATUS_OK)
		return;
	json_array_append_new(out->begun,
	                      json_pack("{s:s, s:o, s:s}", "instance", instance_name(in),
	                                "collection", status_text_value(c->name),
	                                "collection_id", c->public_id.text));
}

static void begin_where(const struct wish *w, struct collection *c, struct outcome *out)
{
	for (unsigned i = 0; i < health_count(); i++) {
		const struct instance *in = health_instance(i);

		if (w->instance != NULL ? strcmp(w->instance, instance_name(in)) == 0
		                        : !wal_readable(in, c))
			begin(c, in, out);
	}
}

static void begin_all(const struct wish *w, struct outcome *out)
{
	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		struct collection *c;

		TAILQ_FOREACH (c, &db->collections, link)
			if (is_meant_collection(w, c))
				begin_where(w, c, out);
	}
}

static void answer(struct exchange *ex, const struct wish *w, struct outcome *out)
{
	size_t n = json_array_size(out->begun);
	struct text text = {0};
	char *json;

	if (out->meant == 0) {
		exchange_error(ex, 404, "NotFoundError",
		               w->instance != NULL
		                       ? "No collection is meant by that"
		                       : "No collection that is meant by that is in "
		                         "quarantine; name an instance");
		return;
	}
	if (n == 0) {
		exchange_error(ex, 409, "ChromaError",
		               "No other instance has it as it should be, now");
		return;
	}
	json = json_dumps(out->begun, JSON_COMPACT);
	text_addf(&text,
	          "{\"job\":\"resync\",\"watch\":\"/status\",\"begun\":%zu,"
	          "\"not_begun\":%zu,\"collections\":%s}",
	          n, out->meant - n, json);
	free(json);
	exchange_json_text(ex, 202, &text);
}

static void carry_out(struct exchange *ex, const struct wish *w)
{
	struct outcome out = {.begun = json_array()};

	begin_all(w, &out);
	admin_event(ex, "resync of %zu of %zu collections at %s",
	            json_array_size(out.begun), out.meant,
	            w->instance != NULL ? w->instance : "every instance");
	answer(ex, w, &out);
	json_decref(out.begun);
}

void resync_page(struct exchange *ex)
{
	bool old = strcmp(ex->route.op, "sync_collections") == 0;
	struct wish w;

	if (!write_takes_part(ex)) {
		write_no_sense(ex);
		return;
	}
	w = (struct wish){.instance =
	                          write_text(ex, old ? "target_instance" : "instance"),
	                  .collection = write_text(ex, "collection"),
	                  .tenant = write_text(ex, "tenant"),
	                  .database = write_text(ex, "database")};
	if (w.instance == NULL && (old || w.collection == NULL))
		exchange_error(ex, 400, "InvalidArgumentError", "%s is needed",
		               old ? "target_instance" : "instance or collection");
	else if (w.instance != NULL && admin_instance(w.instance) == NULL)
		admin_no_instance(ex, w.instance);
	else
		carry_out(ex, &w);
	wish_clear(&w);
}

/* As the leader knows it, whichever proxy is asked (errand.c). */
void resyncs_page(struct exchange *ex)
{
	json_t *o = json_object();

	status_set(o, "resync", status_resync(clock_wall_ms(), STATUS_LISTED));
	status_set(o, "quarantine", status_quarantine(STATUS_LISTED));
	status_send(ex, o);
}
