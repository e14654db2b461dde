/* wal/rebuild_task.c - the items of a copy, the long part of a rebuild, are a task that
 * any proxy can take (worker.c); ours as a rule takes the first.
 *
 * The happy path:
 *   rebuild_hand_out  a row, together with what the copy is: it is free
 *   look              while there are such rows: who copies, how far is it?
 *   done              what was touched meanwhile is for us again (rebuild.c)
 * When it does not go well (task_judge):
 *   - it has failed: the rebuild rests, then it is handed out again; or, if the copy is
 *     not sound, begun anew
 *   - its worker is silent, and PostgreSQL has no session of it: its process has ended
 *     and writes no more. It is free again, and gone on with from where the target is
 *   - its worker is silent, and its session is there: it may be asleep and wake up, with
 *     a page in its hands. Whatever it writes then must not matter: begun anew, with
 *     another attempt, that is in another collection, which it does not know
 *   - the row is not there: handed out again
 *   - we are not the leader any more: the row stays, the worker goes on, and the next one
 *     finds both
 *
 * Why the last page of a silent worker is the only one: it has one call under way at a
 * time, and asks worker_may_write() before each; that says no 2.5 s before the leader
 * calls it silent. What was under way even so is cut off at its end (worker.c). */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/rebuild_private.h"

#define LOOK_MS 300u
#define RATE_MS 2000u
#define TELL_MS 30000u

static struct job *job;
static struct op *looking;

/* --- pure ----------------------------------------------------------------------------
 */

enum task_verdict task_judge(const struct task_facts *f)
{
	switch (f->state) {
	case TASK_DONE:
		return TASK_IS_DONE;
	case TASK_FAILED:
		return f->sound ? TASK_AGAIN : TASK_ANEW;
	case TASK_TAKEN:
		if (!f->silent)
			return TASK_WAIT;
		return f->ended ? TASK_TAKE_OVER : TASK_ANEW;
	default:
		return TASK_WAIT;
	}
}

static enum task_state state_named(const char *name)
{
	static const char *const names[] = {"free", "taken", "done", "failed"};

	for (unsigned k = 0; k < sizeof(names) / sizeof(names[0]); k++)
		if (strcmp(name, names[k]) == 0)
			return (enum task_state)k;
	return TASK_FREE;
}

/* --- handing out ---------------------------------------------------------------------
 */

/* One of this attempt that is under way stays as it is: an earlier leader's. */
static const struct pg_statement hand_out = {
        "task_begin",
        "INSERT INTO chromatid.sync_task AS t (instance, collection, attempt, donor,"
        " source, tenant, database, made, base, items, total)"
        " VALUES ($1, $2, $3, $4, $5::uuid, $6, $7, $8::uuid, $9, $10, $11)"
        " ON CONFLICT (instance, collection) DO UPDATE SET attempt = excluded.attempt,"
        " donor = excluded.donor, source = excluded.source, made = excluded.made,"
        " base = excluded.base, items = excluded.items, total = excluded.total,"
        " state = 'free', worker = NULL, sound = true, why = '', since = now(),"
        " at = now() WHERE t.attempt <> excluded.attempt OR t.state = 'failed'"};

static void add_task(struct pg_unit *unit, const struct rebuild *b)
{
	const struct copy_progress *p = rebuild_progress(b);
	const struct collection *c = b->collection;

	pg_add(unit, &hand_out, 11,
	       (struct pg_param[]){
	               pg_int4(store_instance_id(b->target)), pg_int8(c->id),
	               pg_int4((int)b->attempt), pg_int4(store_instance_id(b->donor)),
	               pg_text(c->local[b->donor].text), pg_text(c->db->tenant),
	               pg_text(c->db->name), pg_text(p->made.text), pg_int8(p->base),
	               pg_int8((int64_t)p->items), pg_int8((int64_t)p->total)});
}

static void on_handed_out(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!rebuild_is_written(b, s, r))
		return;
	FAILPOINT("rebuild_handed_out");
	b->found = *rebuild_progress(b);
	b->was_found = true;
	copy_destroy(&b->copy);
	b->handed_out = true;
	b->asked = false;
	b->rated_at = b->told_at = clock_ms();
	b->rated_items = b->found.items;
	worker_kick();
	rebuild_look_soon();
}

void rebuild_hand_out(struct rebuild *b)
{
	struct pg_unit *unit = rebuild_unit();

	b->step = STEP_COPYING;
	rebuild_add_progress(unit, b);
	add_task(unit, b);
	pg_submit(wal_pg(), unit, on_handed_out, b, &b->pending);
}

void rebuild_take_back(struct rebuild *b)
{
	b->handed_out = false;
	b->rate = 0;
	free(b->worker);
	b->worker = NULL;
}

/* --- its worker is gone --------------------------------------------------------------
 */

static const struct pg_statement set_free = {
        "task_free",
        "UPDATE chromatid.sync_task SET state = 'free', worker = NULL, at = now()"
        " WHERE instance = $1 AND collection = $2 AND attempt = $3 AND worker = $4"
        " AND state = 'taken' AND NOT EXISTS (SELECT 1 FROM chromatid.sync_worker"
        " WHERE id = $4 AND heartbeat > now() - interval '" WORKER_SILENT "')"};

static void on_freed(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (rebuild_is_written(b, s, r))
		worker_kick();
}

static const char *worker_of(const struct rebuild *b)
{
	return b->worker != NULL ? b->worker : "nobody";
}

