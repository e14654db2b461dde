/* wal/wal.h - the log and the engine that executes it on every instance.
 *
 * A write is appended to the log in PostgreSQL before any instance sees it, gets its
 * place (seq) there, and is executed by each instance in that order. The first instance
 * that answers decides its outcome; the others follow. There is no other way to change
 * an instance: failover, recovery and replay are this same engine, further behind. */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blob.h"
#include "core/conf.h"
#include "core/digest.h"
#include "core/metrics.h"
#include "core/op.h"
#include "core/status.h"
#include "core/text.h"
#include "core/trace.h"
#include "health/health.h"
#include "mapping/mapping.h"

typedef int64_t wal_seq;

/* The numbers are stored in the log: never reuse one. */
enum record_kind {
	RECORD_NONE = 0,
	RECORD_ADD = 1,
	RECORD_UPSERT = 2,
	RECORD_UPDATE = 3,
	RECORD_DELETE = 4,       /* by ids */
	RECORD_DELETE_WHERE = 5, /* by filter: resolved to ids before it is executed */
	RECORD_CREATE_COLLECTION = 10,
	RECORD_MODIFY_COLLECTION = 11,
	RECORD_DELETE_COLLECTION = 12,
	RECORD_ADOPT_COLLECTION = 13, /* an instance has it already: adopt.c */
	RECORD_CREATE_DATABASE = 20,
	RECORD_DELETE_DATABASE = 21,
	RECORD_CREATE_TENANT = 30,
	RECORD_RESET = 40,
};

const char *record_kind_name(enum record_kind kind);

/* An Idempotency-Key, and a digest of the request it was given to. */
struct wal_key {
	const char *text;
	struct digest fingerprint;
};

/* Where a collection is that is adopted, and under which id. */
struct wal_origin {
	unsigned instance;
	struct uuid id;
};

struct wal_write {
	enum record_kind kind;
	struct collection *collection; /* item writes, modify, delete collection */
	struct database *database;     /* create or adopt collection, delete database */
	const char *tenant;            /* create database, create tenant */
	const char *name; /* create *: the name; modify: the new name or NULL */
	/* Create database or collection: as clients are to know it; NULL: any, or as the
	 * instance calls it that makes it first. */
	const struct uuid *public_id;
	const struct wal_origin *origin; /* adopt collection */
	struct blob *body;               /* as it is to be sent */
	bool embeddings;                 /* an item write that carries some */
	const struct wal_key *key;       /* NULL: none */
	/* Logged only if nothing of the collection is in the log behind that place, else
	 * STATUS_CONFLICT; 0: whatever is. */
	wal_seq unless_after;
	const struct trace *trace; /* whose trace it belongs to; NULL: nobody's */
};

struct wal_outcome {
	wal_seq seq;
	int http;
	struct blob *body;            /* as clients may see it; NULL: not kept */
	struct instance *by;          /* may be NULL after a restart */
	uint64_t log_us, upstream_us; /* time to durability, time at the instance */
};

/* It is in the log (and in the catalogue, for creates and deletes). */
typedef void(wal_appended_fn)(void *arg, wal_seq seq);
/* How it ended:
 *   STATUS_OK               decided; `outcome` has the answer, 2xx or a refusal
 *   STATUS_CONFLICT         the name is taken, or the key: not logged
 *   STATUS_NOT_FOUND        gone meanwhile: not logged
 *   STATUS_LOG_UNAVAILABLE  not logged, nothing has happened
 *   STATUS_BUSY             too many writes wait, for the log or for an instance: not
 *                           logged
 *   STATUS_UNKNOWN          the log was lost while it was appended: not known */
typedef void(wal_decided_fn)(void *arg, enum status s, const struct wal_outcome *outcome);

void wal_start(const struct conf *conf);
/* This proxy is about to end. If another one is there, the lease is given back as soon as
 * nothing is in flight (2 s at most): the other leads, and this one follows until
 * wal_drain(). Told at once, when it is known whether there are others. */
typedef void(wal_leaves_fn)(void *arg, bool others);
void wal_leave(wal_leaves_fn *told, void *arg);
/* No new execution starts; told when nothing is in flight, all is durable (2 s at most)
 * and the lease is given back. */
void wal_drain(void (*done)(void *arg), void *arg);
void wal_stop(void);

