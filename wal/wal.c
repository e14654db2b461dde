/* wal/wal.c - the door of wal/: start and stop, the sessions with PostgreSQL, who leads,
 * and the questions others ask.
 *
 *	log      appends, outcomes, positions; one session, so that they commit in the
 *	         order they were asked for
 *	control  the lease alone: what waits for a lock of somebody else's, or reads much,
 *	         would keep it from being renewed
 *	reader   what is read from the log again, bodies that memory had let go first
 *	upkeep   retention, words of operators, shared work: it waits for no lock for long
 */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/timer.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/errand.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/mirror.h"
#include "wal/rebuild.h"
#include "wal/record.h"
#include "wal/retain.h"
#include "wal/scope.h"
#include "wal/shown.h"
#include "wal/unproven.h"

#define MOMENT_MS 2000u

static struct {
	struct pg *log, *control, *reader, *upkeep;
	struct op *migrating, *patience, *planning;
	bool migrated, leads;
	uint64_t changes; /* of `leads` */
	struct timer depose;
	const char *deposed_why;
	msec lost_at; /* the session of the log; or when we began */
} wal;

struct pg *wal_pg(void)
{
	return wal.log;
}

struct pg *wal_control(void)
{
	return wal.control;
}

struct pg *wal_reader(void)
{
	return wal.reader;
}

struct pg *wal_upkeep(void)
{
	return wal.upkeep;
}

/* --- coming up --------------------------------------------------------------------- */

static void begin(void);

static void on_migrated(void *arg, bool ok)
{
	(void)arg;
	wal.migrated = ok;
	if (!ok) /* told in the log; again with a fresh session */
		pg_drop_session(wal.control, "the schema could not be prepared");
	begin();
}

static void begin(void)
{
	if (pg_state(wal.log) != PG_UP || pg_state(wal.control) != PG_UP ||
	    !pooler_allows(begin))
		return;
	if (!wal.migrated) {
		if (wal.migrating == NULL)
			schema_migrate(wal.control, on_migrated, NULL, &wal.migrating);
		return;
	}
	override_connected(); /* first: who leads must know */
	lease_connected();
	worker_kick();
}

/* Refused, or not: the session goes on. */
static void on_set(void *arg, enum status s, const struct pg_results *r)
{
	if (s == STATUS_DB_REFUSED)
		log_warn("postgres", "%s: %s", (const char *)arg, pg_message(r));
}

static void set(struct pg *pg, char *what, struct op **slot)
{
	struct pg_unit *unit = pg_unit_create();

	op_cancel(slot);
	pg_add_once(unit, what);
	pg_submit(pg, unit, on_set, what, slot);
}

/* Somebody's lock must not hold up what else goes this way. */
static char limit_patience[] = "SET lock_timeout = '1s'";
/* A look at the log is planned once, not each time: that would take longer than the look.
 */
static char plan_once[] = "SET plan_cache_mode = force_generic_plan";

static void on_change_beside(void *arg, enum pg_state now, const char *why)
{
	struct pg *pg = *(struct pg **)arg;
	const char *name = pg == wal.reader ? "reader" : "upkeep";

	if (now != PG_UP) {
		log_warn("postgres", "%s session down: %s", name, why);
		return;
	}
	log_info("postgres", "%s session up", name);
	if (pg == wal.reader)
		set(wal.reader, plan_once, &wal.planning);
	if (pg == wal.upkeep) {
		set(wal.upkeep, limit_patience, &wal.patience);
		chronicle_now();
		worker_kick();
	} else if (pg_is_pooled(wal.log)) {
		begin();
	}
}

static void on_change(void *arg, enum pg_state now, const char *why)
{
	struct pg *pg = *(struct pg **)arg;
	const char *name = pg == wal.log ? "log" : "control";

	if (now == PG_UP) {
		log_info("postgres", "%s session up", name);
		if (pg == wal.log) {
			tail_kick();
			append_resume();
			quarantine_resume();
			persist_resume();
		}
		begin();
		return;
	}
	log_warn("postgres", "%s session down: %s", name, why);
	if (pg == wal.log) {
		pooler_forget();
		wal.lost_at = clock_ms();
		append_lost_session(pg_backend_pid(pg));
	}
}

/* What another proxy tells, or we ourselves: it is only a hint. */
static void on_heard(void *arg, const char *what)
{
	(void)arg;
	if (strcmp(what, WAL_APPENDED) == 0) {
		tail_kick();
	} else if (strcmp(what, WAL_DECIDED) == 0) {
		await_kick();
		mirror_kick();
	} else if (strcmp(what, WAL_LEASE_FREE) == 0) {
		lease_freed();
	} else if (strcmp(what, WAL_ERRAND) == 0) {
		errand_kick();
		errand_look();
	}
}

