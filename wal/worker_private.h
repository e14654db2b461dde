/* wal/worker_private.h - what the files of this proxy's worker share.
 *
 *	worker.c        its heartbeat, what it takes, until when it may write
 *	worker_task.c   one task, from its taking to its end
 */
#ifndef WAL_WORKER_PRIVATE_H
#define WAL_WORKER_PRIVATE_H

#include "wal/copy.h"
#include "wal/wal.h"

struct work {
	bool on;
	unsigned target, donor;
	unsigned serial; /* one more with each task */
	int64_t instance, collection;
	unsigned attempt;
	struct uuid cluster, marker[2]; /* of the target, of the donor ... */
	int64_t beat[2];                /* ... and at least that */
	unsigned looked;                /* at so many of them */
	struct copy_spec spec;
	struct copy_progress progress;
	char *tenant, *database;
	struct copy *copy;
	bool cut;           /* while something was on its way to the target */
	struct op *pending; /* a look at a marker, or its end */
	msec not_before;    /* no other task there, for now */
};

/* --- worker_task.c --------------------------------------------------------------------
 */
void work_add_take(struct pg_unit *unit, const struct work *w);
/* Its answer, if that has a row: the work begins. */
void work_take(struct work *w, const struct pg_results *r, int at);
/* In a heartbeat: how far it is; or that it was cut, and that is its end. No row changed:
 * it is lost. */
void work_add_note(struct pg_unit *unit, const struct work *w);
void work_lost(struct work *w);
/* We may have been given up: what is on its way is cut off. */
void work_cut(struct work *w);
void work_drop(struct work *w); /* without a word */

/* --- worker.c -------------------------------------------------------------------------
 */
bool worker_may_write(void);
bool worker_is_leaving(void);
#endif
