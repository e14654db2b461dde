/* wal/retain.h - what of the log is kept: retain.c decides, upkeep.c does it, by
 * partition.c; cleanup.c wants more of it gone. */
#ifndef WAL_RETAIN_H
#define WAL_RETAIN_H

#include "wal/wal.h"

/* --- retain.c: pure: what of the log is kept ------------------------------------------
 */
struct retain_partition {
	wal_seq lo, hi; /* the places in it; hi: the first behind it */
	uint64_t bytes;
	int64_t oldest_ms, newest_ms; /* since its first, its last record; < 0: none */
};
struct retain_instance {
	wal_seq floor;     /* it has everything up to there */
	bool configured;   /* or else: was it once */
	int64_t unseen_ms; /* it is not: for so long */
	bool detached;     /* the log is not kept for it */
	bool up, dead;     /* dead: not up, and not coming either */
	bool busy;         /* something is under way there */
	bool whole;        /* all it has is as it should be */
};
struct retain_facts {
	const struct retain_partition *partitions; /* in order */
	size_t n_partitions;
	const struct retain_instance *instances;
	size_t n_instances;
	wal_seq clock;        /* the last place given */
	uint64_t other_bytes; /* of the tables beside the log */
	uint64_t limit;       /* 0: none */
	int64_t retention_ms, keep_ms;
	bool asked; /* an operator wants what is older than keep_ms gone */
	bool leads;
};
enum retain_step { RETAIN_REST, RETAIN_ADD, RETAIN_CLOSE, RETAIN_DROP, RETAIN_DETACH };
struct retain_decision {
	enum retain_step step;
	wal_seq lo, hi;  /* of the partition */
	size_t instance; /* of the facts */
	bool early;      /* only because of the limit */
	bool stuck;      /* over the limit, and nothing helps */
};
struct retain_decision retain_decide(const struct retain_facts *f);
uint64_t retain_bytes(const struct retain_facts *f);
/* How many percent of the limit are to be told of: 0, 70, 90, 100. */
unsigned retain_level(uint64_t bytes, uint64_t limit, unsigned was);

/* --- upkeep.c: the job that does so --------------------------------------------------
 */
void upkeep_start(const struct conf *conf);
void upkeep_stop(void);
void upkeep_clear(void);
void upkeep_now(void); /* an append has found no partition, or somebody asks */

/* --- cleanup.c: an operator wants the log shorter, now --------------------------------
 */
bool cleanup_asked(void);
int64_t cleanup_age_ms(void);
void cleanup_counts(uint64_t deleted);
void cleanup_blocked(void); /* somebody was in the way */
void cleanup_end(enum status s);

/* --- partition.c: what PostgreSQL is asked for that -----------------------------------
 */
struct partition_instance { /* configured, or once */
	int64_t id;
	char *name;
	wal_seq floor;
	bool detached;
	int64_t unseen_ms;
};
struct partition_view {
	struct retain_partition *partitions;
	size_t n_partitions;
	struct partition_instance *instances;
	size_t n_instances;
	wal_seq clock;
	uint64_t other_bytes;
};
void partition_add_look(struct pg_unit *unit);
void partition_looked(struct partition_view *view, const struct pg_results *r, int at);
void partition_view_clear(struct partition_view *view);
void partition_add_create(struct pg_unit *unit, wal_seq lo, wal_seq hi);
void partition_add_close(struct pg_unit *unit, wal_seq hi);
/* Where the clock stood when it was; 0: it was past that already. */
wal_seq partition_was_closed(const struct pg_results *r, int at);
/* With the keys of its records, some at a time. True: it has gone; else again. */
void partition_add_drop(struct pg_unit *unit, wal_seq lo, wal_seq hi);
bool partition_has_gone(const struct pg_results *r, int at, uint64_t *records);
void partition_add_floor(struct pg_unit *unit, unsigned i);
void partition_add_detach(struct pg_unit *unit, int64_t id);
/* Keys that are older; and what belongs to records that have gone. Some at a time: true
 * if that was not all. */
#define PARTITION_TIDY_STATEMENTS 3
void partition_add_tidy(struct pg_unit *unit, msec keep, wal_seq below);
bool partition_is_untidy(const struct pg_results *r, int at);

#endif
