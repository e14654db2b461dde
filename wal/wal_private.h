/* wal/wal_private.h - what the files of wal/ share.
 *
 *   record   one write: its place, its body, its decision, one turn per instance
 *   turn     one record at one instance: queued, sent, done, durable
 *   scope    what must be executed in order: a collection, a database, or everything
 *   lane     one scope at one instance: whose turn it is, how far it has come
 *
 * A record is a member of one or more scopes, its first being the one its position is
 * kept under. Its turn at an instance comes when it is the head of that instance's lane
 * in every scope it is a member of.
 *
 *	item writes                   collection
 *	create/modify/delete coll.    database, collection
 *	create/delete database        all, database (delete: every collection in it too)
 *	create tenant                 all
 *	reset                         all, every database, every collection
 */
#ifndef WAL_WAL_PRIVATE_H
#define WAL_WAL_PRIVATE_H

#include <sys/queue.h>

#include "core/json_scan.h"
#include "core/pg.h"
#include "core/timer.h"
#include "wal/ids.h"
#include "wal/wal.h"

struct execution;
struct cold;
struct quarantine;
struct unproven;

enum turn_state {
	TURN_QUEUED,  /* not executed, as far as we know */
	TURN_SENT,    /* an execution is at work */
	TURN_DONE,    /* executed; its position is not durable yet */
	TURN_DURABLE, /* nothing left to do here */
};

struct turn {
	enum turn_state state;
	bool doubt;          /* it may have been executed before: sent, no clear answer */
	bool late_look;      /* an answer was lost: its ids are looked at again later */
	bool blocked;        /* too many in flight at the instance */
	unsigned waits_for;  /* the member in whose lane it was not first: scope.c */
	bool apart;          /* it stands in its collection's lane only: scope.c */
	bool broken;         /* the connection broke: has it killed the instance? */
	unsigned failures;   /* executions that ended without a verdict ... */
	unsigned errors_500; /* ... of those, answered 500 ... */
	unsigned unknown;    /* ... or anything else that is no answer ... */
	unsigned lost;       /* ... or that the collection is not there */
	unsigned deaths;     /* of the instance, while it was executed there */
	bool dead;           /* ... it has: counted */
	msec broken_at, troubled_at;
	struct execution *execution; /* while SENT, or QUEUED and resting */
	struct uuid local;           /* a create of a collection, DONE: its id there */
	struct record *record;
	TAILQ_ENTRY(turn) blocked_link;
};

enum decision {
	DECISION_OPEN,
	DECISION_ACCEPTED,
	DECISION_REJECTED,            /* a refusal: the others skip it ... */
	DECISION_REJECTED_EVERYWHERE, /* ... or must be refused it too (it may have set
	                                 the collection's dimension) */
	DECISION_GIVEN_UP, /* no instance gave a clear answer, or it killed them:
	                      never sent again */
};

struct member {
	struct record *record;
	struct scope *scope;
	unsigned left; /* a bit for each instance: it does not wait in that lane */
	TAILQ_ENTRY(member) link;
};

struct record {
	wal_seq seq;
	enum record_kind kind;
	enum decision decision;
	bool decision_durable;
	bool embeddings;
	bool sets_dimension;
	bool late;      /* decided when nobody waited for it (any more) */
	bool deferred;  /* refused once, while another may have applied it */
	bool loaded;    /* by a new leader: its client may have been told */
	bool elsewhere; /* its client may wait at another proxy, or here, in await.c */
	bool alone;     /* a connection broke under it: never merged with others again */
	unsigned items; /* in its body, once it was merged */
	int http;       /* of the decision */
	int executor;   /* instance at work on deciding it, or -1 */
	int decided_by; /* instance, or -1 */
	struct collection *collection; /* held */
	struct database *database;     /* held */
	char *name;               /* see struct wal_write; tenant creates: the tenant */
	char *old_name;           /* of a rename */
	struct wal_origin origin; /* of an adoption; no such instance: it is not known */
	struct blob *body;        /* NULL when it must be fetched from the log first */
	size_t body_len;
	struct digest digest; /* of the body, if it may be joined: join.c */
	bool digested;
	struct blob *resolved; /* DELETE_WHERE: {"ids":[...]} */
	struct blob *answer;
	struct trace trace;
	int64_t appended_wall_ms;
	msec entered;    /* its lanes */
	msec pace_until; /* it waits for an instance that catches up; 0: it does not ...
	                  */
	uint64_t pace_goal; /* ... until that one has passed so many */
	uint64_t log_us, upstream_us;
	unsigned unsettled; /* turns not DURABLE */
	unsigned busy;      /* persists and executions that refer to it */
	unsigned n_members;
	struct member *members;
	TAILQ_HEAD(wal_op_list, wal_op) watchers;
	TAILQ_ENTRY(record) link;
	struct turn turns[];
};