/* Brings the tables to this program's version, without wal_start(): migrate.c. */
typedef void(wal_migrated_fn)(void *arg, bool good);
void wal_migrate(const struct conf *conf, wal_migrated_fn *done, void *arg);
void wal_migrate_stop(void);

bool wal_leads(void);        /* this proxy executes writes, and everything is loaded */
bool wal_ready(void);        /* leads, and PostgreSQL is connected */
bool wal_takes_writes(void); /* leads or follows: a write can be appended */
bool wal_connected(void);
bool wal_away(void);           /* not connected, and not for a moment only */
bool wal_another_leads(void);  /* as far as we were told last */
bool wal_pooler_refused(void); /* one in transaction mode is between: pooler.c */
/* Another executes; this proxy appends, waits for outcomes, and reads. It has the
 * catalogue of its last look at PostgreSQL: what a request needs of it is to be refreshed
 * first. */
bool wal_follows(void);
bool wal_serves(void); /* leads or follows: what it knows may be shown */
/* Told when all that was in PostgreSQL when this was called is known here, and with it
 * how `c`, or all of `db` (either may be NULL), stands at the instances. STATUS_OK;
 * STATUS_LOG_UNAVAILABLE; STATUS_DEPOSED: this proxy does not follow any more, and what
 * the catalogue held is gone. */
typedef void(wal_refreshed_fn)(void *arg, enum status s);
void wal_refresh(struct collection *c, struct database *db, wal_refreshed_fn *done,
                 void *arg, struct op **slot);

void wal_write(const struct wal_write *write, wal_appended_fn *appended,
               wal_decided_fn *decided, void *arg, struct op **slot);
/* Only joins: true if an earlier record of the same write, undecided and listened to by
 * nobody (join.c), is waited for now; its place is told before this returns. For a delete
 * of a collection that is gone already `database` and its name or id as `name` say which;
 * of a database, tenant and name. */
bool wal_join(const struct wal_write *write, wal_appended_fn *appended,
              wal_decided_fn *decided, void *arg, struct op **slot);
/* What has become of the write with that key? Ends as wal_write() does, once it is
 * decided, and if there is none
 *   STATUS_NOT_FOUND  nothing has that key: make the write
 *   STATUS_CONFLICT   it was given to another request
 *   STATUS_UNKNOWN    it is in the log, its outcome is not known any more */
void wal_repeat(const struct wal_key *key, wal_appended_fn *appended,
                wal_decided_fn *decided, void *arg, struct op **slot);
/* Is an instance at work on that record now? */
bool wal_executing(wal_seq seq);

/* May a read of it go to this instance: has it executed everything sent so far? */
bool wal_current(const struct instance *in, const struct collection *c);
/* May it at all, if it is behind: does it have the collection, out of quarantine? */
bool wal_readable(const struct instance *in, const struct collection *c);
/* Collections that were made anew there and are not compared yet: read only if no other
 * instance can answer. */
unsigned wal_unproven(const struct instance *in);
bool wal_is_unproven(const struct instance *in, const struct collection *c);
/* Is it there, in whatever state? Not one that the instance has lost. */
bool wal_holds(const struct instance *in, const struct collection *c);
bool wal_database_current(const struct instance *in, const struct database *db);
/* Records this instance still lacks of the collection. */
uint64_t wal_behind(const struct instance *in, const struct collection *c);

/* A lane in quarantine: what the instance makes of the collection is not what the log
 * says, or it cannot digest the record the lane stands at. It is not read there, and the
 * lane stands still, alone: until a later try succeeds, an operator says it is well, or
 * the collection is deleted. */
enum quarantine_cause {
	QUARANTINE_NONE = 0,
	QUARANTINE_REFUSED = 1,  /* refused here, accepted elsewhere */
	QUARANTINE_ACCEPTED = 2, /* accepted here, refused elsewhere */
	QUARANTINE_LOST = 3,     /* the collection is not there any more */
	QUARANTINE_FAILING = 4,  /* no clear answer, again and again */
	QUARANTINE_DIFFERS = 5,  /* other content, or a record was left out */
	QUARANTINE_INDEX = 6,    /* its index does not find what it holds */
};
const char *quarantine_cause_name(enum quarantine_cause cause); /* "refused", ... */

