/* http/mappings_page.c - which collection is known under which id where, newest first.
 *
 * Written as text rather than as a tree: there may be many thousands. The list is made
 * once and stands under both of the names that scripts read it by. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http/operator.h"

static bool is_shown(const struct collection *c)
{
	return c->life == LIFE_LIVE &&
	       strncmp(c->name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) != 0;
}

/* Ids are places in the log: what came later has a greater one. */
static int newest_first(const void *a, const void *b)
{
	const struct collection *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? 1 : (*x)->id > (*y)->id ? -1 : 0;
}

static size_t shown(const struct collection ***out)
{
	size_t n = 0;

	*out = mem_array(catalogue_count(NULL).live + 1,
	                 sizeof(const struct collection *));
	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		const struct collection *c;

		TAILQ_FOREACH (c, &db->collections, link)
			if (is_shown(c))
				(*out)[n++] = c;
	}
	qsort(*out, n, sizeof(const struct collection *), newest_first);
	return n;
}

static void add_quoted(struct text *json, const char *key, const char *value)
{
	text_addf(json, "\"%s\":", key);
	json_add_quoted(json, value, strlen(value));
	text_addc(json, ',');
}

/* null where the collection has not arrived yet */
static void add_id(struct text *json, const char *key, const struct uuid *id)
{
	if (uuid_none(id))
		text_addf(json, "\"%s\":null,", key);
	else
		text_addf(json, "\"%s\":\"%s\",", key, id->text);
}

static void add_time(struct text *json, const char *key, int64_t wall_ms)
{
	char iso[CLOCK_ISO_BYTES];

	text_addf(json, "\"%s\":\"%s\"", key, clock_iso(wall_ms, iso));
}

/* Returns whether every instance has it. */
static bool add_locations(struct text *json, const struct collection *c)
{
	unsigned n = 0;

	text_adds(json, "\"locations\":{");
	for (unsigned i = 0; i < health_count(); i++) {
		const char *name = instance_name(health_instance(i));

		if (uuid_none(&c->local[i]))
			continue;
		text_adds(json, n++ > 0 ? "," : "");
		json_add_quoted(json, name, strlen(name));
		text_addf(json, ":\"%s\"", c->local[i].text);
	}
	text_adds(json, "},");
	return n == health_count();
}

static void add_mapping(struct text *json, const struct collection *c)
{
	bool complete;

	text_addc(json, '{');
	add_quoted(json, "collection_name", c->name);
	add_quoted(json, "tenant", c->db->tenant);
	add_quoted(json, "database", c->db->name);
	add_id(json, "public_id", &c->public_id);
	add_id(json, "primary_collection_id", &c->local[0]);
	add_id(json, "replica_collection_id", &c->local[1]);
	add_id(json, "primary_uuid", &c->local[0]);
	add_id(json, "replica_uuid", &c->local[1]);
	complete = add_locations(json, c);
	text_addf(json, "\"status\":\"%s\",", complete ? "complete" : "partial");
	add_time(json, "created_at", c->created_ms);
	text_addc(json, ',');
	add_time(json, "updated_at", c->updated_ms);
	text_addc(json, '}');
}

void mappings_page(struct exchange *ex)
{
	const struct collection **list;
	struct text mappings = {0}, json = {0};
	size_t n = shown(&list);

	for (size_t k = 0; k < n; k++) {
		text_adds(&mappings, k > 0 ? "," : "");
		add_mapping(&mappings, list[k]);
	}
	free(list);
	text_reserve(&json, 2 * mappings.len + 128);
	text_addf(&json,
	          "{\"count\":%zu,\"total_mappings\":%zu,\"collection_mappings\":[", n,
	          n);
	text_add(&json, text_string(&mappings), mappings.len);
	text_adds(&json, "],\"mappings\":[");
	text_add(&json, text_string(&mappings), mappings.len);
	text_adds(&json, "]}");
	text_clear(&mappings);
	exchange_json_text(ex, 200, &json);
}
