/* core/pg.c - units in groups over one session, one commit a group.
 *
 * The happy path:
 *   on_up          a session: who serves it? Then it is told of
 *   pg_submit      a unit waits
 *   send_group     nothing is at the server: all that waits is handed to libpq, with the
 *                  prepares it needs, and one Sync; what comes meanwhile waits
 *   take           each answer goes to its place; `answers` says which comes next
 *   group_over     the Sync is answered: committed; the units end, the next group goes
 * When it does not go well:
 *   - a statement is refused: all of the group is rolled back; its units go back to the
 *     head of the queue and are sent again, each with a Sync of its own
 *   - the session is lost: on_down. What was handed over may have been committed, what
 *     waits was not; a unit that waits again after a refused group was rolled back
 *   - the session is of no use any more (its server became read-only, its prepared
 *     statements are gone or stale): nothing was committed; it is given up as if lost
 */
#include "core/pg.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/pg_private.h"

#define MAX_EMPTY_ANSWERS 4

enum answer_kind { ANSWER_PREPARED, ANSWER_ROWS, ANSWER_SYNC };

/* One answer the server owes, in order. */
struct answer {
	enum answer_kind kind;
	struct pg_unit *unit;
	int part;
	struct pg_prepared *prepared;
	bool had; /* only the NULL that ends it is missing */
};

struct pg {
	char *name;
	pg_change_fn *on_change;
	void *arg;
	const char *channel; /* NULL: it listens to none */
	pg_heard_fn *heard;
	void *heard_arg;
	struct op *listening;
	struct pg_conn *conn;
	enum pg_state state;
	struct op *greeting; /* the session is ours once this is answered */
	bool pooled;
	struct pg_queue waiting;
	struct pg_queue sent; /* the group at the server */
	struct answer *answers;
	size_t n_answers, room, next;
	int empty;        /* NULLs in a row */
	char sqlstate[6]; /* of the statement that spoiled the group; "" if none */
	char *message;
	const char *useless; /* why this session is to be given up after this group */
	struct pg_prepared_list prepared;
	struct timer send;
	struct timer drop;
	char *drop_why;
	uint64_t sent_at_us;
	int backend_pid;
	char *last_error;
	struct pg_figures figures;
};

/* --- a group goes ------------------------------------------------------------------ */

static void wait_again(struct pg *pg, struct pg_unit *unit)
{
	pg->figures.waiting_units++;
	pg->figures.waiting_bytes += unit->bytes;
}

static void wait_no_more(struct pg *pg, struct pg_unit *unit)
{
	TAILQ_REMOVE(&pg->waiting, unit, link);
	pg->figures.waiting_units--;
	pg->figures.waiting_bytes -= unit->bytes;
}

static void expect(struct pg *pg, struct answer answer)
{
	if (pg->n_answers == pg->room) {
		pg->room = pg->room > 0 ? pg->room * 2 : 64;
		pg->answers = mem_resize(pg->answers, pg->room * sizeof(*pg->answers));
	}
	pg->answers[pg->n_answers++] = answer;
}

static bool send_part(struct pg *pg, struct pg_unit *unit, int i)
{
	const struct pg_part *part = &unit->parts[i];
	PGconn *pq = pg_conn_pq(pg->conn);
	struct pg_prepared *p = NULL;

	if (part->statement != NULL)
		p = pg_prepared_find(&pg->prepared, part->statement);
	if (part->statement != NULL && p == NULL) {
		p = pg_prepared_add(&pg->prepared, part);
		if (!pg_send_prepare(pq, p))
			return false;
		expect(pg, (struct answer){ANSWER_PREPARED, unit, i, p, false});
	}
	expect(pg, (struct answer){ANSWER_ROWS, unit, i, NULL, false});
	return pg_send_part(pq, part, p);
}

/* Counted as sent from its first byte on. */
static bool send_unit(struct pg *pg, struct pg_unit *unit)
{
	wait_no_more(pg, unit);
	TAILQ_INSERT_TAIL(&pg->sent, unit, link);
	for (int i = 0; i < unit->n; i++)
		if (!send_part(pg, unit, i))
			return false;
	return true;
}

static bool send_waiting(struct pg *pg)
{
	struct pg_unit *unit;
	unsigned units = 0;
	size_t bytes = 0;
	bool alone = false;

	while ((unit = TAILQ_FIRST(&pg->waiting)) != NULL && !alone) {
		bytes += unit->bytes;
		if (units > 0 && (unit->alone || units == PG_MAX_UNITS_A_GROUP ||
		                  bytes > PG_MAX_BYTES_A_GROUP))
			break;
		alone = unit->alone;
		units++;
		if (!send_unit(pg, unit))
			return false;
	}
	expect(pg, (struct answer){.kind = ANSWER_SYNC});
	return PQpipelineSync(pg_conn_pq(pg->conn)) == 1;
}

