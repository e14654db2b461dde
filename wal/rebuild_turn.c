/* wal/rebuild_turn.c - whose turn it is to be made anew, and what others see of it.
 *
 * The happy path: each EVERY_MS, an instance that takes writes and at which fewer are
 * under way than there are proxies to copy gets the next one: first one that has begun
 * and has rested, else the next in quarantine (quarantine.c says which).
 * When it does not go well:
 *   - the collection is deleted, or has healed by itself: it is abandoned, unless the
 *     change of places has begun; that comes to its end
 *   - it is about to be deleted and waits for such an end: it does not rest
 *   - REPAIR is off: only what an operator asks for */
#include <stdlib.h>

#include "core/job.h"
#include "core/mem.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/rebuild.h"
#include "wal/rebuild_private.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define EVERY_MS 100u

static const char *const step_names[] = {
        [STEP_WAITING] = "waiting",         [STEP_BEGINNING] = "beginning",
        [STEP_MAKING] = "beginning",        [STEP_COPYING] = "copying",
        [STEP_CATCHING_UP] = "catching up", [STEP_FREEZING] = "catching up",
        [STEP_LAST] = "catching up",        [STEP_CHECKING] = "catching up",
        [STEP_SWITCHING] = "switching",     [STEP_INSTALLING] = "switching",
        [STEP_ENDING] = "switching",        [STEP_ABANDONING] = "discarding",
};

struct rebuild_list rebuilds = TAILQ_HEAD_INITIALIZER(rebuilds);
static struct job *job;
static bool automatic;
static uint64_t n_rebuilt, n_items;

/* --- whose turn it is ----------------------------------------------------------------
 */

struct rebuild *rebuild_create(struct collection *c, unsigned target)
{
	struct rebuild *b = mem_new(struct rebuild);

	b->collection = collection_hold(c);
	b->target = target;
	b->since_wall_ms = clock_wall_ms();
	b->step = STEP_WAITING;
	rebuild_lane(b, target)->rebuild = b;
	TAILQ_INSERT_TAIL(&rebuilds, b, link);
	return b;
}

/* There may be ten thousand of them, each asked about ten times a second. */
static struct rebuild *find(const struct collection *c, unsigned target)
{
	return c->scope != NULL ? c->scope->lanes[target].rebuild : NULL;
}

/* As many as there are proxies to copy. */
static bool is_busy(unsigned target)
{
	const struct rebuild *b;
	unsigned n = 0;

	TAILQ_FOREACH (b, &rebuilds, link)
		n += b->target == target && b->step != STEP_WAITING;
	return n >= worker_count();
}

/* Deleted; or it has healed by itself while we waited. */
static bool is_of_no_use(const struct rebuild *b)
{
	return rebuild_is_gone(b) || !rebuild_lane(b, b->target)->parked;
}

static void look_after(struct rebuild *b)
{
	if (is_of_no_use(b) && !b->switching && b->step < STEP_SWITCHING)
		rebuild_abandon(b);
	else if (rebuild_is_gone(b) && b->step == STEP_WAITING)
		b->rest_until = 0; /* its delete waits for us */
}

static bool is_ready(const struct rebuild *b)
{
	return b->step == STEP_WAITING && b->pending == NULL &&
	       clock_ms() >= b->rest_until;
}

/* Those that have begun come before those that have not. NULL: none. */
static struct rebuild *next_ready(unsigned target)
{
	struct rebuild *b;

	TAILQ_FOREACH (b, &rebuilds, link)
		if (b->target == target && is_ready(b) &&
		    (b->switching || quarantine_may_be_healed(b->collection, target)))
			return b;
	return NULL;
}

static struct rebuild *next_new(unsigned target)
{
	struct collection *c = NULL;

	do
		c = quarantine_next_to_heal(target, c);
	while (c != NULL && find(c, target) != NULL);
	return c != NULL ? rebuild_create(c, target) : NULL;
}

static void give_turn(unsigned target)
{
	struct rebuild *b;

	if (!instance_writable(health_instance(target)) || pause_is_on(target) ||
	    is_busy(target))
		return;
	b = next_ready(target);
	if (b == NULL && automatic)
		b = next_new(target);
	if (b == NULL)
		return;
	quarantine_heal(b->collection, target, true);
	rebuild_move(b);
}

static void run(struct job *self, void *arg)
{
	struct rebuild *b, *next;

	(void)arg;
	for (b = TAILQ_FIRST(&rebuilds); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		look_after(b);
	}
	for (unsigned i = 0; wal_ready() && i < health_count(); i++)
		give_turn(i);
	job_rest(self, EVERY_MS);
}

/* --- the whole -----------------------------------------------------------------------
 */

void wal_each_rebuild(wal_rebuild_fn *fn, void *arg)
{
	const struct rebuild *b;

	TAILQ_FOREACH (b, &rebuilds, link) {
		const struct copy_progress *p = rebuild_progress(b);
		const struct wal_rebuild each = {
		        .collection = b->collection,
		        .in = health_instance(b->target),
		        .donor = b->has_donor ? health_instance(b->donor) : NULL,
		        .step = step_names[b->step],
		        .why = b->why != NULL ? b->why : "",
		        .attempt = b->attempt,
		        .items = p->items,
		        .total = p->total,
		        .worker = b->worker,
		        .rate = b->rate,
		        .since_wall_ms = b->since_wall_ms,
		};

		fn(arg, &each);
	}
	unproven_each(fn, arg);
}

enum status wal_rebuild(struct collection *c, const struct instance *in, const char *why)
{
	unsigned i = instance_index(in), donor;
	struct rebuild *b = find(c, i);

	if (c->life != LIFE_LIVE)
		return STATUS_NOT_FOUND;
	if (b != NULL)
		return STATUS_OK;
	b = rebuild_create(c, i);
	if (!rebuild_choose_donor(b, &donor)) {
		rebuild_drop(b);
		return STATUS_CONFLICT;
	}
	if (!rebuild_lane(b, i)->parked)
		quarantine_begin(c, i, rebuild_lane(b, i)->done, QUARANTINE_DIFFERS, 0,
		                 why);
	return STATUS_OK;
}

void rebuild_count(const struct rebuild *b)
{
	n_items += copy_progress(b->copy)->items;
}

void rebuild_ended(void)
{
	n_rebuilt++;
	job_kick(job);
}

void wal_rebuilt(uint64_t *collections, uint64_t *items)
{
	const struct rebuild *b;

	*collections = n_rebuilt;
	*items = n_items;
	TAILQ_FOREACH (b, &rebuilds, link)
		if (b->step == STEP_COPYING)
			*items += rebuild_progress(b)->items;
}

bool rebuild_remembers(unsigned target, int64_t collection, unsigned attempt)
{
	const struct rebuild *b;

	TAILQ_FOREACH (b, &rebuilds, link)
		if (b->target == target && b->collection->id == collection &&
		    attempt <= b->attempt)
			return true;
	return leftover_remembers(target, collection, attempt);
}

void rebuild_start(bool by_itself)
{
	automatic = by_itself;
	job = job_create("rebuild", run, NULL);
	job_rest(job, EVERY_MS);
	leftover_start();
	rebuild_task_start();
}

void rebuild_clear(void)
{
	struct rebuild *b;

	while ((b = TAILQ_FIRST(&rebuilds)) != NULL) {
		b->collection->scope->holds -= b->frozen;
		b->frozen = false; /* nobody is kicked any more */
		rebuild_drop(b);
	}
	leftover_clear();
}

void rebuild_stop(void)
{
	rebuild_clear();
	rebuild_task_stop();
	leftover_stop();
	job_destroy(&job);
}
