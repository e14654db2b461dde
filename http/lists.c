/* http/lists.c - answers made from the catalogue: tenants, databases, counts, and the
 * list of collections.
 *
 * Two instances list the same collections under different ids and therefore in different
 * orders. The list is composed here: one current instance says what each collection looks
 * like, the catalogue says which there are and which id each has; sorted by that id, then
 * cut to limit and offset, it is the same whoever answered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

/* --- limit and offset -------------------------------------------------------------- */

struct page {
	uint64_t limit, offset;
	bool sound; /* false: Chroma refuses this query string */
};

static bool take_number(const char *s, size_t len, uint64_t *out)
{
	uint64_t n = 0;

	if (len == 0 || len > 10)
		return false;
	for (; len > 0; s++, len--) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*out = n;
	return n <= UINT32_MAX;
}

static void take_pair(struct page *page, const char *pair, size_t len, bool seen[2])
{
	static const char *const names[] = {"limit=", "offset="};
	uint64_t *const to[] = {&page->limit, &page->offset};

	for (unsigned k = 0; k < 2; k++) {
		size_t n = strlen(names[k]);

		if (len < n || memcmp(pair, names[k], n) != 0)
			continue;
		if (seen[k] || !take_number(pair + n, len - n, to[k]))
			page->sound = false;
		seen[k] = true;
	}
}

/* Anything but plain digits is left to Chroma to judge. */
static struct page page_of(const struct exchange *ex)
{
	struct page page = {UINT64_MAX, 0, true};
	bool seen[2] = {false, false};
	const char *at = ex->route.query;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, "&");

		take_pair(&page, at, len, seen);
		at += len + (at[len] == '&');
	}
	return page;
}

static bool in_page(const struct page *page, uint64_t n)
{
	return n >= page->offset && n - page->offset < page->limit;
}

/* Chroma says what is wrong with it, in words of its own; it must not answer it. */
static void take_refusal(struct exchange *ex, struct instance *in, int http,
                         const struct headers *headers, struct blob *body)
{
	(void)in;
	if (http >= 400)
		exchange_reply(ex, http, headers, body);
	else
		exchange_error(ex, 400, "InvalidArgumentError",
		               "Failed to deserialize query string");
}

static const struct relay_plan unsound_plan = {.read = true,
                                               .whole = true,
                                               .aim = relay_aim_same,
                                               .choose = relay_choose_any,
                                               .take = take_refusal,
                                               .none = relay_gave_up};

static void refuse_page(struct exchange *ex)
{
	relay_start(ex, &unsound_plan, NULL);
}

/* --- tenants and databases --------------------------------------------------------- */

void get_tenant(struct exchange *ex)
{
	struct text json = {0};

	if (!catalogue_tenant(ex->route.item)) {
		exchange_error(ex, 404, "NotFoundError", "Tenant [%s] not found",
		               ex->route.item);
		return;
	}
	text_adds(&json, "{\"name\":");
	json_add_quoted(&json, ex->route.item, strlen(ex->route.item));
	text_adds(&json, ",\"resource_name\":null}");
	exchange_json_text(ex, 200, &json);
}

static void add_database(struct text *json, const struct database *db)
{
	text_addf(json, "{\"id\":\"%s\",\"name\":", db->public_id.text);
	json_add_quoted(json, db->name, strlen(db->name));
	text_adds(json, ",\"tenant\":");
	json_add_quoted(json, db->tenant, strlen(db->tenant));
	text_addc(json, '}');
}

void get_database(struct exchange *ex)
{
	struct text json = {0};
	enum found f = find_database(ex);

	if (f == FOUND_UNDECIDED) {
		exchange_wait_database(ex, ex->database, get_database);
	} else if (f == FOUND) {
		add_database(&json, ex->database);
		exchange_json_text(ex, 200, &json);
	} else if (strlen(ex->route.database) < 3) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "database name must be at least 3 characters");
	} else {
		exchange_error(ex, 404, "NotFoundError",
		               "Database [%s] not found. Are you sure it exists?",
		               ex->route.database);
	}
}