static void take_over(struct rebuild *b)
{
	struct pg_unit *unit;

	if (b->pending != NULL)
		return;
	log_warn("rebuild", "collection %s at %s: %s, which copies it, has ended",
	         b->collection->public_id.text, rebuild_target_name(b), worker_of(b));
	unit = rebuild_unit();
	pg_add(unit, &set_free, 4,
	       (struct pg_param[]){pg_int4(store_instance_id(b->target)),
	                           pg_int8(b->collection->id), pg_int4((int)b->attempt),
	                           pg_text(b->worker)});
	pg_submit(wal_pg(), unit, on_freed, b, &b->pending);
}

/* --- how far it is -------------------------------------------------------------------
 */

static void rate(struct rebuild *b)
{
	msec now = clock_ms(), took = now - b->rated_at;

	if (took < RATE_MS)
		return;
	b->rate =
	        b->found.items > b->rated_items
	                ? (double)(b->found.items - b->rated_items) * 1000 / (double)took
	                : 0;
	b->rated_at = now;
	b->rated_items = b->found.items;
	if (now < b->told_at + TELL_MS)
		return;
	b->told_at = now;
	log_info("rebuild",
	         "collection %s at %s: %llu of %llu items, %.0f a second, by %s",
	         b->collection->public_id.text, rebuild_target_name(b),
	         (unsigned long long)b->found.items, (unsigned long long)b->found.total,
	         b->rate, worker_of(b));
}

static void note_worker(struct rebuild *b, const char *worker)
{
	if (b->worker != NULL && strcmp(b->worker, worker) == 0)
		return;
	free(b->worker);
	b->worker = worker[0] != '\0' ? mem_string(worker) : NULL;
}

/* --- looking -------------------------------------------------------------------------
 */

static const struct pg_statement tasks = {
        "task_look",
        "SELECT t.instance, t.collection, t.attempt, t.state, coalesce(t.worker, ''),"
        " t.sound, t.why, t.items, t.total, coalesce(w.heartbeat <"
        " now() - interval '" WORKER_SILENT "', true), NOT EXISTS (SELECT 1 FROM"
        " pg_stat_activity a WHERE a.pid = w.pid) FROM chromatid.sync_task t"
        " LEFT JOIN chromatid.sync_worker w ON w.id = t.worker"};

enum {
	INSTANCE,
	COLLECTION,
	ATTEMPT,
	STATE,
	WORKER,
	SOUND,
	WHY,
	ITEMS,
	TOTAL,
	SILENT,
	ENDED
};

static bool is_handed_out(const struct rebuild *b)
{
	return b->step == STEP_COPYING && b->handed_out;
}

static struct rebuild *find(const struct pg_results *r, int row)
{
	struct rebuild *b;

	TAILQ_FOREACH (b, &rebuilds, link)
		if (is_handed_out(b) &&
		    b->collection->id == pg_get_int8(r, 0, row, COLLECTION) &&
		    store_instance_id(b->target) == pg_get_int8(r, 0, row, INSTANCE) &&
		    b->attempt == (unsigned)pg_get_int8(r, 0, row, ATTEMPT))
			return b;
	return NULL;
}

static void take_row(struct rebuild *b, const struct pg_results *r, int row)
{
	const struct task_facts f = {
	        .state = state_named(pg_get_text(r, 0, row, STATE)),
	        .sound = pg_get_bool(r, 0, row, SOUND),
	        .silent = pg_get_bool(r, 0, row, SILENT),
	        .ended = pg_get_bool(r, 0, row, ENDED),
	};

	b->asked = false;
	b->found.items = (uint64_t)pg_get_int8(r, 0, row, ITEMS);
	b->found.total = (uint64_t)pg_get_int8(r, 0, row, TOTAL);
	note_worker(b, pg_get_text(r, 0, row, WORKER));
	switch (task_judge(&f)) {
	case TASK_WAIT:
		rate(b);
		break;
	case TASK_TAKE_OVER:
		take_over(b);
		break;
	case TASK_IS_DONE:
		log_info("rebuild", "collection %s at %s: %llu items copied by %s",
		         b->collection->public_id.text, rebuild_target_name(b),
		         (unsigned long long)b->found.items, worker_of(b));
		rebuild_take_back(b);
		rebuild_copied(b);
		break;
	case TASK_AGAIN:
		rebuild_not_now(b, STATUS_BUSY, pg_get_text(r, 0, row, WHY));
		break;
	case TASK_ANEW:
		rebuild_not_now(b, STATUS_CONFLICT,
		                f.state == TASK_TAKEN ? "its worker is not heard of"
		                                      : pg_get_text(r, 0, row, WHY));
		break;
	}
}

static void on_look(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b, *next;

	(void)arg;
	for (int row = 0; s == STATUS_OK && row < pg_rows(r, 0); row++) {
		b = find(r, row);
		if (b != NULL)
			take_row(b, r, row);
	}
	for (b = TAILQ_FIRST(&rebuilds); s == STATUS_OK && b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (is_handed_out(b) && b->asked && b->pending == NULL)
			rebuild_rest(b, "its task is gone");
	}
	job_rest(job, LOOK_MS);
}

static bool has_any(void)
{
	struct rebuild *b;
	bool any = false;

	TAILQ_FOREACH (b, &rebuilds, link) {
		b->asked = is_handed_out(b);
		any |= b->asked;
	}
	return any;
}

static void run(struct job *self, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (!wal_ready() || !has_any()) {
		job_rest(self, LOOK_MS);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &tasks, 0, NULL);
	pg_submit(wal_upkeep(), unit, on_look, NULL, &looking);
}

void rebuild_look_soon(void)
{
	if (job != NULL)
		job_kick(job);
}

/* --- its life ------------------------------------------------------------------------
 */

void rebuild_task_start(void)
{
	job = job_create("tasks", run, NULL);
	job_rest(job, LOOK_MS);
}

void rebuild_task_stop(void)
{
	op_cancel(&looking);
	job_destroy(&job);
}
