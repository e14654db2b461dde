/* wal/migrate.c - the tables are brought to this program's version, and nothing else: for
 * who wants that done before the new proxies start. They do it themselves otherwise.
 *
 * The happy path: the session is up, schema_migrate(), told.
 * When it does not go well: PostgreSQL is not there within the time: told so. */
#include "core/log.h"
#include "core/pg.h"
#include "wal/lead.h"

#define PATIENCE_MS 15000u

static struct {
	struct pg *pg;
	struct op *pending;
	struct timer patience;
	wal_migrated_fn *done;
	void *arg;
} state;

static void end(bool good)
{
	timer_stop(&state.patience);
	op_cancel(&state.pending);
	pg_destroy(&state.pg);
	state.done(state.arg, good);
}

static void on_migrated(void *arg, bool good)
{
	(void)arg;
	end(good);
}

static void on_change(void *arg, enum pg_state now, const char *why)
{
	(void)arg;
	if (now == PG_UP && state.pending == NULL)
		schema_migrate(state.pg, on_migrated, NULL, &state.pending);
	else if (now == PG_DOWN)
		log_warn("postgres", "not connected: %s", why);
}

static void on_patience(void *arg)
{
	(void)arg;
	log_error("schema", "PostgreSQL was not there for long enough");
	end(false);
}

void wal_migrate(const struct conf *conf, wal_migrated_fn *done, void *arg)
{
	state.done = done;
	state.arg = arg;
	state.pg = pg_create(conf->database_url, "migrate", on_change, NULL);
	timer_start(&state.patience, PATIENCE_MS, on_patience, NULL);
	pg_start(state.pg);
}

void wal_migrate_stop(void)
{
	timer_stop(&state.patience);
	op_cancel(&state.pending);
	pg_destroy(&state.pg);
}
