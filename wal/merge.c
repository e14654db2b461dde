/* wal/merge.c - pure: the bodies of several item writes of one kind as one body.
 *
 * A body is taken apart into its lists (ids, embeddings, ...), and the lists of all are
 * joined as text, in order: no number is parsed. What is not exactly as expected does not
 * go along with others; it is sent as it is, alone:
 *   - a key that is not known here, or there twice: it may mean something to Chroma
 *   - lists of different lengths: Chroma refuses that, and must not see two such errors
 *     add up to something good
 *   - another set of lists, or embeddings written in another way, than the first
 *   - an id for the second time: of two adds the first wins, as it would one by one; but
 *     two changes of one item in one request are not two changes after each other */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "wal/calls.h"
#include "wal/record.h"

#define ITEMS_MOST 5000u /* in one call */

static const char *const list_names[MERGE_LISTS] = {"ids", "embeddings", "documents",
                                                    "metadatas", "uris"};

/* --- one body ------------------------------------------------------------------------
 */

static bool key_is(struct json_slice key, const char *name)
{
	return key.len == strlen(name) + 2 && memcmp(key.at + 1, name, key.len - 2) == 0;
}

static int list_of(struct json_slice key)
{
	for (int k = 0; k < MERGE_LISTS; k++)
		if (key_is(key, list_names[k]))
			return k;
	return -1;
}

/* Which of the keys that may be there it is; -1: another. */
static int known(struct json_slice key)
{
	if (key_is(key, "where"))
		return MERGE_LISTS;
	return key_is(key, "where_document") ? MERGE_LISTS + 1 : list_of(key);
}

/* What is null might as well not be there; but it is there, and not twice. */
static bool take_member(struct merge_part *part, const struct json_walk *w)
{
	int k = known(w->key);

	if (k < 0 || (part->seen & 1u << k) != 0)
		return false;
	part->seen |= 1u << k;
	if (json_kind(w->value) == JSON_NULL_VALUE)
		return true;
	if (k >= MERGE_LISTS || json_kind(w->value) != JSON_LIST)
		return false;
	part->lists[k] = w->value;
	return true;
}

static enum json_kind first_kind(struct json_slice list)
{
	struct json_walk w = json_walk(list);

	return json_step(&w) ? json_kind(w.value) : JSON_ABSENT;
}

static bool same_lengths(struct merge_part *part)
{
	part->items = json_count(part->lists[0]);
	for (int k = 1; k < MERGE_LISTS; k++)
		if (part->lists[k].at != NULL &&
		    json_count(part->lists[k]) != part->items)
			return false;
	return part->items > 0;
}

static bool take_apart(struct merge_part *part, const struct blob *body)
{
	struct json_walk w = json_walk(json_whole(blob_bytes(body), blob_len(body)));

	while (json_step(&w))
		if (!take_member(part, &w))
			return false;
	if (part->lists[0].at == NULL || !same_lengths(part))
		return false;
	for (int k = 0; k < MERGE_LISTS; k++)
		part->shape |= (part->lists[k].at != NULL ? 1u : 0u) << k;
	part->shape |= (unsigned)first_kind(part->lists[1]) << MERGE_LISTS;
	return true;
}

/* --- the ids of a call ---------------------------------------------------------------
 */

/* Some may be in the set when it is found that one was there: nothing is added to this
 * call any more then. */
static bool are_new(struct merge *m, const struct merge_part *part)
{
	struct json_walk w = json_walk(part->lists[0]);
	uint64_t hash;

	id_set_reserve(&m->ids, part->items);
	while (json_step(&w)) {
		bool is_new = id_hash(w.value, &hash) && id_set_add(&m->ids, hash);

		if (!is_new)
			return false;
	}
	return true;
}

/* --- the call ------------------------------------------------------------------------
 */

void merge_begin(struct merge *m)
{
	*m = (struct merge){0};
	m->parts = mem_array(MERGE_MOST, sizeof(struct merge_part));
}

bool merge_add(struct merge *m, enum record_kind kind, const struct blob *body)
{
	struct merge_part part = {0};

	if (m->n == MERGE_MOST || !take_apart(&part, body))
		return false;
	if (m->n > 0 &&
	    (part.shape != m->parts[0].shape || m->items + part.items > ITEMS_MOST))
		return false;
	if (kind != RECORD_ADD && !are_new(m, &part))
		return false;
	m->items += part.items;
	m->bytes += blob_len(body);
	m->parts[m->n++] = part;
	return true;
}

/* What stands between the brackets, of each. */
static void join_lists(const struct merge *m, int k, struct text *out)
{
	text_addf(out, "%s\"%s\":[", k > 0 ? "," : "", list_names[k]);
	for (size_t n = 0; n < m->n; n++) {
		const struct json_slice *list = &m->parts[n].lists[k];

		if (n > 0)
			text_addc(out, ',');
		text_add(out, list->at + 1, list->len - 2);
	}
	text_addc(out, ']');
}

struct blob *merge_body(const struct merge *m)
{
	struct text out = {0};
	size_t len;

	text_reserve(&out, m->bytes + 100);
	text_addc(&out, '{');
	for (int k = 0; k < MERGE_LISTS; k++)
		if (m->parts[0].lists[k].at != NULL)
			join_lists(m, k, &out);
	text_addc(&out, '}');
	len = out.len;
	return blob_adopt(text_detach(&out), len);
}

void merge_clear(struct merge *m)
{
	free(m->parts);
	id_set_clear(&m->ids);
	*m = (struct merge){0};
}
