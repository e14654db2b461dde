/* http/shown_parse.c - pure: the document of the proxy that leads, read with suspicion.
 *
 * It may be of another version, or cut, or none at all. What is not of the kind it should
 * be is taken out, and shown as null, like what is missing; what we do not know is not
 * looked at. So those who show it find nothing unexpected. */
#include "http/shown.h"

#include <string.h>

enum kind {
	COUNT = 1,
	FLAG = 2,
	TEXT = 4,
	OBJECT = 8,
	LIST = 16, /* of objects */
	NOTHING = 32,
};

struct key {
	const char *name;
	unsigned kinds;
};

static const struct key figures[] = {
        {"proxy", TEXT},
        {"whole", FLAG},
        {"instances", OBJECT},
        {"wal", OBJECT},
        {"collections", OBJECT},
        {"resync", LIST},
        {"strangers", OBJECT},
        {"verification", OBJECT},
        {"quarantine", LIST},
        {"export", OBJECT | NOTHING},
        {"removed_instances", LIST},
        {NULL, 0},
};

static const struct key of_instance[] = {
        {"pending_writes", COUNT},
        {"pending_bytes", COUNT},
        {"oldest_ms", COUNT},
        {"detached", FLAG},
        {"replaying", FLAG},
        {"last_error", TEXT | NOTHING},
        {NULL, 0},
};

static const struct key of_log[] = {
        {"pending_writes", COUNT},
        {"is_replaying", FLAG},
        {"oldest_pending", TEXT | NOTHING},
        {"total_replayed", COUNT},
        {"failed_replays", COUNT},
        {"quarantined", COUNT},
        {"last_seq", COUNT},
        {"undecided", COUNT},
        {"decided", COUNT},
        {NULL, 0},
};

static const struct key of_collections[] = {
        {"live", COUNT},    {"creating", COUNT}, {"complete", COUNT},
        {"partial", COUNT}, {NULL, 0},
};

static const struct key list_of_collections[] = {
        {"total", COUNT},
        {"listed", COUNT},
        {"collections", LIST},
        {NULL, 0},
};

static const char *const lists[] = {"resync", "quarantine", "removed_instances"};

static bool are_objects(const json_t *list)
{
	const json_t *element;
	size_t k;

	json_array_foreach(list, k, element)
	{
		if (!json_is_object(element))
			return false;
	}
	return true;
}

static bool is_of(const json_t *value, unsigned kinds)
{
	switch (json_typeof(value)) {
	case JSON_INTEGER:
		return (kinds & COUNT) != 0 && json_integer_value(value) >= 0;
	case JSON_TRUE:
	case JSON_FALSE:
		return (kinds & FLAG) != 0;
	case JSON_STRING:
		return (kinds & TEXT) != 0;
	case JSON_OBJECT:
		return (kinds & OBJECT) != 0;
	case JSON_ARRAY:
		return (kinds & LIST) != 0 && are_objects(value);
	case JSON_NULL:
		return (kinds & NOTHING) != 0;
	default:
		return false;
	}
}

static void check(json_t *object, const struct key *keys)
{
	for (; keys->name != NULL; keys++) {
		const json_t *value = json_object_get(object, keys->name);

		if (value != NULL && !is_of(value, keys->kinds))
			json_object_del(object, keys->name);
	}
}

static void check_instances(json_t *instances)
{
	const char *name;
	json_t *o;
	void *next;

	json_object_foreach_safe(instances, next, name, o)
	{
		if (json_is_object(o))
			check(o, of_instance);
		else
			json_object_del(instances, name);
	}
}

static void check_figures(json_t *document)
{
	check(document, figures);
	check_instances(json_object_get(document, "instances"));
	check(json_object_get(document, "wal"), of_log);
	check(json_object_get(document, "collections"), of_collections);
}

json_t *shown_parse(enum wal_shown part, const char *json)
{
	json_t *document = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

	/* of something else than an object: nothing */
	if (json_integer_value(json_object_get(document, "shape")) != SHOWN_SHAPE) {
		json_decref(document);
		return NULL;
	}
	if (part == WAL_SHOWN_FIGURES)
		check_figures(document);
	else
		check(document, list_of_collections);
	return document;
}

static bool cut_list(json_t *list, size_t most)
{
	bool longer = json_array_size(list) > most;

	while (json_array_size(list) > most)
		json_array_remove(list, json_array_size(list) - 1);
	return longer;
}

bool shown_cut(json_t *document, size_t most)
{
	bool any = cut_list(
	        json_object_get(json_object_get(document, "strangers"), "list"), most);

	for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++)
		any = cut_list(json_object_get(document, lists[k]), most) || any;
	return any;
}
