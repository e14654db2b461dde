/* tests/lib/model_chroma_content.c - tenants, databases, collections and items.
 *
 * add keeps what is there; update changes what is there; upsert does both; metadata keys
 * are merged. Items keep the order in which they were first added. The dimension is set
 * by the first embeddings, also by those of a request that is refused afterwards. */
#include "tests/lib/model_chroma_content.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "core/uuid.h"

#define KEYS 2 /* metadata keys an item may have: "a" and "b" */

struct item {
	char *id, *document, *uri, *keys[KEYS];
	char *embedding; /* as it was sent; NULL: none */
	size_t dimension;
	bool not_found; /* by its vector: a kill has cost it its place in the index ... */
	bool hard_to_find; /* ... or only by a thorough search */
	TAILQ_ENTRY(item) link;
};

struct holder {
	char *tenant, *name; /* name "": the tenant itself */
	TAILQ_ENTRY(holder) link;
};

struct bucket { /* a collection */
	struct uuid id;
	char *tenant, *database, *name;
	char *metadata, *configuration; /* as they were sent */
	size_t dimension;
	TAILQ_HEAD(, item) items;
	int64_t *ops;
	size_t n_ops;
	TAILQ_ENTRY(bucket) link;
};

struct content {
	TAILQ_HEAD(, holder) holders;
	TAILQ_HEAD(, bucket) buckets;
	struct text trace, list;
	bool no_reset, refuse_items;
	char *refused; /* of the default database; NULL: none */
	int refused_http;
};

/* --- tenants and databases
 * ---------------------------------------------------------------- */

static struct holder *holder_of(const struct content *c, const char *tenant,
                                const char *name)
{
	struct holder *h;

	TAILQ_FOREACH (h, &c->holders, link)
		if (strcmp(h->tenant, tenant) == 0 && strcmp(h->name, name) == 0)
			return h;
	return NULL;
}

static void add_holder(struct content *c, const char *tenant, const char *name)
{
	struct holder *h = mem_new(struct holder);

	h->tenant = mem_string(tenant);
	h->name = mem_string(name);
	TAILQ_INSERT_TAIL(&c->holders, h, link);
}

static void remove_holder(struct content *c, struct holder *h)
{
	TAILQ_REMOVE(&c->holders, h, link);
	free(h->tenant);
	free(h->name);
	free(h);
}

/* --- collections
 * ------------------------------------------------------------------------ */

static struct bucket *bucket_named(const struct content *c, const char *tenant,
                                   const char *database, const char *name)
{
	struct bucket *b;

	TAILQ_FOREACH (b, &c->buckets, link)
		if (strcmp(b->tenant, tenant) == 0 &&
		    strcmp(b->database, database) == 0 && strcmp(b->name, name) == 0)
			return b;
	return NULL;
}

static struct bucket *bucket_id(const struct content *c, const char *id)
{
	struct bucket *b;

	TAILQ_FOREACH (b, &c->buckets, link)
		if (strcmp(b->id.text, id) == 0)
			return b;
	return NULL;
}

static void remove_item(struct bucket *b, struct item *item)
{
	TAILQ_REMOVE(&b->items, item, link);
	for (size_t k = 0; k < KEYS; k++)
		free(item->keys[k]);
	free(item->id);
	free(item->document);
	free(item->uri);
	free(item->embedding);
	free(item);
}

static void remove_bucket(struct content *c, struct bucket *b)
{
	while (!TAILQ_EMPTY(&b->items))
		remove_item(b, TAILQ_FIRST(&b->items));
	TAILQ_REMOVE(&c->buckets, b, link);
	free(b->tenant);
	free(b->database);
	free(b->name);
	free(b->metadata);
	free(b->configuration);
	free(b->ops);
	free(b);
}

static void remove_buckets(struct content *c, const char *tenant, const char *database)
{
	struct bucket *b, *next;

	for (b = TAILQ_FIRST(&c->buckets); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (tenant == NULL || (strcmp(b->tenant, tenant) == 0 &&
		                       strcmp(b->database, database) == 0))
			remove_bucket(c, b);
	}
}

/* --- a request
 * -------------------------------------------------------------------------- */

struct request {
	struct content *c;
	struct json_slice body;
	struct text *answer;
	char *part[8]; /* of the path, decoded */
	size_t parts;
	char *path; /* memory of the parts */
	char *query;
};