static void on_send(void *arg)
{
	struct pg *pg = arg;

	if (pg->state == PG_DOWN || pg->n_answers > 0 || TAILQ_EMPTY(&pg->waiting))
		return;
	pg->sent_at_us = clock_us();
	if (send_waiting(pg))
		pg_conn_busy(pg->conn);
	else
		pg_conn_fail(pg->conn, PQerrorMessage(pg_conn_pq(pg->conn)));
}

/* From the loop, so that what is submitted in one turn goes together. */
static void send_soon(struct pg *pg)
{
	if (!timer_running(&pg->send))
		timer_start(&pg->send, 0, on_send, pg);
}

/* --- its answers come -------------------------------------------------------------- */

static void forget_refusal(struct pg *pg)
{
	pg->sqlstate[0] = '\0';
	free(pg->message);
	pg->message = NULL;
	pg->useless = NULL;
}

static void group_committed(struct pg *pg, uint64_t took_us)
{
	struct pg_unit *unit;
	unsigned appends = 0;

	while ((unit = TAILQ_FIRST(&pg->sent)) != NULL) {
		TAILQ_REMOVE(&pg->sent, unit, link);
		pg->figures.units++;
		appends += unit->work == PG_APPEND ? 1 : 0;
		metrics_observe(&pg->figures.seconds[unit->work], (double)took_us / 1e6);
		pg_unit_end(unit, STATUS_OK);
	}
	if (appends > 0)
		metrics_observe_count(&pg->figures.appends, appends);
}

/* Rolled back: its units wait again, in front and in order. */
static void group_back(struct pg *pg)
{
	struct pg_unit *unit;

	while ((unit = TAILQ_LAST(&pg->sent, pg_queue)) != NULL) {
		TAILQ_REMOVE(&pg->sent, unit, link);
		TAILQ_INSERT_HEAD(&pg->waiting, unit, link);
		pg_unit_forget(unit);
		unit->alone = true;
		wait_again(pg, unit);
	}
}

static void group_refused(struct pg *pg)
{
	struct pg_unit *unit = TAILQ_FIRST(&pg->sent);
	bool single = unit != NULL && TAILQ_NEXT(unit, link) == NULL;

	if (!single || pg->useless != NULL) {
		group_back(pg);
		return;
	}
	TAILQ_REMOVE(&pg->sent, unit, link);
	pg->figures.refused++;
	log_debug("postgres", "%s: refused (%s: %s)", pg->name, pg->sqlstate,
	          pg->message);
	pg_unit_refuse(unit, pg->sqlstate, pg->message);
}

static bool group_over(struct pg *pg)
{
	const char *useless = pg->useless;
	uint64_t took_us = clock_us() - pg->sent_at_us;

	pg->n_answers = pg->next = 0;
	pg->figures.groups++;
	pg->figures.round_trip_us_sum += took_us;
	pg_conn_idle(pg->conn);
	if (pg->sqlstate[0] == '\0')
		group_committed(pg, took_us);
	else
		group_refused(pg);
	forget_refusal(pg);
	if (useless != NULL) {
		pg_conn_fail(pg->conn, useless);
		return false;
	}
	send_soon(pg);
	return true;
}

static void note_refusal(struct pg *pg, const PGresult *r)
{
	const char *code = pg_error_field(r, PG_DIAG_SQLSTATE);

	if (pg->sqlstate[0] != '\0')
		return;
	snprintf(pg->sqlstate, sizeof(pg->sqlstate), "%s",
	         code[0] != '\0' ? code : "XX000");
	pg->message =
	        pg_conn_redact(pg->conn, pg_error_field(r, PG_DIAG_MESSAGE_PRIMARY));
	pg->useless = pg_error_useless(r);
}

/* False: the session was given up. */
static bool session_broken(struct pg *pg, PGresult *r)
{
	const char *said = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	char *why = mem_string(said != NULL ? said : PQresultErrorMessage(r));

	PQclear(r);
	pg_conn_fail(pg->conn, why[0] != '\0' ? why : "the reply is out of step");
	free(why);
	return false;
}

/* A prepare that did not happen must not be remembered. */
static void not_done(struct pg *pg, struct answer *a)
{
	a->had = true;
	if (a->kind == ANSWER_PREPARED)
		pg_prepared_drop(&pg->prepared, a->prepared);
}