void wal_start(const struct conf *conf)
{
	catalogue_start(scope_free);
	append_start();
	persist_start();
	engine_start(conf);
	identity_start(conf);
	lease_start();
	upkeep_start(conf);
	doubt_start(conf->late_check);
	rebuild_start(conf->repair == REPAIR_AUTO);
	worker_start();
	verify_start(conf);
	wal.lost_at = clock_ms();
	wal.log = pg_create(conf->database_url, "log", on_change, &wal.log);
	wal.control = pg_create(conf->database_url, "control", on_change, &wal.control);
	pg_listen(wal.log, WAL_CHANNEL, on_heard, NULL);
	pg_start(wal.log);
	pg_start(wal.control);
	wal.reader =
	        pg_create(conf->database_url, "reader", on_change_beside, &wal.reader);
	wal.upkeep =
	        pg_create(conf->database_url, "upkeep", on_change_beside, &wal.upkeep);
	pg_start(wal.reader);
	pg_start(wal.upkeep);
}

/* --- leading ----------------------------------------------------------------------- */

void wal_recovered(void)
{
	wal.changes += wal.leads ? 0 : 1;
	wal.leads = true;
	identity_judge(); /* before anything is executed */
	engine_hold(false);
	tail_lead();
	shown_kick();
}

void wal_another_is_leading(void)
{
	if (!wal.leads)
		mirror_start();
}

void wal_about_to_lead(void)
{
	mirror_stop();
}

/* Of a leader. What clients wait for is in the log, or on its way there. */
void wal_forget(void)
{
	wal.changes += wal.leads ? 1 : 0;
	wal.leads = false;
	tail_clear();
	identity_clear();
	append_deposed();
	strangers_clear();
	engine_clear();
	upkeep_clear();
	catalogue_clear();
}

static void on_depose(void *arg)
{
	(void)arg;
	log_warn("lease", "no longer leading: %s", wal.deposed_why);
	/* What the session has not sent yet must not be sent with our memory gone. */
	pg_drop_session(wal.log, wal.deposed_why);
	lease_lost();
	wal_forget();
}

/* Told from deep inside the engine: done on the next turn of the loop. */
void wal_deposed(const char *why)
{
	wal.deposed_why = why;
	if (!timer_running(&wal.depose))
		timer_start(&wal.depose, 0, on_depose, NULL);
}

bool wal_another_leads(void)
{
	return lease_is_taken();
}

bool wal_leads(void)
{
	return wal.leads;
}

bool wal_connected(void)
{
	return pg_state(wal.log) == PG_UP;
}

bool wal_away(void)
{
	return !wal_connected() && clock_ms() - wal.lost_at > MOMENT_MS;
}

bool wal_migrated(void)
{
	return wal.migrated;
}

bool wal_ready(void)
{
	return wal.leads && wal_connected() && lease_may_send();
}

bool wal_takes_writes(void)
{
	return wal_ready() || (wal_follows() && wal_connected());
}

bool wal_serves(void)
{
	return wal_follows() || (wal.leads && lease_shows());
}

/* --- going down -------------------------------------------------------------------- */

void wal_stop(void)
{
	timer_stop(&wal.depose);
	leave_stop();
	pooler_stop();
	op_cancel(&wal.migrating);
	op_cancel(&wal.patience);
	op_cancel(&wal.planning);
	upkeep_stop();
	doubt_stop();
	verify_stop();
	rebuild_stop();
	worker_stop();
	lease_stop();
	pg_destroy(&wal.log);
	pg_destroy(&wal.control);
	pg_destroy(&wal.reader);
	pg_destroy(&wal.upkeep);
	mirror_stop();
	lease_lost();
	wal_forget();
	append_clear();
	key_clear(STATUS_STOPPED);
	await_clear(STATUS_STOPPED);
	engine_stop();
	catalogue_stop();
}

/* --- writes ------------------------------------------------------------------------ */

void wal_public_ids(struct blob **answer, const struct uuid *local,
                    const struct uuid *public_id)
{
	size_t len = blob_len(*answer);
	char *bytes;

	if (len == 0 || uuid_none(local) || uuid_none(public_id) ||
	    uuid_compare(local, public_id) == 0)
		return;
	bytes = mem_copy(blob_bytes(*answer), len);
	rewrite_id(bytes, len, local, public_id);
	blob_unref(answer);
	*answer = blob_adopt(bytes, len);
}

static void with_public_ids(struct wal_op *w)
{
	const struct collection *c = w->collection;
	struct wal_outcome *o = &w->outcome;

	if (c != NULL && o->by != NULL && o->http >= 400)
		wal_public_ids(&o->body, &c->local[instance_index(o->by)], &c->public_id);
}

static void deliver(struct op *op)
{
	struct wal_op *w = (struct wal_op *)op;

	with_public_ids(w);
	w->decided(w->arg, w->status, &w->outcome);
}

static void release(struct op *op)
{
	struct wal_op *w = (struct wal_op *)op;

	blob_unref(&w->outcome.body);
	collection_release(&w->collection);
	free(w);
}

