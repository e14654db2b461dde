/* wal/calls.c - pure: what is sent to an instance for a record. */
#include <stdlib.h>

#include "core/json_scan.h"
#include "wal/calls.h"
#include "wal/record.h"

static void add_database(struct text *path, const struct database *db)
{
	text_adds(path, "/api/v2/tenants/");
	rewrite_add_segment(path, db->tenant);
	text_adds(path, "/databases/");
	rewrite_add_segment(path, db->name);
}

static void add_local(struct text *path, const struct collection *c, unsigned i)
{
	add_database(path, c->db);
	text_addf(path, "/collections/%s", c->local[i].text);
}

static void add_collection(struct text *path, const struct record *r, unsigned i)
{
	add_local(path, r->collection, i);
}

/* A write is never repeated below the engine, harmless as that would be: it must know of
 * every answer that was lost. */
static void prepare(struct prepared *p, const char *method, struct blob *body)
{
	*p = (struct prepared){.method = method, .body = blob_ref(body)};
}

static void prepare_question(struct prepared *p, const char *method, struct blob *body)
{
	prepare(p, method, body);
	p->repeatable = true;
}

void prepared_clear(struct prepared *p)
{
	text_clear(&p->target);
	blob_unref(&p->body);
}

void prepare_item(struct prepared *p, const struct record *r, unsigned i,
                  struct blob *merged)
{
	static const char *const verbs[] = {
	        [RECORD_ADD] = "add",
	        [RECORD_UPSERT] = "upsert",
	        [RECORD_UPDATE] = "update",
	        [RECORD_DELETE] = "delete",
	        [RECORD_DELETE_WHERE] = "delete",
	};

	if (merged != NULL)
		prepare(p, "POST", merged);
	else
		prepare(p, "POST",
		        r->kind == RECORD_DELETE_WHERE ? r->resolved : r->body);
	add_collection(&p->target, r, i);
	text_addf(&p->target, "/%s", verbs[r->kind]);
}

/* The value of a key replaced by another; false: the key is not there. */
static bool add_replaced(struct text *out, const struct blob *body, const char *key,
                         const char *value)
{
	const char *text = blob_bytes(body);
	struct json_slice old = json_member(json_whole(text, blob_len(body)), key);
	size_t before = old.at != NULL ? (size_t)(old.at - text) : 0;

	if (old.at == NULL)
		return false;
	text_add(out, text, before);
	text_adds(out, value);
	text_add(out, old.at + old.len, blob_len(body) - before - old.len);
	return true;
}

static struct blob *replaced(struct blob *body, const char *key, const char *value)
{
	struct text out = {0};
	size_t len;

	if (!add_replaced(&out, body, key, value))
		return body;
	len = out.len;
	blob_unref(&body);
	return blob_adopt(text_detach(&out), len);
}

static struct blob *with_include(struct blob *body)
{
	const char *text = blob_bytes(body);
	struct json_slice whole = json_whole(text, blob_len(body));
	struct text out = {0};
	size_t len;

	text_add(&out, text, (size_t)(whole.at - text) + whole.len - 1);
	text_adds(&out, json_count(whole) > 0 ? ",\"include\":[]}" : "\"include\":[]}");
	len = out.len;
	blob_unref(&body);
	return blob_adopt(text_detach(&out), len);
}

/* The filter as the client sent it, as a `get` that returns only ids. Chroma takes the
 * same keys for both, and refuses a bad filter in the same words. The key is added at the
 * end so that positions in those words stay right; of a client's own "include" and
 * "offset", which `delete` ignores, nothing is left. */
static struct blob *as_get(struct blob *body)
{
	struct json_slice whole = json_whole(blob_bytes(body), blob_len(body));

	body = replaced(blob_ref(body), "offset", "null");
	if (json_member(whole, "include").at != NULL)
		return replaced(body, "include", "[]");
	return with_include(body);
}

void prepare_resolve(struct prepared *p, const struct record *r, unsigned i)
{
	prepare_question(p, "POST", NULL);
	p->body = as_get(r->body);
	add_collection(&p->target, r, i);
	text_adds(&p->target, "/get");
}