static bool take_result(struct pg *pg, struct answer *a, PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		if (a->kind == ANSWER_SYNC || a->had)
			return session_broken(pg, r);
		a->had = true;
		if (a->kind == ANSWER_PREPARED)
			PQclear(r);
		else
			pg_unit_take(a->unit, a->part, r);
		return true;
	case PGRES_PIPELINE_SYNC:
		if (a->kind != ANSWER_SYNC)
			return session_broken(pg, r);
		PQclear(r);
		return group_over(pg);
	case PGRES_FATAL_ERROR:
		if (pg_error_fatal(r))
			return session_broken(pg, r);
		note_refusal(pg, r); /* at the Sync: of a deferred constraint */
		not_done(pg, a);
		PQclear(r);
		return true;
	case PGRES_PIPELINE_ABORTED:
		not_done(pg, a);
		PQclear(r);
		return true;
	default: /* COPY and the like are nobody's plan */
		return session_broken(pg, r);
	}
}

/* NULL ends the answer to a statement; none comes after a Sync. */
static bool take(struct pg *pg, PGresult *r)
{
	struct answer *a = &pg->answers[pg->next];

	if (r != NULL) {
		pg->empty = 0;
		return take_result(pg, a, r);
	}
	if (a->had && a->kind != ANSWER_SYNC)
		pg->next++;
	else if (++pg->empty > MAX_EMPTY_ANSWERS)
		return session_broken(pg, NULL);
	return true;
}

static void hear(struct pg *pg, PGconn *pq)
{
	PGnotify *n;

	while ((n = PQnotifies(pq)) != NULL) {
		pg->heard(pg->heard_arg, n->extra);
		PQfreemem(n);
	}
}

/* PQisBusy() first: it also reads notices while nothing is owed. */
static bool on_input(void *arg)
{
	struct pg *pg = arg;
	PGconn *pq = pg_conn_pq(pg->conn);

	while (!PQisBusy(pq) && pg->n_answers > 0)
		if (!take(pg, PQgetResult(pq)))
			return false;
	if (pg->channel != NULL)
		hear(pg, pq);
	return true;
}

/* --- up and down ------------------------------------------------------------------- */

static void on_listening(void *arg, enum status s, const struct pg_results *r)
{
	struct pg *pg = arg;

	if (s == STATUS_DB_REFUSED)
		log_error("postgres", "%s: cannot listen: %s", pg->name, pg_message(r));
}

static void begin_listening(struct pg *pg)
{
	struct pg_unit *unit = pg_unit_create();
	char *sql = mem_format("LISTEN %s", pg->channel);

	pg_add_once(unit, sql);
	free(sql);
	op_cancel(&pg->listening);
	pg_submit(pg, unit, on_listening, pg, &pg->listening);
}

static void session_is_up(struct pg *pg)
{
	pg->figures.connects++;
	free(pg->last_error);
	pg->last_error = NULL;
	if (pg->channel != NULL)
		begin_listening(pg);
	pg->on_change(pg->arg, PG_UP, "connected");
}

static void submit(struct pg *pg, struct pg_unit *unit, pg_fn *done, void *arg,
                   struct op **slot)
{
	pg_unit_begin(unit, done, arg, slot);
	TAILQ_INSERT_TAIL(&pg->waiting, unit, link);
	wait_again(pg, unit);
	if (pg->n_answers == 0)
		send_soon(pg);
}

/* A session without our settings is of no use. If it was lost on_down has seen to it. */
static void on_greeted(void *arg, enum status s, const struct pg_results *r)
{
	struct pg *pg = arg;
	char *why;

	if (s == STATUS_OK) {
		pg->backend_pid = (int)pg_get_int8(r, 0, 0, 0);
		pg->pooled = pg->backend_pid != PQbackendPID(pg_conn_pq(pg->conn));
		session_is_up(pg);
	} else if (s == STATUS_DB_REFUSED) {
		why = mem_string(pg_message(r));
		pg_conn_fail(pg->conn, why);
		free(why);
	}
}

/* Who serves us? The process the server named when we connected, unless that was a
 * pooler. For one, our settings come as statements: with the connection it refuses them,
 * or throws them away. */
static void on_up(void *arg)
{
	struct pg *pg = arg;
	struct pg_unit *unit = pg_unit_create();

	pg->state = PG_UP;
	pg_add_once(unit, "SELECT pg_backend_pid()");
	pg_conn_add_settings(pg->conn, unit);
	submit(pg, unit, on_greeted, pg, &pg->greeting);
}

static void end_all(struct pg *pg, enum status sent, enum status waiting)
{
	struct pg_unit *unit;

	while ((unit = TAILQ_FIRST(&pg->sent)) != NULL) {
		TAILQ_REMOVE(&pg->sent, unit, link);
		pg_unit_end(unit, sent);
	}
	while ((unit = TAILQ_FIRST(&pg->waiting)) != NULL) {
		wait_no_more(pg, unit);
		pg_unit_end(unit, waiting);
	}
	pg->n_answers = pg->next = 0;
	pg->empty = 0;
	forget_refusal(pg);
	pg_prepared_clear(&pg->prepared);
}