static int says(struct request *r, int http, const char *text)
{
	text_adds(r->answer, text);
	return http;
}

static int refuses(struct request *r, int http, const char *message)
{
	text_addf(r->answer, "{\"error\":\"test\",\"message\":\"%s\"}", message);
	return http;
}

static void traces(struct request *r, const char *what, const char *name)
{
	text_addf(&r->c->trace, "%s %s; ", what, name);
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : toupper((unsigned char)c) - 'A' + 10;
}

static void decode(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++)
		if (*s == '%') {
			*to++ = (char)(hex(s[1]) * 16 + hex(s[2]));
			s += 2;
		} else {
			*to++ = *s;
		}
	*to = '\0';
}

static const char *shown(const char *name)
{
	return strncmp(name, "ctd-del.", 8) == 0 ? "aside" : name;
}

/* /api/v2/tenants/T/databases/D/collections/X/verb -> its parts behind /api/v2 */
static void split(struct request *r, const char *target)
{
	static const char prefix[] = "/api/v2/";
	char *at;

	assert(strncmp(target, prefix, strlen(prefix)) == 0);
	at = r->path = mem_string(target + strlen(prefix));
	r->query = strchr(at, '?');
	if (r->query != NULL)
		*r->query++ = '\0';
	while (at != NULL && r->parts < 8) {
		r->part[r->parts++] = strsep(&at, "/");
		decode(r->part[r->parts - 1]);
	}
}

static char *member_text(const struct request *r, const char *key)
{
	return json_text(json_member(r->body, key), NULL);
}

static bool given(struct json_slice v)
{
	return v.at != NULL && json_kind(v) != JSON_NULL_VALUE;
}

/* --- tenants, databases and collections
 * -------------------------------------------------- */

static int create_holder(struct request *r, const char *tenant, const char *name)
{
	if (holder_of(r->c, tenant, name) != NULL)
		return refuses(r, 409, "already exists");
	add_holder(r->c, tenant, name);
	traces(r, name[0] != '\0' ? "create database" : "create tenant",
	       name[0] != '\0' ? name : tenant);
	return says(r, 200, "{}");
}

static int create_tenant(struct request *r)
{
	char *name = member_text(r, "name");
	int http = create_holder(r, name, "");

	free(name);
	return http;
}

static int create_database(struct request *r)
{
	char *name = member_text(r, "name");
	int http = create_holder(r, r->part[1], name);

	free(name);
	return http;
}

static int delete_database(struct request *r)
{
	struct holder *h = holder_of(r->c, r->part[1], r->part[3]);

	if (h == NULL)
		return refuses(r, 404, "no such database");
	remove_buckets(r->c, r->part[1], r->part[3]);
	traces(r, "delete database", r->part[3]);
	remove_holder(r->c, h);
	return says(r, 200, "{}");
}

static int describe(struct request *r, const struct bucket *b)
{
	text_addf(r->answer,
	          "{\"id\":\"%s\",\"name\":\"%s\",\"configuration_json\":%s,"
	          "\"metadata\":%s,\"dimension\":",
	          b->id.text, b->name, b->configuration,
	          b->metadata[0] != '\0' ? b->metadata : "null");
	if (b->dimension > 0)
		text_addf(r->answer, "%zu}", b->dimension);
	else
		text_adds(r->answer, "null}");
	return 200;
}

/* The page that ?limit=n&offset=n asks for. */
static bool is_in_page(const struct request *r, unsigned long n)
{
	unsigned long limit = strtoul(r->query + strlen("limit="), NULL, 10);
	unsigned long offset = strtoul(strstr(r->query, "offset=") + 7, NULL, 10);

	return n >= offset && n - offset < limit;
}

static int find_tenant(struct request *r)
{
	if (holder_of(r->c, r->part[1], "") == NULL)
		return refuses(r, 404, "no such tenant");
	return says(r, 200, "{}");
}

static int list_databases(struct request *r)
{
	const struct holder *h;
	unsigned long n = 0;

	text_addc(r->answer, '[');
	TAILQ_FOREACH (h, &r->c->holders, link) {
		if (strcmp(h->tenant, r->part[1]) != 0 || h->name[0] == '\0' ||
		    !is_in_page(r, n++))
			continue;
		text_addf(r->answer,
		          "%s{\"id\":\"00000000-0000-4000-8000-%012zx\",\"name\":\"%s\"}",
		          r->answer->len > 1 ? "," : "", strlen(h->name), h->name);
	}
	text_addc(r->answer, ']');
	return 200;
}