struct wal_quarantine {
	const struct instance *in;
	const struct collection *collection;
	wal_seq seq; /* of the record it stands at, or stood at when it was found out */
	enum quarantine_cause cause;
	int http;          /* of the last answer; 0: none */
	const char *error; /* what was said, without bodies */
	unsigned attempts;
	uint64_t owed;         /* records that wait in the lane */
	int64_t since_wall_ms; /* when it began */
	int64_t retry_wall_ms; /* when it is tried again by itself; 0: it is not */
};
typedef void(wal_quarantine_fn)(void *arg, const struct wal_quarantine *q);
void wal_each_quarantine(wal_quarantine_fn *fn, void *arg);
unsigned wal_quarantined(void); /* how many there are */
/* An operator's word on the lanes that stand at this record: try again (or, where content
 * differs: it is mended); or leave it out there, and the collection differs. STATUS_OK:
 * begun; STATUS_NOT_FOUND: none stands there; STATUS_CONFLICT: it cannot be left out, and
 * *why says why and what to do. */
enum status wal_retry(wal_seq seq);
enum status wal_skip(wal_seq seq, const char **why);

/* A collection that is being made anew at an instance, from another. */
struct wal_rebuild {
	const struct collection *collection;
	const struct instance *in, *donor; /* donor NULL: there is none now */
	const char *step;                  /* "copying", "catching up", ... */
	const char *why;                   /* what was in the way last; "" */
	unsigned attempt;
	uint64_t items, total;
	const char *worker; /* the proxy that copies it; NULL: none, or that is over */
	double rate;        /* items a second; 0: not known */
	int64_t since_wall_ms;
};
typedef void(wal_rebuild_fn)(void *arg, const struct wal_rebuild *rebuild);
void wal_each_rebuild(wal_rebuild_fn *fn, void *arg);
/* An operator wants it made anew there. STATUS_OK: it will be; STATUS_NOT_FOUND: it is
 * not (any more); STATUS_CONFLICT: no other instance has it as it should be. */
enum status wal_rebuild(struct collection *c, const struct instance *in, const char *why);
/* Have been made anew since this proxy leads; items copied for that. */
void wal_rebuilt(uint64_t *collections, uint64_t *items);

/* What an instance holds and nobody has made through the log. */
struct stranger_list;
struct wal_stranger {
	const struct instance *in;
	const char *tenant, *database,
	        *name; /* of a database, tenant: no name (and ...) */
	struct uuid id;
	int64_t items;       /* -1: not counted */
	const char *outcome; /* of its adoption; "": it was not tried */
};
typedef void(wal_stranger_fn)(void *arg, const struct wal_stranger *stranger);
void wal_adopt_start(const struct conf *conf);
void wal_adopt_stop(void);
/* At the very first start: what there is is not all known yet, so clients must wait. */
bool wal_adopting(void);
unsigned wal_strangers(unsigned i); /* collections, when it was last looked through */
/* NULL: those that are only told of. */
void wal_each_stranger(const struct stranger_list *list, wal_stranger_fn *fn, void *arg);
struct wal_adoption {
	const struct instance *in; /* NULL: any */
	const char *collection;    /* name or id there; NULL: all */
	bool dry;                  /* only find them */
};
/* `scanned`: the instances that were looked through completely, by bit. */
typedef void(wal_adopted_fn)(void *arg, unsigned scanned, struct stranger_list *found);
void wal_adopt(const struct wal_adoption *what, wal_adopted_fn *done, void *arg,
               struct op **slot);
/* A client names a tenant: if the catalogue does not know it, an instance may. False: no
 * need to ask, or no use. */
typedef void(wal_looked_fn)(void *arg);
bool wal_look(const char *tenant, wal_looked_fn *done, void *arg, struct op **slot);
/* Whether the instances are equal, collection by collection: compared by and by, or now,
 * because somebody wants to know. */
enum wal_verified {
	VERIFIED_EQUAL,
	VERIFIED_DIFFERS,
	VERIFIED_LOST,       /* it is not there at an instance */
	VERIFIED_INDEX,      /* an index does not find what it holds */
	VERIFIED_UNFINISHED, /* it could not be compared */
	VERIFIED_RESULTS
};
const char *wal_verified_name(enum wal_verified result); /* "equal", ... */
#define WAL_VERIFIED_KINDS 5
extern const char *const wal_verified_kinds[WAL_VERIFIED_KINDS];

