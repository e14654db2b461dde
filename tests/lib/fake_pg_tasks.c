/* tests/lib/fake_pg_tasks.c - what is handed out to be copied, and who copies.
 *
 * There is one proxy in these tests; another one is what fake_pg_worker() says of it. */
#include "tests/lib/fake_pg_tasks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/uuid.h"
#include "tests/lib/fake_pg.h"

#define SILENT_MS 6000u
#define TASKS_MOST 64u
#define WORKERS_MOST 64u

struct worker_row {
	char name[80];
	msec heartbeat;
	bool has_session;
};

static struct {
	struct fake_task tasks[TASKS_MOST];
	size_t n_tasks;
	struct worker_row workers[WORKERS_MOST];
	size_t n_workers;
} db;

/* --- finding -------------------------------------------------------------------------
 */

static struct worker_row *worker_of(const char *name)
{
	for (size_t k = 0; k < db.n_workers; k++)
		if (strcmp(db.workers[k].name, name) == 0)
			return &db.workers[k];
	return NULL;
}

static bool is_silent(const char *name)
{
	const struct worker_row *w = worker_of(name);

	return w == NULL || w->heartbeat + SILENT_MS < clock_ms();
}

static struct fake_task *task_of(int64_t instance, int64_t collection)
{
	for (size_t k = 0; k < db.n_tasks; k++)
		if (db.tasks[k].instance == instance &&
		    db.tasks[k].collection == collection)
			return &db.tasks[k];
	return NULL;
}

static void copy_text(char *to, size_t room, const char *text)
{
	assert(strlen(text) < room);
	strcpy(to, text);
}

static void set_state(struct fake_task *t, const char *state, const char *worker)
{
	copy_text(t->state, sizeof(t->state), state);
	copy_text(t->worker, sizeof(t->worker), worker);
}

static void remove_task(struct fake_task *t)
{
	*t = db.tasks[--db.n_tasks];
}

/* --- workers -------------------------------------------------------------------------
 */

static void beat(const char *name)
{
	struct worker_row *w = worker_of(name);

	if (w == NULL) {
		assert(db.n_workers < WORKERS_MOST);
		w = &db.workers[db.n_workers++];
		copy_text(w->name, sizeof(w->name), name);
		w->has_session = false; /* of a process that is silent */
	}
	w->heartbeat = clock_ms();
}

static void worker_beat(struct fake_set *set)
{
	(void)set;
	beat(fake_text(1));
}

static void worker_sweep(struct fake_set *set)
{
	(void)set;
	for (size_t k = db.n_workers; k-- > 0;)
		if (db.workers[k].heartbeat + 3600000u < clock_ms() ||
		    db.n_workers > WORKERS_MOST / 2)
			db.workers[k] = db.workers[--db.n_workers];
}

static void worker_goodbye(struct fake_set *set)
{
	struct worker_row *w = worker_of(fake_text(1));

	(void)set;
	if (w != NULL)
		*w = db.workers[--db.n_workers];
}

static void worker_others(struct fake_set *set)
{
	int64_t live = 0, taken = 0;

	for (size_t k = 0; k < db.n_workers; k++)
		live += !is_silent(db.workers[k].name);
	for (size_t k = 0; k < db.n_tasks; k++)
		taken += strcmp(db.tasks[k].state, "taken") == 0;
	fake_put_number(set, live);
	fake_put_number(set, taken);
	fake_put(set, "");
	fake_end_row(set);
}

/* --- what a worker does --------------------------------------------------------------
 */

static bool may_take(const struct fake_task *t, const char *worker)
{
	return strcmp(t->state, "free") == 0 ||
	       (strcmp(t->state, "taken") == 0 && strcmp(t->worker, worker) == 0);
}

static void put_instance(struct fake_set *set, int64_t id)
{
	char marker[40];
	int64_t number;

	fake_instance(id, marker, &number);
	fake_put(set, marker);
	fake_put_number(set, number);
}

static void put_task(struct fake_set *set, const struct fake_task *t)
{
	char text[40];
	int64_t number;

	fake_put_number(set, t->instance);
	fake_put_number(set, t->collection);
	fake_put_number(set, t->attempt);
	fake_put_number(set, t->donor);
	fake_put(set, fake_instance(t->donor, text, &number));
	fake_put(set, t->source);
	fake_put(set, t->tenant);
	fake_put(set, t->database);
	fake_put(set, t->made);
	fake_put_number(set, t->base);
	fake_put_number(set, t->items);
	fake_put_number(set, t->total);
	fake_put(set, fake_cluster(text));
	put_instance(set, t->instance);
	put_instance(set, t->donor);
	fake_end_row(set);
}

static void worker_take(struct fake_set *set)
{
	int64_t instance = fake_instance_id(fake_text(2));

	for (size_t k = 0; k < db.n_tasks; k++) {
		struct fake_task *t = &db.tasks[k];

		if (t->instance != instance || !may_take(t, fake_text(1)))
			continue;
		set_state(t, "taken", fake_text(1));
		put_task(set, t);
		return;
	}
}

static struct fake_task *taken(void)
{
	struct fake_task *t = task_of(fake_number(1), fake_number(2));

