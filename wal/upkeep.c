/* wal/upkeep.c - the job that keeps the log short: it notes for each instance up to where
 * nothing is owed, and removes, a little at a time, what is below all of them and older
 * than the retention. The keys of records go first: a key without its record would have
 * no answer. */
#include "core/job.h"
#include "core/log.h"
#include "wal/wal_private.h"

#define EVERY_MS 5000u
#define AT_ONCE "2000"

static struct job *job;
static struct op *pending;
static msec retention;

static const struct pg_statement set_floor = {
        "set_floor",
        "UPDATE chromatid.instance SET floor = greatest(floor, $2) WHERE id = $1"};

static const struct pg_statement trim_keys = {
        "trim_keys",
        "DELETE FROM chromatid.idempotency WHERE key IN"
        " (SELECT key FROM chromatid.idempotency WHERE seq <="
        "  (SELECT min(floor) FROM chromatid.instance)"
        "  AND at < now() - $1::bigint * interval '1 ms' ORDER BY at LIMIT " AT_ONCE ")"};

static const struct pg_statement trim = {
        "trim",
        "WITH old AS (SELECT seq FROM chromatid.log WHERE seq <="
        "  (SELECT min(floor) FROM chromatid.instance)"
        "  AND at < now() - $1::bigint * interval '1 ms' ORDER BY seq LIMIT " AT_ONCE "),"
        " o AS (DELETE FROM chromatid.outcome WHERE seq IN (SELECT seq FROM old)),"
        " r AS (DELETE FROM chromatid.resolved WHERE seq IN (SELECT seq FROM old))"
        " DELETE FROM chromatid.log WHERE seq IN (SELECT seq FROM old)"};

static void on_kept(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)r;
	if (s == STATUS_OK)
		job_rest(job, EVERY_MS);
	else
		job_failed(job);
}

static void run(struct job *self, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (!wal_leads() || !lease_may_send()) {
		job_rest(self, EVERY_MS);
		return;
	}
	unit = pg_unit_create();
	persist_add_fence(unit);
	for (unsigned i = 0; i < health_count(); i++)
		pg_add(unit, &set_floor, 2,
		       (struct pg_param[]){pg_int4(store_instance_id(i)),
		                           pg_int8(engine_floor(i))});
	pg_add(unit, &trim_keys, 1, (struct pg_param[]){pg_int8((int64_t)retention)});
	pg_add(unit, &trim, 1, (struct pg_param[]){pg_int8((int64_t)retention)});
	pg_submit(wal_pg(), unit, on_kept, NULL, &pending);
}

void upkeep_start(msec keep)
{
	retention = keep;
	job = job_create("upkeep", run, NULL);
	job_rest(job, EVERY_MS);
}

void upkeep_stop(void)
{
	op_cancel(&pending);
	job_destroy(&job);
}
