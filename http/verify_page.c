/* http/verify_page.c - are the instances equal?
 *
 *	POST /admin/verify   compare one collection or all, now: 202 and a job
 *	GET  /admin/verify   how far it is, and how each collection was found last
 *	GET  /status         "verification": the sum
 *
 * {"collection": name or id, "tenant": .., "database": .., "repair": true or false}; none
 * of it must be there. "repair" instead of REPAIR, for this once. */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "http/admin.h"
#include "http/status.h"

/* --- compare ----------------------------------------------------------------------- */

static char *text_or(const struct exchange *ex, const char *key, const char *otherwise)
{
	char *text = write_text(ex, key);

	return text != NULL ? text : mem_string(otherwise);
}

static struct collection *find(const struct exchange *ex, const char *name)
{
	char *tenant = text_or(ex, "tenant", TENANT_DEFAULT);
	char *database = text_or(ex, "database", DATABASE_DEFAULT);
	struct database *db = catalogue_database(tenant, database);
	struct collection *c = db != NULL ? catalogue_named(db, name) : NULL;
	struct uuid id;

	if (c == NULL && uuid_parse(name, strlen(name), &id))
		c = catalogue_by_uuid(&id);
	free(tenant);
	free(database);
	return c;
}

static enum wal_verify_repair repair_wanted(const struct exchange *ex)
{
	struct json_slice repair = json_member(write_body(ex), "repair");

	if (json_kind(repair) != JSON_BOOL)
		return VERIFY_BY_POLICY;
	return json_flag(repair) ? VERIFY_REPAIR : VERIFY_REPORT;
}

static void answer(struct exchange *ex, enum status s, int64_t job)
{
	if (s == STATUS_OK)
		exchange_json(ex, 202, "{\"job\":%lld,\"watch\":\"/admin/verify\"}",
		              (long long)job);
	else if (s == STATUS_BUSY)
		exchange_error(ex, 409, "ChromaError", "Job %lld is under way",
		               (long long)job);
	else
		exchange_error(ex, 404, "NotFoundError", "There is no such collection");
}

static bool makes_sense(const struct exchange *ex)
{
	struct json_slice whole = write_body(ex);
	enum json_kind named = json_kind(json_member(whole, "collection")),
	               repair = json_kind(json_member(whole, "repair"));

	return json_kind(whole) == JSON_MAP &&
	       (named == JSON_ABSENT || named == JSON_NULL_VALUE || named == JSON_TEXT) &&
	       (repair == JSON_ABSENT || repair == JSON_NULL_VALUE ||
	        repair == JSON_BOOL);
}

void verify_begin(struct exchange *ex)
{
	struct collection *c = NULL;
	int64_t job = 0;
	enum status s;
	char *name;

	if (!makes_sense(ex)) {
		write_no_sense(ex);
		return;
	}
	name = write_text(ex, "collection");
	c = name != NULL ? find(ex, name) : NULL;
	s = name != NULL && c == NULL ? STATUS_NOT_FOUND
	                              : wal_verify(c, repair_wanted(ex), &job);
	admin_event(ex, "verification of %s (%s)",
	            c != NULL ? c->public_id.text : "all collections", status_text(s));
	free(name);
	answer(ex, s, job);
}

/* --- what was found ---------------------------------------------------------------- */

static json_t *names_of(unsigned who)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < health_count(); i++)
		if ((who >> i & 1) != 0)
			json_array_append_new(
			        list, json_string(instance_name(health_instance(i))));
	return list;
}

static json_t *recalls(const struct wal_verification *v)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < health_count(); i++)
		status_set(o, instance_name(health_instance(i)),
		           v->recall[i] < 0 ? json_null() : status_rounded(v->recall[i]));
	return o;
}

static json_t *differences(const struct wal_verification *v)
{
	json_t *o = json_object();

	for (unsigned k = 0; k < WAL_VERIFIED_KINDS; k++)
		status_set(o, wal_verified_kinds[k], status_count(v->found[k]));
	return o;
}

static void set_collection(json_t *o, const struct collection *c)
{
	status_set(o, "collection", status_text_value(c->name));
	status_set(o, "collection_id", json_string(c->public_id.text));
	status_set(o, "tenant", status_text_value(c->db->tenant));
	status_set(o, "database", status_text_value(c->db->name));
}

static void add_result(void *arg, const struct wal_verification *v)
{
	json_t *list = arg, *o = json_object();

	set_collection(o, v->collection);
	status_set(o, "result", json_string(wal_verified_name(v->result)));
	status_set(o, "level", json_string(v->level));
	status_set(o, "error", status_text_or_null(v->why));
	status_set(o, "at", status_time(v->at_wall_ms));
	status_set(o, "last_equal_at", status_time(v->equal_wall_ms));
	status_set(o, "items", status_count(v->items));
	status_set(o, "differences", differences(v));
	status_set(o, "there_may_be_more", json_boolean(v->partly));
	status_set(o, "wrong_at", names_of(v->wrong));
	status_set(o, "guessed", json_boolean(v->guessed));
	status_set(o, "made_anew", json_boolean(v->healing));
	status_set(o, "logged_again", status_count(v->rescued));
	status_set(o, "recall", recalls(v));
	json_array_append_new(list, o);
}

json_t *status_verification(void)
{
	struct wal_verify_figures f = wal_verify_figures();
	json_t *o = json_object();

	status_set(o, "running", json_boolean(f.running));
	status_set(o, "job", f.job > 0 ? json_integer(f.job) : json_null());
	status_set(o, "collections", status_count(f.collections));
	status_set(o, "checked", status_count(f.checked));
	status_set(o, "differing", status_count(f.differing));
	status_set(o, "differences", status_count(f.differences));
	status_set(o, "last_finished_at", status_time(f.last_finished_wall_ms));
	return o;
}

static json_t *now(const struct wal_verify_figures *f)
{
	json_t *o;

	if (f->now == NULL)
		return json_null();
	o = json_object();
	set_collection(o, f->now);
	status_set(o, "items", status_count(f->items));
	status_set(o, "total", status_count(f->total));
	return o;
}

void verify_page(struct exchange *ex)
{
	struct wal_verify_figures f = wal_verify_figures();
	json_t *o = status_verification(), *list = json_array();

	status_set(o, "started_at", status_time(f.started_wall_ms));
	status_set(o, "finished_at", status_time(f.finished_wall_ms));
	status_set(o, "now", now(&f));
	wal_each_verification(add_result, list);
	status_set(o, "results", list);
	status_send(ex, o);
}
