/* wal/ids.c - a set of ids of items, as hashes. */
#include "wal/ids.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/table.h"

#define ROOM_LEAST 64u

static uint64_t hash_of(const char *s, size_t len)
{
	uint64_t hash = table_hash(s, len);

	return hash != 0 ? hash : 1; /* 0: a free place */
}

bool id_hash(struct json_slice id, uint64_t *hash)
{
	char *text;
	size_t len;

	if (json_kind(id) != JSON_TEXT)
		return false;
	if (memchr(id.at, '\\', id.len) == NULL) {
		*hash = hash_of(id.at + 1, id.len - 2);
		return true;
	}
	text = json_text(id, &len);
	if (text != NULL)
		*hash = hash_of(text, len);
	free(text);
	return text != NULL;
}

/* Where it is, or would be. */
static size_t place_of(const struct id_set *set, uint64_t hash)
{
	size_t at = hash & (set->room - 1);

	while (set->hashes[at] != 0 && set->hashes[at] != hash)
		at = (at + 1) & (set->room - 1);
	return at;
}

static bool insert(struct id_set *set, uint64_t hash)
{
	size_t at = place_of(set, hash);

	if (set->hashes[at] == hash)
		return false;
	set->hashes[at] = hash;
	set->n++;
	return true;
}

static void move(struct id_set *set, const struct id_set *old, size_t k)
{
	insert(set, old->hashes[k]);
	if (old->notes != NULL)
		set->notes[place_of(set, old->hashes[k])] = old->notes[k];
}

void id_set_reserve(struct id_set *set, size_t more)
{
	struct id_set old = *set;

	if ((set->n + more) * 2 <= set->room)
		return;
	set->room = old.room > 0 ? old.room : ROOM_LEAST;
	while ((set->n + more) * 2 > set->room)
		set->room *= 2;
	set->hashes = mem_array(set->room, sizeof(uint64_t));
	if (old.notes != NULL)
		set->notes = mem_array(set->room, sizeof(int64_t));
	set->n = 0;
	for (size_t k = 0; k < old.room; k++)
		if (old.hashes[k] != 0)
			move(set, &old, k);
	free(old.hashes);
	free(old.notes);
}

bool id_set_add(struct id_set *set, uint64_t hash)
{
	id_set_reserve(set, 1);
	return insert(set, hash);
}

bool id_set_has(const struct id_set *set, uint64_t hash)
{
	return set->room > 0 && set->hashes[place_of(set, hash)] == hash;
}

void id_set_note(struct id_set *set, uint64_t hash, int64_t note)
{
	id_set_add(set, hash);
	if (set->notes == NULL)
		set->notes = mem_array(set->room, sizeof(int64_t));
	set->notes[place_of(set, hash)] = note;
}

int64_t id_set_noted(const struct id_set *set, uint64_t hash)
{
	return set->notes != NULL && id_set_has(set, hash)
	               ? set->notes[place_of(set, hash)]
	               : 0;
}

void id_set_clear(struct id_set *set)
{
	free(set->notes);
	free(set->hashes);
	*set = (struct id_set){0};
}
