/* wal/pooler.c - is a pooler between us and PostgreSQL whose sessions are not ours?
 *
 * One in session mode gives each of our sessions a process of the server for as long as
 * it lives: nothing to say against. One in transaction mode gives it any process, anew
 * for each transaction. Then settings, prepared statements and LISTEN get lost, and
 * worse: a lost session cannot be ended by its process any more, so an append may commit
 * after its client was told that it is not in the log (append.c). So that is refused.
 *
 * The happy path: no pooler has opened the session of the log (pg_is_pooled). Or one has:
 *   check       who serves it? Asked a few times, one after the other
 *   on_first    the reader's is asked as well, and kept busy for a while
 *   on_second   meanwhile the log's once more
 *   end         both have answered, and the sessions are ours
 * When it does not go well:
 *   - they are not: we begin nothing, say so, and look again after a while
 *   - a session is lost on the way: asked again when it is back
 *
 * Who serves a session must be who opened it; and if its process was free for the
 * reader's, or is another one now, that is transaction mode. Of processes that are free a
 * pooler takes the one that was used last (then the reader's is that of the log), or each
 * in turn (then the log's changes). */
#include "core/log.h"
#include "core/timer.h"
#include "wal/lead.h"

#define RECHECK_MS 5000u
#define TIMES 5u
#define APART_MS 100u /* the reader's is served by then, and not yet over */

static struct {
	struct op *log, *reader;
	struct timer apart, recheck;
	unsigned asked;
	int first, beside, again; /* processes */
	bool ours, refused;
	void (*begin)(void);
} pooler;

static const char who[] = "SELECT pg_backend_pid()";
static const char who_slowly[] = "SELECT pg_backend_pid() FROM pg_sleep(0.3)";

bool pooler_keeps_sessions(int opened, int first, int beside, int again)
{
	return first == opened && again == opened && beside != opened;
}

/* False: a session is lost. */
static bool take(int *pid, enum status s, const struct pg_results *r)
{
	if (s != STATUS_OK)
		return false;
	*pid = (int)pg_get_int8(r, 0, 0, 0);
	return true;
}

static void on_recheck(void *arg)
{
	(void)arg;
	pooler.begin();
}

/* Whatever was done in sessions that were not ours: no more of it. */
static void refuse(void)
{
	if (!pooler.refused)
		log_error("postgres",
		          "refused: a pooler in transaction mode is between us and "
		          "PostgreSQL, sessions are not ours; let DATABASE_URL name the "
		          "server itself, or a pooler in session mode");
	pooler.refused = true;
	if (lease_epoch() > 0)
		wal_deposed("a pooler in transaction mode is between");
	timer_start(&pooler.recheck, RECHECK_MS, on_recheck, NULL);
}

static void end(void)
{
	if (pooler.log != NULL || pooler.reader != NULL || pooler.again == 0)
		return;
	pooler.ours = pooler_keeps_sessions(pg_backend_pid(wal_pg()), pooler.first,
	                                    pooler.beside, pooler.again);
	if (!pooler.ours) {
		refuse();
		return;
	}
	log_info("postgres", "a pooler in session mode is between");
	pooler.refused = false;
	pooler.begin();
}

static void stop_checking(void)
{
	timer_stop(&pooler.apart);
	op_cancel(&pooler.log);
	op_cancel(&pooler.reader);
}

/* A session is lost on the way. If it is back before we hear of that nobody else asks. */
static void give_up(void)
{
	stop_checking();
	timer_start(&pooler.recheck, APART_MS, on_recheck, NULL);
}

static void on_beside(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (take(&pooler.beside, s, r))
		end();
	else
		give_up();
}

static void on_again(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (take(&pooler.again, s, r))
		end();
	else
		give_up();
}

static void ask(struct pg *pg, const char *sql, pg_fn *done, struct op **slot)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add_once(unit, sql);
	pg_submit(pg, unit, done, NULL, slot);
}

static void on_second(void *arg)
{
	(void)arg;
	ask(wal_pg(), who, on_again, &pooler.log);
}

static void on_first(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (!take(&pooler.first, s, r)) {
		give_up();
		return;
	}
	if (pooler.first == pg_backend_pid(wal_pg()) && ++pooler.asked < TIMES) {
		ask(wal_pg(), who, on_first, &pooler.log);
		return;
	}
	ask(wal_reader(), who_slowly, on_beside, &pooler.reader);
	timer_start(&pooler.apart, APART_MS, on_second, NULL);
}

static void check(void)
{
	stop_checking();
	pooler.asked = 0;
	pooler.first = pooler.beside = pooler.again = 0;
	ask(wal_pg(), who, on_first, &pooler.log);
}

static bool is_checking(void)
{
	return pooler.log != NULL || pooler.reader != NULL ||
	       timer_running(&pooler.apart) || timer_running(&pooler.recheck);
}

bool pooler_allows(void (*again)(void))
{
	if (!pg_is_pooled(wal_pg()))
		pooler.ours = true;
	if (pooler.ours) {
		pooler.refused = false;
		return true;
	}
	pooler.begin = again;
	if (pg_state(wal_reader()) == PG_UP && !is_checking())
		check();
	return false;
}

void pooler_forget(void)
{
	stop_checking();
	pooler.ours = false;
}

bool wal_pooler_refused(void)
{
	return pooler.refused;
}

void pooler_stop(void)
{
	stop_checking();
	timer_stop(&pooler.recheck);
	pooler.ours = pooler.refused = false;
}
