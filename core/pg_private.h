/* core/pg_private.h - what the files of the PostgreSQL client share.
 *
 *	pg.c       the queue of units, groups, the one session's life
 *	pg_unit.c  a unit and its results
 *	pg_send.c  statements prepared in this session; parameters on the wire
 *	pg_error.c what an error means for the session
 *	pg_conn.c  one libpq connection: resolve, connect, idle, busy, resting
 *	pg_url.c   what DATABASE_URL says, and what may be said about it */
#ifndef CORE_PG_PRIVATE_H
#define CORE_PG_PRIVATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "core/pg.h"

/* --- pg_url.c ---------------------------------------------------------------------- */

#define PG_MAX_HOSTS 8
#define PG_MAX_PLACES 24 /* addresses of all hosts */

/* One entry of DATABASE_URL's list of hosts. */
struct pg_target {
	char *host; /* "" or a path: a Unix socket */
	char *port; /* "": the default */
	bool by_name;
};

/* One address to connect to. Unix sockets have an empty one. */
struct pg_place {
	const struct pg_target *target;
	char address[64];
};

/* NULL: *wrong says what is wrong (freed by the caller, without any password). */
PQconninfoOption *pg_url_parse(const char *url, char **wrong);
int pg_url_targets(const PQconninfoOption *options, struct pg_target out[PG_MAX_HOSTS]);
/* Begins at places[first]; the others follow in turn. */
PGconn *pg_url_connect(const PQconninfoOption *options, const char *name,
                       const struct pg_place *places, int n, int first);
void pg_url_add_settings(const PQconninfoOption *options, struct pg_unit *unit);
/* True when the operator has set a statement_timeout of their own. */
bool pg_url_sets_timeout(const PQconninfoOption *options);
/* One line, without the passwords of `options`, of a sensible length. */
char *pg_url_redact(const PQconninfoOption *options, const char *text);

/* --- pg_conn.c --------------------------------------------------------------------- */

struct pg_conn;

struct pg_conn_owner {
	void (*up)(void *arg); /* a fresh session, idle */
	/* Results may be there. False: the session was given up meanwhile, and perhaps
	 * the connection with it. */
	bool (*input)(void *arg);
	/* `was_up`: a session is lost; else: a try to connect failed. */
	void (*down)(void *arg, const char *why, bool was_up);
};

struct pg_conn *pg_conn_create(const char *url, const char *name,
                               const struct pg_conn_owner *owner, void *arg);
void pg_conn_start(struct pg_conn *conn);
void pg_conn_destroy(struct pg_conn **conn);
PGconn *pg_conn_pq(const struct pg_conn *conn);
bool pg_conn_busy(
        struct pg_conn *conn); /* a group was handed over: send it. False: lost */
void pg_conn_idle(struct pg_conn *conn); /* it was answered */
/* Gives the session up: closes it, tells `down`, rests, connects again. */
void pg_conn_fail(struct pg_conn *conn, const char *why);
char *pg_conn_redact(const struct pg_conn *conn, const char *text);
/* What a session of ours needs, as statements. */
void pg_conn_add_settings(const struct pg_conn *conn, struct pg_unit *unit);

/* --- pg_unit.c --------------------------------------------------------------------- */

/* One statement of a unit. */
struct pg_part {
	const struct pg_statement *statement; /* NULL: sent once, unprepared */
	char *sql;                            /* of those; else NULL */
	bool binary;                          /* its answer */
	int n;
	struct pg_param *params;
	char *texts; /* what the text parameters point to */
};

struct pg_rowset {
	PGresult *rows;
	unsigned char *
	        *bytes; /* decoded bytea, by row and column; NULL until asked for */
	size_t *lens;
};

struct pg_results {
	struct pg_rowset *sets; /* one for each part */
	int n;
	char sqlstate[6];
	char *message;
};

TAILQ_HEAD(pg_queue, pg_unit);

struct pg_unit {
	struct op op;
	TAILQ_ENTRY(pg_unit) link;
	pg_fn *done;
	void *arg;
	enum status status;
	struct pg_part *parts;
	int n, room;
	size_t bytes;
	enum pg_work work;
	bool alone;  /* its group was refused: this time with a Sync of its own */
	void **kept; /* bytes copied when the owner walked away */
	int n_kept;
	struct pg_results results;
};

void pg_unit_begin(struct pg_unit *unit, pg_fn *done, void *arg, struct op **slot);
void pg_unit_end(struct pg_unit *unit, enum status s);
void pg_unit_take(struct pg_unit *unit, int part, PGresult *rows); /* rows taken over */
void pg_unit_forget(struct pg_unit *unit); /* rows of a transaction rolled back */
void pg_unit_refuse(struct pg_unit *unit, const char *sqlstate, const char *message);

/* --- pg_send.c --------------------------------------------------------------------- */

struct pg_prepared {
	const struct pg_statement *statement;
	Oid *types;
	int n;
};

/* What is prepared in this session. */
struct pg_prepared_list {
	struct pg_prepared **list;
	int n, room;
};

struct pg_prepared *pg_prepared_find(const struct pg_prepared_list *l,
                                     const struct pg_statement *statement);
struct pg_prepared *pg_prepared_add(struct pg_prepared_list *l,
                                    const struct pg_part *part);
void pg_prepared_drop(struct pg_prepared_list *l, struct pg_prepared *p);
void pg_prepared_clear(struct pg_prepared_list *l);

/* False: libpq did not take it, the session is broken. */
bool pg_send_prepare(PGconn *pq, const struct pg_prepared *p);
bool pg_send_part(PGconn *pq, const struct pg_part *part, const struct pg_prepared *p);

/* --- pg_error.c -------------------------------------------------------------------- */

const char *pg_error_field(const PGresult *r, int code); /* "" if there is none */
bool pg_error_fatal(const PGresult *r);                  /* the session is over */
const char *pg_error_useless(const PGresult *r); /* why it is of no use; NULL: it is */

#endif
