/* core/shape.c - pure: what a collection is like, without its items.
 *
 * A Chroma keeps its settings twice, as "configuration_json" and as "schema", and takes
 * either in a create. Which of them says all depends on how it was created (measured on
 * 1.4.4): a configuration carries everything but indexes switched on or off by key, and a
 * batch size, if it is taken over from the schema; a schema alone loses an embedding
 * function beside default settings; both together are refused unless one is the default.
 * So they are tried in this order, until what comes out is the same. Metadata is set
 * afterwards, for its old keys (hnsw:space, ...) would be settings in a create.
 *
 * Not compared: the number of threads (by default that of the machine's processors), and
 * keys in the schema that came with items and say nothing but the default. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/shape.h"

#define DEPTH_MOST 16

static const json_t *settings(const json_t *shape)
{
	return json_object_get(shape, "configuration_json");
}

static const json_t *schema(const json_t *shape)
{
	return json_object_get(shape, "schema");
}

/* Of the vector index, as the schema tells it. */
static const json_t *hnsw_of(const json_t *shape)
{
	static const char *const path[] = {"keys",         "#embedding", "float_list",
	                                   "vector_index", "config",     "hnsw"};
	const json_t *at = schema(shape);

	for (size_t k = 0; k < sizeof(path) / sizeof(path[0]); k++)
		at = json_object_get(at, path[k]);
	return at;
}

/* --- the same? -----------------------------------------------------------------------
 */

static bool same_but_threads(const json_t *a, const json_t *b, int depth)
{
	const char *key;
	json_t *value;
	size_t n[2] = {json_object_size(a), json_object_size(b)};

	if (!json_is_object(a) || !json_is_object(b) || depth > DEPTH_MOST)
		return json_equal(a, b);
	n[0] -= json_object_get(a, "num_threads") != NULL;
	n[1] -= json_object_get(b, "num_threads") != NULL;
	if (n[0] != n[1])
		return false;
	json_object_foreach((json_t *)(uintptr_t)a, key, value)
	{
		const json_t *other = json_object_get(b, key);

		if (strcmp(key, "num_threads") != 0 &&
		    (other == NULL || !same_but_threads(value, other, depth + 1)))
			return false;
	}
	return true;
}

/* A key that came with items: it says what is said for every key. */
static bool says_nothing(const json_t *key_settings, const json_t *defaults)
{
	const char *type;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)key_settings, type,
	                    value) if (!same_but_threads(value,
	                                                 json_object_get(defaults, type),
	                                                 0)) return false;
	return true;
}

static bool has_keys_of(const json_t *a, const json_t *b)
{
	const json_t *others = json_object_get(b, "keys");
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(a, "keys"), key, value)
	{
		const json_t *other = json_object_get(others, key);

		if (other != NULL ? !same_but_threads(value, other, 0)
		                  : !says_nothing(value, json_object_get(a, "defaults")))
			return false;
	}
	return true;
}

static bool same_schema(const json_t *a, const json_t *b)
{
	return same_but_threads(json_object_get(a, "defaults"),
	                        json_object_get(b, "defaults"), 0) &&
	       has_keys_of(a, b) && has_keys_of(b, a);
}

bool shape_same_settings(const json_t *a, const json_t *b)
{
	if (!same_but_threads(settings(a), settings(b), 0))
		return settings(a) == NULL && settings(b) == NULL;
	return (!json_is_object(schema(a)) && !json_is_object(schema(b))) ||
	       same_schema(schema(a), schema(b));
}

static bool is_absent(const json_t *v)
{
	return v == NULL || json_is_null(v) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

bool shape_same_metadata(const json_t *a, const json_t *b)
{
	const json_t *x = json_object_get(a, "metadata");
	const json_t *y = json_object_get(b, "metadata");

	return (is_absent(x) && is_absent(y)) || json_equal(x, y);
}

int64_t shape_dimension(const json_t *shape)
{
	return json_integer_value(json_object_get(shape, "dimension"));
}

/* --- a create ------------------------------------------------------------------------
 */

static struct blob *dumped(json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text != NULL ? blob_adopt(text, strlen(text)) : NULL;
}

/* Without what is null, and with what only the schema tells. */
static json_t *whole_settings(const json_t *shape)
{
	json_t *out = json_object(), *hnsw;
	const json_t *batch = json_object_get(hnsw_of(shape), "batch_size");
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)settings(shape), key,
	                    value) if (!json_is_null(value))
	        json_object_set_new(out, key, json_deep_copy(value));
	hnsw = json_object_get(out, "hnsw");
	if (hnsw != NULL && batch != NULL)
		json_object_set_new(hnsw, "batch_size", json_deep_copy(batch));
	return out;
}

static void set_copy(json_t *body, const char *key, const json_t *value)
{
	json_object_set_new(body, key, json_deep_copy(value));
}

struct blob *shape_create(const json_t *shape, const char *name, unsigned form)
{
	json_t *body;

	if (form > 2 || (form > 0 && !json_is_object(schema(shape))))
		return NULL;
	body = json_pack("{ss}", "name", name);
	if (form == 0 && json_is_object(settings(shape)))
		json_object_set_new(body, "configuration", whole_settings(shape));
	if (form > 0)
		set_copy(body, "schema", schema(shape));
	if (form == 2 && json_is_object(settings(shape)))
		set_copy(body, "configuration", settings(shape));
	return dumped(body);
}

/* --- a change ------------------------------------------------------------------------
 */

/* An empty one is refused; one key that is null says: none. */
static json_t *metadata_for(const json_t *shape)
{
	const json_t *metadata = json_object_get(shape, "metadata");

	return is_absent(metadata) ? json_pack("{sn}", "none") : json_deep_copy(metadata);
}

static void change_number(json_t *hnsw, const char *key, const json_t *from,
                          const json_t *to)
{
	const json_t *wanted = json_object_get(from, key);

	if (wanted != NULL && !json_equal(wanted, json_object_get(to, key)))
		set_copy(hnsw, key, wanted);
}

static json_t *settings_for(const json_t *donor, const json_t *target)
{
	static const char *const numbers[] = {"ef_search", "max_neighbors",
	                                      "resize_factor", "sync_threshold"};
	const json_t *from = json_object_get(settings(donor), "hnsw");
	const json_t *to = json_object_get(settings(target), "hnsw");
	const json_t *function = json_object_get(settings(donor), "embedding_function");
	json_t *out = json_object(), *hnsw = json_object();

	for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++)
		change_number(hnsw, numbers[k], from, to);
	change_number(hnsw, "batch_size", hnsw_of(donor), hnsw_of(target));
	if (json_object_size(hnsw) > 0)
		set_copy(out, "hnsw", hnsw);
	json_decref(hnsw);
	if (json_is_object(function) &&
	    !json_equal(function,
	                json_object_get(settings(target), "embedding_function")))
		set_copy(out, "embedding_function", function);
	return out;
}

struct blob *shape_changes(const json_t *donor, const json_t *target)
{
	json_t *body = json_object(), *changed = settings_for(donor, target);

	if (!shape_same_metadata(donor, target))
		json_object_set_new(body, "new_metadata", metadata_for(donor));
	if (json_object_size(changed) > 0)
		set_copy(body, "new_configuration", changed);
	json_decref(changed);
	if (json_object_size(body) > 0)
		return dumped(body);
	json_decref(body);
	return NULL;
}