struct wal_verification {
	const struct collection *collection;
	enum wal_verified result;
	const char *why;   /* unfinished: why; "" */
	const char *level; /* "ids", "content", "index": the most that was compared */
	int64_t at_wall_ms;
	int64_t equal_wall_ms; /* when all their content was equal last; 0: not known */
	uint64_t items;
	uint64_t found[WAL_VERIFIED_KINDS]; /* differences, by kind ... */
	bool partly;                        /* ... and there may be more */
	unsigned wrong;                     /* instances that are, by bit */
	bool guessed;                       /* but that is a guess */
	bool healing;                       /* those are made anew */
	uint64_t rescued;                   /* items that only those had, logged again */
	double recall[CONF_MAX_INSTANCES];  /* of their indexes; negative: not asked */
};
typedef void(wal_verification_fn)(void *arg, const struct wal_verification *v);
void wal_each_verification(wal_verification_fn *fn, void *arg);

struct wal_verify_figures {
	int64_t job;  /* the last one that somebody has asked for; 0: none */
	bool running; /* that job */
	unsigned collections, checked, differing;  /* of it */
	int64_t started_wall_ms, finished_wall_ms; /* 0: not */
	int64_t last_finished_wall_ms;             /* of any collection */
	const struct collection *now;              /* being compared; NULL: none */
	uint64_t items, total;                     /* of that one */
	uint64_t results[VERIFIED_RESULTS];        /* collections compared, ever */
	uint64_t differences;                      /* that stand now, in all */
};
struct wal_verify_figures wal_verify_figures(void);
enum wal_verify_repair { VERIFY_BY_POLICY, VERIFY_REPAIR, VERIFY_REPORT };
/* Everything of it; NULL: of all collections. STATUS_BUSY: a job is under way;
 * STATUS_NOT_FOUND: it is gone. */
enum status wal_verify(struct collection *c, enum wal_verify_repair repair, int64_t *job);

/* The instance is taken out of execution: what is in the log by now, up to *upto, is
 * still executed there, and nothing behind it (pause.c). False: it is already, or it is
 * far behind. */
bool wal_pause(const struct instance *in, wal_seq *upto);
bool wal_pausing(const struct instance *in); /* false: it is over */
bool wal_paused(const struct instance *in);  /* it has come to that place, durably */
void wal_resume(const struct instance *in);

/* What the log holds of a stretch: behind `after`, up to `until`, as many as fit. */
#define WAL_STRETCH_ALWAYS 4102444800000 /* the year 2100 */
struct wal_stretch {
	wal_seq after, until;
	int64_t until_wall_ms; /* for `until` in the answer only */
	int64_t limit;
};
struct wal_past {
	wal_seq seq;
	int64_t at_wall_ms;
	enum record_kind kind;
	bool decided, accepted;
	char *collection; /* its public id; NULL: it is about none */
	char *tenant, *database, *name;
	struct blob *body; /* of a delete by filter: the ids */
};
struct wal_history {
	struct uuid cluster;  /* whose log it is */
	wal_seq oldest, last; /* of all that is there; oldest 0: nothing is */
	wal_seq until;        /* the last record up to that place and time; 0: none */
	const struct wal_past *rows;
	size_t n;
};
typedef void(wal_history_fn)(void *arg, enum status s, const struct wal_history *h);
void wal_history(const struct wal_stretch *stretch, wal_history_fn *done, void *arg,
                 struct op **slot);

/* An instance is taken out by hand, or put back (instance_take_out): noted in PostgreSQL,
 * so that it holds at every proxy, and after a restart. `for_ms` 0: until it is put back.
 * STATUS_OK: it is; STATUS_NOT_FOUND: PostgreSQL does not know it yet;
 * STATUS_LOG_UNAVAILABLE: not noted, so not done. */
typedef void(wal_override_fn)(void *arg, enum status s);
void wal_take_out(struct instance *in, msec for_ms, const char *by, wal_override_fn *done,
                  void *arg, struct op **slot);
void wal_put_back(struct instance *in, wal_override_fn *done, void *arg,
                  struct op **slot);
void wal_override_start(void); /* from now on it is looked at what is noted there */
void wal_override_stop(void);

/* The mapping of a collection is taken away, and with `force` the collection, too.
 *   STATUS_CONFLICT, STATUS_NO_INSTANCE   `where` has it; cannot be asked: nothing done
 *   STATUS_NOT_FOUND                      it is gone, or being renamed
 * or as wal_write() ends. */
typedef void(wal_unmap_fn)(void *arg, enum status s, const struct instance *where);
void wal_unmap(struct collection *c, bool force, wal_unmap_fn *done, void *arg,
               struct op **slot);