static int by_database_name(const void *a, const void *b)
{
	const struct database *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static size_t databases_of(const char *tenant, struct database ***out)
{
	struct database *db;
	size_t n = 0, room = 0;

	*out = NULL;
	for (db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		if (db->life != LIFE_LIVE || strcmp(db->tenant, tenant) != 0)
			continue;
		if (n == room) {
			room = room * 2 + 16;
			*out = mem_resize(*out, room * sizeof(struct database *));
		}
		(*out)[n++] = db;
	}
	if (n > 1)
		qsort(*out, n, sizeof(struct database *), by_database_name);
	return n;
}

void list_databases(struct exchange *ex)
{
	struct page page = page_of(ex);
	struct database **list;
	struct text json = {0};
	size_t n;

	if (!page.sound) {
		refuse_page(ex);
		return;
	}
	n = databases_of(ex->route.tenant, &list);
	for (size_t k = 0; k < n; k++)
		if (in_page(&page, k)) {
			text_addc(&json, json.len == 0 ? '[' : ',');
			add_database(&json, list[k]);
		}
	text_adds(&json, json.len == 0 ? "[]" : "]");
	free(list);
	exchange_json_text(ex, 200, &json);
}

void count_collections(struct exchange *ex)
{
	bool known = find_database(ex) == FOUND;

	exchange_json(ex, 200, "%u", known ? catalogue_count(ex->database).live : 0);
}

/* --- the list of collections ------------------------------------------------------- */

static bool current_throughout(const struct instance *in, const struct database *db)
{
	const struct collection *c;

	TAILQ_FOREACH (c, &db->collections, link)
		if (c->life == LIFE_LIVE && !wal_current(in, c))
			return false;
	return true;
}

static size_t count_lost(const struct instance *in, const struct database *db)
{
	const struct collection *c;
	size_t n = 0;

	TAILQ_FOREACH (c, &db->collections, link)
		n += c->life == LIFE_LIVE && !wal_holds(in, c);
	return n;
}

static bool may_list(const struct instance *in, void *arg)
{
	const struct exchange *ex = arg;

	return relay_untried(ex, in) && wal_database_current(in, ex->database) &&
	       count_lost(in, ex->database) == 0;
}

static bool may_list_exactly(const struct instance *in, void *arg)
{
	const struct exchange *ex = arg;

	return relay_untried(ex, in) && wal_database_current(in, ex->database) &&
	       current_throughout(in, ex->database);
}

/* Under steady writes no instance may be current in every collection at this moment; then
 * one that knows all of them will do, for what it may lack of the others (a dimension, a
 * metadata key of its schema) was being written while we were asked. */
static struct instance *choose_list(struct exchange *ex)
{
	struct instance *in = health_choose_read(may_list_exactly, ex);

	return in != NULL ? in : health_choose_read(may_list, ex);
}

static void aim_list(struct exchange *ex, struct instance *in, struct text *target)
{
	(void)in;
	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, ex->database->tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, ex->database->name);
	text_adds(target, "/collections");
}

struct listed {
	const struct collection *collection;
	struct json_slice json;
	size_t id_at; /* where the id's text begins in it */
};

static int by_public_id(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	return uuid_compare(&x->collection->public_id, &y->collection->public_id);
}

/* The collection this element is, as the catalogue knows it; NULL: none of its. */
static bool identify(const struct exchange *ex, struct json_slice element,
                     struct listed *out)
{
	struct json_slice id = json_member(element, "id");
	struct uuid local;

	if (!uuid_parse_json(id, &local))
		return false;
	out->collection = catalogue_by_uuid(&local);
	out->json = element;
	out->id_at = (size_t)(id.at + 1 - element.at);
	return out->collection != NULL && out->collection->db == ex->database;
}

static void add_listed(struct text *json, const struct listed *l)
{
	text_addc(json, json->len == 0 ? '[' : ',');
	text_add(json, l->json.at, l->id_at);
	text_adds(json, l->collection->public_id.text);
	text_add(json, l->json.at + l->id_at + UUID_LEN,
	         l->json.len - l->id_at - UUID_LEN);
}