static int list_collections(struct request *r)
{
	const struct bucket *b;
	unsigned long n = 0;

	text_addc(r->answer, '[');
	TAILQ_FOREACH (b, &r->c->buckets, link) {
		if (strcmp(b->tenant, r->part[1]) != 0 ||
		    strcmp(b->database, r->part[3]) != 0 || !is_in_page(r, n++))
			continue;
		text_adds(r->answer, r->answer->len > 1 ? "," : "");
		describe(r, b);
	}
	text_addc(r->answer, ']');
	return 200;
}

static int create_collection(struct request *r)
{
	char *name = member_text(r, "name");
	struct json_slice metadata = json_member(r->body, "metadata");
	struct json_slice configuration = json_member(r->body, "configuration");
	struct bucket *b;

	if (holder_of(r->c, r->part[1], r->part[3]) == NULL) {
		free(name);
		text_addf(r->answer,
		          "{\"error\":\"test\",\"message\":"
		          "\"Database [%s] does not exist\"}",
		          r->part[3]);
		return 400;
	}
	if (name == NULL || strlen(name) < 3 ||
	    bucket_named(r->c, r->part[1], r->part[3], name) != NULL) {
		bool bad = name == NULL || strlen(name) < 3;

		free(name);
		return refuses(r, bad ? 400 : 409, "already exists");
	}
	b = mem_new(struct bucket);
	uuid_random(&b->id);
	b->tenant = mem_string(r->part[1]);
	b->database = mem_string(r->part[3]);
	b->name = name;
	b->metadata = given(metadata) ? mem_substring(metadata.at, metadata.len)
	                              : mem_string("");
	b->configuration = given(configuration)
	                           ? mem_substring(configuration.at, configuration.len)
	                           : mem_string("{\"hnsw\":{\"space\":\"l2\"}}");
	TAILQ_INIT(&b->items);
	TAILQ_INSERT_TAIL(&r->c->buckets, b, link);
	traces(r, "create", name);
	return describe(r, b);
}

static int find_collection(struct request *r)
{
	struct bucket *b = bucket_named(r->c, r->part[1], r->part[3], r->part[5]);

	return b != NULL ? describe(r, b) : refuses(r, 404, "no such collection");
}

static int find_collection_id(struct request *r)
{
	struct bucket *b = bucket_id(r->c, r->part[6]);

	return b != NULL ? describe(r, b) : refuses(r, 404, "no such collection");
}

static int delete_collection(struct request *r)
{
	struct bucket *b = bucket_named(r->c, r->part[1], r->part[3], r->part[5]);

	if (b == NULL)
		return refuses(r, 404, "no such collection");
	traces(r, "delete", shown(b->name));
	remove_bucket(r->c, b);
	return says(r, 200, "{}");
}

/* It replaces all of it; of keys that are null nothing is kept. */
static void set_metadata(struct bucket *b, struct json_slice metadata)
{
	struct json_walk w = json_walk(metadata);
	struct text out = {0};

	while (json_step(&w))
		if (given(w.value))
			text_addf(&out, "%s%.*s:%.*s", out.len > 0 ? "," : "{",
			          (int)w.key.len, w.key.at, (int)w.value.len, w.value.at);
	text_adds(&out, out.len > 0 ? "}" : "");
	free(b->metadata);
	b->metadata = text_detach(&out);
}

static int modify_collection(struct request *r)
{
	struct bucket *b = bucket_id(r->c, r->part[5]), *other;
	struct json_slice metadata = json_member(r->body, "new_metadata");
	char *name = member_text(r, "new_name");

	if (b == NULL) {
		free(name);
		return refuses(r, 404, "no such collection");
	}
	other = name != NULL ? bucket_named(r->c, b->tenant, b->database, name) : NULL;
	if (other != NULL && other != b) {
		free(name);
		return refuses(r, 500, "UNIQUE constraint failed");
	}
	text_addf(&r->c->trace, "modify %s", shown(b->name));
	if (name != NULL) {
		text_addf(&r->c->trace, " to %s", shown(name));
		free(b->name);
		b->name = name;
	}
	text_adds(&r->c->trace, "; ");
	if (given(metadata))
		set_metadata(b, metadata);
	return says(r, 200, "{}");
}

