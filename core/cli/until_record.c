/* core/cli/until_record.c - one record of the log, applied: as the API call it once was.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/import.h"
#include "core/mem.h"

struct record {
	struct json_slice body;
	int64_t seq;
	char *kind, *collection, *tenant, *database, *name; /* NULL: none */
};

/* --- one record -------------------------------------------------------------------- */

static char *member_text(struct json_slice whole, const char *key)
{
	return json_text(json_member(whole, key), NULL);
}

static void record_take(struct record *r, struct json_slice whole)
{
	*r = (struct record){.body = json_member(whole, "body"),
	                     .seq = json_int64(json_member(whole, "seq"), 0),
	                     .kind = member_text(whole, "kind"),
	                     .collection = member_text(whole, "collection"),
	                     .tenant = member_text(whole, "tenant"),
	                     .database = member_text(whole, "database"),
	                     .name = member_text(whole, "name")};
}

static void record_clear(struct record *r)
{
	free(r->kind);
	free(r->collection);
	free(r->tenant);
	free(r->database);
	free(r->name);
}

static bool is(const struct record *r, const char *kind)
{
	return r->kind != NULL && strcmp(r->kind, kind) == 0;
}

static int refused(struct importing *x, const struct record *r, const struct answer *a)
{
	fprintf(stderr, "chromatid: record %" PRId64 " (%s) cannot be applied\n", r->seq,
	        r->kind);
	return print_failure(x->c, a);
}

static struct blob *body_of(const struct record *r)
{
	return json_kind(r->body) == JSON_MAP ? blob_create(r->body.at, r->body.len)
	                                      : NULL;
}

/* With the prefix before the name it is given, if there is one. */
static struct blob *named_body(const struct importing *x, const struct record *r,
                               const char *key)
{
	json_t *o = slice_json(r->body);
	const char *name = json_text_of(o, key);
	char *with, *text;

	if (x->prefix[0] == '\0' || name[0] == '\0') {
		json_decref(o);
		return body_of(r);
	}
	with = mem_format("%s%s", x->prefix, name);
	json_object_set_new(o, key, json_string(with));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	free(with);
	return blob_adopt(text, strlen(text));
}

/* Only some collections were exported: what concerns others is left out. */
static bool is_partial(const struct importing *x)
{
	return json_is_true(json_object_get(x->contents.head, "partial"));
}

/* To the collection of the record. `also`: an answer that is as good as 2xx. */
static int send_to(struct importing *x, const struct record *r, const char *method,
                   const char *verb, struct blob *body, int also)
{
	const char *path =
	        r->collection != NULL ? table_get(&x->known, r->collection) : NULL;
	char *target;
	struct answer a;
	bool again;
	int code = CLI_OK;

	if (path == NULL && is_partial(x))
		return CLI_OK;
	if (path == NULL)
		return print_wrong(x->c, CLI_NOT,
		                   "record %" PRId64
		                   " is about a collection that is not there",
		                   r->seq);
	target = mem_format("%s%s", path, verb);
	if (!import_send(method, target, body, &a, &again) &&
	    (a.status != STATUS_OK || !again || a.http != also))
		code = refused(x, r, &a);
	answer_clear(&a);
	free(target);
	return code;
}

static int apply_items(struct importing *x, const struct record *r, const char *verb)
{
	struct blob *body = body_of(r);
	int code = CLI_OK;

	/* a filter that had found nothing */
	if (!is(r, "delete_where") || json_count(json_member(r->body, "ids")) > 0)
		code = send_to(x, r, "POST", verb, body, 0);
	blob_unref(&body);
	return code;
}

static void know(struct importing *x, const struct record *r, const char *id)
{
	struct text path = {0};

	text_adds(&path, "/api/v2");
	import_add_place(&path, r->tenant, r->database);
	text_addf(&path, "/%s", id);
	free(table_get(&x->known, r->collection));
	table_put(&x->known, r->collection, text_detach(&path));
}

static bool create_at(struct importing *x, const struct record *r, bool with_id,
                      struct blob *body, struct answer *a)
{
	struct text target = {0};
	json_t *made = NULL;
	bool again, good;

	text_adds(&target, with_id ? "/admin/import" : "/api/v2");
	import_add_place(&target, r->tenant, r->database);
	if (with_id)
		text_addf(&target, "/%s", r->collection);
	good = import_send("POST", text_string(&target), body, a, &again) &&
	       (made = answer_json(a)) != NULL;
	if (good)
		know(x, r, json_text_of(made, "id"));
	json_decref(made);
	text_clear(&target);
	return good;
}