/* A refusal; or no list; or the catalogue was loaded anew meanwhile. */
static void not_composed(struct exchange *ex, int http, const struct headers *headers,
                         struct blob *body)
{
	if (http != 200) {
		exchange_reply(ex, http, headers, body);
	} else if (ex->database->life == LIFE_GONE) {
		relay_stop(ex);
		dispatch(ex);
	} else {
		exchange_fail(ex, STATUS_BAD_REPLY, "none");
	}
}

static size_t count_current(const struct instance *in, const struct database *db)
{
	const struct collection *c;
	size_t n = 0;

	TAILQ_FOREACH (c, &db->collections, link)
		n += c->life == LIFE_LIVE && wal_current(in, c);
	return n;
}

static void ask_list(struct exchange *ex);

/* One that has everything has listed less: it may have lost it since. (Or something has
 * been created since.) */
static bool another_is_asked(struct exchange *ex, struct instance *in)
{
	instance_look(in);
	if (health_choose_read(may_list_exactly, ex) == NULL)
		return false;
	relay_stop(ex);
	ask_list(ex);
	return true;
}

static void compose(struct exchange *ex, struct instance *in, int http,
                    const struct headers *headers, struct blob *body)
{
	struct json_slice whole = json_whole(blob_bytes(body), blob_len(body));
	struct listed *list = mem_array(json_count(whole), sizeof(struct listed));
	struct json_walk w = json_walk(whole);
	struct page page = page_of(ex);
	struct text json = {0};
	size_t n = 0;

	if (http != 200 || json_kind(whole) != JSON_LIST ||
	    ex->database->life == LIFE_GONE) {
		free(list);
		not_composed(ex, http, headers, body);
		return;
	}
	while (json_step(&w))
		n += identify(ex, w.value, &list[n]);
	if (n < count_current(in, ex->database) && another_is_asked(ex, in)) {
		free(list);
		return;
	}
	qsort(list, n, sizeof(struct listed), by_public_id);
	for (size_t k = 0; k < n; k++)
		if (in_page(&page, k))
			add_listed(&json, &list[k]);
	text_adds(&json, json.len == 0 ? "[]" : "]");
	free(list);
	exchange_json_text(ex, 200, &json);
}

static const struct relay_plan list_plan = {.method = "GET",
                                            .read = true,
                                            .whole = true,
                                            .aim = aim_list,
                                            .choose = choose_list,
                                            .take = compose,
                                            .wait = rounds_another_comes,
                                            .none = rounds_next};

/* None has every change: one that is down has, or each has a collection in quarantine.
 * The one that lacks the fewest. */
static struct instance *choose_stale(struct exchange *ex)
{
	struct instance *best = NULL;
	size_t lost, least = SIZE_MAX;

	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		if (!instance_up(in) || !relay_untried(ex, in))
			continue;
		lost = count_lost(in, ex->database);
		if (lost < least)
			best = in;
		if (lost < least)
			least = lost;
	}
	ex->stale = best != NULL ? 1 : 0;
	return best;
}

static const struct relay_plan stale_plan = {.method = "GET",
                                             .read = true,
                                             .whole = true,
                                             .aim = aim_list,
                                             .choose = choose_stale,
                                             .take = compose,
                                             .none = relay_gave_up};

static void ask_list(struct exchange *ex)
{
	ex->again = ask_list;
	if (ex->database->life == LIFE_GONE) {
		dispatch(ex);
		return;
	}
	if (exchange_refreshes(ex, ask_list))
		return;
	if (choose_list(ex) != NULL)
		relay_start(ex, &list_plan, NULL);
	else
		rounds_wait(ex, &stale_plan, NULL);
}

void list_collections(struct exchange *ex)
{
	enum found f;

	if (!page_of(ex).sound) {
		refuse_page(ex);
		return;
	}
	f = find_database(ex);
	if (f == FOUND_UNDECIDED)
		exchange_wait_database(ex, ex->database, list_collections);
	else if (f == FOUND)
		ask_list(ex);
	else if (strlen(ex->route.database) < 3)
		exchange_error(ex, 400, "InvalidArgumentError",
		               "database name must be at least 3 characters");
	else
		exchange_json(ex, 200, "[]");
}