static void fill(struct content *c)
{
	add_holder(c, "default_tenant", "");
	add_holder(c, "default_tenant", "default_database");
}

static void empty(struct content *c)
{
	remove_buckets(c, NULL, NULL);
	while (!TAILQ_EMPTY(&c->holders))
		remove_holder(c, TAILQ_FIRST(&c->holders));
}

static int reset(struct request *r)
{
	if (r->c->no_reset)
		return refuses(r, 403, "Reset is disabled by config");
	empty(r->c);
	fill(r->c);
	text_adds(&r->c->trace, "reset; ");
	return says(r, 200, "true");
}

/* --- items
 * -------------------------------------------------------------------------------- */

static struct item *item_of(const struct bucket *b, const char *id)
{
	struct item *item;

	TAILQ_FOREACH (item, &b->items, link)
		if (strcmp(item->id, id) == 0)
			return item;
	return NULL;
}

static struct json_slice nth(struct json_slice list, size_t n)
{
	struct json_walk w = json_walk(list);

	for (size_t k = 0; json_step(&w); k++)
		if (k == n)
			return w.value;
	return (struct json_slice){NULL, 0};
}

static void set_text(char **to, struct json_slice v)
{
	if (!given(v))
		return;
	free(*to);
	*to = json_text(v, NULL);
}

/* A key that is null goes. */
static void set_key(char **to, struct json_slice v)
{
	set_text(to, v);
	if (v.at != NULL && !given(v)) {
		free(*to);
		*to = NULL;
	}
}

static void set_embedding(struct item *item, struct json_slice v)
{
	if (!given(v))
		return;
	item->dimension = json_count(v);
	free(item->embedding);
	item->embedding = mem_substring(v.at, v.len);
}

static void set_fields(const struct request *r, struct item *item, size_t n)
{
	struct json_slice metadata = nth(json_member(r->body, "metadatas"), n);

	set_text(&item->document, nth(json_member(r->body, "documents"), n));
	set_text(&item->uri, nth(json_member(r->body, "uris"), n));
	set_key(&item->keys[0], json_member(metadata, "a"));
	set_key(&item->keys[1], json_member(metadata, "b"));
	set_embedding(item, nth(json_member(r->body, "embeddings"), n));
}

static void put_item(const struct request *r, struct bucket *b, const char *verb,
                     const char *id, size_t n)
{
	struct item *item = item_of(b, id);

	if (item != NULL && strcmp(verb, "add") == 0)
		return;
	if (item == NULL && strcmp(verb, "update") == 0)
		return;
	if (item == NULL) {
		item = mem_new(struct item);
		item->id = mem_string(id);
		TAILQ_INSERT_TAIL(&b->items, item, link);
	}
	set_fields(r, item, n);
}

/* 0: good */
static int check_embeddings(struct request *r, struct bucket *b)
{
	struct json_walk w = json_walk(json_member(r->body, "embeddings"));

	while (json_step(&w)) {
		size_t n = given(w.value) ? json_count(w.value) : 0;

		if (n > 0 && b->dimension == 0)
			b->dimension = n;
		if (n > 0 && n != b->dimension)
			return refuses(r, 400,
			               "expecting embedding of another dimension");
	}
	return 0;
}

static int check_ids(struct request *r)
{
	struct json_slice ids = json_member(r->body, "ids");
	struct json_slice embeddings = json_member(r->body, "embeddings");
	struct json_walk w = json_walk(ids);

	if (json_kind(ids) != JSON_LIST)
		return refuses(r, 422, "ids are missing");
	if (given(embeddings) && json_count(embeddings) != json_count(ids))
		return refuses(r, 400, "Inconsistent number of IDs");
	while (json_step(&w))
		if (json_text_is(w.value, ""))
			return refuses(r, 400, "Empty ID");
	return 0;
}

static void note(struct bucket *b, int64_t op)
{
	if (op == 0)
		return;
	b->ops = mem_resize(b->ops, (b->n_ops + 1) * sizeof(*b->ops));
	b->ops[b->n_ops++] = op;
}

