/* wal/record.h - a write on its way, and what is known of it at each instance.
 *
 *   record   one write: its place, its body, its decision, one turn per instance
 *   turn     one record at one instance: queued, sent, done, durable
 *   member   one record in one scope (scope.h)
 *   wal_op   one client that waits for its outcome */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include <sys/queue.h>

#include "core/op.h"
#include "wal/ids.h"
#include "wal/wal.h"

struct execution;
struct scope;

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

/* --- record.c --- */
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

/* --- decision.c --- */
void decision_to_catalogue(struct record *r, bool accepted);
const struct uuid *decision_public_id(const struct record *r);

#endif
