/* Any object as the filter of a delete, and any bytes as the answer that resolves it,
 * with jansson as the judge.
 *
 * What is asked instead of the filter must be the same filter, of which only "include"
 * and "offset" are ours; what is deleted must be exactly the ids that were answered. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "wal/calls.h"
#include "wal/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static json_t *judge(const char *bytes, size_t len)
{
	return json_loadb(bytes, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static bool is_ours(const char *key)
{
	return strcmp(key, "include") == 0 || strcmp(key, "offset") == 0;
}

/* ---- what is asked ---- */

static void check_asked(json_t *filter, const struct blob *asked)
{
	json_t *get = judge(blob_bytes(asked), blob_len(asked));
	json_t *include = json_object_get(get, "include");
	json_t *offset = json_object_get(get, "offset"), *value;
	const char *key;

	must(json_is_object(get));
	must(json_is_array(include) && json_array_size(include) == 0);
	must(json_object_get(filter, "offset") == NULL ? offset == NULL
	                                               : json_is_null(offset));
	json_object_foreach(filter, key, value)
	        must(is_ours(key) || json_equal(value, json_object_get(get, key)));
	json_object_foreach(get, key, value)
	        must(is_ours(key) || json_object_get(filter, key) != NULL);
	json_decref(get);
}

/* The path only needs some collection. */
static struct database db = {.tenant = (char[]){"t"}, .name = (char[]){"d"}};
static struct collection c = {.db = &db, .name = (char[]){"c"}};

static void ask(const char *bytes, size_t size)
{
	struct record r = {.kind = RECORD_DELETE_WHERE, .collection = &c};
	json_t *filter = judge(bytes, size);
	struct prepared p;

	if (json_kind(json_whole(bytes, size)) == JSON_MAP) {
		r.body = blob_create(bytes, size);
		prepare_resolve(&p, &r, 0);
		must(json_kind(json_whole(blob_bytes(p.body), blob_len(p.body))) ==
		     JSON_MAP);
		must(blob_len(p.body) <= size + 16);
		if (filter != NULL)
			check_asked(filter, p.body);
		prepared_clear(&p);
		blob_unref(&r.body);
	}
	json_decref(filter);
}

/* ---- what is deleted ---- */

static void answer(const char *bytes, size_t size)
{
	struct blob *from = blob_create(bytes, size);
	json_t *tree = judge(bytes, size), *sent;
	size_t count = 0;
	struct blob *ids = resolved_from(from, &count);
	bool deep = json_whole(bytes, size).at == NULL;

	if (tree != NULL && !deep)
		must((ids != NULL) == json_is_array(json_object_get(tree, "ids")));
	if (tree != NULL && ids != NULL) {
		sent = judge(blob_bytes(ids), blob_len(ids));
		must(json_object_size(sent) == 1);
		must(json_equal(json_object_get(sent, "ids"),
		                json_object_get(tree, "ids")));
		must(json_array_size(json_object_get(sent, "ids")) == count);
		json_decref(sent);
	}
	json_decref(tree);
	blob_unref(&ids);
	blob_unref(&from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ask((const char *)data, size);
	answer((const char *)data, size);
	must(blob_total() == 0);
	return 0;
}
