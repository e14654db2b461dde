/* wal/rebuild_private.h - what the files of rebuilding share.
 *
 *	rebuild.c          the life of one: its donor, its copy, what goes wrong
 *	rebuild_task.c     its items are copied, by any proxy
 *	rebuild_switch.c   the change of places, at the end of it
 *	rebuild_rows.c     what is written of it, and read again by the next leader
 *	rebuild_turn.c     whose turn it is; what others see
 */
#ifndef WAL_REBUILD_PRIVATE_H
#define WAL_REBUILD_PRIVATE_H

#include "wal/copy.h"
#include "wal/scope.h"

enum rebuild_step {
	STEP_WAITING, /* for a donor, or for its time */
	STEP_BEGINNING,
	STEP_MAKING,
	STEP_COPYING,
	STEP_CATCHING_UP,
	STEP_FREEZING, /* until the donor is at rest */
	STEP_LAST,
	STEP_CHECKING,
	STEP_SWITCHING,
	STEP_INSTALLING,
	STEP_ENDING,
	STEP_ABANDONING,
};

struct rebuild {
	struct collection *collection; /* held */
	unsigned target, donor;
	bool has_donor;
	enum rebuild_step step;
	unsigned attempt;
	struct copy *copy;
	struct copy_progress found; /* of an earlier process, or of who copies it */
	bool was_found;
	bool handed_out; /* to whoever takes it; no copy of ours meanwhile */
	bool asked;      /* for its row, just now */
	char *worker;    /* who has taken it; NULL: nobody */
	double rate;     /* items a second; 0: not known */
	uint64_t rated_items;
	msec rated_at, told_at;
	bool anew;       /* not with what was copied so far */
	bool switching;  /* that may be durable ... */
	bool switched;   /* ... and is */
	bool lost_again; /* since; what was old then is left over */
	bool room_made;  /* for its name, just now */
	bool row_stays;  /* of the quarantine: something stands apart and is to come */
	bool frozen;     /* we hold its records */
	unsigned passes;
	unsigned failures;
	wal_seq at;      /* the position it will have */
	struct uuid old; /* its id before; none: there was none */
	char *name;      /* at the switch */
	char *why;
	int64_t since_wall_ms;
	msec freeze_until, rest_until;
	struct timer timer;
	struct op *pending; /* of the row that a step waits for ... */
	struct op *noting;  /* ... or that only notes how far it is */
	TAILQ_ENTRY(rebuild) link;
};

TAILQ_HEAD(rebuild_list, rebuild);
extern struct rebuild_list rebuilds;

static inline const char *rebuild_target_name(const struct rebuild *b)
{
	return instance_name(health_instance(b->target));
}

static inline struct lane *rebuild_lane(const struct rebuild *b, unsigned i)
{
	return &scope_of_collection(b->collection)->lanes[i];
}

static inline bool rebuild_is_gone(const struct rebuild *b)
{
	return b->collection->life == LIFE_GONE;
}

/* Of the copy, whoever is at it. */
static inline const struct copy_progress *rebuild_progress(const struct rebuild *b)
{
	return b->copy != NULL ? copy_progress(b->copy) : &b->found;
}

/* --- rebuild.c ------------------------------------------------------------------------
 */
/* Its turn: from where it is. */
void rebuild_move(struct rebuild *b);
/* Not now: the same step again, later. */
void rebuild_rest(struct rebuild *b, const char *why);
/* A step of the copy has failed. */
void rebuild_not_now(struct rebuild *b, enum status s, const char *why);
/* All its items have been, once. */
void rebuild_copied(struct rebuild *b);
/* The collection is deleted, or has healed by itself: no more of it. */
void rebuild_abandon(struct rebuild *b);
void rebuild_drop(struct rebuild *b);
/* Everything its donor has been sent up to there is done, whether there was anything or
 * not. */
wal_seq rebuild_reach(const struct rebuild *b);
bool rebuild_donor_is_fit(const struct rebuild *b, unsigned j);
/* The one furthest on, of those that show the collection as the log says. */
bool rebuild_choose_donor(const struct rebuild *b, unsigned *found);
void rebuild_create_copy(struct rebuild *b, const struct copy_progress *progress);

/* --- rebuild_task.c -------------------------------------------------------------------
 */
enum task_state { TASK_FREE, TASK_TAKEN, TASK_DONE, TASK_FAILED };
struct task_facts {
	enum task_state state;
	bool sound;  /* FAILED: what was copied is of use */
	bool silent; /* TAKEN: its worker was not heard of for WORKER_SILENT ... */
	bool ended;  /* ... and PostgreSQL has no session of it */
};
enum task_verdict { TASK_WAIT, TASK_TAKE_OVER, TASK_IS_DONE, TASK_AGAIN, TASK_ANEW };
enum task_verdict task_judge(const struct task_facts *f); /* pure */
void rebuild_hand_out(struct rebuild *b);
void rebuild_take_back(struct rebuild *b);
void rebuild_task_start(void);
void rebuild_task_stop(void);

/* --- rebuild_switch.c -----------------------------------------------------------------
 */
void rebuild_freeze(struct rebuild *b);
bool rebuild_may_freeze(const struct rebuild *b); /* no other one there is at that */
void rebuild_thaw(struct rebuild *b);
void rebuild_switch_over(struct rebuild *b);
void rebuild_install(struct rebuild *b);

/* --- rebuild_rows.c -------------------------------------------------------------------
 */
struct pg_unit *rebuild_unit(void); /* fenced by our epoch */
void rebuild_add_begin(struct pg_unit *unit, const struct rebuild *b);
void rebuild_add_progress(struct pg_unit *unit, const struct rebuild *b);
void rebuild_add_switch(struct pg_unit *unit, const struct rebuild *b);
void rebuild_add_end(struct pg_unit *unit, const struct rebuild *b);
/* How far it is; nobody waits for that. */
void rebuild_note(struct rebuild *b);
/* False: a row could not be written; that has been dealt with. */
bool rebuild_is_written(struct rebuild *b, enum status s, const struct pg_results *r);

/* --- rebuild_turn.c -------------------------------------------------------------------
 */
struct rebuild *rebuild_create(struct collection *c, unsigned target);
void rebuild_count(const struct rebuild *b); /* its items */
void rebuild_ended(void);                    /* the next one's turn */
#endif
