/* wal/survey.c - what is there, on one instance: a walk over its collections, a page
 * after the other, while nothing is written there.
 *
 *   survey_begin   the tenants and databases of the catalogue
 *   make           (if wanted) create them there; those that are there already are well
 *   find           (if wanted) the databases there that the catalogue does not know
 *   list           the collections of each database
 *   end            tell how it went; an answer that is no answer ends it early
 *
 * Chroma lists no tenants. What is in one that the catalogue does not know stays unseen;
 * no client can come there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/engine.h"
#include "wal/rebuild.h"
#include "wal/record.h"
#include "wal/survey.h"

#define PAGE 200u
#define PATIENCE_MS 15000u
#define SEEN_MOST 200000u /* collections: more than that is not believed */

/* --- what is to be walked ---------------------------------------------------------- */

static bool is_default(const char *tenant, const char *name)
{
	return strcmp(tenant, TENANT_DEFAULT) == 0 &&
	       (name == NULL || strcmp(name, DATABASE_DEFAULT) == 0);
}

static void add_place(struct survey *s, const char *tenant, const char *name)
{
	char *key = mem_format("%s\x1f%s", tenant, name);

	if (table_get(&s->known, key) == NULL) {
		table_put(&s->known, key, s);
		s->places = mem_resize(s->places, (s->n_places + 1) * sizeof(*s->places));
		s->places[s->n_places].tenant = mem_string(tenant);
		s->places[s->n_places++].name = mem_string(name);
	}
	free(key);
}

/* Its create has its turn there yet: it is not to be made before. */
static bool is_owed(const struct survey *s, enum record_kind kind, const char *tenant,
                    const struct database *db)
{
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link) {
		if (r->kind != kind || r->turns[s->instance].state >= TURN_DONE)
			continue;
		if (kind == RECORD_CREATE_TENANT ? strcmp(r->name, tenant) == 0
		                                 : r->database == db)
			return true;
	}
	return false;
}

static void add_tenant(void *arg, const char *name)
{
	struct survey *s = arg;

	if (is_owed(s, RECORD_CREATE_TENANT, name, NULL))
		return;
	s->tenants = mem_resize(s->tenants, (s->n_tenants + 1) * sizeof(char *));
	s->tenants[s->n_tenants++] = mem_string(name);
}

static void add_databases_of_catalogue(struct survey *s, bool owed)
{
	const struct database *db = NULL;

	while ((db = catalogue_next_database(db)) != NULL)
		if (db->life == LIFE_LIVE &&
		    is_owed(s, RECORD_CREATE_DATABASE, NULL, db) == owed)
			add_place(s, db->tenant, db->name);
}

static void take_catalogue(struct survey *s)
{
	catalogue_each_tenant(add_tenant, s);
	add_databases_of_catalogue(s, false);
	s->n_own = s->n_places;
	add_databases_of_catalogue(s, true);
}

/* --- calls ------------------------------------------------------------------------- */

static void next(struct survey *s);
static void on_reply(void *arg, const struct reply *reply);

void survey_call(unsigned i, const char *method, const char *target, const char *json,
                 upstream_fn *done, void *arg, struct op **slot)
{
	struct headers headers = {0};
	struct blob *body = json != NULL ? blob_create(json, strlen(json)) : NULL;
	struct call call = {
	        .method = method,
	        .target = target,
	        .headers = &headers,
	        .body = body,
	        .timeout = PATIENCE_MS,
	        .repeatable = json == NULL,
	        .alone = true,
	};

	if (body != NULL)
		headers_add(&headers, "content-type", "application/json");
	upstream_call(instance_upstream(health_instance(i)), &call, done, arg, slot);
	headers_clear(&headers);
	blob_unref(&body);
}

void survey_add_place(struct text *target, const struct survey_place *place)
{
	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, place->tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, place->name);
	text_adds(target, "/collections");
}

static void add_name(struct text *json, const char *name)
{
	text_adds(json, "{\"name\":");
	json_add_quoted(json, name, strlen(name));
	text_addc(json, '}');
}

static void add_databases(struct text *target, const char *tenant)
{
	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, tenant);
	text_adds(target, "/databases");
}

static void ask(struct survey *s)
{
	const struct survey_place *place = s->places + s->at;
	struct text target = {0}, json = {0};

	switch (s->step) {
	case SURVEY_TENANTS:
		text_adds(&target, "/api/v2/tenants");
		add_name(&json, s->tenants[s->at]);
		break;
	case SURVEY_DATABASES:
		add_databases(&target, place->tenant);
		add_name(&json, place->name);
		break;
	case SURVEY_FIND:
		add_databases(&target, s->tenants[s->at]);
		break;
	default:
		survey_add_place(&target, place);
	}
	if (json.len == 0)
		text_addf(&target, "?limit=%u&offset=%zu", PAGE, s->offset);
	survey_call(s->instance, json.len > 0 ? "POST" : "GET", text_string(&target),
	            json.s, on_reply, s, &s->pending);
	text_clear(&target);
	text_clear(&json);
}

/* --- what is found ----------------------------------------------------------------- */