/* Asking an instance by name: where; and is it there (STATUS_OK), not (STATUS_NOT_FOUND),
 * or is that not known? */
void wal_there_target(struct text *target, const char *tenant, const char *database,
                      const char *name);
enum status wal_there_answer(const struct reply *reply, struct uuid *id);
void wal_wish_start(const struct conf *conf); /* wish.c: the same, by SQL */
void wal_wish_stop(void);

/* What only the leader can do, asked of another proxy: an errand, which the leader takes
 * from PostgreSQL, carries out, and answers there (errand.c). What is in it only those
 * know who write and read it; it is kept for an hour if nobody fetches the answer. */
#define WAL_ERRAND_BODY_MOST (1024u * 1024)
#define WAL_ERRAND_ANSWER_MOST (8u * 1024 * 1024)
struct wal_errand {
	const char *method, *target, *headers;
	const char *address, *who; /* for whom: from where, and by whose right */
	struct blob *body;
};
struct wal_errand_answer {
	int code;
	const char *headers;
	const char *leader; /* who has carried it out */
	struct blob *body;
};
enum wal_errand_end {
	ERRAND_ANSWERED,
	ERRAND_TOO_MANY,  /* this proxy waits for many already: nothing was done */
	ERRAND_NOT_NOTED, /* PostgreSQL is away: nothing was done */
	ERRAND_NOT_TAKEN, /* nobody leads, or has time: withdrawn, nothing will be done */
	ERRAND_UNKNOWN,   /* it may have been done: who has taken it leads no more, or
	                     PostgreSQL does not say */
	ERRAND_LATE,      /* who leads is still at it */
};
/* `answer` is for ERRAND_ANSWERED. Cancelled, it is withdrawn if nobody has taken it. */
typedef void(wal_errand_fn)(void *arg, enum wal_errand_end end,
                            const struct wal_errand_answer *answer);
void wal_errand_ask(const struct wal_errand *e, msec patience, wal_errand_fn *done,
                    void *arg, struct op **slot);
/* While we lead `carry_out` is told of each errand that is taken. It must lead to
 * wal_errand_answer() or wal_errand_drop() (nobody will ever say what has become of it),
 * which end `taken`. */
struct wal_taken;
typedef void(wal_carry_out_fn)(const struct wal_errand *e, struct wal_taken *taken);
void wal_errand_start(wal_carry_out_fn *carry_out);
void wal_errand_answer(struct wal_taken *taken, int code, const char *headers,
                       struct blob *body);
void wal_errand_drop(struct wal_taken *taken);
void wal_errand_rest(void); /* no more are taken: the next leader will */
void wal_errand_stop(void); /* when none is being carried out */

/* What an operator asks about the log, answered by PostgreSQL as JSON, on a session of
 * its own: nothing else waits for it. */
enum wal_page {
	WAL_PAGE_ENTRIES,      /* behind (older than) `seq`, at most `limit` ... */
	WAL_PAGE_ENTRY,        /* the one at `seq`; none: [] */
	WAL_PAGE_ERRORS,       /* what needs somebody, at most `limit` */
	WAL_PAGE_DEBUG,        /* the last `limit` writes, and of those that delete */
	WAL_PAGE_TRANSACTIONS, /* two hours of them, counted by how they ended */
	WAL_PAGE_TRANSACTION,  /* the one called `text`: its place, or its own id */
};
struct wal_question {
	enum wal_page page;
	wal_seq seq;
	int64_t limit;
	const char *state, *text; /* NULL: any; `text`: a collection, by name or id */
};
/* STATUS_OK: `json` is a list, or an object; `number` is what belongs to it (where the
 * list goes on, 0: nowhere; how many there are in all). STATUS_BUSY, or
 * STATUS_LOG_UNAVAILABLE: not now. */
typedef void(wal_page_fn)(void *arg, enum status s, const char *json, int64_t number);
void wal_ask(const struct wal_question *q, wal_page_fn *done, void *arg,
             struct op **slot);
void wal_pages_start(const struct conf *conf);
void wal_pages_stop(void);
/* Those places that some instance lacks, and what is going on there now: from memory. */
struct wal_turn {
	wal_seq seq;
	unsigned instance;
	const char
	        *state; /* "pending", "executing", "waiting to be tried again", "done" */
	unsigned attempts; /* in vain */
};
typedef void(wal_turn_fn)(void *arg, const struct wal_turn *turn);
void wal_each_turn(wal_seq first, wal_seq last, wal_turn_fn *fn, void *arg);
/* What waits to be tried again is tried now. How many records are not decided. */
uint64_t wal_hurry(void);

