/* wal/copy.h - the content of one collection, copied from the instance that has it (the
 * donor) to a new collection on another (the target), while clients go on writing.
 *
 * State is copied, never a record: what was touched meanwhile is copied again as the
 * donor has it then. It needs no catalogue and no lanes, so any proxy can do it; making
 * the new collection the real one is for the leader (rebuild.c).
 *
 * A copy is good up to its `base`: every record of the collection up to there is in it,
 * of the first `items` items in the donor's order, or of all. Order is the donor's. Each
 * of the steps below is asynchronous, one at a time, and its end is told from the loop.
 */
#ifndef WAL_COPY_H
#define WAL_COPY_H

#include "wal/wal.h"

struct copy_spec {
	int64_t collection;            /* its number in the log */
	const char *tenant, *database; /* copied */
	unsigned donor, target;        /* instances */
	int donor_id;                  /* the donor's number in the log */
	struct uuid source;            /* its id at the donor */
	unsigned attempt; /* names the new collection, together with `collection` */
	/* Asked before each write to the target; false: STATUS_DEPOSED. NULL: always. */
	bool (*may_write)(void);
};

/* What is worth keeping in a row, to go on after a crash. */
struct copy_progress {
	struct uuid made; /* id of the new collection at the target; none: not yet */
	wal_seq base;
	uint64_t items;   /* copied of those there were */
	uint64_t total;   /* at the donor when it was last counted */
	bool all;         /* every item has been copied once */
	uint64_t touched; /* ids that the last copy_touched() has found */
};

struct copy;

/* How a step ends:
 *   STATUS_OK
 *   STATUS_CONFLICT   the copy is not sound: begin anew, with another attempt
 *   anything else     not now (an instance or PostgreSQL did not answer): the same step
 *                     may be tried again */
typedef void(copy_fn)(void *arg, enum status s, const char *why);

/* `progress` NULL: from the beginning. */
struct copy *copy_create(const struct copy_spec *spec,
                         const struct copy_progress *progress);
void copy_destroy(struct copy **copy); /* cancels a step under way; takes NULL */
const struct copy_progress *copy_progress(const struct copy *copy);
/* Something is on its way to the target, and might still arrive if we ended now. */
bool copy_is_writing(const struct copy *copy);

/* What a copy must know of the others that use an instance: it rests for clients whom
 * this proxy does not see, and the longer, the more copies there are at once. */
struct copy_load {
	bool serves; /* another proxy's clients */
	unsigned copies;
};
extern struct copy_load copy_loads[CONF_MAX_INSTANCES];
/* Calls that nobody rests for: those of copies, and of comparisons. */
void copy_call_begins(unsigned instance);
void copy_call_ended(unsigned instance);
uint64_t copy_calls(unsigned instance);
unsigned copy_calls_under_way(unsigned instance);

/* Makes the new collection, like the donor's; `base` is how far the donor had come before
 * (what is read from it later holds at least that). Leftovers of earlier attempts go. */
void copy_make(struct copy *copy, wal_seq base, copy_fn *done, void *arg);
/* Copies all items, page by page, resting in between as long as clients need the donor.
 */
void copy_items(struct copy *copy, copy_fn *done, void *arg);
/* Copies again what the records in (base, upto] have touched; the donor has executed them
 * all. Then `base` is `upto`. Without rests. */
void copy_touched(struct copy *copy, wal_seq upto, copy_fn *done, void *arg);
/* Does the copy have as many items as the donor's? (Nothing is being written there.)
 * STATUS_CONFLICT if not. */
void copy_check(struct copy *copy, copy_fn *done, void *arg);

/* The new collection takes the place of an old one there, and its name: first the old one
 * is set aside (none: there is none), then the name is taken, then the old one goes.
 * May be repeated after a crash. STATUS_BUSY: somebody else has the name. Name NULL: it
 * is about to be deleted, and keeps its own. */
void copy_install(struct copy *copy, const struct uuid *old, const char *name,
                  copy_fn *done, void *arg);
/* Whoever has that name there, which is ours by the catalogue, and is none of ours gets
 * another one. STATUS_BUSY: it is one of ours, which is to get another name yet. */
void copy_make_room(struct copy *copy, const char *name, copy_fn *done, void *arg);
#endif