TAILQ_HEAD(record_list, record);

struct lane {
	struct member *head; /* whose turn is next; NULL: caught up */
	wal_seq done;        /* the last record executed (or passed) here */
	wal_seq sent;        /* the highest one sent here; may be more than done */
	unsigned most;       /* merged into one call there, by now; 0: as at first */
	struct cold *cold;   /* records of it that are no objects now: cold.c ... */
	wal_seq first_cold;  /* ... and the first of them; 0: none */
	struct quarantine *quarantine; /* NULL: it is in none */
	struct rebuild *rebuild;       /* NULL: it is not being made anew */
	struct unproven *unproven;     /* NULL: it is read like any other */
	bool parked;                   /* in quarantine: nothing is executed ... */
	bool apart;           /* ... and what changes the collection stands apart */
	unsigned n_apart;     /* records that do, and are not durably done */
	unsigned n_left;      /* in a lane that they have left: those that are not done */
	unsigned behind;      /* records it has not done ... */
	uint64_t passed;      /* ... and has done, ever ... */
	uint64_t in_vain;     /* ... when a client had waited for it in vain, and one */
	unsigned undurable;   /* of those, how many have no durable position yet ... */
	enum record_kind run; /* ... and their kind, if all are the same; else NONE */
};

struct scope {
	int64_t id;
	int64_t database;       /* the one it is, or lies in; 0: everything */
	bool orphan;            /* nobody but its members knows it any more */
	unsigned holds;         /* new records wait: its lanes are looked at */
	unsigned n_open;        /* item writes whose decision is not durable yet */
	LIST_ENTRY(scope) link; /* unless orphan */
	TAILQ_HEAD(member_list, member) members;
	struct lane lanes[];
};

/* One write as its client's exchange sees it; attached to its record once appended. */
struct wal_op {
	struct op op;
	wal_appended_fn *appended;
	wal_decided_fn *decided;
	void *arg;
	enum status status;
	struct collection *collection; /* of its record; held; NULL: none */
	struct wal_outcome outcome;
	TAILQ_ENTRY(wal_op) link;
};

void wal_op_end(struct wal_op *op, enum status s);
/* In a refusal: the instance's id of the collection becomes the one clients know. */
void wal_public_ids(struct blob **answer, const struct uuid *local,
                    const struct uuid *public_id);

/* --- record.c ---------------------------------------------------------------------- */
struct record *record_create(wal_seq seq, const struct wal_write *write);
void record_free(struct record *r);
/* From now on `op` waits for the record's outcome; it is told the place at once. */
void record_watch(struct record *r, struct wal_op *op);
bool record_runs(enum record_kind kind); /* several in a row may be in doubt at once */
bool record_is_item(enum record_kind kind);
bool record_creates(enum record_kind kind);
bool record_makes_collection(enum record_kind kind); /* in the catalogue */
/* An adoption: is it from there; is the instance it is from one of ours? */
bool record_is_from(const struct record *r, unsigned i);
bool record_has_origin(const struct record *r);
char *record_origin_text(const struct wal_origin *origin); /* freed by the caller */
struct wal_origin record_origin_from(const char *text);
/* The collection may be there, its id unknown: what deletes it must find it first. */
bool record_may_have_created(const struct record *r, unsigned i);
bool record_is_open(const struct record *r);    /* not decided */
bool record_is_skipped(const struct record *r); /* refused, given up: not sent any more */

/* So many of a run may be executed with no position durable for another to be sent, and
 * so many go along with that one: after a crash, those may be in doubt. */
#define UNDURABLE_MOST 200u
#define MERGE_MOST 200u
#define SENT_MOST (UNDURABLE_MOST + MERGE_MOST)

/* --- scope.c: order, pure ---------------------------------------------------------- */
struct scope *scope_all(void);
struct scope *scope_of_collection(struct collection *c);
struct scope *scope_of_database(struct database *db);
void scope_free(struct scope *s);
/* Makes the record a member of its scopes, last in each. */
void scope_enter(struct record *r);
void scope_decided(const struct record *r);
/* An item write of a collection that is being deleted, and no answer depends any more on
 * what is in it: it need not be executed where it was not. */
