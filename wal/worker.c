/* wal/worker.c - this proxy copies collections, whether it leads or not.
 *
 * The leader writes down what is to be copied (rebuild_task.c); each proxy that runs
 * takes some of it, one task at a time for each target. The happy path, each second:
 *   beat      a row says that we live, another how far each of our tasks is; for each
 *             target without one, the oldest that is free is taken (SKIP LOCKED)
 *   on_beat   begin what was taken (worker_task.c); hear how many others there are, and
 *             which instances the leader's clients use (a copy rests for them)
 * When it does not go well:
 *   - we are not heard of: as with the lease (lease.c), 3.5 s after the last heartbeat
 *     that was granted, counted from before we asked, nothing is written any more, after
 *     4.5 s what is on its way is cut off; after 6 s the leader gives our tasks up. If
 *     nothing had to be cut off, and the task is ours still, we go on with it
 *   - a task is ours no more: it ends here with the heartbeat that says so
 *   - a task was taken and the answer lost: it is ours, and taken again
 *   - we stop: what can be ended in time is given back, the row goes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/worker_private.h"

#define BEAT_MS 1000u
#define WAIT_MS 250u
#define WRITE_FOR_MS 3500u
#define CUT_MS 4500u
#define SERVES_CALLS 10u /* in a second: more than our own probes */

enum asked { ASKED_NOTHING, ASKED_TAKE, ASKED_NOTE, ASKED_CUT };

static struct {
	struct job *job;
	struct op *pending;
	char name[80];
	bool swept, leaving;
	msec asked_at, granted;
	struct timer lapse;
	unsigned count; /* workers that live */
	struct work works[CONF_MAX_INSTANCES];
	struct {
		enum asked what;
		unsigned serial;
		int at; /* the statement */
	} asked[CONF_MAX_INSTANCES];
	int n_asked;
	uint64_t calls[CONF_MAX_INSTANCES], copied[CONF_MAX_INSTANCES];
	bool serves[CONF_MAX_INSTANCES];
	msec counted_at;
	void (*left)(void *arg);
	void *left_arg;
} me;

static const struct pg_statement beat = {
        "worker_beat", "INSERT INTO chromatid.sync_worker (id, pid, serves)"
                       " VALUES ($1, pg_backend_pid(), $2::text[]) ON CONFLICT (id)"
                       " DO UPDATE SET pid = excluded.pid, serves = excluded.serves,"
                       " heartbeat = now()"};

static const struct pg_statement sweep = {"worker_sweep",
                                          "DELETE FROM chromatid.sync_worker"
                                          " WHERE heartbeat < now() - interval '1 hour'"};

static const struct pg_statement others = {
        "worker_others",
        "SELECT (SELECT count(*) FROM chromatid.sync_worker"
        "  WHERE heartbeat > now() - interval '" WORKER_SILENT "'),"
        " (SELECT count(*) FROM chromatid.sync_task WHERE state = 'taken'),"
        " (SELECT coalesce(string_agg(DISTINCT s, ','), '')"
        "  FROM chromatid.sync_worker w, unnest(w.serves) s WHERE w.id <> $1"
        "  AND w.heartbeat > now() - interval '" WORKER_SILENT "')"};

static const struct pg_statement goodbye = {
        "worker_goodbye", "DELETE FROM chromatid.sync_worker WHERE id = $1"};

const char *worker_name(void)
{
	return me.name;
}

unsigned worker_count(void)
{
	return me.count > 0 ? me.count : 1;
}

bool worker_may_write(void)
{
	return !me.leaving && clock_ms() < me.granted + WRITE_FOR_MS;
}

bool worker_is_leaving(void)
{
	return me.leaving;
}

bool worker_is_busy(void)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (me.works[i].on)
			return true;
	return false;
}

/* --- who uses the instances ----------------------------------------------------------
 */

/* More calls there than those of copies: clients'. Only the leader has any. */
static bool is_used(unsigned i)
{
	uint64_t calls = upstream_figures(instance_upstream(health_instance(i))).calls;
	uint64_t copied = copy_calls(i);
	uint64_t all = calls - me.calls[i], ours = copied - me.copied[i];

	me.calls[i] = calls;
	me.copied[i] = copied;
	return wal_leads() && all > ours + SERVES_CALLS;
}

static void count_calls(void)
{
	if (clock_ms() < me.counted_at + BEAT_MS)
		return;
	me.counted_at = clock_ms();
	for (unsigned i = 0; i < health_count(); i++)
		me.serves[i] = is_used(i);
}

static void add_serves(struct text *list)
{
	const char *between = "{";

	count_calls();
	for (unsigned i = 0; i < health_count(); i++)
		if (me.serves[i]) {
			text_addf(list, "%s%s", between,
			          instance_name(health_instance(i)));
			between = ",";
		}
	text_adds(list, between[0] == '{' ? "{}" : "}");
}

