/* wal/scope.h - what must be executed in order.
 *
 *   scope   what is kept in order: a collection, a database, or everything
 *   lane    one scope at one instance: whose turn it is, how far it has come
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
#ifndef WAL_SCOPE_H
#define WAL_SCOPE_H

#include "wal/record.h"

struct cold;
struct quarantine;
struct unproven;

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

/* --- scope.c: order, pure --- */
struct scope *scope_all(void);
struct scope *scope_of_collection(struct collection *c);
struct scope *scope_of_database(struct database *db);
void scope_free(struct scope *s);
/* Makes the record a member of its scopes, last in each. */
void scope_enter(struct record *r);
/* Of those that wait behind a record that concerns everything. */
bool scope_any_behind(const struct record *wide, bool (*is)(const struct record *r));
/* While it is being decided: the database that every Chroma has is there again, and what
 * comes into it is behind this reset, and behind those that wait already. */
void scope_brings_back(const struct record *reset, struct database *db);
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

#endif