struct blob *resolved_from(const struct blob *answer, size_t *count)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));
	struct json_slice ids = json_member(whole, "ids");
	struct text out = {0};
	size_t len;

	if (json_kind(ids) != JSON_LIST)
		return NULL;
	*count = json_count(ids);
	text_adds(&out, "{\"ids\":");
	text_add(&out, ids.at, ids.len);
	text_addc(&out, '}');
	len = out.len;
	return blob_adopt(text_detach(&out), len);
}

static void add_first(struct text *out, struct json_slice list, size_t most)
{
	struct json_walk w = json_walk(list);

	text_addc(out, '[');
	for (size_t n = 0; n < most && json_step(&w); n++) {
		text_adds(out, n > 0 ? "," : "");
		text_add(out, w.value.at, w.value.len);
	}
	text_addc(out, ']');
}

struct blob *question_about(const char *body, size_t len, size_t most, size_t embedded)
{
	struct json_slice ids = json_member(json_whole(body, len), "ids");
	struct text out = {0};
	size_t n = json_count(ids);

	if (json_kind(ids) != JSON_LIST || n == 0)
		return NULL;
	text_adds(&out, "{\"ids\":");
	add_first(&out, ids, most);
	text_addf(&out, ",\"include\":[\"documents\",\"metadatas\",\"uris\"%s]}",
	          n <= embedded ? ",\"embeddings\"" : "");
	len = out.len;
	return blob_adopt(text_detach(&out), len);
}

void prepare_get(struct prepared *p, const struct collection *c, unsigned i,
                 struct blob *question)
{
	prepare_question(p, "POST", question);
	add_local(&p->target, c, i);
	text_adds(&p->target, "/get");
}

void prepare_question_about(struct prepared *p, const struct collection *c, unsigned i,
                            const char *verb, struct blob *body)
{
	prepare_question(p, body != NULL ? "POST" : "GET", body);
	add_local(&p->target, c, i);
	text_adds(&p->target, verb);
}

void prepare_shape(struct prepared *p, const struct collection *c, unsigned i)
{
	prepare_question(p, "GET", NULL);
	add_database(&p->target, c->db);
	text_addf(&p->target, "/collections/by-id/%s", c->local[i].text);
}

void prepare_create(struct prepared *p, const struct record *r)
{
	prepare(p, "POST", r->body);
	if (r->kind == RECORD_CREATE_TENANT) {
		text_adds(&p->target, "/api/v2/tenants");
	} else if (r->kind == RECORD_CREATE_DATABASE) {
		text_adds(&p->target, "/api/v2/tenants/");
		rewrite_add_segment(&p->target, r->database->tenant);
		text_adds(&p->target, "/databases");
	} else {
		add_database(&p->target, r->collection->db);
		text_adds(&p->target, "/collections");
	}
}

void prepare_find_created(struct prepared *p, const struct record *r)
{
	prepare_question(p, "GET", NULL);
	add_database(&p->target, r->collection->db);
	text_adds(&p->target, "/collections/");
	rewrite_add_segment(&p->target, r->name);
}

void prepare_modify(struct prepared *p, const struct record *r, unsigned i)
{
	prepare(p, "PUT", r->body);
	add_collection(&p->target, r, i);
}

static void add_aside_name(struct text *to, const struct record *r, unsigned i)
{
	text_addf(to, RESERVED_PREFIX "del.%lld.%s", (long long)r->seq,
	          r->collection->local[i].text);
}

void prepare_set_aside(struct prepared *p, const struct record *r, unsigned i)
{
	struct text body = {0};
	size_t len;

	prepare(p, "PUT", NULL);
	add_collection(&p->target, r, i);
	text_adds(&body, "{\"new_name\":\"");
	add_aside_name(&body, r, i);
	text_adds(&body, "\"}");
	len = body.len;
	p->body = blob_adopt(text_detach(&body), len);
}

void prepare_delete(struct prepared *p, const struct record *r, unsigned i)
{
	prepare(p, "DELETE", NULL);
	if (r->kind == RECORD_DELETE_DATABASE) {
		add_database(&p->target, r->database);
		return;
	}
	add_database(&p->target, r->collection->db);
	text_adds(&p->target, "/collections/");
	add_aside_name(&p->target, r, i);
}

void prepare_reset(struct prepared *p)
{
	prepare(p, "POST", NULL);
	text_adds(&p->target, "/api/v2/reset");
}
