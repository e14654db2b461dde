/* core/cli/contents.c - reads the file of an export once, and says what is in it. Nothing
 * of a file is used before this has found it whole and unchanged. */
#include "core/cli/contents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define FORMAT 1

struct reading {
	struct contents *s;
	uint64_t number; /* of the line */
	bool inside;     /* a collection, before its end */
};

enum line_kind line_of(struct json_slice line, struct json_slice *value)
{
	struct json_walk w = json_walk(json_whole(line.at, line.len));

	if (!json_step(&w))
		return LINE_NONE;
	*value = w.value;
	if (json_text_is(w.key, "collection"))
		return LINE_COLLECTION;
	if (json_text_is(w.key, "items"))
		return LINE_ITEMS;
	return json_text_is(w.key, "end") ? LINE_END : LINE_NONE;
}

json_t *slice_json(struct json_slice value)
{
	return json_loadb(value.at, value.len, 0, NULL);
}

static char *text_of(struct json_slice value, const char *key)
{
	return json_text(json_member(value, key), NULL);
}

static bool take_collection(struct reading *r, struct json_slice value)
{
	struct contents *s = r->s;
	struct content *c;

	if (r->inside)
		return false;
	s->list = mem_resize(s->list, (s->n + 1) * sizeof(*s->list));
	c = &s->list[s->n++];
	*c = (struct content){.id = text_of(value, "id"),
	                      .name = text_of(value, "name"),
	                      .tenant = text_of(value, "tenant"),
	                      .database = text_of(value, "database")};
	r->inside = true;
	return c->id != NULL && c->name != NULL && c->tenant != NULL &&
	       c->database != NULL;
}

static bool take_items(struct reading *r, struct json_slice value)
{
	struct json_slice ids = json_member(value, "ids");

	if (!r->inside || json_kind(ids) != JSON_LIST)
		return false;
	r->s->list[r->s->n - 1].items += json_count(ids);
	r->s->items += json_count(ids);
	return true;
}

static bool take_end(struct reading *r, struct json_slice value)
{
	const struct content *c = r->inside ? &r->s->list[r->s->n - 1] : NULL;

	r->inside = false;
	return c != NULL && json_text_is(json_member(value, "id"), c->id) &&
	       json_int64(json_member(value, "items"), -1) == (int64_t)c->items;
}

static bool take_head(struct reading *r, struct json_slice line)
{
	r->s->head = slice_json(line);
	return json_number_of(r->s->head, "chromatid_export") == FORMAT;
}

static bool take(struct reading *r, struct json_slice line)
{
	struct json_slice value;

	if (r->number++ == 0)
		return take_head(r, line);
	switch (line_of(line, &value)) {
	case LINE_COLLECTION:
		return take_collection(r, value);
	case LINE_ITEMS:
		return take_items(r, value);
	case LINE_END:
		return take_end(r, value);
	default:
		return false;
	}
}

static bool read_all(struct reading *r, struct archive *a, char **why)
{
	struct json_slice line;

	while (archive_next(a, &line)) {
		if (take(r, line))
			continue;
		*why = r->number == 1 ? mem_string("it is not an export of this format")
		                      : mem_format("line %" PRIu64 " is not understood",
		                                   r->number);
		return false;
	}
	if (!archive_is_sound(a, r->s->n, r->s->items, why))
		return false;
	if (!r->inside && r->s->head != NULL)
		return true;
	*why = mem_string("the file is not complete");
	return false;
}

bool contents_read(struct contents *s, const char *path, char **why)
{
	struct reading r = {.s = s};
	struct archive *a = archive_open(path, why);
	bool good = a != NULL && read_all(&r, a, why);

	if (a != NULL)
		archive_close(a);
	return good;
}

void contents_clear(struct contents *s)
{
	for (size_t k = 0; k < s->n; k++) {
		free(s->list[k].id);
		free(s->list[k].name);
		free(s->list[k].tenant);
		free(s->list[k].database);
	}
	free(s->list);
	json_decref(s->head);
}
