/* wal/engine.h - records are executed, in order, at each instance.
 *
 *	engine.c             whose turn it is
 *	slots.c, cold.c      how much at once; what an instance that is away lacks
 *	pace.c and others    what a record waits for
 *	execute.c, claim.c   its call
 *	judge.c              what the verdict means */
#ifndef WAL_ENGINE_H
#define WAL_ENGINE_H

#include "wal/scope.h"
#include "wal/verdict.h"

/* --- engine.c: whose turn it is --- */
void engine_start(const struct conf *conf);
void engine_stop(void);
void engine_clear(void);            /* forget all records (deposed, or stopping) */
void engine_add(struct record *r);  /* appended or loaded: from now on it is executed */
void engine_kick(struct record *r); /* something it waits for may have changed */
void engine_kick_all(void);
/* Our lease has run out: what is under way is cut off, its outcome unknown. */
void engine_abandon(const char *why);
void engine_hold(bool hold); /* no new executions */
const struct record_list *engine_records(void);
void engine_persisted(struct record *r, unsigned i); /* by persist.c */
/* The turn is over: its position is on its way, the lanes move on. */
void engine_done(struct record *r, unsigned i);
void engine_let_go(struct record *r); /* of its body, when there is much in memory */
void engine_kick_scope(const struct scope *s); /* the heads of its lanes */
void engine_tell(struct record *r);            /* how it ended, to those who wait */
struct engine_totals {
	uint64_t owed, undecided, decided, replayed, failures, merged_calls, merged,
	        reductions;
};
struct engine_totals *engine_totals(void);
struct wal_instance_figures *engine_counts(unsigned i);
struct record *engine_find(wal_seq seq);

/* Out of the list of records and of its scopes, or back; it is owed as before. */
void engine_take_out(struct record *r);
void engine_put_back(struct record *r, struct record *older);
/* The instance has everything up to there, durably, though not by executing it. */
void engine_jump(struct collection *c, unsigned i, wal_seq upto);
bool engine_has_room(unsigned i); /* for the turn of one more lane that is cold */
/* No instance has answered for so long that what waits would fill the memory. */
bool engine_is_full(void);
/* Its turn there is over, without a position. */
void engine_leave(struct record *r, unsigned i);
/* What was owed there need not be executed any more. */
void engine_leave_out(unsigned i, size_t body_len);

/* --- slots.c: how many calls at an instance, and whose is the next --- */
void slots_start(unsigned max_workers);
void slots_clear(void);
bool slots_has_room(const struct record *r, unsigned i); /* for its turn */
bool slots_are_free(unsigned i);
void slots_take(unsigned i); /* a call begins; has ended */
void slots_give(unsigned i);
void slots_wait(struct record *r, unsigned i);
void slots_leave(struct record *r, unsigned i); /* if it waits */
void slots_serve(unsigned i);                   /* those that wait, while there is room */
unsigned slots_in_flight(unsigned i);
bool slots_some_ended(unsigned i); /* so many that something cold has its turn ... */
void slots_woken(unsigned i);      /* ... and has had it now */

/* --- figures.c: what is owed, what was done --- */
void engine_figures(struct wal_figures *out);
wal_seq engine_floor(unsigned i); /* everything up to here is durable at the instance */

/* --- cold.c: what only an instance that is away lacks --- */
void cold_start(void);
bool cold_takes(struct record *r);            /* true: it is kept cold now, and freed */
void cold_wake(unsigned i);                   /* there may be room for work there */
void cold_turn(struct cold *c);               /* its lane has moved, or is free */
void cold_jump(struct cold *c, wal_seq upto); /* its lane has: engine_jump() */
wal_seq cold_first(unsigned i, int64_t *at_wall_ms); /* the oldest; 0: none */
void cold_drop(unsigned i);                          /* all that is cold there */
void cold_clear(void);

/* --- pace.c, follow.c, suspect.c: what a record waits for --- */
bool pace_holds(struct record *r, unsigned i);
/* Its turn may wait for others to go along. */
bool follow_holds(const struct record *r, unsigned i);
/* pause.c: nothing behind a place in the log is executed there for a while. */
bool pause_is_on(unsigned i);
bool pause_holds(const struct record *r, unsigned i);
void pause_clear(void);
/* It was in flight at another instance whose connection broke: is that one dead of it? */
bool suspect_holds(const struct record *r, unsigned i);
void suspect_broken(struct record *r, unsigned i);
/* i is down now: counts its death; true if that is one too many. */
bool suspect_died(struct record *r, unsigned i);

/* --- execute.c: one record at one instance --- */
struct execution_result {
	enum verdict verdict;
	bool broken; /* the connection broke under it */
	int http;
	struct blob *body;
	const char *detail;
};
void execution_start(struct record *r, unsigned i);
void execution_rest(struct record *r, unsigned i, msec wait); /* then engine_kick() */
void execution_cancel(struct record *r, unsigned i);
/* Its lease has run out: as if the call had failed. */
void execution_abandon(struct record *r, unsigned i, const char *why);
/* `records` were sent in one call, in this order. */
void engine_executed(struct record *const *records, size_t n, unsigned i,
                     const struct execution_result *result);
/* It goes along with the head of its lane; or does not after all. */
void engine_join(struct record *r, unsigned i);
void engine_part(struct record *r, unsigned i);

/* --- claim.c: a collection that is adopted, at one instance --- */
struct claim_result {
	enum verdict verdict;
	bool broken;
	int http;
	struct blob *body;
	const char *detail;
	struct uuid local; /* its id there; none: it is not there */
	bool has_dimension;
};
typedef void(claim_fn)(void *arg, const struct claim_result *result);
void claim_start(const struct record *r, unsigned i, claim_fn *done, void *arg,
                 struct op **slot);

/* --- judge.c: what a verdict means --- */
void judge_executed(struct record *r, unsigned i, const struct execution_result *result);
/* A call that carried several was not applied. */
void judge_merged(struct record *const *records, size_t n, unsigned i,
                  const struct execution_result *result);
void judge_down(struct record *r, unsigned i); /* instance i is down now */
/* What is wrong at it now: a record that fails, or else a parked lane; "" if nothing. */
void judge_error(unsigned i, char *text, size_t room);

/* --- traced.c --- */
void traced_call(struct record *const *records, size_t n, unsigned i, struct headers *to);

#endif
