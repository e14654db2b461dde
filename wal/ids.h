/* wal/ids.h - a set of ids of items, as hashes: some bytes each, however long they are.
 * A number may be noted of each.
 *
 * Two ids with one hash count as one. The hash is another in each process: nobody outside
 * can choose ids that collide, and 64 bits do not by chance. */
#ifndef WAL_IDS_H
#define WAL_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json_scan.h"

struct id_set {
	uint64_t *hashes; /* 0: free */
	int64_t *notes;   /* one to each, if any was ever given */
	size_t n, room;
};

/* False: it is not text. However it is escaped, an id has one hash. */
bool id_hash(struct json_slice id, uint64_t *hash);
void id_set_reserve(struct id_set *set, size_t more);
bool id_set_add(struct id_set *set, uint64_t hash); /* false: it was there */
bool id_set_has(const struct id_set *set, uint64_t hash);
/* What was last noted of it; 0: it is not there. */
void id_set_note(struct id_set *set, uint64_t hash, int64_t note);
int64_t id_set_noted(const struct id_set *set, uint64_t hash);
void id_set_clear(struct id_set *set);

#endif
