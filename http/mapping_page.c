/* http/mapping_page.c - mappings, by hand.
 *
 *	DELETE /collection/mappings/{name}   if no instance has the collection any more;
 *	                                     ?force=true: and the collection, too.
 *	                                     ?tenant=, ?database=
 *	POST /admin/create_mapping           {"collection_name", "primary_id",
 *"replica_id"} POST /admin/complete_mappings        what instances have lost is made anew
 *there
 *
 * A mapping is made by looking at the ids it names, one after the other (look), and then,
 * for a collection that nobody has made through the proxy, by adopting it from where it
 * is: its content is compared where there are two. What is known under another id is not
 * overwritten: the content behind it was never looked at. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/admin.h"
#include "http/status.h"

#define LOOK_MS 5000u
#define NAME_MOST 1024u

/* --- delete ------------------------------------------------------------------------ */

static void on_unmapped(void *arg, enum status s, const struct instance *where)
{
	struct exchange *ex = arg;

	if (s == STATUS_OK) {
		admin_event(ex, "mapping of %s deleted", ex->route.item);
		exchange_json(ex, 200,
		              "{\"success\":true,\"message\":\"The mapping has gone\"}");
	} else if (s == STATUS_CONFLICT) {
		exchange_error(ex, 409, "ChromaError",
		               "%s still has the collection; delete that, or with "
		               "?force=true both",
		               instance_name(where));
	} else if (s == STATUS_NO_INSTANCE) {
		exchange_error(ex, 409, "ChromaError",
		               "%s cannot be asked whether it still has the collection; "
		               "?force=true deletes both all the same",
		               instance_name(where));
	} else if (s == STATUS_NOT_FOUND) {
		exchange_error(ex, 409, "ChromaError", "It is changing just now");
	} else {
		exchange_fail(ex, s, "unknown");
	}
}

static struct collection *find(const struct exchange *ex)
{
	char *tenant = query_text(ex, "tenant"), *database = query_text(ex, "database");
	const char *name = ex->route.item;
	struct database *db =
	        catalogue_database(tenant != NULL ? tenant : TENANT_DEFAULT,
	                           database != NULL ? database : DATABASE_DEFAULT);
	struct collection *c = db != NULL ? catalogue_named(db, name) : NULL;
	struct uuid id;

	if (c == NULL && tenant == NULL && database == NULL &&
	    uuid_parse(name, strlen(name), &id))
		c = catalogue_by_uuid(&id);
	free(tenant);
	free(database);
	return c;
}

void mapping_delete(struct exchange *ex)
{
	struct collection *c = find(ex);

	if (c == NULL)
		exchange_error(ex, 404, "NotFoundError", "There is no mapping of %.200s",
		               ex->route.item);
	else if (protect_covers(c->name))
		protect_refuse(ex, c);
	else if (c->life != LIFE_LIVE || c->next_name != NULL)
		exchange_error(ex, 409, "ChromaError", "It is changing just now");
	else
		wal_unmap(c, query_flag(ex, "force"), on_unmapped, ex, &ex->pending);
}

/* --- make -------------------------------------------------------------------------- */

struct making {
	char name[NAME_MOST], tenant[NAME_MOST], database[NAME_MOST];
	bool given[2];
	struct uuid ids[2]; /* on the first two instances */
	unsigned at;        /* the one that is looked at */
};

static const char *const keys[] = {"primary_id", "replica_id"};

static void add_known(struct text *json, const struct making *m, unsigned i)
{
	struct database *db = catalogue_database(m->tenant, m->database);
	struct collection *c = db != NULL ? catalogue_named(db, m->name) : NULL;
	const struct uuid *id = &m->ids[i];

	if (c != NULL && !uuid_none(&c->local[i]))
		id = &c->local[i];
	if (uuid_none(id))
		text_addf(json, ",\"%s\":null", keys[i]);
	else
		text_addf(json, ",\"%s\":\"%s\"", keys[i], id->text);
}

static void made(struct exchange *ex, const char *message)
{
	const struct making *m = ex->wish;
	struct text json = {0};

	text_addf(&json, "{\"success\":true,\"message\":\"%s\"", message);
	for (unsigned i = 0; i < 2; i++)
		add_known(&json, m, i);
	text_addc(&json, '}');
	exchange_json_text(ex, 200, &json);
}

static void take_outcome(void *arg, const struct wal_stranger *x)
{
	const char **outcome = arg;

	*outcome = x->outcome;
}

static void on_adopted(void *arg, unsigned scanned, struct stranger_list *found)
{
	struct exchange *ex = arg;
	const char *outcome = NULL;

	wal_each_stranger(found, take_outcome, &outcome);
	if (outcome != NULL && strcmp(outcome, "adopted") == 0) {
		admin_event(ex, "mapping of %s made",
		            ((const struct making *)ex->wish)->name);
		made(ex, "Adopted; the other instances follow");
	} else if (scanned == 0) {
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	} else {
		exchange_error(ex, 409, "ChromaError", "It cannot be adopted: %s",
		               outcome != NULL ? outcome : "it has gone");
	}
}

static void adopt(struct exchange *ex)
{
	const struct making *m = ex->wish;
	unsigned i = m->given[0] ? 0 : 1;

	wal_adopt(&(struct wal_adoption){.in = health_instance(i),
	                                 .collection = m->ids[i].text},
	          on_adopted, ex, &ex->pending);
}

static void looked_at_all(struct exchange *ex)
{
	const struct making *m = ex->wish;
	struct database *db = catalogue_database(m->tenant, m->database);

	if (db != NULL && catalogue_named(db, m->name) != NULL)
		made(ex, "It is as it was known");
	else
		adopt(ex);
}

