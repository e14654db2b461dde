/* wal/append.h - into the log, and what is written beside it.
 *
 *	append.c     a write gets its place; admit.c makes it a record
 *	join.c       it is there already: sent again by its client
 *	tail.c       what other proxies append while we lead
 *	await.c      what becomes of ours while another leads
 *	persist.c    outcomes and positions */
#ifndef WAL_APPEND_H
#define WAL_APPEND_H

#include "core/pg.h"
#include "wal/record.h"

/* --- append.c --- */
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

/* --- admit.c: what has come into the log --- */
/* `w` holds what is created from then on; `public_id`: of a database. */
struct record *admit_begin(struct wal_write *w, wal_seq seq,
                           const struct uuid *public_id);
void admit_end(struct record *r, const struct wal_write *w);

/* --- tail.c: what others append while we lead --- */
void tail_lead(void);
void tail_kick(void); /* there may be something */
void tail_clear(void);

/* --- await.c: what becomes of a record that is not here --- */
void await_outcome(wal_seq seq, struct wal_op *op);
void await_kick(void); /* some may be decided */
bool await_is_full(void);
void await_clear(enum status s);
/* In SQL: nothing up to there is owed to anybody. */
#define LOG_FLOOR                                                                        \
	"(SELECT coalesce(min(floor), 0) FROM chromatid.instance WHERE NOT detached)"
/* The outcome as it was stored; columns from `first` on. */
#define OUTCOME_COLUMNS "o.http, o.answer, o.instance, c.public_id, b.local_id"
#define OUTCOME_JOINS                                                                    \
	" LEFT JOIN chromatid.collection c ON c.id = l.collection"                       \
	" LEFT JOIN chromatid.binding b ON b.collection = l.collection"                  \
	" AND b.instance = o.instance"
void stored_outcome(const struct pg_results *r, int at, int row, int first,
                    struct wal_outcome *out);

/* --- join.c, pure; key.c: the same write, sent again --- */
bool join_digest(const struct wal_write *w, struct digest *out); /* false: none */
bool join_same(const struct wal_write *earlier, const struct wal_write *w);
struct record *join_find(const struct wal_write *w, const struct digest *d);
void key_add(struct pg_unit *unit, const struct wal_key *key, const struct uuid *op);
void key_look(const struct wal_key *key, struct wal_op *op);
void key_clear(enum status s);

/* --- append_sql.c --- */
/* What is appended, with its own id (op), the public id of what is created, and its
 * digest (NULL: none); the bytes stay the caller's. */
void append_sql_add(struct pg_unit *unit, const struct wal_write *w,
                    const struct uuid *op, const struct uuid *public_id,
                    const struct digest *digest);

/* --- persist.c: outcomes and positions --- */
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

#endif
