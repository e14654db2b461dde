/* wal/admit.c - what has come into the log becomes a record in memory: appended by us, or
 * by another proxy while we lead (tail.c).
 *
 *   admit_begin  the catalogue follows, as it did in PostgreSQL with the append
 *   admit_end    the engine has it; what a delete takes away leaves the catalogue last,
 *                when its record is in its scopes
 */
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/record.h"

/* The delete of its database may have come before it in the log. */
static void add_collection(struct wal_write *w, wal_seq seq)
{
	w->collection = collection_hold(
	        catalogue_add_collection(seq, w->database, w->name, LIFE_CREATING));
	if (w->public_id != NULL)
		w->collection->public_id = *w->public_id;
	if (w->database->life == LIFE_GONE)
		collection_set_gone(w->collection);
}

static void to_catalogue(struct wal_write *w, wal_seq seq, const struct uuid *public_id)
{
	if (record_makes_collection(w->kind))
		add_collection(w, seq);
	if (w->kind == RECORD_MODIFY_COLLECTION && w->name != NULL)
		collection_reserve(w->collection, w->name);
	if (w->kind == RECORD_CREATE_DATABASE) {
		w->database = database_hold(
		        catalogue_add_database(seq, w->tenant, w->name, LIFE_CREATING));
		w->database->public_id = *public_id;
	}
	if (w->kind == RECORD_CREATE_TENANT)
		catalogue_add_tenant(w->tenant, seq);
}

struct record *admit_begin(struct wal_write *w, wal_seq seq, const struct uuid *public_id)
{
	to_catalogue(w, seq, public_id);
	return record_create(seq, w);
}

void admit_end(struct record *r, const struct wal_write *w)
{
	engine_add(r);
	if (w->kind == RECORD_DELETE_COLLECTION)
		collection_set_gone(w->collection);
	if (w->kind == RECORD_DELETE_DATABASE)
		database_set_gone(w->database);
}