static void look(struct exchange *ex);

static void on_looked(void *arg, const struct reply *reply)
{
	struct exchange *ex = arg;
	struct making *m = ex->wish;
	const char *where = instance_name(health_instance(m->at));
	struct uuid id;
	enum status s = wal_there_answer(reply, &id);

	if (s == STATUS_NOT_FOUND) {
		exchange_error(ex, 404, "NotFoundError", "%s has no collection %.200s",
		               where, m->name);
	} else if (s != STATUS_OK) {
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	} else if (uuid_compare(&id, &m->ids[m->at]) != 0) {
		exchange_error(ex, 409, "ChromaError", "On %s it has the id %s", where,
		               id.text);
	} else {
		m->at++;
		look(ex);
	}
}

static void look(struct exchange *ex)
{
	struct making *m = ex->wish;
	struct call call = {
	        .method = "GET", .timeout = LOOK_MS, .repeatable = true, .alone = true};
	struct text target = {0};

	while (m->at < 2 && !m->given[m->at])
		m->at++;
	if (m->at == 2) {
		looked_at_all(ex);
		return;
	}
	wal_there_target(&target, m->tenant, m->database, m->name);
	call.target = text_string(&target);
	upstream_call(instance_upstream(health_instance(m->at)), &call, on_looked, ex,
	              &ex->pending);
	text_clear(&target);
}

/* What is known already must not be told otherwise. */
static bool agrees(struct exchange *ex, const struct making *m,
                   const struct collection *c)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *where = instance_name(health_instance(i));

		if (!m->given[i] || uuid_compare(&c->local[i], &m->ids[i]) == 0)
			continue;
		if (uuid_none(&c->local[i]))
			exchange_error(ex, 409, "ChromaError",
			               "The log still has to make it on %s", where);
		else
			exchange_error(
			        ex, 409, "ChromaError",
			        "It is known on %s as %s; if that is lost, have it "
			        "made anew there (/admin/resync)",
			        where, c->local[i].text);
		return false;
	}
	return true;
}

static void begin(struct exchange *ex, struct making *m)
{
	struct database *db = catalogue_database(m->tenant, m->database);
	struct collection *c = db != NULL ? catalogue_named(db, m->name) : NULL;

	if (c == NULL && !m->given[0] && !m->given[1])
		admin_bad(ex,
		          "primary_id or replica_id is needed: nothing is known of it");
	else if (c == NULL || agrees(ex, m, c))
		look(ex);
}

/* False: it is answered. */
static bool take_text(struct exchange *ex, const char *key, const char *otherwise,
                      char *out)
{
	char *text = write_text(ex, key);
	bool good = (text != NULL && text[0] != '\0') || otherwise != NULL;

	good = good && (text == NULL || strlen(text) < NAME_MOST);
	if (good)
		snprintf(out, NAME_MOST, "%s", text != NULL ? text : otherwise);
	else
		exchange_error(ex, 400, "InvalidArgumentError", "%s is needed", key);
	free(text);
	return good;
}

static bool take_id(struct exchange *ex, unsigned i, struct making *m)
{
	struct json_slice v = json_member(write_body(ex), keys[i]);
	char *text = json_text(v, NULL);
	bool absent = v.at == NULL || json_kind(v) == JSON_NULL_VALUE;
	bool given = text != NULL && uuid_parse(text, strlen(text), &m->ids[i]);

	free(text);
	m->given[i] = given;
	if (!absent && !given)
		exchange_error(ex, 400, "InvalidArgumentError", "%s is no id", keys[i]);
	return absent || given;
}

void mapping_create(struct exchange *ex)
{
	struct making *m;

	if (!write_takes_part(ex)) {
		write_no_sense(ex);
		return;
	}
	if (health_count() < 2) {
		admin_bad(ex, "There are no two instances");
		return;
	}
	m = ex->wish = mem_new(struct making);
	if (take_text(ex, "collection_name", NULL, m->name) &&
	    take_text(ex, "tenant", TENANT_DEFAULT, m->tenant) &&
	    take_text(ex, "database", DATABASE_DEFAULT, m->database) &&
	    take_id(ex, 0, m) && take_id(ex, 1, m))
		begin(ex, m);
}

/* --- complete ---------------------------------------------------------------------- */

struct completing {
	unsigned partial, begun, waiting, stuck;
};

static void complete(struct collection *c, struct completing *n)
{
	bool partial = false;

	for (unsigned i = 0; i < health_count(); i++) {
		const struct instance *in = health_instance(i);

		if (c->life != LIFE_LIVE || wal_holds(in, c) || wal_detached(in))
			continue;
		partial = true;
		if (uuid_none(&c->local[i]))
			n->waiting++; /* for the log */
		else if (wal_rebuild(c, in, "an operator asked for it") == STATUS_OK)
			n->begun++;
		else
			n->stuck++;
	}
	n->partial += partial;
}

void mappings_complete(struct exchange *ex)
{
	struct completing n = {0};

	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		struct collection *c;

		TAILQ_FOREACH (c, &db->collections, link)
			complete(c, &n);
	}
	admin_event(ex, "completion of %u mappings", n.partial);
	exchange_json(ex, 202,
	              "{\"job\":\"complete_mappings\",\"watch\":\"/status\","
	              "\"partial\":%u,\"begun\":%u,\"waiting_for_the_log\":%u,"
	              "\"without_a_source\":%u}",
	              n.partial, n.begun, n.waiting, n.stuck);
}
