/* http/collections_page.c - GET /status/collections: each collection, what of it each
 * instance lacks, and when it was compared last.
 *
 *	{"total", "listed", "age_seconds", "collections": [..]}    ?limit=N, 200 if it is
 *not said
 *
 * Those that are not as they should be come first, then the newest: of thousands the
 * list shows what somebody wants to see. While another proxy leads it is what that has
 * told last (shown.c), 200 at most; null if it has not. Nobody is asked for it; the items
 * are those of the last comparison. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http/exchange.h"
#include "http/shown.h"
#include "http/status.h"

#define LISTED_USUAL 200u
#define LISTED_MOST 1000u

struct row {
	const struct collection *c;
	bool well;
	struct wal_verification found; /* .collection NULL: never compared */
};

struct rows {
	struct row *list; /* by address, to be found */
	size_t n;
};

/* --- which ------------------------------------------------------------------------- */

static bool is_shown(const struct collection *c)
{
	return c->life == LIFE_LIVE &&
	       strncmp(c->name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) != 0;
}

static bool is_well(const struct collection *c)
{
	for (unsigned i = 0; i < health_count(); i++) {
		const struct instance *in = health_instance(i);

		if (wal_behind(in, c) > 0 || !wal_readable(in, c) ||
		    wal_is_unproven(in, c))
			return false;
	}
	return true;
}

static int by_address(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->c < y->c ? -1 : x->c > y->c ? 1 : 0;
}

static int by_need(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->well != y->well)
		return x->well ? 1 : -1;
	return x->c->id < y->c->id ? 1 : x->c->id > y->c->id ? -1 : 0;
}

static void on_verification(void *arg, const struct wal_verification *v)
{
	const struct rows *rows = arg;
	struct row key = {.c = v->collection};
	struct row *row =
	        bsearch(&key, rows->list, rows->n, sizeof(*rows->list), by_address);

	if (row == NULL)
		return;
	row->found = *v;
	row->well = row->well && v->result == VERIFIED_EQUAL;
}

static struct rows gather(void)
{
	struct rows rows = {
	        .list = mem_array(catalogue_count(NULL).live + 1, sizeof(struct row))};

	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		const struct collection *c;

		TAILQ_FOREACH (c, &db->collections, link)
			if (is_shown(c))
				rows.list[rows.n++] =
				        (struct row){.c = c, .well = is_well(c)};
	}
	qsort(rows.list, rows.n, sizeof(*rows.list), by_address);
	wal_each_verification(on_verification, &rows);
	qsort(rows.list, rows.n, sizeof(*rows.list), by_need);
	return rows;
}

/* --- how they are written ---------------------------------------------------------- */

static void add_text(struct text *json, const char *key, const char *value)
{
	text_addf(json, "\"%s\":", key);
	json_add_quoted(json, value, strlen(value));
	text_addc(json, ',');
}

static void add_time(struct text *json, const char *key, int64_t wall_ms)
{
	char iso[CLOCK_ISO_BYTES];

	if (wall_ms > 0)
		text_addf(json, "\"%s\":\"%s\",", key, clock_iso(wall_ms, iso));
	else
		text_addf(json, "\"%s\":null,", key);
}

static const char *state_at(const struct instance *in, const struct collection *c)
{
	if (wal_detached(in))
		return "detached";
	if (!wal_holds(in, c))
		return uuid_none(&c->local[instance_index(in)]) ? "not there yet"
		                                                : "lost";
	if (!wal_readable(in, c))
		return "quarantine";
	if (wal_is_unproven(in, c))
		return "unproven";
	return wal_behind(in, c) > 0 ? "behind" : "current";
}

static void add_instances(struct text *json, const struct collection *c)
{
	text_adds(json, "\"instances\":[");
	for (unsigned i = 0; i < health_count(); i++) {
		const struct instance *in = health_instance(i);

		text_adds(json, i > 0 ? ",{" : "{");
		add_text(json, "name", instance_name(in));
		add_text(json, "state", state_at(in, c));
		text_addf(json, "\"pending_writes\":%llu}",
		          (unsigned long long)wal_behind(in, c));
	}
	text_addc(json, ']');
}

static void add_found(struct text *json, const struct wal_verification *v)
{
	uint64_t differences = 0;

	if (v->collection == NULL) {
		text_adds(json, "\"verification\":null,");
		return;
	}
	for (unsigned k = 0; k < WAL_VERIFIED_KINDS; k++)
		differences += v->found[k];
	text_adds(json, "\"verification\":{");
	add_text(json, "result", wal_verified_name(v->result));
	add_time(json, "at", v->at_wall_ms);
	add_time(json, "last_equal_at", v->equal_wall_ms);
	text_addf(json, "\"items\":%llu,\"differences\":%llu},",
	          (unsigned long long)v->items, (unsigned long long)differences);
}

static void add_row(struct text *json, const struct row *row)
{
	text_addc(json, '{');
	add_text(json, "collection", row->c->name);
	add_text(json, "collection_id", row->c->public_id.text);
	add_text(json, "tenant", row->c->db->tenant);
	add_text(json, "database", row->c->db->name);
	add_time(json, "created_at", row->c->created_ms);
	text_addf(json, "\"well\":%s,", row->well ? "true" : "false");
	add_found(json, &row->found);
	add_instances(json, row->c);
	text_addc(json, '}');
}

static size_t limit_of(const struct exchange *ex)
{
	const char *query = ex->route.query;
	unsigned long n;

	if (query == NULL || strncmp(query, "limit=", 6) != 0)
		return LISTED_USUAL;
	n = strtoul(query + 6, NULL, 10);
	return n < LISTED_MOST ? n : LISTED_MOST;
}

/* No more than `listed`, nor than fit into `most` bytes. */
static void add_rows(struct text *json, const struct rows *rows, size_t listed,
                     size_t most)
{
	size_t k;

	text_addf(json, "\"total\":%zu,\"collections\":[", rows->n);
	for (k = 0; k < rows->n && k < listed && json->len < most; k++) {
		text_adds(json, k > 0 ? "," : "");
		add_row(json, &rows->list[k]);
	}
	text_addf(json, "],\"listed\":%zu}", k);
}

/* For the others. */
void collections_write(struct text *json)
{
	struct rows rows = gather();

	text_addf(json, "{\"shape\":%d,", SHOWN_SHAPE);
	add_rows(json, &rows, LISTED_USUAL, WAL_SHOWN_MOST / 2);
	free(rows.list);
}

static void page_of_another(struct exchange *ex, size_t listed)
{
	json_t *o = json_object(), *list = json_array(), *row;
	msec age;
	const json_t *told = shown_told(WAL_SHOWN_COLLECTIONS, &age);
	size_t k;

	json_array_foreach(json_object_get(told, "collections"), k, row)
	{
		if (k < listed)
			json_array_append(list, row);
	}
	status_set_known(o, told, "total");
	status_set(o, "listed", status_count(json_array_size(list)));
	status_set(o, "age_seconds",
	           told != NULL ? status_seconds((int64_t)age) : json_null());
	status_set(o, "collections", told != NULL ? json_incref(list) : json_null());
	json_decref(list);
	status_send(ex, o);
}

void collections_page(struct exchange *ex)
{
	struct text json = {0};
	size_t listed = limit_of(ex);
	struct rows rows;

	if (!shown_is_ours()) {
		page_of_another(ex, listed);
		return;
	}
	rows = gather();
	text_adds(&json, "{\"age_seconds\":0,");
	add_rows(&json, &rows, listed, SIZE_MAX);
	free(rows.list);
	exchange_json_text(ex, 200, &json);
}
