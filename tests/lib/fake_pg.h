/* tests/lib/fake_pg.h - stands in for core/pg.c: PostgreSQL as far as wal/ and mapping/
 * use it, in memory, in virtual time.
 *
 * It knows the statements by their names and does what their SQL does (that the SQL does
 * it is proven against PostgreSQL, in tests/integration). Units commit in order, a group
 * at a time, some milliseconds after they were sent. What it holds survives pg_destroy(),
 * so that a test can end the proxy and start it again. */
#ifndef TESTS_LIB_FAKE_PG_H
#define TESTS_LIB_FAKE_PG_H

#include "core/pg.h"

void fake_pg_start(void); /* an empty database, reachable */
void fake_pg_stop(void);
void fake_pg_delay(msec commit);  /* how long a commit takes; 2 at first */
void fake_pg_reachable(bool yes); /* no: sessions do not come back */
void fake_pg_stall(bool yes);     /* nothing commits, nothing is lost */
void fake_pg_refuse(const char *statement, unsigned times); /* disk full */

/* The connection of `session` ("log", "control") is lost, now, and comes back 100 ms
 * later if reachable. Of the group that was sent, the first `commits` units have
 * committed; nobody hears of it. With `linger` the others go on at the server and commit
 * some time later, unless somebody ends that session there. */
void fake_pg_cut(const char *session, unsigned commits, bool linger, msec later);
/* One that somebody ends there may finish what it does all the same. */
void fake_pg_session_finishes(bool yes);
/* What becomes of the group that was sent when the proxy dies (pg_destroy). */
void fake_pg_at_death(unsigned commits, bool linger, msec later);
unsigned fake_pg_sent(const char *session); /* units in the group under way */
void fake_pg_take_lease(msec holds_for);    /* another proxy takes over */
bool fake_pg_has_epoch(int64_t epoch);
int64_t fake_pg_epoch(void);
/* The one that leads executes what others append, so they follow it; not at first. */
void fake_pg_is_followed(bool yes);

/* What it holds. */
struct fake_log {
	int64_t seq, collection, database, epoch, at_ms;
	int kind;
	char op[40], trace[56];
	char *name, *old_name, *body;
	int body_len;
	bool no_body, embeddings, no_digest;
	unsigned char digest[16];
	int decision, http, instance; /* decision 0: none yet */
	char *ids;                    /* resolved; NULL: none */
	char *answer;
};
/* Another proxy, which does not lead, appends it (`collection`, `database` 0: none; of a
 * create of a collection: its name and database). Its place; 0: refused. */
int64_t fake_pg_append_elsewhere(int kind, int64_t collection, int64_t database,
                                 const char *name, const char *body);
/* Another proxy has it executed, at once; takes the unit. True: its first statement has
 * given a row. */
bool fake_pg_elsewhere(struct pg_unit *unit);
void fake_pg_notify(const char *what); /* the proxy hears that, soon */
unsigned fake_pg_log_count(void);
unsigned fake_pg_partitions(void);
/* As if a record took much room, so that there are many partitions. */
#define FAKE_RECORD_BYTES (4 << 20)
/* The row of an instance that is not configured. */
void fake_pg_add_instance(const char *name, int64_t floor);
bool fake_pg_detached(const char *instance);
/* There is no partition behind the place given last. */
void fake_pg_lose_partitions(void);
const struct fake_log *fake_pg_log(unsigned k); /* in order of seq */
const struct fake_log *fake_pg_log_seq(int64_t seq);
/* What is handed out to be copied. Another proxy takes the next that it does not have,
 * free or not; false: there is none. It lives from its heartbeat on, for six seconds. */
struct fake_task {
	int64_t instance, collection, attempt, donor, base, items, total;
	char source[40], made[40], tenant[64], database[64], state[8], worker[80];
	char why[200];
	bool sound;
};
struct fake_task *fake_pg_task(unsigned k); /* NULL: no more */
bool fake_pg_take_task(const char *worker);
/* One that nobody has, as a proxy does. NULL: there is none. */
struct fake_task *fake_pg_take_free_task(const char *worker);
void fake_pg_worker(const char *name, bool has_session);
/* Another proxy notes that it is taken out (0: for good), or back. */
void fake_pg_take_out(const char *instance, msec for_ms, const char *by);
void fake_pg_put_back(const char *instance);
bool fake_pg_is_out(const char *instance);
/* Somebody deletes its mapping by SQL; how many such wishes there are. */
void fake_pg_wish(int64_t collection, const char *by);
unsigned fake_pg_wishes(void);
/* Events noted that say this, and how often the last of them happened in a row. */
unsigned fake_pg_events(const char *about, unsigned *times);
/* Errands that are noted, and of those (unless NULL) how many are taken. From now on each
 * is taken by another in the very moment when it is withdrawn. */
unsigned fake_pg_errands(unsigned *taken);
void fake_pg_take_errands_at_last(void);
unsigned fake_pg_tidied(void); /* how often old ones were looked for */
unsigned fake_pg_keys(void);   /* of idempotency */
int64_t fake_pg_position(const char *instance, int64_t scope);
const char *fake_pg_verified(int64_t collection); /* its last result; "" */
unsigned fake_pg_unproven(void); /* rows of copies that were not compared yet */
void fake_pg_prove(void);        /* whoever leads has compared them all */
bool fake_pg_database_gone(int64_t id);
void fake_pg_database(int64_t id, const char **tenant, const char **name);
/* The live collections, as "tenant/database/name" lines, sorted; freed by the caller. */
char *fake_pg_catalogue(void);
int64_t fake_pg_beat(const char *instance, bool *marked); /* of its marker */
void fake_pg_another_cluster(void); /* it knows of no marks, and is another cluster's */
unsigned fake_pg_quarantines(const char *instance);                    /* rows */
const char *fake_pg_binding(int64_t collection, const char *instance); /* "" if none */

#endif