/* "op:5" among the ids of a delete, or the URIs of anything else */
static void note_listed(struct bucket *b, struct json_slice list)
{
	struct json_walk w = json_walk(list);

	while (json_step(&w))
		if (w.value.len > 5 && memcmp(w.value.at, "\"op:", 4) == 0)
			note(b, strtoll(w.value.at + 4, NULL, 10));
}

static void note_op(const struct request *r, struct bucket *b)
{
	note(b, json_int64(json_member(r->body, "op"), 0));
	note_listed(b, json_member(r->body, "ids"));
	note_listed(b, json_member(r->body, "uris"));
}

static void trace_items(struct request *r, const char *verb, const struct bucket *b)
{
	struct json_walk w = json_walk(json_member(r->body, "ids"));
	const char *between = "";

	text_addf(&r->c->trace, "%s %s ", verb, b->name);
	while (json_step(&w)) {
		text_addf(&r->c->trace, "%s%.*s", between, (int)w.value.len - 2,
		          w.value.at + 1);
		between = ",";
	}
	text_adds(&r->c->trace, "; ");
}

/* Of two items of one id in one request, Chroma takes one. */
static bool was_before(struct json_slice ids, size_t n, const char *id)
{
	struct json_walk w = json_walk(ids);

	for (size_t k = 0; k < n && json_step(&w); k++)
		if (json_text_is(w.value, id))
			return true;
	return false;
}

static int write_items(struct request *r, struct bucket *b, const char *verb)
{
	struct json_walk w = json_walk(json_member(r->body, "ids"));
	int http = check_embeddings(r, b);

	if (http == 0)
		http = check_ids(r);
	if (http == 0 && r->c->refuse_items)
		http = refuses(r, 400, "refused by the test");
	if (http != 0)
		return http;
	for (size_t n = 0; json_step(&w); n++) {
		char *id = json_text(w.value, NULL);

		if (!was_before(json_member(r->body, "ids"), n, id))
			put_item(r, b, verb, id, n);
		free(id);
	}
	note_op(r, b);
	trace_items(r, verb, b);
	return says(r, strcmp(verb, "add") == 0 ? 201 : 200, "{}");
}

/* Filters say {"where":{"a":"x"}}; a key with $ is one that Chroma does not know. */
static bool matches(const struct request *r, const struct item *item)
{
	struct json_walk w = json_walk(json_member(r->body, "where"));

	while (json_step(&w)) {
		const char *have = item->keys[w.key.at[1] == 'b'];

		if (have == NULL || !json_text_is(w.value, have))
			return false;
	}
	return true;
}

static bool is_asked_for(const struct request *r, const struct item *item)
{
	struct json_slice ids = json_member(r->body, "ids");
	struct json_walk w = json_walk(ids);

	if (!given(ids))
		return true;
	while (json_step(&w))
		if (json_text_is(w.value, item->id))
			return true;
	return false;
}

static void say_id(struct text *to, const struct item *item)
{
	text_addf(to, "\"%s\"", item->id);
}

static void say_document(struct text *to, const struct item *item)
{
	if (item->document == NULL)
		text_adds(to, "null");
	else
		text_addf(to, "\"%s\"", item->document);
}

static void say_metadata(struct text *to, const struct item *item)
{
	const char *between = "";

	text_addc(to, '{');
	for (size_t k = 0; k < KEYS; k++)
		if (item->keys[k] != NULL) {
			text_addf(to, "%s\"%c\":\"%s\"", between, "ab"[k],
			          item -> keys[k]);
			between = ",";
		}
	text_addc(to, '}');
}

static void say_uri(struct text *to, const struct item *item)
{
	if (item->uri == NULL)
		text_adds(to, "null");
	else
		text_addf(to, "\"%s\"", item->uri);
}

static void say_embedding(struct text *to, const struct item *item)
{
	text_adds(to, item->embedding != NULL ? item->embedding : "null");
}

static void say_all(struct request *r, const struct bucket *b,
                    void (*say)(struct text *to, const struct item *item))
{
	int64_t skipped = json_int64(json_member(r->body, "offset"), 0);
	int64_t most = json_int64(json_member(r->body, "limit"), INT64_MAX);
	const struct item *item;
	const char *between = "";

	text_addc(r->answer, '[');
	TAILQ_FOREACH (item, &b->items, link)
		if (matches(r, item) && is_asked_for(r, item) && skipped-- <= 0 &&
		    most-- > 0) {
			text_adds(r->answer, between);
			say(r->answer, item);
			between = ",";
		}
	text_addc(r->answer, ']');
}