bool scope_is_obsolete(const struct scope *s, const struct collection *c);
void scope_leave(struct record *r);
/* In its place again, for an instance that still lacks it (cold.c). */
void scope_return(struct record *r, unsigned i, const struct record *older);
/* Behind it in the lane of its position; NULL: it is the last. */
struct record *scope_next(const struct record *r, unsigned i);
bool scope_may_execute(struct record *r, unsigned i);
/* Something before it is kept cold (cold.c). */
bool scope_is_behind_cold(const struct record *r, unsigned i);
void scope_sent(struct record *r, unsigned i);
/* The turn is done: the lanes move on. */
void scope_done(struct record *r, unsigned i);
void scope_durable(struct record *r, unsigned i);
bool scope_current(const struct scope *s, unsigned i);
/* Everything before it is done there, in all its lanes. */
bool scope_is_first(const struct record *r, unsigned i);
/* A collection's lane stands still; and then what changes the collection stands apart. */
void scope_park(struct scope *s, unsigned i);
/* Refused, durably so: it does not wait for what is parked. */
void scope_let_by(struct record *r);
void scope_stand_apart(struct scope *s, unsigned i);
/* From now on nothing does any more; false: something does. */
bool scope_stop_apart(struct scope *s, unsigned i);
void scope_unpark(struct scope *s, unsigned i);
/* Its lanes are being compared, or one is about to be replaced. */
bool scope_is_held(const struct record *r);
bool scope_has_apart(const struct scope *s, unsigned i);
/* In the lane of its position, is j further behind than i by more than that, and coming?
 * *passed: the records j has done there, ever. */
bool scope_leaves_behind(const struct record *r, unsigned i, unsigned j, unsigned most,
                         uint64_t *passed);

/* --- verdict.c: pure --------------------------------------------------------------- */
enum verdict {
	VERDICT_APPLIED,  /* it has its effect there */
	VERDICT_REFUSED,  /* a clear no, without effect */
	VERDICT_NOT_SENT, /* not a byte has arrived */
	VERDICT_UNKNOWN,  /* it may have its effect or not */
	VERDICT_BUSY,     /* not now */
	VERDICT_LOST,     /* the instance does not know what it must have */
	VERDICT_DENIED,   /* it does not let us in */
};
enum verdict verdict_of(const struct reply *reply);
/* Of a collection, in a database that the catalogue has. */
enum verdict verdict_of_create(const struct reply *reply);
enum verdict verdict_of_sent(const struct record *r, const struct reply *reply);
const char *verdict_name(enum verdict v);

/* overtaken.c: its collection is deleted by a later record, and not there any more ... */
bool overtaken_is(const struct record *r, enum verdict v);
/* ... or there, but not as the log says. */
bool overtaken_is_left(const struct record *r, unsigned i);
bool overtaken_another_can_say(const struct record *r, unsigned i);

/* --- engine.c: whose turn it is ---------------------------------------------------- */
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

/* --- slots.c: how many calls at an instance, and whose is the next --------------------
 */
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

/* --- figures.c: what is owed, what was done ------------------------------------------
 */
void engine_figures(struct wal_figures *out);
wal_seq engine_floor(unsigned i); /* everything up to here is durable at the instance */

/* --- cold.c: what only an instance that is away lacks --------------------------------
 */
void cold_start(void);
bool cold_takes(struct record *r);            /* true: it is kept cold now, and freed */
void cold_wake(unsigned i);                   /* there may be room for work there */
void cold_turn(struct cold *c);               /* its lane has moved, or is free */
void cold_jump(struct cold *c, wal_seq upto); /* its lane has: engine_jump() */
wal_seq cold_first(unsigned i, int64_t *at_wall_ms); /* the oldest; 0: none */
void cold_drop(unsigned i);                          /* all that is cold there */
void cold_clear(void);

/* --- judge.c: what a verdict means ---------------------------------------------------
 */
struct execution_result;
void judge_executed(struct record *r, unsigned i, const struct execution_result *result);
/* A call that carried several was not applied. */
void judge_merged(struct record *const *records, size_t n, unsigned i,
                  const struct execution_result *result);
void judge_down(struct record *r, unsigned i); /* instance i is down now */
/* What is wrong at it now: a record that fails, or else a parked lane; "" if nothing. */
void judge_error(unsigned i, char *text, size_t room);

/* --- pace.c, follow.c, suspect.c: what a record waits for ----------------------------
 */
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

/* --- quarantine.c --------------------------------------------------------------------
 */
