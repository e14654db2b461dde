/* core/table.c - a hash table from text to pointers, chained, doubling. */
#include "core/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/random.h"

struct table_entry {
	struct table_entry *next;
	void *value;
	uint64_t hash;
	char key[];
};

/* FNV-1a from a secret start: names are chosen by clients, who must not be able to
 * choose collisions. */
uint64_t table_hash(const char *s, size_t len)
{
	static uint64_t seed;
	uint64_t h;

	if (seed == 0)
		seed = random_u64() | 1;
	h = seed;
	for (size_t k = 0; k < len; k++)
		h = (h ^ (unsigned char)s[k]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static uint64_t hash_of(const char *key)
{
	return table_hash(key, strlen(key));
}

static struct table_entry **place(const struct table *t, const char *key, uint64_t hash)
{
	struct table_entry **e = &t->buckets[hash & (t->n_buckets - 1)];

	while (*e != NULL && ((*e)->hash != hash || strcmp((*e)->key, key) != 0))
		e = &(*e)->next;
	return e;
}

void *table_get(const struct table *t, const char *key)
{
	struct table_entry *e;

	if (t->count == 0)
		return NULL;
	e = *place(t, key, hash_of(key));
	return e != NULL ? e->value : NULL;
}

static void grow(struct table *t)
{
	size_t n = t->n_buckets > 0 ? t->n_buckets * 2 : 16;
	struct table_entry **to = mem_array(n, sizeof(struct table_entry *));

	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct table_entry *e = t->buckets[i], *next; e != NULL; e = next) {
			next = e->next;
			e->next = to[e->hash & (n - 1)];
			to[e->hash & (n - 1)] = e;
		}
	free(t->buckets);
	t->buckets = to;
	t->n_buckets = n;
}

void table_put(struct table *t, const char *key, void *value)
{
	uint64_t hash = hash_of(key);
	size_t len = strlen(key) + 1;
	struct table_entry **e;

	if (t->count >= t->n_buckets)
		grow(t);
	e = place(t, key, hash);
	if (*e == NULL) {
		*e = mem_alloc(sizeof(struct table_entry) + len);
		(*e)->hash = hash;
		memcpy((*e)->key, key, len);
		t->count++;
	}
	(*e)->value = value;
}

void *table_remove(struct table *t, const char *key)
{
	struct table_entry **e, *old;
	void *value;

	if (t->count == 0)
		return NULL;
	e = place(t, key, hash_of(key));
	old = *e;
	if (old == NULL)
		return NULL;
	*e = old->next;
	value = old->value;
	free(old);
	t->count--;
	return value;
}

void *table_next(const struct table *t, size_t *bucket, const struct table_entry **entry)
{
	const struct table_entry *e = *entry != NULL ? (*entry)->next : NULL;

	while (e == NULL && *bucket < t->n_buckets)
		e = t->buckets[(*bucket)++];
	*entry = e;
	return e != NULL ? e->value : NULL;
}

const char *table_key(const struct table_entry *entry)
{
	return entry->key;
}

void table_clear(struct table *t)
{
	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct table_entry *e = t->buckets[i], *next; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
	free(t->buckets);
	*t = (struct table){0};
}
