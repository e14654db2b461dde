/* wal/execute_private.h - one record at one instance: what its two files share.
 *
 *	execute.c        from the start of an execution to its end
 *	execute_reply.c  what an answer means, and which step follows
 */
#ifndef WAL_EXECUTE_PRIVATE_H
#define WAL_EXECUTE_PRIVATE_H

#include "wal/calls.h"
#include "wal/record.h"
#include "wal/verdict.h"

enum step {
	STEP_FETCH,
	STEP_RESOLVE,
	STEP_STORE_IDS,
	STEP_SET_ASIDE,
	STEP_SEND,
	STEP_FIND
};

struct execution {
	struct record *record; /* the head of the batch */
	struct batch batch;
	unsigned instance;
	enum step step, first_step; /* behind STEP_FETCH */
	struct op *pending;
	struct timer rest; /* also: to its start, and until it counts as stalled */
	uint64_t started_us, sent_us; /* 0: not at the instance */
	bool broken;                  /* how its last call has ended */
	struct blob *taken;           /* what was said of a name that is taken, or NULL */
	LIST_ENTRY(execution) link;   /* those at work */
};

/* --- execute.c ------------------------------------------------------------------------
 */
void execution_step(struct execution *e);
/* Frees the execution, then tells the engine. */
void execution_conclude(struct execution *e, enum verdict v, int http, struct blob *body,
                        const char *detail);
void execution_not_sent(struct execution *e, const char *why);

/* --- execute_reply.c ------------------------------------------------------------------
 */
void execution_on_reply(void *arg, const struct reply *reply);
/* Its collection is being deleted, and what it has there is asked nothing any more. */
void execution_conclude_left(struct execution *e);
bool execution_deletes(const struct record *r);

#endif
