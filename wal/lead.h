/* wal/lead.h - who leads, and how a proxy comes to: the sessions with PostgreSQL, the
 * tables, the lease, recovery; and what runs beside it. */
#ifndef WAL_LEAD_H
#define WAL_LEAD_H

#include "core/pg.h"
#include "wal/wal.h"

/* --- wal.c: the sessions --- */
struct pg *wal_pg(void);      /* appends, outcomes, positions: in one order */
struct pg *wal_control(void); /* the lease */
struct pg *wal_reader(void);  /* bodies, and what else is read from the log again */
struct pg *wal_upkeep(void);  /* what may wait, though for no lock for long */
bool wal_migrated(void);      /* the tables are there */

/* --- lease.c, recover.c, schema.c --- */
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
bool lease_is_alone(void); /* we have it, and no other proxy was there for a minute */
int64_t lease_epoch(void);
void wal_deposed(const char *why);
void wal_forget(void); /* all that a leader knows; its clients wait on (await.c) */
void leave_stop(void);
void wal_recovered(void); /* everything is loaded: lead */
void recover_start(void (*done)(bool ok), struct op **slot);
void schema_migrate(struct pg *pg, void (*done)(void *arg, bool ok), void *arg,
                    struct op **slot);

/* --- pooler.c --- */

/* May we begin, with the session of the log as it is? If that is not known `again` is
 * called when it is. */
bool pooler_allows(void (*again)(void));
void pooler_forget(void); /* that session is lost */
void pooler_stop(void);
/* Pure. Processes of the server: which one has opened the session of the log; who served
 * it then; who served another session at the same time; and the log's during that. */
bool pooler_keeps_sessions(int opened, int first, int beside, int again);

/* --- override.c: instances that were taken out by hand --- */
void override_connected(void); /* the control session is up, the tables are there */

/* --- schema_operator.c: for the eyes of operators, and their scripts --- */
extern const char *const operator_schema[];
extern const char *const apart_schema[];
extern const char *const unproven_schema[];

/* --- schema_monitor.c, failover.c, sample.c --- */
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

/* --- chronicle.c --- */
void chronicle_start(const struct conf *conf);
void chronicle_now(void);     /* PostgreSQL is there: what waits is noted */
bool chronicle_is_busy(void); /* something waits, and it could be noted */
void chronicle_stop(void);

#endif