static bool is_included(const struct request *r, const char *what)
{
	struct json_walk w = json_walk(json_member(r->body, "include"));

	while (json_step(&w))
		if (json_text_is(w.value, what))
			return true;
	return false;
}

static int get_items(struct request *r, const struct bucket *b)
{
	static const struct {
		const char *name;
		void (*say)(struct text *to, const struct item *item);
	} fields[] = {{"documents", say_document},
	              {"metadatas", say_metadata},
	              {"uris", say_uri},
	              {"embeddings", say_embedding}};
	struct json_walk w = json_walk(json_member(r->body, "where"));

	while (json_step(&w))
		if (w.key.at[1] == '$')
			return refuses(r, 400, "Invalid where clause");
	text_adds(r->answer, "{\"ids\":");
	say_all(r, b, say_id);
	for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
		text_addf(r->answer, ",\"%s\":", fields[k].name);
		if (is_included(r, fields[k].name))
			say_all(r, b, fields[k].say);
		else
			text_adds(r->answer, "null");
	}
	text_addc(r->answer, '}');
	return 200;
}

static int count_items(struct request *r, const struct bucket *b)
{
	const struct item *item;
	int n = 0;

	TAILQ_FOREACH (item, &b->items, link)
		n++;
	text_addf(r->answer, "%d", n);
	return 200;
}

/* What has this very vector, in the order of the items. */
static void say_found(struct request *r, const struct bucket *b, struct json_slice vector,
                      const char *format)
{
	int64_t most = json_int64(json_member(r->body, "n_results"), 10);
	const struct item *item;
	const char *between = "";

	text_addc(r->answer, '[');
	TAILQ_FOREACH (item, &b->items, link) {
		if (item->not_found || (item->hard_to_find && most < 100) ||
		    item->embedding == NULL || strlen(item->embedding) != vector.len ||
		    memcmp(item->embedding, vector.at, vector.len) != 0 || most-- <= 0)
			continue;
		text_adds(r->answer, between);
		if (format != NULL)
			text_adds(r->answer, format);
		else
			say_id(r->answer, item);
		between = ",";
	}
	text_addc(r->answer, ']');
}

static void say_all_found(struct request *r, const struct bucket *b, const char *format)
{
	struct json_walk w = json_walk(json_member(r->body, "query_embeddings"));
	const char *between = "";

	text_addc(r->answer, '[');
	for (; json_step(&w); between = ",") {
		text_adds(r->answer, between);
		say_found(r, b, w.value, format);
	}
	text_addc(r->answer, ']');
}

static int query_items(struct request *r, const struct bucket *b)
{
	text_adds(r->answer, "{\"ids\":");
	say_all_found(r, b, NULL);
	text_adds(r->answer, ",\"distances\":");
	say_all_found(r, b, "0.0");
	text_addc(r->answer, '}');
	return 200;
}

static int delete_items(struct request *r, struct bucket *b)
{
	struct json_walk w = json_walk(json_member(r->body, "ids"));
	int n = 0;

	assert(!given(json_member(r->body, "where"))); /* never a filter */
	while (json_step(&w)) {
		char *id = json_text(w.value, NULL);
		struct item *item = item_of(b, id);

		if (item != NULL)
			remove_item(b, item);
		n++; /* how many were named, there or not */
		free(id);
	}
	note_op(r, b);
	trace_items(r, "remove", b);
	text_addf(r->answer, "{\"deleted\":%d}", n);
	return 200;
}

static bool is_refused(const struct content *c, const struct bucket *b)
{
	return c->refused != NULL &&
	       bucket_named(c, "default_tenant", "default_database", c->refused) == b;
}

static int on_items(struct request *r)
{
	struct bucket *b = bucket_id(r->c, r->part[5]);
	const char *verb = r->part[6];

	if (b == NULL)
		return refuses(r, 404, "Collection does not exist.");
	/* reached by a path of its own database only */
	assert(strcmp(b->tenant, r->part[1]) == 0 &&
	       strcmp(b->database, r->part[3]) == 0);
	if (strcmp(verb, "get") == 0)
		return get_items(r, b);
	if (strcmp(verb, "count") == 0)
		return count_items(r, b);
	if (strcmp(verb, "query") == 0)
		return query_items(r, b);
	if (is_refused(r->c, b))
		return refuses(r, r->c->refused_http, "refused by the test");
	if (strcmp(verb, "delete") == 0)
		return delete_items(r, b);
	return write_items(r, b, verb);
}

