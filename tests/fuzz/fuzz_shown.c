/* Any bytes as what another proxy tells of its figures, or, with a first byte c, of the
 * collections. What is taken has the kinds that those who show it count on. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/shown.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static bool is_count(const json_t *value)
{
	return value == NULL ||
	       (json_is_integer(value) && json_integer_value(value) >= 0);
}

static bool is_list(const json_t *value)
{
	const json_t *element;
	size_t k;

	json_array_foreach(value, k, element)
	{
		if (!json_is_object(element))
			return false;
	}
	return value == NULL || json_is_array(value);
}

static void check_figures(json_t *o)
{
	json_t *wal = json_object_get(o, "wal"), *all = json_object_get(o, "instances");
	const char *name;
	json_t *in;

	must(wal == NULL || json_is_object(wal));
	must(is_count(json_object_get(wal, "pending_writes")));
	must(is_count(json_object_get(wal, "quarantined")));
	must(is_list(json_object_get(o, "quarantine")));
	json_object_foreach(all, name, in)
	{
		must(is_count(json_object_get(in, "pending_writes")));
		must(is_count(json_object_get(in, "oldest_ms")));
	}
	shown_cut(o, 1);
	must(!shown_cut(o, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool collections = size > 0 && data[0] == 'c';
	char *text = calloc(size + 1, 1);
	json_t *o;

	must(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	o = shown_parse(collections ? WAL_SHOWN_COLLECTIONS : WAL_SHOWN_FIGURES,
	                text + collections);
	must(o == NULL || json_is_object(o));
	if (collections) {
		must(is_count(json_object_get(o, "total")));
		must(is_list(json_object_get(o, "collections")));
	} else {
		check_figures(o);
	}
	json_decref(o);
	free(text);
	return 0;
}
