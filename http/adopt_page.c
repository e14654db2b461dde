/* http/adopt_page.c - collections that an instance holds and nobody has made through the
 * proxy, and an operator's wish to have them.
 *
 *	GET  /status         "strangers": how many, and a list of the first of them
 *	POST /admin/adopt    {"dry": true}: look now, and say what would be adopted; "dry"
 *	                     false: adopt it. "instance" and "collection" (a name, or an
 *id there) narrow it down.
 *
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "http/admin.h"
#include "http/status.h"

#define LISTED_MOST 100u
#define ANSWERED_MOST 10000u

struct page {
	json_t *list;
	size_t most;
	unsigned n, adopted;
};

static void add_entry(void *arg, const struct wal_stranger *x)
{
	struct page *page = arg;
	json_t *o;

	page->n++;
	page->adopted += strcmp(x->outcome, "adopted") == 0;
	if (json_array_size(page->list) >= page->most)
		return;
	o = json_object();
	status_set(o, "instance", json_string(instance_name(x->in)));
	status_set(o, "tenant", status_text_value(x->tenant));
	status_set(o, "database",
	           x->database != NULL ? status_text_value(x->database) : json_null());
	status_set(o, "collection",
	           x->name != NULL ? status_text_value(x->name) : json_null());
	status_set(o, "id", status_text_or_null(x->id.text));
	status_set(o, "items", x->items >= 0 ? json_integer(x->items) : json_null());
	if (x->outcome[0] != '\0')
		status_set(o, "outcome", json_string(x->outcome));
	json_array_append_new(page->list, o);
}

json_t *status_strangers(void)
{
	struct page page = {.list = json_array(), .most = LISTED_MOST};
	json_t *o = json_object();

	wal_each_stranger(NULL, add_entry, &page);
	status_set(o, "adopting", json_boolean(wal_adopting()));
	status_set(o, "collections", json_integer(page.n));
	status_set(o, "list", page.list);
	return o;
}

/* --- an operator's wish --------------------------------------------------------------
 */

static struct instance *instance_named(const char *name)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (strcmp(instance_name(health_instance(i)), name) == 0)
			return health_instance(i);
	return NULL;
}

static json_t *not_scanned(unsigned scanned)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < health_count(); i++)
		if ((scanned & 1u << i) == 0)
			json_array_append_new(
			        list, json_string(instance_name(health_instance(i))));
	return list;
}

static void on_adopted(void *arg, unsigned scanned, struct stranger_list *found)
{
	struct exchange *ex = arg;
	struct page page = {.list = json_array(), .most = ANSWERED_MOST};
	json_t *o = json_object();
	struct text text = {0};
	char *json;

	wal_each_stranger(found, add_entry, &page);
	status_set(o, "found", json_integer(page.n));
	status_set(o, "adopted", json_integer(page.adopted));
	status_set(o, "incomplete", not_scanned(scanned));
	status_set(o, "list", page.list);
	json = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	text_adds(&text, json);
	free(json);
	exchange_json_text(ex, 200, &text);
}

static bool is_flag(struct json_slice v)
{
	return v.at == NULL || json_kind(v) == JSON_BOOL;
}

static void ask(struct exchange *ex, const char *instance, const char *collection)
{
	struct json_slice dry = json_member(write_body(ex), "dry");
	struct wal_adoption what = {.collection = collection,
	                            .dry = dry.at == NULL || json_flag(dry)};

	if (instance != NULL)
		what.in = instance_named(instance);
	if (!is_flag(dry)) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "\"dry\" is true or false");
	} else if (instance != NULL && what.in == NULL) {
		exchange_error(ex, 404, "NotFoundError", "Instance [%s] not found",
		               instance);
	} else {
		if (!what.dry)
			admin_event(ex, "adoption");
		wal_adopt(&what, on_adopted, ex, &ex->pending);
	}
}

/* Nothing is adopted that was not asked for in so many words: "dry" is true unless it is
 * said to be false. */
void adopt_page(struct exchange *ex)
{
	char *instance, *collection;

	if (!write_takes_part(ex)) {
		write_no_sense(ex);
		return;
	}
	instance = write_text(ex, "instance");
	collection = write_text(ex, "collection");
	if (wal_ready())
		ask(ex, instance, collection);
	else
		exchange_fail(ex, STATUS_LOG_UNAVAILABLE, "none");
	free(instance);
	free(collection);
}
