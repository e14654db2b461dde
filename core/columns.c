/* core/columns.c - the rows of an answer that Chroma gives in columns. */
#include "core/columns.h"

#include <string.h>

static const char *const names[COLUMNS] = {"ids",  "embeddings", "documents",
                                           "uris", "metadatas",  "distances"};

/* --- where the columns are --------------------------------------------------------- */

static bool key_is(struct json_slice key, const char *name)
{
	return key.len == strlen(name) + 2 && memcmp(key.at + 1, name, key.len - 2) == 0;
}

static int column_of(struct json_slice key)
{
	for (int k = 0; k < COLUMNS; k++)
		if (key_is(key, names[k]))
			return k;
	return -1;
}

static const char *take_list(struct columns *c, int k, struct json_slice value)
{
	if (json_kind(value) != JSON_LIST)
		return "a column is not a list";
	c->lists[k] = value;
	c->walks[k] = json_walk(value);
	return NULL;
}

/* What is wrong with it, or NULL. */
static const char *take_member(struct columns *c, const struct json_walk *w,
                               unsigned *seen)
{
	bool include = key_is(w->key, "include");
	int k = include ? COLUMNS : column_of(w->key);
	bool null = json_kind(w->value) == JSON_NULL_VALUE;

	if (k < 0)
		return null ? NULL : "a column that is not known";
	if ((*seen & 1u << k) != 0)
		return "a column for the second time";
	*seen |= 1u << k;
	if (include)
		c->include = w->value;
	return include || null ? NULL : take_list(c, k, w->value);
}

static const char *take_members(struct columns *c, struct json_slice whole)
{
	struct json_walk w = json_walk(whole);
	unsigned seen = 0;
	const char *wrong;

	if (json_kind(whole) != JSON_MAP)
		return "not an object";
	while (json_step(&w)) {
		wrong = take_member(c, &w, &seen);
		if (wrong != NULL)
			return wrong;
	}
	return c->lists[COLUMN_IDS].at != NULL ? NULL : "no ids";
}

struct columns columns_of(const char *text, size_t len)
{
	struct columns c = {0};

	c.wrong = take_members(&c, json_whole(text, len));
	return c;
}

/* --- row by row -------------------------------------------------------------------- */

static bool stop(struct columns *c, const char *wrong)
{
	memset(c->row, 0, sizeof(c->row));
	c->wrong = wrong;
	return false;
}

bool columns_next(struct columns *c)
{
	bool more;

	if (c->wrong != NULL)
		return false;
	more = json_step(&c->walks[COLUMN_IDS]);
	c->row[COLUMN_IDS] = c->walks[COLUMN_IDS].value;
	for (int k = COLUMN_IDS + 1; k < COLUMNS; k++) {
		if (c->lists[k].at == NULL)
			continue;
		if (json_step(&c->walks[k]) != more)
			return stop(c, "columns of different lengths");
		c->row[k] = c->walks[k].value;
	}
	if (!more)
		return stop(c, NULL);
	c->rows++;
	return true;
}
