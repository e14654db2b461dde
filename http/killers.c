/* http/killers.c - pure: what no Chroma survives is refused at the door.
 *
 * Each of these is one ordinary request that kills a Chroma, or its writer, at once and
 * again at every later touch of the collection (measured on 1.5.9). Replicated, it would
 * take every instance. The body is looked at only where it can hold such a thing. */
#include "http/exchange.h"

#define DEPTH_MOST 8
#define SETTINGS_MOST (1024u * 1024u)

/* A record's text lives under this key; anything but text there stops the one writer. */
static const char *in_items(struct json_slice body)
{
	struct json_walk list = json_walk(json_member(body, "metadatas"));
	struct json_walk keys;

	while (json_step(&list)) {
		keys = json_walk(list.value);
		while (json_step(&keys))
			if (json_text_is(keys.key, "chroma:document") &&
			    json_kind(keys.value) != JSON_TEXT)
				return "metadata key 'chroma:document' is reserved";
	}
	return NULL;
}

/* An index without neighbours: the process dies with the second record. */
static bool has_no_neighbors(struct json_slice v, int depth)
{
	struct json_walk w = json_walk(v);

	while (depth < DEPTH_MOST && json_step(&w)) {
		if (w.key.at != NULL && json_text_is(w.key, "max_neighbors") &&
		    json_int64(w.value, 1) == 0)
			return true;
		if (has_no_neighbors(w.value, depth + 1))
			return true;
	}
	return false;
}

/* A collection whose metadata holds a list or a sparse vector cannot be opened again.
 * Other objects Chroma refuses itself. */
static bool cannot_be_opened(struct json_slice v)
{
	return json_kind(v) == JSON_LIST || json_member(v, "#type").at != NULL;
}

static const char *in_metadata(struct json_slice metadata)
{
	struct json_walk w = json_walk(metadata);

	while (json_step(&w)) {
		if (cannot_be_opened(w.value))
			return "collection metadata values must be strings, numbers or "
			       "booleans";
		if (json_text_is(w.key, "hnsw:M") && json_int64(w.value, 1) == 0)
			return "hnsw:M must be greater than 0";
	}
	return NULL;
}

/* Settings are looked into at every depth, so they must be short. */
static const char *in_settings(struct json_slice v)
{
	if (v.len > SETTINGS_MOST)
		return "collection settings may take 1 MiB at most";
	return has_no_neighbors(v, 0) ? "max_neighbors must be greater than 0" : NULL;
}

static const char *in_create(struct json_slice body)
{
	const char *why = in_settings(json_member(body, "configuration"));

	if (why == NULL)
		why = in_settings(json_member(body, "schema"));
	return why != NULL ? why : in_metadata(json_member(body, "metadata"));
}

static const char *in_modify(struct json_slice body)
{
	const char *why = in_settings(json_member(body, "new_configuration"));

	return why != NULL ? why : in_metadata(json_member(body, "new_metadata"));
}

static const char *in_query(struct json_slice body)
{
	struct json_slice n = json_member(body, "n_results");

	return n.at != NULL && json_int64(n, 1) == 0
	               ? "Number of requested results must be greater than 0"
	               : NULL;
}

const char *killer_in(const struct exchange *ex)
{
	struct json_slice body = json_whole(blob_bytes(ex->body), blob_len(ex->body));

	if (json_kind(body) != JSON_MAP)
		return NULL;
	if (ex->route.kind == ROUTE_CREATE_COLLECTION ||
	    ex->route.kind == ROUTE_IMPORT_COLLECTION)
		return in_create(body);
	if (ex->route.kind == ROUTE_MODIFY_COLLECTION)
		return in_modify(body);
	if (ex->route.verb == VERB_QUERY)
		return in_query(body);
	if (ex->route.kind == ROUTE_WRITE_ITEMS && ex->route.verb != VERB_DELETE)
		return in_items(body);
	return NULL;
}