/* A server that is away for an hour deserves a line, not thousands. */
static void log_down(struct pg *pg, const char *why, bool was_up)
{
	if (was_up)
		log_warn("postgres", "%s: connection lost (%s)", pg->name, why);
	else if (strcmp(pg_last_error(pg), why) != 0)
		log_warn("postgres", "%s: not connected (%s)", pg->name, why);
	else
		log_debug("postgres", "%s: still not connected (%s)", pg->name, why);
}

/* One that was lost before it was told of is a try that failed. */
static void on_down(void *arg, const char *why, bool opened)
{
	struct pg *pg = arg;
	bool was_up = opened && pg_state(pg) == PG_UP;

	timer_stop(&pg->drop);
	log_down(pg, why, was_up);
	free(pg->last_error);
	pg->last_error = mem_string(why);
	if (!opened)
		return;
	op_cancel(&pg->greeting);
	pg->state = PG_DOWN;
	if (!was_up) {
		end_all(pg, STATUS_DB_LOST, STATUS_DB_DOWN);
		return;
	}
	pg->figures.lost++;
	end_all(pg, STATUS_DB_LOST, STATUS_DB_DOWN); /* told on the next turn */
	pg->on_change(pg->arg, PG_DOWN, why);
}

static const struct pg_conn_owner owner = {
        .up = on_up,
        .input = on_input,
        .down = on_down,
};

static void on_drop(void *arg)
{
	struct pg *pg = arg;

	if (pg->state == PG_UP) /* told of or not */
		pg_conn_fail(pg->conn, pg->drop_why);
}

/* Not from inside the caller: on_change is told from the loop. */
void pg_drop_session(struct pg *pg, const char *why)
{
	free(pg->drop_why);
	pg->drop_why = mem_string(why);
	timer_start(&pg->drop, 0, on_drop, pg);
}

/* --- the door ---------------------------------------------------------------------- */

struct pg *pg_create(const char *url, const char *name, pg_change_fn *on_change,
                     void *arg)
{
	struct pg *pg = mem_new(struct pg);

	pg->name = mem_string(name);
	pg->on_change = on_change;
	pg->arg = arg;
	TAILQ_INIT(&pg->waiting);
	TAILQ_INIT(&pg->sent);
	pg->conn = pg_conn_create(url, name, &owner, pg);
	return pg;
}

void pg_listen(struct pg *pg, const char *channel, pg_heard_fn *heard, void *arg)
{
	pg->channel = channel;
	pg->heard = heard;
	pg->heard_arg = arg;
}

void pg_start(struct pg *pg)
{
	pg_conn_start(pg->conn);
}

void pg_destroy(struct pg **pg)
{
	struct pg *old = *pg;

	*pg = NULL;
	if (old == NULL)
		return;
	pg_conn_destroy(&old->conn);
	timer_stop(&old->send);
	timer_stop(&old->drop);
	op_cancel(&old->listening);
	op_cancel(&old->greeting);
	end_all(old, STATUS_STOPPED, STATUS_STOPPED);
	free(old->answers);
	free(old->drop_why);
	free(old->last_error);
	free(old->name);
	free(old);
}

/* It ends from the loop, like all. */
static void end_unsent(struct pg_unit *unit, enum status s, pg_fn *done, void *arg,
                       struct op **slot)
{
	pg_unit_begin(unit, done, arg, slot);
	pg_unit_end(unit, s);
}

void pg_submit(struct pg *pg, struct pg_unit *unit, pg_fn *done, void *arg,
               struct op **slot)
{
	if (pg_state(pg) == PG_DOWN)
		end_unsent(unit, STATUS_DB_DOWN, done, arg, slot);
	else if (pg->figures.waiting_units >= PG_MAX_QUEUED_UNITS ||
	         pg->figures.waiting_bytes + unit->bytes > PG_MAX_QUEUED_BYTES)
		end_unsent(unit, STATUS_BUSY, done, arg, slot);
	else
		submit(pg, unit, done, arg, slot);
}

enum pg_state pg_state(const struct pg *pg)
{
	return pg->greeting != NULL ? PG_DOWN : pg->state;
}

bool pg_is_pooled(const struct pg *pg)
{
	return pg->pooled;
}

int pg_backend_pid(const struct pg *pg)
{
	return pg->backend_pid;
}

const char *pg_last_error(const struct pg *pg)
{
	return pg->last_error != NULL ? pg->last_error : "";
}

struct pg_figures pg_figures(const struct pg *pg)
{
	return pg->figures;
}