/* Beside a collection that still has its id (--rename) it gets another. */
static int apply_create(struct importing *x, const struct record *r)
{
	struct blob *body;
	struct answer a;
	bool good;
	int code = CLI_OK;

	if (is_partial(x))
		return CLI_OK;
	body = named_body(x, r, "name");
	good = create_at(x, r, true, body, &a);
	if (!good && x->prefix[0] != '\0' && a.status == STATUS_OK && a.http == 409) {
		answer_clear(&a);
		good = create_at(x, r, false, body, &a);
	}
	if (!good)
		code = refused(x, r, &a);
	answer_clear(&a);
	blob_unref(&body);
	return code;
}

static int apply_modify(struct importing *x, const struct record *r)
{
	struct blob *body = named_body(x, r, "new_name");
	int code = send_to(x, r, "PUT", "", body, 0);

	blob_unref(&body);
	return code;
}

static int apply_delete(struct importing *x, const struct record *r)
{
	int code = send_to(x, r, "DELETE", "", NULL, 404);

	free(table_remove(&x->known, r->collection));
	return code;
}

/* --- databases, tenants, everything ------------------------------------------------ */

static char *path_of_database(const struct record *r, bool itself)
{
	struct text path = {0};

	text_adds(&path, "/api/v2/tenants/");
	rewrite_add_segment(&path, r->tenant);
	text_adds(&path, "/databases");
	if (itself) {
		text_addc(&path, '/');
		rewrite_add_segment(&path, r->name != NULL ? r->name : r->database);
	}
	return text_detach(&path);
}

/* Of those we have made, all whose path begins like that. */
static int delete_known(struct importing *x, const char *prefix)
{
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	const char *path;
	int code = CLI_OK;

	while (code == CLI_OK &&
	       (path = table_next(&x->known, &bucket, &entry)) != NULL) {
		struct answer a;
		bool again;

		if (strncmp(path, prefix, strlen(prefix)) != 0)
			continue;
		if (!import_send("DELETE", path, NULL, &a, &again) &&
		    (a.status != STATUS_OK || a.http != 404))
			code = print_failure(x->c, &a);
		answer_clear(&a);
	}
	return code;
}

static int delete_path(struct importing *x, const struct record *r, const char *path)
{
	struct answer a;
	bool again;
	int code = CLI_OK;

	if (!import_send("DELETE", path, NULL, &a, &again) &&
	    (a.status != STATUS_OK || a.http != 404))
		code = refused(x, r, &a);
	answer_clear(&a);
	return code;
}

/* What others have made in it stays: with --rename only what is ours goes. */
static int apply_delete_database(struct importing *x, const struct record *r)
{
	char *path = path_of_database(r, true);
	char *inside = mem_format("%s/", path);
	int code = delete_known(x, inside);

	if (code == CLI_OK && x->prefix[0] == '\0' && !is_partial(x))
		code = delete_path(x, r, path);
	free(inside);
	free(path);
	return code;
}

static int apply_create_database(struct importing *x, const struct record *r)
{
	char *path = path_of_database(r, false);
	int code = import_place(x, path, r->name);

	free(path);
	return code;
}

static int apply(struct importing *x, const struct record *r)
{
	x->records++;
	if (is(r, "add"))
		return apply_items(x, r, "/add");
	if (is(r, "upsert"))
		return apply_items(x, r, "/upsert");
	if (is(r, "update"))
		return apply_items(x, r, "/update");
	if (is(r, "delete") || is(r, "delete_where"))
		return apply_items(x, r, "/delete");
	if (is(r, "create_collection"))
		return apply_create(x, r);
	if (is(r, "modify_collection"))
		return apply_modify(x, r);
	if (is(r, "delete_collection"))
		return apply_delete(x, r);
	if (is(r, "create_database"))
		return apply_create_database(x, r);
	if (is(r, "delete_database"))
		return apply_delete_database(x, r);
	if (is(r, "create_tenant"))
		return import_place(x, "/api/v2/tenants", r->name);
	if (is(r, "reset"))
		return delete_known(x, "");
	return print_wrong(x->c, CLI_NOT,
	                   "record %" PRId64 " is of a kind not known here", r->seq);
}

int until_record(struct importing *x, struct json_slice record)
{
	struct record r;
	int code;

	record_take(&r, record);
	code = apply(x, &r);
	record_clear(&r);
	return code;
}
