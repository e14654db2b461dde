/* wal/unproven.h - copies that took their place and were not compared yet: unproven.c. */
#ifndef WAL_UNPROVEN_H
#define WAL_UNPROVEN_H

#include "wal/record.h"

/* Its row, with the unit that ends its quarantine; that is durable. */
void unproven_add(struct pg_unit *unit, const struct collection *c, unsigned i);
void unproven_begin(struct collection *c, unsigned i);
bool unproven_is(const struct collection *c, unsigned i);
unsigned unproven_at(const struct collection *c); /* a bit for each instance */
/* Everything in it was compared; these are as it should be. */
void unproven_found(const struct collection *c, unsigned well);
void unproven_sweep(void); /* of collections that are deleted */
/* It could not be compared; `why` stays. */
void unproven_not_found(const struct collection *c, const char *why);
void unproven_each(wal_rebuild_fn *fn, void *arg);
void unproven_clear(void);
/* It is not to be read there: an instance that is proven shows everything. */
bool unproven_gives_way(const struct collection *c, unsigned i);
/* Nobody has decided the record, and such a one is to. */
bool unproven_holds(const struct record *r, unsigned i);
void unproven_add_load(struct pg_unit *unit);
void unproven_loaded(const struct store_load *load, const struct pg_results *r, int at);

#endif