/* What the log takes in PostgreSQL. */
struct wal_log_figures {
	bool known; /* it was looked at */
	uint64_t bytes, limit;
	size_t partitions;
	int64_t oldest_wall_ms; /* of its records; 0: there are none */
};
void wal_log_figures(struct wal_log_figures *out);

/* How this process is doing, kept in PostgreSQL, and messages for people. */
struct wal_event_figures {
	uint64_t noted, lost; /* lost: too many waited, or PostgreSQL refused them */
	unsigned waiting;
};
struct wal_event_figures wal_event_figures(void);
void wal_monitor_start(const struct conf *conf);
void wal_monitor_stop(void);
struct wal_told {
	uint64_t sent, failed, dropped; /* messages; tries; messages */
};
struct wal_told wal_told(void);
/* How often writes have begun to go to another instance than before. */
uint64_t wal_failovers(unsigned from, unsigned to);

/* What only the proxy that leads knows, for the others to show: shown.c. */
enum wal_shown { WAL_SHOWN_FIGURES, WAL_SHOWN_COLLECTIONS, WAL_SHOWN_PARTS };
#define WAL_SHOWN_MOST 262144 /* bytes of one; nobody reads a longer one */
struct wal_shows {
	/* We lead: what is known now, as JSON, the same bytes for the same. */
	void (*write)(enum wal_shown part, struct text *out);
	/* We follow: what the leader has written; NULL: nothing is known. */
	void (*read)(enum wal_shown part, const char *json);
};
void wal_shown_start(const struct wal_shows *shows);
void wal_shown_stop(void);
/* May what was read last be shown, and how old is it? */
bool wal_shown_age(enum wal_shown part, msec *age);

/* An instance that is in the log and not in the settings. */
struct wal_removed {
	const char *name;
	int64_t seen_wall_ms; /* when it was in them last */
	bool detached;        /* the log is not kept for it any more */
};
typedef void(wal_removed_fn)(void *arg, const struct wal_removed *removed);
void wal_each_removed(wal_removed_fn *fn, void *arg);
/* The log is not kept for it: it is not executed at, nor read from. */
bool wal_detached(const struct instance *in);

/* What is older goes from the log, as far as every instance has it. `blocked`: somebody
 * reads the log, so that some of it is still there. False: not now. */
typedef void(wal_cleaned_fn)(void *arg, enum status s, uint64_t deleted, bool blocked);
bool wal_cleanup(int64_t max_age_ms, wal_cleaned_fn *done, void *arg, struct op **slot);

struct wal_instance_figures {
	uint64_t owed; /* records it has not durably executed */
	uint64_t owed_bytes;
	int64_t oldest_wall_ms; /* 0: none */
	uint64_t executed, refused, unknown;
	unsigned in_flight;
	unsigned quarantined;   /* lanes */
	bool replaying;         /* up and behind */
	char last_error[200];   /* what is wrong there now; "" if nothing ... */
	wal_seq last_error_seq; /* ... with which record, unless its lane is parked */
};

/* With PostgreSQL, beside the one that appends: lease, reader, upkeep. */
#define WAL_SESSIONS_BESIDE 3u

struct wal_figures {
	wal_seq seq;   /* the last one appended */
	uint64_t owed; /* records some instance lacks */
	uint64_t undecided;
	int64_t oldest_wall_ms; /* of those; 0: none */
	uint64_t appended, decided, replayed, failures;
	uint64_t merged_calls, merged; /* calls that carried several records; those ... */
	uint64_t reductions;           /* ... and how often they were made smaller */
	uint64_t append_us_sum;
	const struct metric_histogram *append_seconds;
	struct pg_figures postgres;                    /* of the session that appends */
	struct pg_figures beside[WAL_SESSIONS_BESIDE]; /* of the others */
	uint64_t leader_changes;                       /* begun or ended to lead */
	int64_t epoch;
	bool leads, connected;
	const char *last_error; /* of PostgreSQL; "" */
	struct wal_instance_figures instances[CONF_MAX_INSTANCES];
};
void wal_figures(struct wal_figures *out); /* looks for the oldest: may walk a backlog */
uint64_t wal_owed(void);                   /* the `owed` of it, at once */
uint64_t wal_appended_count(enum record_kind kind);

#endif