	if (t == NULL || t->attempt != fake_number(3) ||
	    strcmp(t->worker, fake_text(4)) != 0 || strcmp(t->state, "taken") != 0)
		return NULL;
	return t;
}

static void worker_note(struct fake_set *set)
{
	struct fake_task *t = taken();

	if (t == NULL)
		return;
	t->items = fake_number(5);
	t->total = fake_number(6);
	set->changed = 1;
}

static void worker_end(struct fake_set *set)
{
	struct fake_task *t = taken();

	if (t == NULL)
		return;
	t->items = fake_number(5);
	t->total = fake_number(6);
	t->sound = fake_number(8) != 0;
	copy_text(t->why, sizeof(t->why), fake_text(9));
	set_state(t, fake_text(7), strcmp(fake_text(7), "free") == 0 ? "" : fake_text(4));
	set->changed = 1;
}

/* --- what the leader does ------------------------------------------------------------
 */

static void task_begin(struct fake_set *set)
{
	struct fake_task *t = task_of(fake_number(1), fake_number(2));

	(void)set;
	if (t != NULL && t->attempt == fake_number(3) && strcmp(t->state, "failed") != 0)
		return;
	if (t == NULL) {
		assert(db.n_tasks < TASKS_MOST);
		t = &db.tasks[db.n_tasks++];
	}
	*t = (struct fake_task){.instance = fake_number(1),
	                        .collection = fake_number(2),
	                        .attempt = fake_number(3),
	                        .donor = fake_number(4),
	                        .base = fake_number(9),
	                        .items = fake_number(10),
	                        .total = fake_number(11),
	                        .sound = true};
	copy_text(t->source, sizeof(t->source), fake_text(5));
	copy_text(t->tenant, sizeof(t->tenant), fake_text(6));
	copy_text(t->database, sizeof(t->database), fake_text(7));
	copy_text(t->made, sizeof(t->made), fake_text(8));
	set_state(t, "free", "");
}

static void task_free(struct fake_set *set)
{
	struct fake_task *t = taken();

	if (t == NULL || !is_silent(t->worker))
		return;
	set_state(t, "free", "");
	set->changed = 1;
}

static void task_look(struct fake_set *set)
{
	for (size_t k = 0; k < db.n_tasks; k++) {
		const struct fake_task *t = &db.tasks[k];
		const struct worker_row *w = worker_of(t->worker);

		fake_put_number(set, t->instance);
		fake_put_number(set, t->collection);
		fake_put_number(set, t->attempt);
		fake_put(set, t->state);
		fake_put(set, t->worker);
		fake_put(set, t->sound ? "t" : "f");
		fake_put(set, t->why);
		fake_put_number(set, t->items);
		fake_put_number(set, t->total);
		fake_put(set, is_silent(t->worker) ? "t" : "f");
		fake_put(set, w != NULL && w->has_session ? "f" : "t");
		fake_end_row(set);
	}
}

static void task_end(struct fake_set *set)
{
	struct fake_task *t = task_of(fake_number(1), fake_number(2));

	(void)set;
	if (t != NULL)
		remove_task(t);
}

static void task_distrust(struct fake_set *set)
{
	(void)set;
	for (size_t k = db.n_tasks; k-- > 0;)
		if (db.tasks[k].instance == fake_number(1))
			remove_task(&db.tasks[k]);
}

static void sweep_task(struct fake_set *set)
{
	(void)set;
	for (size_t k = db.n_tasks; k-- > 0;)
		if (!fake_is_rebuilt(db.tasks[k].instance, db.tasks[k].collection,
		                     db.tasks[k].attempt))
			remove_task(&db.tasks[k]);
}

const struct fake_statement fake_task_statements[] = {
        {"worker_beat", worker_beat},     {"worker_sweep", worker_sweep},
        {"worker_others", worker_others}, {"worker_goodbye", worker_goodbye},
        {"worker_take", worker_take},     {"worker_note", worker_note},
        {"worker_end", worker_end},       {"task_begin", task_begin},
        {"task_free", task_free},         {"task_look", task_look},
        {"task_end", task_end},           {"task_distrust", task_distrust},
        {"sweep_task", sweep_task},       {NULL, NULL},
};

void fake_tasks_stop(void)
{
	memset(&db, 0, sizeof(db));
}

/* --- another proxy -------------------------------------------------------------------
 */

void fake_pg_worker(const char *name, bool has_session)
{
	beat(name);
	worker_of(name)->has_session = has_session;
}

bool fake_pg_take_task(const char *worker)
{
	for (size_t k = 0; k < db.n_tasks; k++)
		if (strcmp(db.tasks[k].worker, worker) != 0 &&
		    (strcmp(db.tasks[k].state, "free") == 0 ||
		     strcmp(db.tasks[k].state, "taken") == 0)) {
			set_state(&db.tasks[k], "taken", worker);
			return true;
		}
	return false;
}

struct fake_task *fake_pg_take_free_task(const char *worker)
{
	for (size_t k = 0; k < db.n_tasks; k++)
		if (strcmp(db.tasks[k].state, "free") == 0) {
			set_state(&db.tasks[k], "taken", worker);
			return &db.tasks[k];
		}
	return NULL;
}

struct fake_task *fake_pg_task(unsigned k)
{
	return k < db.n_tasks ? &db.tasks[k] : NULL;
}