void wal_op_end(struct wal_op *op, enum status s)
{
	op->status = s;
	op_end(&op->op);
}

static struct wal_op *begin_op(wal_appended_fn *appended, wal_decided_fn *decided,
                               void *arg, struct op **slot)
{
	struct wal_op *w = mem_new(struct wal_op);

	w->op.deliver = deliver;
	w->op.release = release;
	w->appended = appended;
	w->decided = decided;
	w->arg = arg;
	op_begin(&w->op, slot);
	return w;
}

static void write_once(const struct wal_write *write, struct wal_op *w)
{
	struct digest d;
	bool digested = wal.leads && join_digest(write, &d);
	struct record *earlier = digested ? join_find(write, &d) : NULL;

	if (earlier != NULL)
		record_watch(earlier, w);
	else if (digested && append_join(write, &d, w))
		return;
	else if (engine_is_full() || await_is_full())
		wal_op_end(w, STATUS_BUSY);
	else
		append_write(write, digested ? &d : NULL, w);
}

void wal_write(const struct wal_write *write, wal_appended_fn *appended,
               wal_decided_fn *decided, void *arg, struct op **slot)
{
	struct wal_op *w = begin_op(appended, decided, arg, slot);

	if (wal_takes_writes())
		write_once(write, w);
	else
		wal_op_end(w, STATUS_LOG_UNAVAILABLE);
}

bool wal_join(const struct wal_write *write, wal_appended_fn *appended,
              wal_decided_fn *decided, void *arg, struct op **slot)
{
	struct digest d;
	struct record *earlier;

	if (!wal.leads || !join_digest(write, &d))
		return false;
	earlier = join_find(write, &d);
	if (earlier == NULL)
		return false;
	record_watch(earlier, begin_op(appended, decided, arg, slot));
	return true;
}

void wal_repeat(const struct wal_key *key, wal_appended_fn *appended,
                wal_decided_fn *decided, void *arg, struct op **slot)
{
	struct wal_op *w = begin_op(appended, decided, arg, slot);

	if (wal_takes_writes())
		key_look(key, w);
	else
		wal_op_end(w, STATUS_LOG_UNAVAILABLE);
}

bool wal_executing(wal_seq seq)
{
	const struct record *r = engine_find(seq);

	for (unsigned i = 0; r != NULL && i < health_count(); i++)
		if (r->turns[i].state == TURN_SENT)
			return true;
	return false;
}

/* --- reads ------------------------------------------------------------------------- */

static bool stands(unsigned instances, unsigned i)
{
	return (instances >> i & 1) != 0;
}

bool wal_readable(const struct instance *in, const struct collection *c)
{
	unsigned i = instance_index(in);

	if (wal_follows())
		return stands(c->standing.readable, i);
	return !detach_is(i) && !uuid_none(&c->local[i]) &&
	       (c->scope == NULL || !c->scope->lanes[i].parked);
}

bool wal_current(const struct instance *in, const struct collection *c)
{
	unsigned i = instance_index(in);

	if (wal_follows())
		return stands(c->standing.current, i) && !standing_gives_way(c, i);
	return wal_readable(in, c) && scope_current(c->scope, i) &&
	       !unproven_gives_way(c, i);
}

bool wal_holds(const struct instance *in, const struct collection *c)
{
	unsigned i = instance_index(in);

	if (wal_follows())
		return stands(c->standing.holds, i);
	return !uuid_none(&c->local[i]) && !quarantine_is_lost(c, i);
}

bool wal_database_current(const struct instance *in, const struct database *db)
{
	unsigned i = instance_index(in);

	if (wal_follows())
		return stands(db->standing.current, i);
	return !wal_detached(in) && scope_current(db->scope, i);
}

bool wal_detached(const struct instance *in)
{
	unsigned i = instance_index(in);

	return detach_is(i) || detach_is_returning(i);
}

uint64_t wal_behind(const struct instance *in, const struct collection *c)
{
	unsigned i = instance_index(in);

	if (wal_follows())
		return c->standing.behind[i];
	return c->scope != NULL ? c->scope->lanes[i].behind : 0;
}

uint64_t wal_owed(void)
{
	return engine_totals()->owed;
}

void wal_figures(struct wal_figures *out)
{
	*out = (struct wal_figures){.seq = append_last_seq()};
	engine_figures(out);
	for (enum record_kind k = RECORD_ADD; k <= RECORD_RESET; k++)
		out->appended += wal_appended_count(k);
	out->append_us_sum = append_us_sum();
	out->append_seconds = append_seconds();
	out->postgres = pg_figures(wal.log);
	out->beside[0] = pg_figures(wal.control);
	out->beside[1] = pg_figures(wal.reader);
	out->beside[2] = pg_figures(wal.upkeep);
	out->leader_changes = wal.changes;
	out->epoch = lease_epoch();
	out->leads = wal.leads;
	out->connected = wal_connected();
	out->last_error = pg_last_error(wal.log);
}