/* --- routes
 * ------------------------------------------------------------------------------ */

static int on_collection(struct request *r, const char *method)
{
	if (strcmp(method, "PUT") == 0)
		return modify_collection(r);
	if (strcmp(method, "DELETE") == 0)
		return delete_collection(r);
	return find_collection(r);
}

static int route(struct request *r, const char *method)
{
	switch (r->parts) {
	case 1:
		return strcmp(r->part[0], "reset") == 0 ? reset(r) : create_tenant(r);
	case 2:
		return find_tenant(r);
	case 3:
		return strcmp(method, "GET") == 0 ? list_databases(r)
		                                  : create_database(r);
	case 4:
		return delete_database(r);
	case 5:
		return strcmp(method, "GET") == 0 ? list_collections(r)
		                                  : create_collection(r);
	case 6:
		return on_collection(r, method);
	case 7:
		return strcmp(r->part[5], "by-id") == 0 ? find_collection_id(r)
		                                        : on_items(r);
	default:
		return refuses(r, 404, "no such route");
	}
}

int content_execute(struct content *c, const char *method, const char *target,
                    const char *body, size_t len, struct text *answer)
{
	struct request r = {.c = c, .body = json_whole(body, len), .answer = answer};
	int http;

	split(&r, target);
	http = route(&r, method);
	free(r.path);
	return http;
}

/* --- the whole
 * --------------------------------------------------------------------------- */

struct content *content_create(void)
{
	struct content *c = mem_new(struct content);

	TAILQ_INIT(&c->holders);
	TAILQ_INIT(&c->buckets);
	fill(c);
	return c;
}

void content_destroy(struct content **c)
{
	struct content *old = *c;

	*c = NULL;
	empty(old);
	text_clear(&old->trace);
	text_clear(&old->list);
	free(old->refused);
	free(old);
}

void content_allow_reset(struct content *c, bool yes)
{
	c->no_reset = !yes;
}

void content_refuse_items(struct content *c, bool yes)
{
	c->refuse_items = yes;
}

void content_refuse_collection(struct content *c, const char *name, int http)
{
	free(c->refused);
	c->refused = name != NULL ? mem_string(name) : NULL;
	c->refused_http = http;
}

void content_drop(struct content *c, const char *name)
{
	struct bucket *b = bucket_named(c, "default_tenant", "default_database", name);

	assert(b != NULL);
	remove_bucket(c, b);
}

void content_lose_vector(struct content *c, const char *name, const char *id)
{
	item_of(bucket_named(c, "default_tenant", "default_database", name), id)
	        ->not_found = true;
}

void content_hide_vector(struct content *c, const char *name, const char *id)
{
	item_of(bucket_named(c, "default_tenant", "default_database", name), id)
	        ->hard_to_find = true;
}

const char *content_trace(const struct content *c)
{
	return text_string(&c->trace);
}

void content_forget_trace(struct content *c)
{
	text_reset(&c->trace);
}

bool content_has_op(const struct content *c, const char *local, int64_t op)
{
	const struct bucket *b = bucket_id(c, local);

	for (size_t k = 0; b != NULL && k < b->n_ops; k++)
		if (b->ops[k] == op)
			return true;
	return false;
}

bool content_has_collection(const struct content *c, const char *local)
{
	return bucket_id(c, local) != NULL;
}

const char *content_items(const struct content *c, const char *name)
{
	const struct bucket *b =
	        bucket_named(c, "default_tenant", "default_database", name);
	struct text *list = (struct text *)(uintptr_t)&c->list;
	const struct item *item;

	if (b == NULL)
		return NULL;
	text_reset(list);
	text_adds(list, "");
	TAILQ_FOREACH (item, &b->items, link)
		text_addf(list, "%s%s", list->len > 0 ? "," : "", item->id);
	return text_string(list);
}