static void take_databases(struct survey *s, struct json_slice list)
{
	struct json_walk w = json_walk(list);

	while (json_step(&w)) {
		char *name = json_text(json_member(w.value, "name"), NULL);

		if (name != NULL)
			add_place(s, s->tenants[s->at], name);
		free(name);
	}
}

/* Where the numbers are in ctd-new.<collection>.<attempt>; NULL: it is no such name. */
static const char *numbers_in(const char *name)
{
	static const char *const copies[] = {RESERVED_PREFIX "new.",
	                                     RESERVED_PREFIX "old."};

	for (size_t k = 0; k < sizeof(copies) / sizeof(copies[0]); k++)
		if (strncmp(name, copies[k], strlen(copies[k])) == 0)
			return name + strlen(copies[k]);
	return NULL;
}

static bool is_copy(const struct survey *s, const char *name)
{
	const char *numbers = numbers_in(name);
	int64_t collection;
	char *end;

	if (numbers == NULL)
		return false;
	collection = strtoll(numbers, &end, 10);
	return *end == '.' && rebuild_remembers(s->instance, collection,
	                                        (unsigned)strtoul(end + 1, NULL, 10));
}

/* It has been set aside before, or is a copy that a rebuild makes, or leaves to be
 * deleted: we may look a second time. (What else has a name of ours was on its way to be
 * gone; on an older disk nobody remembers it.) */
static bool is_looked_after(const struct survey *s, struct json_slice quoted)
{
	char *name = json_text(quoted, NULL);
	bool found;

	if (name == NULL)
		return false;
	found = strncmp(name, LOST_PREFIX, strlen(LOST_PREFIX)) == 0 || is_copy(s, name);
	free(name);
	return found;
}

static void take_collections(struct survey *s, struct json_slice list)
{
	struct json_walk w = json_walk(list);

	while (json_step(&w)) {
		const struct collection *c;
		struct survey_stranger x = {.place = s->at};

		if (!uuid_parse_json(json_member(w.value, "id"), &x.id))
			continue;
		table_put(&s->there, x.id.text, s);
		c = catalogue_by_uuid(&x.id);
		if (is_looked_after(s, json_member(w.value, "name")) ||
		    (c != NULL && uuid_compare(&c->local[s->instance], &x.id) == 0))
			continue;
		s->strangers = mem_resize(s->strangers,
		                          (s->n_strangers + 1) * sizeof(*s->strangers));
		s->strangers[s->n_strangers++] = x;
	}
}

/* True: there may be more on another page. */
static bool take_page(struct survey *s, const struct blob *body, bool *good)
{
	struct json_slice list = json_whole(blob_bytes(body), blob_len(body));

	*good = json_kind(list) == JSON_LIST && s->there.count < SEEN_MOST;
	if (!*good)
		return false;
	if (s->step == SURVEY_FIND)
		take_databases(s, list);
	else
		take_collections(s, list);
	s->offset += PAGE;
	return json_count(list) == PAGE;
}

static void end(struct survey *s, bool good)
{
	s->done(s->arg, good);
}

static void on_reply(void *arg, const struct reply *reply)
{
	struct survey *s = arg;
	bool makes = s->step == SURVEY_TENANTS || s->step == SURVEY_DATABASES;
	bool good = reply->status == STATUS_OK &&
	            (reply->http < 300 || (makes && reply->http == 409));

	if (good && !makes && take_page(s, reply->body, &good)) {
		ask(s);
		return;
	}
	if (!good) {
		end(s, false);
		return;
	}
	s->at++;
	s->offset = 0;
	next(s);
}

/* An empty Chroma has them. */
static bool is_left_out(const struct survey *s)
{
	if (s->finds)
		return false;
	if (s->step == SURVEY_TENANTS)
		return is_default(s->tenants[s->at], NULL);
	return s->step == SURVEY_DATABASES &&
	       is_default(s->places[s->at].tenant, s->places[s->at].name);
}

static size_t size_of(const struct survey *s)
{
	switch (s->step) {
	case SURVEY_TENANTS:
		return s->makes ? s->n_tenants : 0;
	case SURVEY_DATABASES:
		return s->makes ? s->n_own : 0;
	case SURVEY_FIND:
		return s->finds ? s->n_tenants : 0;
	default:
		return s->n_places;
	}
}

static void next(struct survey *s)
{
	while (s->step <= SURVEY_LIST && (s->at >= size_of(s) || is_left_out(s))) {
		if (s->at++ < size_of(s))
			continue;
		s->step++;
		s->at = s->offset = 0;
	}
	if (s->step > SURVEY_LIST)
		end(s, true);
	else
		ask(s);
}

void survey_begin(struct survey *s)
{
	take_catalogue(s);
	s->step = SURVEY_TENANTS;
	next(s);
}

void survey_clear(struct survey *s)
{
	op_cancel(&s->pending);
	for (size_t k = 0; k < s->n_tenants; k++)
		free(s->tenants[k]);
	for (size_t k = 0; k < s->n_places; k++) {
		free(s->places[k].tenant);
		free(s->places[k].name);
	}
	free(s->tenants);
	free(s->places);
	free(s->strangers);
	table_clear(&s->known);
	table_clear(&s->there);
	*s = (struct survey){0};
}
