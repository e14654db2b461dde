/* core/pg.h - one asynchronous PostgreSQL connection in pipeline mode, with group commit.
 *
 * Work comes in units: a few statements that commit together or not at all. Units are
 * executed in the order they were submitted. While one group is at the server the next
 * one forms; a group is everything that waited (up to 64 units or 1 MB), sent at once
 * with one Sync: one commit, one fsync. If a statement of a group is refused, the units
 * of that group are sent again one by one, so that only the guilty one ends with
 * STATUS_DB_REFUSED.
 *
 * How a unit ends:
 *   STATUS_OK          committed; one result per statement
 *   STATUS_DB_REFUSED  rolled back; results->sqlstate and ->message say why
 *   STATUS_DB_DOWN     not connected, or the connection was lost before the unit was
 *                      sent: nothing has happened
 *   STATUS_DB_LOST     the connection was lost after it was sent: it may have committed
 *   STATUS_BUSY        more than PG_MAX_QUEUED units or bytes wait: nothing has happened
 *
 * The connection connects by itself, again and again (100 ms x2, under 1 s, so that it
 * is back within a second of the server), without blocking on DNS (core/dns).
 * `on_change` is told of every change of state; when it is told PG_UP the session is
 * fresh: settings made, no statement prepared. A loss is told before its units end. A
 * server that owes an answer and is silent for 35 s counts as lost; one that becomes
 * read-only as well, but then nothing has happened (STATUS_DB_DOWN). */
#ifndef CORE_PG_H
#define CORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/op.h"
#include "core/status.h"

#define PG_MAX_UNITS_A_GROUP 64u
#define PG_MAX_BYTES_A_GROUP (1024u * 1024u)
#define PG_MAX_QUEUED_UNITS 8192u
#define PG_MAX_QUEUED_BYTES (96u * 1024u * 1024u)

struct pg;
struct pg_unit;

enum pg_state { PG_DOWN, PG_UP };

typedef void(pg_change_fn)(void *arg, enum pg_state now, const char *why);

/* Checks a DATABASE_URL without connecting; NULL if good, else what is wrong (freed by
 * the caller; never holds a password). */
char *pg_check_url(const char *url);

/* `name` appears in logs and, with "chromatid-", as application_name. */
struct pg *pg_create(const char *url, const char *name, pg_change_fn *on_change,
                     void *arg);
void pg_start(struct pg *pg);    /* begins to connect; on_change is told from the loop */
void pg_destroy(struct pg **pg); /* open units end with STATUS_STOPPED, from the loop */
enum pg_state pg_state(const struct pg *pg);
/* Of the process that served the last session that was up; 0: none. */
int pg_backend_pid(const struct pg *pg);
/* The server named another one when that session was opened: it is none, but a pooler. */
bool pg_is_pooled(const struct pg *pg);
const char *pg_last_error(const struct pg *pg); /* "" if none */
/* Each session listens to that channel from its begin: told from the loop, once for each
 * notification; what is notified while there is no session is not heard. To be called
 * before pg_start(); `channel` stays the caller's, and is a plain name. */
typedef void(pg_heard_fn)(void *arg, const char *what);
void pg_listen(struct pg *pg, const char *channel, pg_heard_fn *heard, void *arg);
/* Closes the session, from the loop; it is opened again as after any loss. That also
 * gives back what libpq keeps: the memory of the largest unit and answer it carried. */
void pg_drop_session(struct pg *pg, const char *why);

/* A statement is known by its address: static const, prepared on first use in each
 * session under its name. */
struct pg_statement {
	const char *name;
	const char *sql;
};

/* Parameters are copied by pg_add() except bytes, which must stay valid until the unit
 * has ended or was cancelled (hold a blob). Text is sent as text and takes the type the
 * SQL gives it; numbers and bytes are sent binary. */
enum pg_kind { PG_NULL, PG_TEXT, PG_INT8, PG_INT4, PG_BOOL, PG_BYTES };

struct pg_param {
	enum pg_kind kind;
	int64_t number;   /* PG_INT8, PG_INT4, PG_BOOL */
	const void *data; /* PG_TEXT (a C string), PG_BYTES */
	size_t len;       /* PG_BYTES */
};

#define pg_null() ((struct pg_param){.kind = PG_NULL})
#define pg_text(s)                                                                       \
	((struct pg_param){.kind = (s) != NULL ? PG_TEXT : PG_NULL, .data = (s)})
#define pg_int8(n) ((struct pg_param){.kind = PG_INT8, .number = (n)})
#define pg_int4(n) ((struct pg_param){.kind = PG_INT4, .number = (n)})
#define pg_bool(b) ((struct pg_param){.kind = PG_BOOL, .number = (b)})
#define pg_bytes(p, n) ((struct pg_param){.kind = PG_BYTES, .data = (p), .len = (n)})

struct pg_unit *pg_unit_create(void);
/* What it is for: metrics keep that apart. PG_OTHER unless said. */
enum pg_work { PG_OTHER, PG_APPEND, PG_OUTCOME, PG_LEASE, PG_WORKS };
void pg_unit_is(struct pg_unit *unit, enum pg_work work);
void pg_add(struct pg_unit *unit, const struct pg_statement *statement, int n,
            const struct pg_param *params);
/* The answer to the statement added last has nothing but bytea, and comes as it is: half
 * as long as in text, and in the place where pg_get_bytes() finds it. */
void pg_wants_bytes(struct pg_unit *unit);
/* For statements used once (migrations): sent unprepared, text copied. One command each
 * (DO $$...$$ for more); like all, it has 30 s (statement_timeout). */
void pg_add_once(struct pg_unit *unit, const char *sql);

/* Valid only inside the callback. Rows come in text format except bytea (see pg_get_*).
 */
struct pg_results;
typedef void(pg_fn)(void *arg, enum status s, const struct pg_results *results);

/* Takes the unit over, always. */
void pg_submit(struct pg *pg, struct pg_unit *unit, pg_fn *done, void *arg,
               struct op **slot);

/* `statement` counts from 0 in the order of pg_add(). After an end other than STATUS_OK
 * there are no rows. Texts of NULLs are "". */
int pg_rows(const struct pg_results *r, int statement);        /* rows returned */
int64_t pg_changed(const struct pg_results *r, int statement); /* rows written */
bool pg_is_null(const struct pg_results *r, int statement, int row, int column);
const char *pg_get_text(const struct pg_results *r, int statement, int row, int column);
int64_t pg_get_int8(const struct pg_results *r, int statement, int row, int column);
bool pg_get_bool(const struct pg_results *r, int statement, int row, int column);
/* bytea; the bytes are valid inside the callback */
const void *pg_get_bytes(const struct pg_results *r, int statement, int row, int column,
                         size_t *len);
const char *pg_sqlstate(const struct pg_results *r); /* "" unless refused */
const char *pg_message(const struct pg_results *r);  /* "" unless refused */

struct pg_figures {
	uint64_t units, groups, refused, lost, connects;
	uint64_t waiting_units, waiting_bytes;
	uint64_t round_trip_us_sum;                /* of groups */
	struct metric_histogram seconds[PG_WORKS]; /* of a unit, at the server */
	struct metric_histogram appends;           /* committed together, if any */
};
struct pg_figures pg_figures(const struct pg *pg);

#endif