static bool is_listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *at = list;

	for (; at != NULL; at = strchr(at, ',')) {
		at += at[0] == ',';
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

static void hear(const struct pg_results *r, int at)
{
	me.count = (unsigned)pg_get_int8(r, at, 0, 0);
	for (unsigned i = 0; i < health_count(); i++)
		copy_loads[i] = (struct copy_load){
		        .serves = is_listed(pg_get_text(r, at, 0, 2),
		                            instance_name(health_instance(i))),
		        .copies = (unsigned)pg_get_int8(r, at, 0, 1)};
}

/* --- the heartbeat -------------------------------------------------------------------
 */

static void on_lapse(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < health_count(); i++)
		if (me.works[i].on)
			work_cut(&me.works[i]);
}

static void granted(void)
{
	msec since = clock_ms() - me.asked_at;

	me.granted = me.asked_at;
	timer_start(&me.lapse, since < CUT_MS ? CUT_MS - since : 0, on_lapse, NULL);
}

static void answer(unsigned i, const struct pg_results *r)
{
	struct work *w = &me.works[i];

	if (w->serial != me.asked[i].serial)
		return; /* it has ended since */
	if (me.asked[i].what == ASKED_NOTE && pg_changed(r, me.asked[i].at) == 0)
		work_lost(w);
	else if (me.asked[i].what == ASKED_CUT)
		work_drop(w);
	else if (me.asked[i].what == ASKED_TAKE && pg_rows(r, me.asked[i].at) == 1)
		work_take(w, r, me.asked[i].at);
}

/* What is lost ends before we may write again. */
static void on_beat(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s != STATUS_OK) {
		job_failed(me.job);
		return;
	}
	me.swept = true;
	for (unsigned i = 0; i < health_count(); i++)
		answer(i, r);
	hear(r, me.n_asked);
	granted();
	job_rest(me.job, BEAT_MS);
}

static void ask(struct pg_unit *unit, unsigned i)
{
	struct work *w = &me.works[i];

	me.asked[i].what = ASKED_NOTHING;
	me.asked[i].serial = w->serial;
	me.asked[i].at = me.n_asked;
	if (w->on) {
		me.asked[i].what = w->cut ? ASKED_CUT : ASKED_NOTE;
		work_add_note(unit, w);
		me.n_asked++;
	} else if (instance_up(health_instance(i)) && clock_ms() >= w->not_before) {
		me.asked[i].what = ASKED_TAKE;
		work_add_take(unit, w);
		me.n_asked++;
	}
}

static void add_beat(struct pg_unit *unit)
{
	struct text list = {0};

	add_serves(&list);
	pg_add(unit, &beat, 2, (struct pg_param[]){pg_text(me.name), pg_text(list.s)});
	text_clear(&list);
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (pg_state(wal_upkeep()) != PG_UP || !wal_migrated()) {
		job_rest(job, WAIT_MS);
		return;
	}
	unit = pg_unit_create();
	me.asked_at = clock_ms();
	add_beat(unit);
	me.n_asked = 1;
	if (!me.swept) {
		pg_add(unit, &sweep, 0, NULL);
		me.n_asked++;
	}
	for (unsigned i = 0; i < health_count(); i++)
		ask(unit, i);
	pg_add(unit, &others, 1, (struct pg_param[]){pg_text(me.name)});
	pg_submit(wal_upkeep(), unit, on_beat, NULL, &me.pending);
}

void worker_kick(void)
{
	if (me.job != NULL)
		job_kick(me.job);
}

/* --- its life ------------------------------------------------------------------------
 */

void worker_start(void)
{
	struct uuid id;

	if (gethostname(me.name, 64) != 0)
		strcpy(me.name, "chromatid");
	me.name[63] = '\0';
	uuid_random(&id);
	snprintf(me.name + strlen(me.name), 10, "-%.8s", id.text);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		me.works[i].target = i;
	log_info("worker", "this proxy copies as %s", me.name);
	me.job = job_create("worker", run, NULL);
	job_rest(me.job, WAIT_MS);
}

static void on_left(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)s;
	(void)r;
	me.left(me.left_arg);
}

void worker_leave(void)
{
	me.leaving = true; /* what is copied ends before its next write */
	job_destroy(&me.job);
	op_cancel(&me.pending);
}

void worker_say_goodbye(void (*done)(void *arg), void *arg)
{
	struct pg_unit *unit = pg_unit_create();

	me.left = done;
	me.left_arg = arg;
	for (unsigned i = 0; i < health_count(); i++) {
		if (!me.works[i].on)
			continue;
		work_cut(&me.works[i]);
		work_add_note(unit, &me.works[i]);
	}
	pg_add(unit, &goodbye, 1, (struct pg_param[]){pg_text(me.name)});
	pg_submit(wal_upkeep(), unit, on_left, NULL, &me.pending);
}

void worker_stop(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		work_drop(&me.works[i]);
	timer_stop(&me.lapse);
	op_cancel(&me.pending);
	job_destroy(&me.job);
	memset(copy_loads, 0, sizeof(copy_loads));
	memset(&me, 0, sizeof(me));
}
