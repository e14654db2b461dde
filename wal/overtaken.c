/* wal/overtaken.c - pure: a record whose collection is deleted by a later one. Does an
 * instance still have anything to write it to, and may it say so?
 *
 * What is decided is done then, wherever there is nothing left to do it to. What is not
 * is decided by an instance that has executed everything before it; one that has lost the
 * collection, or has another content in it, has a say only when no other can have it. */
#include "wal/heal.h"
#include "wal/record.h"
#include "wal/verdict.h"

/* A later record (a reset, a delete of its database) has taken the collection away, here
 * already; or it was appended behind the delete of its collection. There is nothing left
 * to write to. */
bool overtaken_is(const struct record *r, enum verdict v)
{
	return v == VERDICT_LOST && r->collection != NULL &&
	       r->collection->life == LIFE_GONE;
}

/* What it has of the collection is not what the log says, and nobody mends that now: it
 * is as if the collection were not there. */
bool overtaken_is_left(const struct record *r, unsigned i)
{
	return r->collection != NULL &&
	       (record_is_item(r->kind) || r->kind == RECORD_MODIFY_COLLECTION) &&
	       quarantine_is_left(r->collection, i);
}

static bool is_in_quarantine(const struct record *r, unsigned i)
{
	return quarantine_is_parked(r->collection, i) ||
	       quarantine_is_left(r->collection, i);
}

/* This one may have lost the collection long before. And what a former process may have
 * told a client of waits for one that is down; or that is to create it yet. */
bool overtaken_another_can_say(const struct record *r, unsigned i)
{
	for (unsigned j = 0; j < health_count(); j++)
		if (j != i && r->turns[j].lost == 0 && !detach_is(j) &&
		    (r->loaded || instance_writable(health_instance(j))) &&
		    !is_in_quarantine(r, j))
			return true;
	return false;
}
