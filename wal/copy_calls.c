/* wal/copy_calls.c - pure: what a copy asks of an instance.
 *
 * The answer to `get` with everything in it is, byte for byte, a body that `add` takes:
 * its columns have the same names, and "include" is a key that Chroma does not look at.
 * Measured on 1.4.4: what comes out of the second collection is what came out of the
 * first - null documents, URIs and metadata, empty ones, numbers that are whole or not
 * (1.0 stays 1.0), the largest and smallest, lists, escapes - but for embeddings in a
 * cosine index. That keeps them at length 1 and gives them back by their length, rounded
 * both times: some come out different in the last digit (up to 4e-7).
 *
 * An `update` changes what it names and leaves the rest: a metadata key goes when it is
 * null there, a document or a URI never does (and at the donor never did, so an item
 * that has none there, and one here, is not the same item). */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/copy_private.h"

/* --- paths and names -----------------------------------------------------------------
 */

void copy_path_database(struct text *to, const struct copy *c, bool name)
{
	text_adds(to, "/api/v2/tenants/");
	rewrite_add_segment(to, c->tenant);
	text_adds(to, "/databases");
	if (name) {
		text_addc(to, '/');
		rewrite_add_segment(to, c->database);
	}
}

void copy_path_collections(struct text *to, const struct copy *c)
{
	copy_path_database(to, c, true);
	text_adds(to, "/collections");
}

void copy_path_named(struct text *to, const struct copy *c, const char *name)
{
	copy_path_collections(to, c);
	text_addc(to, '/');
	rewrite_add_segment(to, name);
}

void copy_path_of(struct text *to, const struct copy *c, const struct uuid *id,
                  const char *verb)
{
	copy_path_collections(to, c);
	text_addf(to, "/%s%s", id->text, verb);
}

char *copy_name(const struct copy *c, const char *what, unsigned attempt)
{
	return mem_format(RESERVED_PREFIX "%s.%lld.%u", what,
	                  (long long)c->spec.collection, attempt);
}

/* --- bodies --------------------------------------------------------------------------
 */

struct blob *copy_text_blob(struct text *text)
{
	size_t len = text->len;

	return blob_adopt(text_detach(text), len);
}

struct blob *copy_named(const char *key, const char *name)
{
	struct text body = {0};

	text_addf(&body, "{\"%s\":", key);
	json_add_quoted(&body, name, strlen(name));
	text_addc(&body, '}');
	return copy_text_blob(&body);
}

struct blob *copy_window(uint64_t offset, size_t most)
{
	struct text body = {0};

	text_addf(&body, "{\"limit\":%zu,\"offset\":%llu,\"include\":[]}", most,
	          (unsigned long long)offset);
	return copy_text_blob(&body);
}

struct blob *copy_page(struct json_walk *ids, size_t most, size_t *n)
{
	struct text body = {0};

	text_adds(&body, "{\"ids\":[");
	for (*n = 0; *n < most && json_step(ids); ++*n) {
		text_adds(&body, *n > 0 ? "," : "");
		text_add(&body, ids->value.at, ids->value.len);
	}
	text_adds(&body, "],\"include\":" COPY_ALL_COLUMNS "}");
	if (*n > 0)
		return copy_text_blob(&body);
	text_clear(&body);
	return NULL;
}

struct blob *copy_ids(const struct text *ids)
{
	struct text body = {0};

	text_reserve(&body, ids->len + 10);
	text_adds(&body, "{\"ids\":[");
	text_add(&body, text_string(ids), ids->len);
	text_adds(&body, "]}");
	return copy_text_blob(&body);
}

struct json_slice copy_ids_of(const struct blob *answer)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));
	struct json_slice ids = json_member(whole, "ids");

	return json_kind(ids) == JSON_LIST ? ids : (struct json_slice){NULL, 0};
}

/* --- what differs --------------------------------------------------------------------
 */

struct row {
	uint64_t hash;
	struct json_slice column[COLUMNS];
};

struct rows {
	struct row *at;
	size_t n;
};

static bool take_rows(struct rows *rows, const struct blob *answer)
{
	struct columns c = columns_of(blob_bytes(answer), blob_len(answer));

	rows->at = mem_array(json_count(c.lists[COLUMN_IDS]) + 1, sizeof(struct row));
	while (columns_next(&c)) {
		struct row *row = &rows->at[rows->n++];

		memcpy(row->column, c.row, sizeof(row->column));
		if (!id_hash(row->column[COLUMN_IDS], &row->hash))
			return false;
	}
	return c.wrong == NULL;
}