/* False: the collection is deleted, there is nothing to keep apart. */
bool quarantine_begin(struct collection *c, unsigned i, wal_seq seq,
                      enum quarantine_cause cause, int http, const char *error);
/* Found out by a survey, not by a record: nothing in the lane could tell when it is
 * healed, so it is not tried again. The caller keeps its row, with the seq returned here,
 * and then says so. */
wal_seq quarantine_lost(struct collection *c, unsigned i, const char *error);
void quarantine_kept(struct collection *c, unsigned i);
/* It was found out so, and its row could not be written: nobody but a survey does. */
bool quarantine_is_not_kept(const struct collection *c, unsigned i);
bool quarantine_is_lost(const struct collection *c, unsigned i);
bool quarantine_is_parked(const struct collection *c, unsigned i);
/* The collection is deleted: what it has there, if anything, is asked nothing any more.
 */
bool quarantine_is_left(const struct collection *c, unsigned i);
/* The turn of a record in a lane that is tried again, or left, has come to its end. */
void quarantine_moved(struct record *r, unsigned i);
uint64_t quarantine_begun(
        void); /* lanes, since the start; not those that a survey found */
unsigned quarantine_count(unsigned i);                      /* at that instance */
void quarantine_error(unsigned i, char *text, size_t room); /* the oldest there; or "" */
bool quarantine_passes(const struct record *r, unsigned i);
void quarantine_gone(const struct record *r); /* it deletes: nothing is left to heal */
void quarantine_resume(void);                 /* PostgreSQL is back */
void quarantine_clear(void);
void quarantine_add_load(struct pg_unit *unit);
struct store_load;
void quarantine_loaded(const struct store_load *load, const struct pg_results *r, int at);
/* Its row says that what stands apart there is counted by the collection's position. */
void quarantine_all_loaded(void); /* the records, too */
bool quarantine_covers(const struct record *r, unsigned i);
/* The next that another instance can heal, behind `after`; NULL: none. */
struct collection *quarantine_next_to_heal(unsigned i, const struct collection *after);
bool quarantine_may_be_healed(const struct collection *c, unsigned i);
/* It is being healed: not tried again meanwhile; or not any more. */
void quarantine_heal(const struct collection *c, unsigned i, bool begin);
/* The healing is about to be durable: a delete of the collection waits for its end. */
void quarantine_switch(const struct collection *c, unsigned i, bool begin);
void quarantine_add_end(struct pg_unit *unit, const struct collection *c, unsigned i);
/* Its row is gone; or it stays until what stands apart is done. */
void quarantine_healed(struct collection *c, unsigned i, bool row_is_gone);

/* --- strangers.c: what was not made through the log; look.c --------------------------
 */
void strangers_add_load(struct pg_unit *unit);
void strangers_loaded(const struct pg_results *r, int at);
void strangers_clear(void);
bool wal_adopts_tenants(void);
void look_stop(void);

/* --- doubt.c: a later look at what was in doubt --------------------------------------
 */
void doubt_add(struct pg_unit *unit, const struct record *r, unsigned i);
void doubt_noted(const struct record *r, unsigned i); /* its row is durable */
void doubt_add_load(struct pg_unit *unit);
void doubt_loaded(const struct store_load *load, const struct pg_results *r, int at);
void doubt_start(msec after);
void doubt_clear(void);
void doubt_stop(void);

/* --- verify.c: are the instances equal? ----------------------------------------------
 */
void verify_start(const struct conf *conf);
void verify_stop(void);
void verify_clear(void);
void verify_add_load(struct pg_unit *unit);
void verify_loaded(const struct store_load *load, const struct pg_results *r, int at);
/* It has been made anew: if it could not be compared before, that is tried again now. */
void verify_soon(struct collection *c);

/* --- identity.c: whose server is it, on which disk? -----------------------------------
 */
