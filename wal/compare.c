/* wal/compare.c - pure: two answers to the same `get`, from two instances.
 *
 * Equal bytes are equal, and that is what is found nearly always. Else item by item: the
 * order does not count (a repair moves an item to the end), documents, metadata and URIs
 * must be the same, embeddings within what copying them through a cosine index changes.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "wal/wal_private.h"

#define TOLERANCE 1e-6

static bool same_number(const json_t *a, const json_t *b)
{
	double x = json_number_value(a), y = json_number_value(b);

	return fabs(x - y) <= TOLERANCE * fmax(1.0, fmax(fabs(x), fabs(y)));
}

static bool same_embedding(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);

	if (n != json_array_size(b))
		return false;
	for (size_t k = 0; k < n; k++)
		if (!same_number(json_array_get(a, k), json_array_get(b, k)))
			return false;
	return true;
}

static bool same_item(const json_t *a, size_t at, const json_t *b, size_t bt)
{
	static const char *const texts[] = {"documents", "metadatas", "uris"};

	for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
		const json_t *x = json_array_get(json_object_get(a, texts[k]), at);
		const json_t *y = json_array_get(json_object_get(b, texts[k]), bt);

		if ((x == NULL) != (y == NULL) || (x != NULL && !json_equal(x, y)))
			return false;
	}
	return same_embedding(json_array_get(json_object_get(a, "embeddings"), at),
	                      json_array_get(json_object_get(b, "embeddings"), bt));
}

/* id -> where it stands */
static json_t *places(const json_t *ids)
{
	json_t *found = json_object();

	for (size_t k = 0; k < json_array_size(ids); k++) {
		const char *id = json_string_value(json_array_get(ids, k));

		if (id != NULL)
			json_object_set_new(found, id, json_integer((json_int_t)k));
	}
	return found;
}

static bool same_items(const json_t *a, const json_t *b)
{
	const json_t *ids = json_object_get(a, "ids");
	size_t n = json_array_size(ids);
	json_t *where = places(json_object_get(b, "ids"));
	bool same = json_is_array(ids) && n == json_array_size(json_object_get(b, "ids"));

	for (size_t k = 0; same && k < n; k++) {
		const char *id = json_string_value(json_array_get(ids, k));
		const json_t *at = id != NULL ? json_object_get(where, id) : NULL;

		same = at != NULL && same_item(a, k, b, (size_t)json_integer_value(at));
	}
	json_decref(where);
	return same;
}

bool compare_items(const struct blob *a, const struct blob *b)
{
	json_t *x, *y;
	bool same;

	if (blob_len(a) == blob_len(b) &&
	    memcmp(blob_bytes(a), blob_bytes(b), blob_len(a)) == 0)
		return true;
	x = json_loadb(blob_bytes(a), blob_len(a), 0, NULL);
	y = json_loadb(blob_bytes(b), blob_len(b), 0, NULL);
	same = x != NULL && y != NULL && same_items(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}
