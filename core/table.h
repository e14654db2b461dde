/* core/table.h - a hash table from text to pointers it does not own.
 *
 * Embedded: `struct table t = {0};` is valid and empty. Keys are copied. */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry;

struct table {
	struct table_entry **buckets;
	size_t n_buckets;
	size_t count;
};

void *table_get(const struct table *t, const char *key);       /* NULL: not there */
void table_put(struct table *t, const char *key, void *value); /* replaces */
void *table_remove(struct table *t, const char *key);          /* what was there */
/* Walks in no order; start with *at = 0. Entries must not be added or removed meanwhile.
 */
void *table_next(const struct table *t, size_t *bucket, const struct table_entry **entry);
const char *table_key(const struct table_entry *entry); /* of the one told last */
void table_clear(struct table *t);                      /* forgets all; may come twice */
/* Another in each process: nobody outside can choose texts that collide. */
uint64_t table_hash(const char *s, size_t len);

#endif