enum identity {
	IDENTITY_OURS,
	IDENTITY_NEW,     /* never marked */
	IDENTITY_BLANK,   /* its marker is gone */
	IDENTITY_OLD,     /* its marker is an old one */
	IDENTITY_ANOTHER, /* another instance of this cluster */
	IDENTITY_FOREIGN, /* another cluster's */
};
struct identity_facts {
	const struct marker *found;
	const struct uuid *cluster, *instance; /* that should be there */
	const struct uuid *adopted;            /* a cluster that is taken over; none */
	int64_t beat;                          /* the last one known to be on its disk */
	bool marked;                           /* one was ever written, since its reset */
};
enum identity identity_verdict(const struct identity_facts *f); /* pure */
const char *identity_name(enum identity v);
void identity_start(const struct conf *conf);
void identity_add_load(struct pg_unit *unit);
void identity_loaded(const struct pg_results *r, int at);
void identity_judge(void); /* from now on each instance is judged */
void identity_clear(void);
/* At a proxy that follows: what the leader has noted since. */
void identity_add_follow(struct pg_unit *unit);
void identity_followed(const struct pg_results *r, int at);
/* A reset of ours begins or ends there; was applied; and what is durable with it. */
void identity_resets(unsigned i, bool begins);
void identity_was_reset(unsigned i);
void identity_add_reset(struct pg_unit *unit, unsigned i);
bool identity_is_refused(unsigned i); /* it is somebody else's */

/* --- decision.c -------------------------------------------------------------------- */
void decision_to_catalogue(struct record *r, bool accepted);
const struct uuid *decision_public_id(const struct record *r);

/* --- execute.c: one record at one instance ----------------------------------------- */
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

/* --- claim.c: a collection that is adopted, at one instance ---------------------------
 */
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

/* --- persist.c: outcomes and positions --------------------------------------------- */
void persist_start(void);
void persist_turn(struct record *r, unsigned i, bool with_decision);
void persist_resume(void); /* PostgreSQL is back */
void persist_clear(void);
unsigned persist_waiting(void);
/* Adds the refusal of everything that follows unless we still lead. */
void persist_add_fence(struct pg_unit *unit);
void persist_add_position(struct pg_unit *unit, unsigned i, int64_t scope, wal_seq seq);

/* What proxies tell each other, by NOTIFY: that there is something to look at. Nothing
 * depends on its being heard but how soon that is. */
#define WAL_CHANNEL "chromatid"
#define WAL_APPENDED "appended" /* by one that does not lead */
#define WAL_DECIDED "decided"   /* a record that another may wait for */
#define WAL_LEASE_FREE "lease"

/* --- admit.c: what has come into the log -------------------------------------------- */
/* `w` holds what is created from then on; `public_id`: of a database. */
struct record *admit_begin(struct wal_write *w, wal_seq seq,
                           const struct uuid *public_id);
void admit_end(struct record *r, const struct wal_write *w);

/* --- tail.c: what others append while we lead --------------------------------------- */
void tail_lead(void);
void tail_kick(void); /* there may be something */
void tail_clear(void);

/* --- await.c: what becomes of a record that is not here ------------------------------
 */
void await_outcome(wal_seq seq, struct wal_op *op);
void await_kick(void); /* some may be decided */
bool await_is_full(void);
void await_clear(enum status s);
/* The outcome as it was stored; columns from `first` on. */
#define OUTCOME_COLUMNS "o.http, o.answer, o.instance, c.public_id, b.local_id"
#define OUTCOME_JOINS                                                                    \
	" LEFT JOIN chromatid.collection c ON c.id = l.collection"                       \
	" LEFT JOIN chromatid.binding b ON b.collection = l.collection"                  \
	" AND b.instance = o.instance"
void stored_outcome(const struct pg_results *r, int at, int row, int first,
                    struct wal_outcome *out);

/* --- append.c ---------------------------------------------------------------------- */
void append_start(void);
void append_lost_session(int pid); /* the session whose commits may be unknown */
/* `digest` NULL: it is not to be joined. */
void append_write(const struct wal_write *write, const struct digest *digest,
                  struct wal_op *op);
/* The same write is on its way to the log, and nobody waits for it: `op` does now. */
bool append_join(const struct wal_write *w, const struct digest *d, struct wal_op *op);
bool append_all_known(void); /* of no append is it unknown whether it is in the log */
void append_resume(void);    /* PostgreSQL is back: find out about lost appends */
void append_deposed(void);   /* what is in the log is executed by another */
void append_clear(void);
wal_seq append_last_seq(void); /* everything up to here is known */
void append_loaded(wal_seq last);
/* For tail.c. Is that place known, or one of ours? Ours up to there are let in. */
bool append_is_ours(wal_seq seq);
void append_reached(wal_seq upto); /* everything up to there is known now */
void append_let_in(void);          /* ours that come next */
uint64_t append_us_sum(void);
const struct metric_histogram *append_seconds(void);

/* --- join.c, pure; key.c: the same write, sent again ------------------------------- */
bool join_digest(const struct wal_write *w, struct digest *out); /* false: none */
bool join_same(const struct wal_write *earlier, const struct wal_write *w);
struct record *join_find(const struct wal_write *w, const struct digest *d);
void key_add(struct pg_unit *unit, const struct wal_key *key, const struct uuid *op);
void key_look(const struct wal_key *key, struct wal_op *op);
void key_clear(enum status s);