const char *content_collection_id(const struct content *c, const char *name)
{
	const struct bucket *b =
	        bucket_named(c, "default_tenant", "default_database", name);

	return b != NULL ? b->id.text : NULL;
}

static char *copy_text(const char *s)
{
	return s != NULL ? mem_string(s) : NULL;
}

static void copy_item(struct bucket *to, const struct item *from)
{
	struct item *item = mem_new(struct item);

	item->id = mem_string(from->id);
	item->document = copy_text(from->document);
	item->uri = copy_text(from->uri);
	item->embedding = copy_text(from->embedding);
	for (size_t k = 0; k < KEYS; k++)
		item->keys[k] = copy_text(from->keys[k]);
	item->dimension = from->dimension;
	TAILQ_INSERT_TAIL(&to->items, item, link);
}

static void copy_bucket(struct content *to, const struct bucket *from)
{
	struct bucket *b = mem_new(struct bucket);
	const struct item *item;

	*b = (struct bucket){.id = from->id, .dimension = from->dimension};
	b->tenant = mem_string(from->tenant);
	b->database = mem_string(from->database);
	b->name = mem_string(from->name);
	b->metadata = mem_string(from->metadata);
	b->configuration = mem_string(from->configuration);
	TAILQ_INIT(&b->items);
	TAILQ_FOREACH (item, &from->items, link)
		copy_item(b, item);
	for (size_t k = 0; k < from->n_ops; k++)
		note(b, from->ops[k]);
	TAILQ_INSERT_TAIL(&to->buckets, b, link);
}

struct content *content_copy(const struct content *from)
{
	struct content *c = mem_new(struct content);
	const struct holder *h;
	const struct bucket *b;

	TAILQ_INIT(&c->holders);
	TAILQ_INIT(&c->buckets);
	TAILQ_FOREACH (h, &from->holders, link)
		add_holder(c, h->tenant, h->name);
	TAILQ_FOREACH (b, &from->buckets, link)
		copy_bucket(c, b);
	return c;
}

unsigned content_lost(const struct content *c)
{
	const struct bucket *b;
	unsigned n = 0;

	TAILQ_FOREACH (b, &c->buckets, link)
		n += strncmp(b->name, "ctd-lost.", 9) == 0;
	return n;
}

bool content_has_database(const struct content *c, const char *tenant, const char *name)
{
	return holder_of(c, tenant, name) != NULL;
}

unsigned content_aside(const struct content *c)
{
	const struct bucket *b;
	unsigned n = 0;

	TAILQ_FOREACH (b, &c->buckets, link)
		n += strncmp(b->name, "ctd-", 4) == 0;
	return n;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *dump_bucket(const struct bucket *b)
{
	struct text out = {0};
	const struct item *item;

	text_addf(&out, "%s/%s/%s %s dimension %zu\n", b->tenant, b->database, b->name,
	          b->metadata, b->dimension);
	TAILQ_FOREACH (item, &b->items, link)
		text_addf(&out, "\t%s: %s %s a=%s b=%s %s\n", item->id,
		          item->document != NULL ? item->document : "-",
		          item->uri != NULL ? item->uri : "-",
		          item->keys[0] != NULL ? item->keys[0] : "-",
		          item->keys[1] != NULL ? item->keys[1] : "-",
		          item->embedding != NULL ? item->embedding : "-");
	return text_detach(&out);
}

char *content_dump_collection(const struct content *c, const char *local)
{
	const struct bucket *b = bucket_id(c, local);

	return b != NULL ? dump_bucket(b) : mem_string("");
}

char *content_dump(const struct content *c)
{
	const struct holder *h;
	const struct bucket *b;
	struct text out = {0};
	char **lines = NULL;
	size_t n = 0;

	TAILQ_FOREACH (h, &c->holders, link) {
		lines = mem_resize(lines, (n + 1) * sizeof(char *));
		lines[n++] = mem_format("%s/%s\n", h->tenant, h->name);
	}
	TAILQ_FOREACH (b, &c->buckets, link) {
		lines = mem_resize(lines, (n + 1) * sizeof(char *));
		lines[n++] = dump_bucket(b);
	}
	if (n > 0)
		qsort(lines, n, sizeof(char *), compare);
	for (size_t k = 0; k < n; k++) {
		text_adds(&out, lines[k]);
		free(lines[k]);
	}
	free(lines);
	return text_detach(&out);
}
