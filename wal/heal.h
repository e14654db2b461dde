/* wal/heal.h - what is not as the log says, and what becomes of it.
 *
 *	identity.c      is it the server, and the disk, that it was?
 *	detach.c        an instance the log is not kept for
 *	quarantine.c    a collection that cannot go on at an instance
 *	doubt.c         ids that were in doubt are looked at again
 *	verify.c        are the instances equal?
 *	strangers.c     what was not made through the log */
#ifndef WAL_HEAL_H
#define WAL_HEAL_H

#include "wal/record.h"

struct store_load;

/* --- identity.c: whose server is it, on which disk? --- */
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

/* --- detach.c: instances the log is not kept for --- */
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

/* --- quarantine.c --- */
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

/* --- doubt.c: a later look at what was in doubt --- */
void doubt_add(struct pg_unit *unit, const struct record *r, unsigned i);
void doubt_noted(const struct record *r, unsigned i); /* its row is durable */
void doubt_add_load(struct pg_unit *unit);
void doubt_loaded(const struct store_load *load, const struct pg_results *r, int at);
void doubt_start(msec after);
void doubt_clear(void);
void doubt_stop(void);

/* --- verify.c: are the instances equal? --- */
void verify_start(const struct conf *conf);
void verify_stop(void);
void verify_clear(void);
void verify_add_load(struct pg_unit *unit);
void verify_loaded(const struct store_load *load, const struct pg_results *r, int at);
/* It has been made anew: if it could not be compared before, that is tried again now. */
void verify_soon(struct collection *c);

/* --- strangers.c: what was not made through the log; look.c --- */
void strangers_add_load(struct pg_unit *unit);
void strangers_loaded(const struct pg_results *r, int at);
void strangers_clear(void);
bool wal_adopts_tenants(void);
void look_stop(void);

#endif