/* --- append_sql.c: what is appended, with its own id (op), the public id of what is
 * created, and its digest (NULL: none); the bytes stay the caller's. */
void append_sql_add(struct pg_unit *unit, const struct wal_write *w,
                    const struct uuid *op, const struct uuid *public_id,
                    const struct digest *digest);

/* --- detach.c: instances the log is not kept for --------------------------------------
 */
bool detach_is(unsigned i);              /* nothing is executed at it, or read from it */
bool detach_is_durable(unsigned i);      /* ... and nothing is owed to it */
void detach_begin(unsigned i, bool yes); /* it is to be; or is not after all */
void detach_set(unsigned i, bool detached); /* as it is found */
void detach_drop(unsigned i);               /* it is, durably: what it is owed goes */
/* It answers again. True: resync.c may put everything there into quarantine ... */
bool detach_returns(unsigned i);
bool detach_is_returning(unsigned i);
void detach_add_end(struct pg_unit *unit, unsigned i); /* ... and with its marker ... */
void detach_ended(unsigned i);                         /* ... this is durable */
void detach_clear(void);

/* --- override.c: instances that were taken out by hand --------------------------------
 */
void override_connected(void); /* the control session is up, the tables are there */

/* --- schema_operator.c: for the eyes of operators, and their scripts ------------------
 */
extern const char *const operator_schema[];
extern const char *const apart_schema[];
extern const char *const unproven_schema[];

/* --- lease.c, recover.c, schema.c ----------------------------------------------------
 */
void lease_start(void);
void lease_stop(void);
void lease_connected(void);        /* the control session is up */
void lease_freed(void);            /* another has told so */
void wal_another_is_leading(void); /* it is told by the lease ... */
void wal_about_to_lead(void);      /* ... and so is this */
void lease_release(void (*done)(void *arg), void *arg);
void lease_lost(void); /* deposed: try to lead again */
bool lease_may_send(void);
bool lease_shows(void); /* nobody else can have acknowledged anything: lease.c */
void lease_add_count(struct pg_unit *unit); /* of the other proxies there are */
bool lease_is_taken(void);                  /* another proxy has it */
int64_t lease_epoch(void);
void wal_deposed(const char *why);
void wal_forget(void); /* all that a leader knows; its clients wait on (await.c) */
void leave_stop(void);
void wal_recovered(void); /* everything is loaded: lead */
void recover_start(void (*done)(bool ok), struct op **slot);
void schema_migrate(struct pg *pg, void (*done)(void *arg, bool ok), void *arg,
                    struct op **slot);

struct pg *wal_pg(void);      /* appends, outcomes, positions: in one order */
struct pg *wal_control(void); /* the lease */
struct pg *wal_reader(void);  /* bodies, and what else is read from the log again */
struct pg *wal_upkeep(void);  /* what may wait, though for no lock for long */
bool wal_migrated(void);      /* the tables are there */

/* --- pooler.c ------------------------------------------------------------------------
 */

/* May we begin, with the session of the log as it is? If that is not known `again` is
 * called when it is. */
bool pooler_allows(void (*again)(void));
void pooler_forget(void); /* that session is lost */
void pooler_stop(void);
/* Pure. Processes of the server: which one has opened the session of the log; who served
 * it then; who served another session at the same time; and the log's during that. */
bool pooler_keeps_sessions(int opened, int first, int beside, int again);

/* --- schema_monitor.c, failover.c, sample.c ------------------------------------------
 */
extern const char *const monitor_schema[];
extern const char *const trace_schema[];
int failover_target(void); /* where writes go first; -1: nowhere */
/* Has it said what it is? Not while it is unknown, or came up and has not proven yet that
 * it takes writes. */
bool failover_settled(const struct instance *in);
void failover_start(void);
void failover_stop(void);
void sample_start(const struct conf *conf);
void sample_stop(void);

/* --- traced.c ---------------------------------------------------------------------- */
void traced_call(struct record *const *records, size_t n, unsigned i, struct headers *to);

/* --- chronicle.c ------------------------------------------------------------------- */
void chronicle_start(const struct conf *conf);
void chronicle_now(void);     /* PostgreSQL is there: what waits is noted */
bool chronicle_is_busy(void); /* something waits, and it could be noted */
void chronicle_stop(void);

#endif