static int by_hash(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static const struct row *row_of(const struct rows *rows, uint64_t hash)
{
	const struct row key = {.hash = hash};

	return rows->n == 0 ? NULL
	                    : bsearch(&key, rows->at, rows->n, sizeof(key), by_hash);
}

static bool same_text(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static bool is_null(struct json_slice v)
{
	return v.at == NULL || json_kind(v) == JSON_NULL_VALUE;
}

/* By its text: both were written by a Chroma. */
static struct json_slice value_of(struct json_slice map, struct json_slice key)
{
	struct json_walk w = json_walk(map);

	while (json_step(&w))
		if (same_text(w.key, key))
			return w.value;
	return (struct json_slice){NULL, 0};
}

/* Its keys come in any order. */
static bool same_metadata(struct json_slice a, struct json_slice b)
{
	struct json_walk w = json_walk(a);

	if (json_count(a) != json_count(b))
		return false;
	while (json_step(&w))
		if (!same_text(w.value, value_of(b, w.key)))
			return false;
	return true;
}

static bool same_row(const struct row *a, const struct row *b)
{
	return same_text(a->column[COLUMN_EMBEDDINGS], b->column[COLUMN_EMBEDDINGS]) &&
	       same_text(a->column[COLUMN_DOCUMENTS], b->column[COLUMN_DOCUMENTS]) &&
	       same_text(a->column[COLUMN_URIS], b->column[COLUMN_URIS]) &&
	       same_metadata(a->column[COLUMN_METADATAS], b->column[COLUMN_METADATAS]);
}

static bool may_be_updated(const struct row *from, const struct row *to)
{
	return !(is_null(from->column[COLUMN_DOCUMENTS]) &&
	         !is_null(to->column[COLUMN_DOCUMENTS])) &&
	       !(is_null(from->column[COLUMN_URIS]) && !is_null(to->column[COLUMN_URIS]));
}

static void add_value(struct text *list, struct json_slice v)
{
	text_adds(list, list->len > 0 ? "," : "");
	if (v.at != NULL)
		text_add(list, v.at, v.len);
	else
		text_adds(list, "null");
}

/* The keys it has there, and null for those it has only here. */
static void add_metadata(struct text *list, struct json_slice from, struct json_slice to)
{
	struct json_walk w = json_walk(from);
	const char *between = "";

	text_adds(list, list->len > 0 ? ",{" : "{");
	for (; json_step(&w); between = ",")
		text_addf(list, "%s%.*s:%.*s", between, (int)w.key.len, w.key.at,
		          (int)w.value.len, w.value.at);
	for (w = json_walk(to); json_step(&w);) {
		if (value_of(from, w.key).at != NULL)
			continue;
		text_addf(list, "%s%.*s:null", between, (int)w.key.len, w.key.at);
		between = ",";
	}
	text_addc(list, '}');
}

static const enum column order[] = {COLUMN_IDS, COLUMN_EMBEDDINGS, COLUMN_DOCUMENTS,
                                    COLUMN_URIS, COLUMN_METADATAS};
static const char *const names[] = {"ids", "embeddings", "documents", "uris",
                                    "metadatas"};
#define UPDATED (sizeof(order) / sizeof(order[0]))

static void add_row(struct text lists[UPDATED], const struct row *from,
                    const struct row *to)
{
	for (size_t k = 0; k + 1 < UPDATED; k++)
		add_value(&lists[k], from->column[order[k]]);
	add_metadata(&lists[UPDATED - 1], from->column[COLUMN_METADATAS],
	             to->column[COLUMN_METADATAS]);
}

static struct blob *joined(struct text lists[UPDATED])
{
	struct text body = {0};
	bool any = lists[0].len > 0;

	for (size_t k = 0; k < UPDATED; k++) {
		text_addf(&body, "%s\"%s\":[", k == 0 ? "{" : ",", names[k]);
		text_add(&body, text_string(&lists[k]), lists[k].len);
		text_addc(&body, ']');
		text_clear(&lists[k]);
	}
	text_addc(&body, '}');
	if (any)
		return copy_text_blob(&body);
	text_clear(&body);
	return NULL;
}

/* What the target does not have is not for an update: it comes with what is added. */
static struct blob *changes(const struct rows *from, const struct rows *to,
                            const char **why)
{
	struct text lists[UPDATED] = {{0}};

	for (size_t k = 0; k < from->n; k++) {
		const struct row *have = row_of(to, from->at[k].hash);

		if (have == NULL || same_row(&from->at[k], have))
			continue;
		if (!may_be_updated(&from->at[k], have))
			*why = "an item has lost its document or URI in its place";
		add_row(lists, &from->at[k], have);
	}
	return joined(lists);
}

struct blob *copy_changes(const struct blob *donor, const struct blob *target,
                          const char **why)
{
	struct rows from = {0}, to = {0};
	struct blob *body = NULL;

	*why = NULL;
	if (take_rows(&from, donor) && take_rows(&to, target)) {
		qsort(to.at, to.n, sizeof(struct row), by_hash);
		body = changes(&from, &to, why);
	} else {
		*why = "items that are not understood";
	}
	free(from.at);
	free(to.at);
	return body;
}
