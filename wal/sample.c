/* wal/sample.c - the job that notes how this process is doing, in PostgreSQL, for graphs
 * and scripts that read tables.
 *
 * The happy path:
 *   run        what is old goes, a sample is added, and what it asks for (advise.c): one
 *              unit of the control session, where no write waits
 *   on_kept    rest
 * When it does not go well:
 *   - PostgreSQL is away, or refuses: this sample is not kept; advice is given all the
 *     same, and kept with a later sample
 *   - somebody reads the table so that an old part of it cannot go: the next run tries
 *     again (chromatid.keep_samples waits for nobody) */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/job.h"
#include "core/lag.h"
#include "core/log.h"
#include "core/process.h"
#include "wal/advise.h"
#include "wal/lead.h"
#include "wal/tell.h"

static struct {
	struct job *job;
	struct op *pending;
	msec interval, retention;
	double memory_limit_mb;
	char proxy[64];
	double cpu_before; /* seconds */
	uint64_t before_us;
	struct advisor advisor;
	struct advice advice[ADVICE_KINDS]; /* not kept yet */
	unsigned n_advice;
	bool refused; /* and told */
} sampler;

static const struct pg_statement keep = {
        "keep_samples", "SELECT chromatid.keep_samples($1 * interval '1 millisecond')"};

static const struct pg_statement add = {
        "add_sample",
        "INSERT INTO chromatid.performance_metrics (proxy, memory_usage_mb,"
        " memory_percent, cpu_percent, event_loop_lag_ms, pending_writes, behind_seconds,"
        " log_mb) VALUES ($1, $2::float8, $3::float8, $4::float8, $5::float8,"
        " $6::float8, $7::float8, $8::float8)"};

static const struct pg_statement recommend = {
        "add_advice",
        "INSERT INTO chromatid.upgrade_recommendations (proxy, recommendation_type,"
        " current_usage, recommended_tier, reason, urgency, service_component)"
        " VALUES ($1, $2, $3::float8, $4, $5, $6, $7)"};

/* --- what is so -------------------------------------------------------------------- */

/* Since the sample before; how busy the process was while others looked is not lost. */
static double cpu_percent(const struct process_figures *f)
{
	uint64_t now_us = clock_us();
	double used = f->cpu_seconds - sampler.cpu_before;
	double took = (double)(now_us - sampler.before_us) / 1e6;

	sampler.cpu_before = f->cpu_seconds;
	sampler.before_us = now_us;
	return took > 0 ? 100 * used / took : 0;
}

/* Of the instances that are up: one that is down is behind, and no machine is too small
 * for that. */
static double behind_s(const struct wal_figures *wal)
{
	int64_t now = clock_wall_ms(), oldest = now;

	for (unsigned i = 0; i < health_count(); i++) {
		int64_t at = wal->instances[i].oldest_wall_ms;

		if (instance_up(health_instance(i)) && at > 0 && at < oldest)
			oldest = at;
	}
	return (double)(now - oldest) / 1000;
}

static void take(struct sample *s)
{
	struct process_figures process;
	struct lag_figures lag;
	struct wal_figures wal;
	struct wal_log_figures log;

	process_figures(&process);
	lag_figures(&lag);
	wal_figures(&wal);
	wal_log_figures(&log);
	*s = (struct sample){
	        .memory_mb = (double)process.resident / 1e6,
	        .memory_limit_mb = sampler.memory_limit_mb,
	        .cpu_percent = cpu_percent(&process),
	        .lag_ms = (double)lag.max_us / 1e3,
	        .pending = wal.leads ? (double)wal.owed : -1,
	        .behind_s = wal.leads ? behind_s(&wal) : -1,
	        .log_bytes = log.known ? (double)log.bytes : -1,
	        .log_limit_bytes = (double)log.limit,
	};
}

/* --- keeping it -------------------------------------------------------------------- */

struct number {
	char text[32];
};

static struct pg_param number(struct number *n, double value)
{
	snprintf(n->text, sizeof(n->text), "%.3f", value);
	return value >= 0 ? pg_text(n->text) : pg_null();
}

static void add_sample(struct pg_unit *unit, const struct sample *s)
{
	struct number n[7] = {0};
	double percent = 100 * s->memory_mb / s->memory_limit_mb;

	pg_add(unit, &add, 8,
	       (struct pg_param[]){pg_text(sampler.proxy), number(&n[0], s->memory_mb),
	                           number(&n[1], percent), number(&n[2], s->cpu_percent),
	                           number(&n[3], s->lag_ms), number(&n[4], s->pending),
	                           number(&n[5], s->behind_s),
	                           number(&n[6], s->log_bytes / 1e6)});
}

static void add_advice(struct pg_unit *unit, const struct advice *a)
{
	struct number usage = {.text = ""};

	pg_add(unit, &recommend, 7,
	       (struct pg_param[]){pg_text(sampler.proxy), pg_text(a->type),
	                           number(&usage, a->usage), pg_text(a->tier),
	                           pg_text(a->reason), pg_text(a->urgency),
	                           pg_text(a->component)});
}

static void on_kept(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_OK)
		sampler.n_advice = 0;
	if (s == STATUS_DB_REFUSED && !sampler.refused)
		log_warn("sample", "PostgreSQL refused a sample: %s", pg_message(r));
	if (s == STATUS_OK || s == STATUS_DB_REFUSED)
		sampler.refused = s == STATUS_DB_REFUSED;
	job_rest(sampler.job, sampler.interval);
}

static void submit(const struct sample *s)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, &keep, 1, (struct pg_param[]){pg_int8((int64_t)sampler.retention)});
	add_sample(unit, s);
	for (unsigned i = 0; i < sampler.n_advice; i++)
		add_advice(unit, &sampler.advice[i]);
	pg_submit(wal_upkeep(), unit, on_kept, NULL, &sampler.pending);
}

/* What could not be kept so far gives way to what is new. */
static void give_advice(const struct sample *s)
{
	struct advice given[ADVICE_KINDS];
	unsigned n = advise(&sampler.advisor, s, clock_ms(), given);

	for (unsigned i = 0; i < n; i++) {
		log_warn("advice", "%s (%s)", given[i].reason, given[i].tier);
		tell_advice(&given[i]);
	}
	if (n > 0) {
		memcpy(sampler.advice, given, sizeof(given));
		sampler.n_advice = n;
	}
}

static void run(struct job *job, void *arg)
{
	struct sample s;

	(void)arg;
	take(&s);
	give_advice(&s);
	if (wal_migrated() && pg_state(wal_upkeep()) == PG_UP)
		submit(&s);
	else
		job_rest(job, sampler.interval);
}

void sample_start(const struct conf *conf)
{
	memset(&sampler, 0, sizeof(sampler));
	sampler.interval = conf->metrics_interval;
	sampler.retention = conf->metrics_retention;
	sampler.memory_limit_mb = (double)conf->max_memory_mb;
	if (gethostname(sampler.proxy, sizeof(sampler.proxy) - 1) != 0)
		strcpy(sampler.proxy, "chromatid");
	if (sampler.interval == 0)
		return;
	sampler.before_us = clock_us();
	sampler.job = job_create("sample", run, NULL);
	job_rest(sampler.job, sampler.interval);
}

void sample_stop(void)
{
	op_cancel(&sampler.pending);
	job_destroy(&sampler.job);
}
