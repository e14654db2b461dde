/* http/alike.c - reads that one call can answer together: what is joined.
 *
 * A body goes along with others when
 *   - every key is one that is known here, so that none can mean something about the
 *     answer as a whole: a limit over all rows would
 *   - its list is there once, and holds what Chroma takes: texts, or lists of numbers of
 *     one length. One embedding of another length would spoil the call for all
 *   - everything outside of the list is the same, byte for byte
 * How the answer is taken apart is told in alike_split.c. */
#include "http/alike.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"

#define IDS_MOST 128u /* in one read that goes along with others */
#define EMBEDDINGS_MOST 16u

enum key { KEY_LIST, KEY_FREE, KEY_NULL, KEY_UNKNOWN };

static const struct {
	const char *name;
	enum key in_get, in_query;
} keys[] = {
        {"ids", KEY_LIST, KEY_FREE},
        {"query_embeddings", KEY_UNKNOWN, KEY_LIST},
        {"n_results", KEY_UNKNOWN, KEY_FREE},
        {"where", KEY_FREE, KEY_FREE},
        {"where_document", KEY_FREE, KEY_FREE},
        {"include", KEY_FREE, KEY_FREE},
        {"limit", KEY_NULL, KEY_UNKNOWN},
        {"offset", KEY_NULL, KEY_UNKNOWN},
};

static enum key key_of(struct json_slice key, enum route_verb verb)
{
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
		if (key.len == strlen(keys[k].name) + 2 &&
		    memcmp(key.at + 1, keys[k].name, key.len - 2) == 0)
			return verb == VERB_GET ? keys[k].in_get : keys[k].in_query;
	return KEY_UNKNOWN;
}

/* --- the lists ------------------------------------------------------------------- */

static bool is_text(struct json_slice v)
{
	char *text = json_text(v, NULL);

	free(text);
	return text != NULL;
}

static bool take_ids(struct alike *a, struct json_slice list)
{
	struct json_walk w = json_walk(list);

	while (json_step(&w))
		if (++a->rows > IDS_MOST || !is_text(w.value))
			return false;
	return a->rows > 0;
}

/* Of a flat list; of others it is some number, and a Chroma refuses those. */
static size_t width_of(struct json_slice embedding)
{
	size_t commas = 0;

	for (size_t k = 0; k < embedding.len; k++)
		commas += embedding.at[k] == ',';
	return commas + 1;
}

static bool take_embedding(struct alike *a, struct json_slice embedding)
{
	struct json_walk w = json_walk(embedding);
	size_t width = width_of(embedding);

	if (json_kind(embedding) != JSON_LIST || !json_step(&w) ||
	    json_kind(w.value) != JSON_NUMBER)
		return false;
	if (a->rows++ == 0)
		a->width = width;
	return width == a->width && a->rows <= EMBEDDINGS_MOST;
}

static bool take_embeddings(struct alike *a, struct json_slice list)
{
	struct json_walk w = json_walk(list);

	while (json_step(&w))
		if (!take_embedding(a, w.value))
			return false;
	return a->rows > 0;
}

/* --- a body ---------------------------------------------------------------------- */

static bool take_list(struct alike *a, const struct blob *body, struct json_slice list)
{
	const char *start = blob_bytes(body), *end = start + blob_len(body);

	if (a->inside.at != NULL || json_kind(list) != JSON_LIST)
		return false;
	a->inside = (struct json_slice){list.at + 1, list.len - 2};
	a->before = (struct json_slice){start, (size_t)(a->inside.at - start)};
	a->after.at = a->inside.at + a->inside.len;
	a->after.len = (size_t)(end - a->after.at);
	return a->verb == VERB_GET ? take_ids(a, list) : take_embeddings(a, list);
}

static bool take_member(struct alike *a, const struct blob *body,
                        const struct json_walk *w)
{
	switch (key_of(w->key, a->verb)) {
	case KEY_LIST:
		return take_list(a, body, w->value);
	case KEY_FREE:
		return true;
	case KEY_NULL:
		return json_kind(w->value) == JSON_NULL_VALUE;
	default:
		return false;
	}
}

bool alike_take(struct alike *a, enum route_verb verb, const struct blob *body)
{
	struct json_slice whole;
	struct json_walk w;

	*a = (struct alike){.verb = verb};
	if (verb == VERB_COUNT)
		return blob_len(body) == 0;
	if (verb != VERB_GET && verb != VERB_QUERY)
		return false;
	whole = json_whole(blob_bytes(body), blob_len(body));
	if (json_kind(whole) != JSON_MAP)
		return false;
	w = json_walk(whole);
	while (json_step(&w))
		if (!take_member(a, body, &w))
			return false;
	return a->inside.at != NULL;
}

/* --- several --------------------------------------------------------------------- */

static bool same_text(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool alike_same(const struct alike *a, const struct alike *b)
{
	return a->verb == b->verb && a->width == b->width &&
	       same_text(a->before, b->before) && same_text(a->after, b->after);
}

struct blob *alike_body(const struct alike *const reads[], size_t n)
{
	struct text body = {0};
	size_t len = reads[0]->before.len + reads[0]->after.len;

	if (reads[0]->verb == VERB_COUNT)
		return NULL;
	for (size_t k = 0; k < n; k++)
		len += reads[k]->inside.len + 1;
	text_reserve(&body, len);
	text_add(&body, reads[0]->before.at, reads[0]->before.len);
	for (size_t k = 0; k < n; k++) {
		if (k > 0)
			text_addc(&body, ',');
		text_add(&body, reads[k]->inside.at, reads[k]->inside.len);
	}
	text_add(&body, reads[0]->after.at, reads[0]->after.len);
	len = body.len;
	return blob_adopt(text_detach(&body), len);
}
