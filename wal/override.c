/* wal/override.c - instances that an operator has taken out of service.
 *
 *   wal_take_out   a row says so, and until when; once that is durable it is done here
 *   run            each second: what do the rows say? For what another proxy has noted,
 *                  and after a restart before anything else
 *
 * Both go through one session, in this order, so that no older answer undoes a newer
 * word: who does not lead looks in front of the lease, so that whoever leads knows; who
 * leads beside it. While PostgreSQL is away what was known last holds, and ends in time
 * by itself (health/instance.c). */
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/mem.h"
#include "wal/lead.h"

#define LOOK_MS 1000u

static struct {
	struct job *job;
	struct op *pending;
} override;

static const struct pg_statement take_out = {
        "override_take_out",
        "UPDATE chromatid.instance SET out_since = coalesce(out_since, now()),"
        " out_until = now() + nullif($2::bigint, 0) * interval '1 ms',"
        " out_by = $3::text WHERE name = $1::text"};

static const struct pg_statement put_back = {
        "override_put_back", "UPDATE chromatid.instance SET out_since = NULL,"
                             " out_until = NULL, out_by = NULL WHERE name = $1::text"};

static const struct pg_statement who_is_out = {
        "override_look",
        "SELECT name, CASE WHEN out_until IS NOT NULL THEN greatest(1,"
        "  extract(epoch FROM out_until - now()) * 1000)::bigint END,"
        " coalesce(out_by, '') FROM chromatid.instance"
        " WHERE out_since IS NOT NULL AND (out_until IS NULL OR out_until > now())"};

/* --- what is noted ----------------------------------------------------------------- */

static struct pg *session(void)
{
	return lease_epoch() > 0 ? wal_upkeep() : wal_control();
}

static int row_of(const struct pg_results *r, const struct instance *in)
{
	for (int row = 0; row < pg_rows(r, 0); row++)
		if (strcmp(pg_get_text(r, 0, row, 0), instance_name(in)) == 0)
			return row;
	return -1;
}

static void follow(const struct pg_results *r, struct instance *in)
{
	int row = row_of(r, in);

	if (row < 0)
		instance_put_back(in);
	else
		instance_take_out(
		        in,
		        pg_is_null(r, 0, row, 1) ? 0 : (msec)pg_get_int8(r, 0, row, 1),
		        pg_get_text(r, 0, row, 2));
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	for (unsigned i = 0; s == STATUS_OK && i < health_count(); i++)
		follow(r, health_instance(i));
	job_rest(override.job, LOOK_MS);
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (!wal_migrated() || pg_state(session()) != PG_UP) {
		job_rest(job, LOOK_MS);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &who_is_out, 0, NULL);
	pg_submit(session(), unit, on_looked, NULL, &override.pending);
}

void override_connected(void)
{
	if (override.job != NULL)
		job_kick(override.job);
}

void wal_override_start(void)
{
	override.job = job_create("override", run, NULL);
	job_kick(override.job);
}

void wal_override_stop(void)
{
	op_cancel(&override.pending);
	job_destroy(&override.job);
}

/* --- a word of an operator --------------------------------------------------------- */

struct word {
	struct op op;
	struct op *pending;
	struct instance *in;
	bool out;
	msec for_ms;
	char *by;
	wal_override_fn *done;
	void *arg;
	enum status status;
};

static void deliver(struct op *op)
{
	struct word *w = (struct word *)op;

	w->done(w->arg, w->status);
}

static void release(struct op *op)
{
	struct word *w = (struct word *)op;

	op_cancel(&w->pending);
	free(w->by);
	free(w);
}

/* Who has asked has left: what was asked for is noted all the same, and seen by run(). */
static void abandon(struct op *op)
{
	struct word *w = (struct word *)op;

	op_cancel(&w->pending);
	op_end(op);
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	struct word *w = arg;

	if (s != STATUS_OK)
		w->status = STATUS_LOG_UNAVAILABLE;
	else if (pg_changed(r, 0) != 1)
		w->status = STATUS_NOT_FOUND;
	else if (w->out)
		instance_take_out(w->in, w->for_ms, w->by);
	else
		instance_put_back(w->in);
	op_end(&w->op);
}

static struct word *word_begin(struct instance *in, wal_override_fn *done, void *arg,
                               struct op **slot)
{
	struct word *w = mem_new(struct word);

	w->op.deliver = deliver;
	w->op.release = release;
	w->op.abandon = abandon;
	w->in = in;
	w->done = done;
	w->arg = arg;
	op_begin(&w->op, slot);
	return w;
}

static void word_send(struct word *w, const struct pg_statement *statement, int n,
                      const struct pg_param *params)
{
	struct pg_unit *unit;

	if (!wal_migrated()) {
		w->status = STATUS_LOG_UNAVAILABLE;
		op_end(&w->op);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, statement, n, params);
	pg_submit(session(), unit, on_noted, w, &w->pending);
}

void wal_take_out(struct instance *in, msec for_ms, const char *by, wal_override_fn *done,
                  void *arg, struct op **slot)
{
	struct word *w = word_begin(in, done, arg, slot);

	w->out = true;
	w->for_ms = for_ms;
	w->by = mem_string(by);
	word_send(w, &take_out, 3,
	          (struct pg_param[]){pg_text(instance_name(in)),
	                              pg_int8((int64_t)for_ms), pg_text(by)});
}

void wal_put_back(struct instance *in, wal_override_fn *done, void *arg, struct op **slot)
{
	struct word *w = word_begin(in, done, arg, slot);

	word_send(w, &put_back, 1, (struct pg_param[]){pg_text(instance_name(in))});
}
