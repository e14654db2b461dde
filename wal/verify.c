/* wal/verify.c - are the instances equal? What is compared when, and what was found last.
 *
 * One collection at a time (verify_pass.c):
 *   - somebody wants to know (POST /admin/verify): everything, of one or of all
 *   - each collection within VERIFY_INTERVAL everything, and its ids 96 times as often
 *   - an instance has been away, or connections to it broke: ids and search indexes as
 *     soon as it has caught up (a Chroma that is killed loses vectors from its index),
 * and everything within a twelfth of the interval
 *   - it was made anew: everything, at once, before anything else, for nobody reads it
 *     there until then (unproven.c). Not which index is better: of what is written to all
 *     the time the newer one is, and they would be made anew in turn for ever
 * What nobody waits for takes one part in fifty of an instance's time, what somebody
 * waits for one in four; what was made anew, too, and after it could not be compared a
 * half, and then all of it. That is several times faster than a Chroma can be written to,
 * so clients that write all the time do not keep it from its end.
 *
 * What was found: verify_found.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/random.h"
#include "wal/heal.h"
#include "wal/unproven.h"
#include "wal/verify_private.h"

#define EVERY_MS 500u
#define REFRESH_MS 5000u
#define IDS_PER_INTERVAL 96u
#define AWAY_PER_INTERVAL 12u
#define AWAY_AFTER_MS 3000u
#define START_AFTER_MS 30000u
#define AGAIN_FIRST_MS 5000u
#define AGAIN_DOUBLINGS 6u
#define SHARE_SCHEDULED 50u
#define SHARE_SOON 10u
#define SHARE_DEMANDED 4u
#define SHARE_UNPROVEN 4u

static TAILQ_HEAD(verified_list, verified) all = TAILQ_HEAD_INITIALIZER(all);
static struct table by_id;
static struct job *job;
static msec interval, refreshed;
static bool repairs;

static struct {
	struct pass pass;
	struct verified *of; /* NULL: nothing is compared */
	bool demanded;
	bool proves; /* what was made anew: the content counts, an index is as new as can
	                be */
} now;

static struct {
	struct wal_verify_figures figures;
	enum wal_verify_repair repair;
} asked;

static struct {
	int64_t away_wall_ms; /* was away last; 0: not since we know */
	uint64_t broken;      /* calls that ended so */
} instances[CONF_MAX_INSTANCES];

enum { IDS, CONTENT, INDEX };

/* --- which there are ------------------------------------------------------------------
 */

static struct verified *find(const struct collection *c)
{
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)c->id);
	return table_get(&by_id, id);
}

static msec within(msec most)
{
	return 1 + (msec)(random_unit() * (double)most);
}

static void plan(struct verified *v)
{
	msec at = clock_ms() + START_AFTER_MS;

	if (interval == 0)
		return;
	v->due[IDS] = at + within(interval / IDS_PER_INTERVAL);
	v->due[CONTENT] = at + within(interval);
	v->due[INDEX] = at + within(interval / AWAY_PER_INTERVAL);
}

static struct verified *create(struct collection *c)
{
	struct verified *v = mem_new(struct verified);
	char id[24];

	v->collection = collection_hold(c);
	v->found.collection = c;
	v->found.why = "";
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		v->found.recall[i] = -1;
		v->was[i] = 1;
	}
	plan(v);
	snprintf(id, sizeof(id), "%lld", (long long)c->id);
	table_put(&by_id, id, v);
	TAILQ_INSERT_TAIL(&all, v, link);
	return v;
}

static void drop(struct verified *v)
{
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)v->collection->id);
	table_remove(&by_id, id);
	TAILQ_REMOVE(&all, v, link);
	collection_release(&v->collection);
	free(v);
}

static struct verified *get(struct collection *c)
{
	struct verified *v = find(c);

	return v != NULL ? v : create(c);
}

static void refresh(void)
{
	struct verified *v, *next;
	struct database *db;
	struct collection *c;

	refreshed = clock_ms();
	unproven_sweep();
	for (v = TAILQ_FIRST(&all); v != NULL; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->collection->life == LIFE_GONE && v != now.of && !v->demanded)
			drop(v);
	}
	for (db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db))
		TAILQ_FOREACH (c, &db->collections, link)
			if (c->life == LIFE_LIVE)
				get(c);
}

/* --- one after the other --------------------------------------------------------------
 */

static void later(struct verified *v)
{
	unsigned n = v->failures < AGAIN_DOUBLINGS ? v->failures++ : v->failures;

	v->not_before = clock_ms() + random_jitter((msec)AGAIN_FIRST_MS << n);
}

static void planned_again(struct verified *v, unsigned levels)
{
	msec at = clock_ms();

	v->failures = 0;
	v->not_before = 0;
	v->soon = false;
	if ((levels & (LEVEL_IDS | LEVEL_CONTENT)) != 0)
		v->due[IDS] = interval > 0
		                      ? at + random_jitter(interval / IDS_PER_INTERVAL)
		                      : 0;
	if ((levels & LEVEL_CONTENT) != 0)
		v->due[CONTENT] = interval > 0 ? at + random_jitter(interval) : 0;
	if ((levels & LEVEL_INDEX) != 0)
		v->due[INDEX] = interval > 0 ? at + random_jitter(interval) : 0;
}

static void one_more(bool differs)
{
	struct wal_verify_figures *f = &asked.figures;

	f->differing += differs;
	if (++f->checked < f->collections)
		return;
	f->running = false;
	f->finished_wall_ms = clock_wall_ms();
	log_info("verify", "job %lld: %u collections compared, %u differ",
	         (long long)f->job, f->checked, f->differing);
}

static void count(enum wal_verified result)
{
	asked.figures.results[result]++;
	asked.figures.last_finished_wall_ms = clock_wall_ms();
	if (now.demanded)
		one_more(result != VERIFIED_EQUAL && result != VERIFIED_UNFINISHED);
}

/* Of those that differ one is right, and stays. */
static void prove(const struct pass *p, enum wal_verified result)
{
	if (result == VERIFIED_UNFINISHED)
		unproven_not_found(p->collection, p->unfinished);
	else if ((p->levels & LEVEL_CONTENT) != 0 && __builtin_popcount(p->who) > 1)
		unproven_found(p->collection, p->who & ~p->wrong);
}

static void on_pass_over(void *arg)
{
	struct verified *v = now.of;
	struct pass *p = &now.pass;
	bool was_known = v->known;
	enum wal_verified before = v->found.result, result = found_take(v, p);

	(void)arg;
	found_say(v);
	if (result == VERIFIED_UNFINISHED)
		later(v);
	else
		planned_again(v, now.proves ? p->levels & ~(unsigned)LEVEL_INDEX
		                            : p->levels);
	prove(p, result);
	count(result);
	if (!was_known || before != v->found.result || (p->levels & LEVEL_CONTENT) != 0)
		found_keep(v, p->at);
	now.of = NULL;
	v->demanded = v->demanded && !now.demanded;
	pass_clear(p);
	job_rest(job, asked.figures.running || now.proves ? 0 : EVERY_MS);
}

static unsigned due_levels(const struct verified *v)
{
	msec at = clock_ms();
	unsigned levels = 0;

	if (v->demanded || (v->not_before <= at && unproven_at(v->collection) != 0))
		return LEVEL_IDS | LEVEL_CONTENT | LEVEL_INDEX;
	if (v->not_before > at)
		return 0;
	if (v->due[IDS] != 0 && v->due[IDS] <= at)
		levels |= LEVEL_IDS;
	if (v->due[CONTENT] != 0 && v->due[CONTENT] <= at)
		levels |= LEVEL_IDS | LEVEL_CONTENT | LEVEL_INDEX;
	if (v->due[INDEX] != 0 && v->due[INDEX] <= at)
		levels |= LEVEL_INDEX;
	return levels;
}

static unsigned rank(const struct verified *v)
{
	if (v->not_before <= clock_ms() && unproven_at(v->collection) != 0)
		return 4;
	return v->demanded ? 3 : v->soon ? 2 : 1;
}

/* What is not read before, what somebody waits for, then what is wanted soon, then the
 * rest. */
static struct verified *next(unsigned *levels)
{
	struct verified *v, *best = NULL;
	unsigned highest = 0;

	TAILQ_FOREACH (v, &all, link) {
		unsigned due = due_levels(v);

		if (due == 0 || v->collection->life != LIFE_LIVE || rank(v) <= highest)
			continue;
		best = v;
		highest = rank(v);
		*levels = due;
	}
	return best;
}

static unsigned share_of(const struct verified *v)
{
	if (unproven_at(v->collection) != 0)
		return SHARE_UNPROVEN >> (v->failures < 2 ? v->failures : 2);
	return v->demanded ? SHARE_DEMANDED : v->soon ? SHARE_SOON : SHARE_SCHEDULED;
}

/* One that was away since all were equal is trusted less. */
static unsigned troubled_since(int64_t wall_ms)
{
	unsigned who = 0;

	for (unsigned i = 0; i < health_count(); i++)
		if (instances[i].away_wall_ms > wall_ms)
			who |= 1u << i;
	return who;
}

static void begin(struct verified *v, unsigned levels)
{
	struct pass *p = &now.pass;

	memset(p, 0, sizeof(*p));
	now.of = v;
	now.demanded = v->demanded;
	p->collection = collection_hold(v->collection);
	p->levels = levels;
	p->share = share_of(v);
	p->repair = !v->demanded || asked.repair == VERIFY_BY_POLICY
	                    ? repairs
	                    : asked.repair == VERIFY_REPAIR;
	p->troubled = troubled_since(v->found.equal_wall_ms) | unproven_at(v->collection);
	now.proves = unproven_at(v->collection) != 0;
	v->made_anew |= unproven_at(v->collection);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		p->scores[i].was =
		        now.proves || (v->made_anew >> i & 1) != 0 ? 0.5 : v->was[i];
	p->done = on_pass_over;
	pass_begin(p);
}

/* A demanded one that is gone is done. */
static void drop_gone(void)
{
	struct verified *v;

	TAILQ_FOREACH (v, &all, link) {
		if (!v->demanded || v->collection->life == LIFE_LIVE)
			continue;
		v->demanded = false;
		one_more(false);
	}
}

static void notice_broken(void);

static void run(struct job *self, void *arg)
{
	struct verified *v = NULL;
	unsigned levels = 0;

	(void)arg;
	if (wal_ready()) {
		notice_broken();
		drop_gone();
		if (clock_ms() >= refreshed + REFRESH_MS)
			refresh();
		v = next(&levels);
	}
	if (v != NULL)
		begin(v, levels);
	else
		job_rest(self, EVERY_MS);
}

/* --- an instance was away --------------------------------------------------------------
 */

static void hurry(struct verified *v, int which, msec wait)
{
	msec at = clock_ms() + wait;

	if (v->due[which] == 0 || v->due[which] > at)
		v->due[which] = at;
}

static void was_away(unsigned i)
{
	struct verified *v;

	instances[i].away_wall_ms = clock_wall_ms();
	TAILQ_FOREACH (v, &all, link) {
		v->not_before = 0;
		if (interval == 0)
			continue;
		v->soon = true;
		hurry(v, IDS, AWAY_AFTER_MS);
		hurry(v, INDEX, AWAY_AFTER_MS);
		hurry(v, CONTENT, within(interval / AWAY_PER_INTERVAL));
	}
}

static void on_health(struct instance *in, enum health was, void *arg)
{
	(void)arg;
	if (was == HEALTH_DOWN && instance_up(in))
		was_away(instance_index(in));
}

/* It may have been killed and started again between two probes. */
static void notice_broken(void)
{
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance_figures f = instance_figures(health_instance(i));
		uint64_t broken = f.signals[SIGNAL_BROKEN] + f.signals[SIGNAL_REFUSED];

		if (broken == instances[i].broken)
			continue;
		instances[i].broken = broken;
		if (instance_up(health_instance(i)))
			was_away(i);
	}
}

/* --- wanted ----------------------------------------------------------------------------
 */

void verify_soon(struct collection *c)
{
	struct verified *v = c->life == LIFE_LIVE ? get(c) : NULL;

	if (v == NULL)
		return;
	v->failures = 0;
	v->not_before = 0;
}

static unsigned demand_all(void)
{
	struct verified *v;
	unsigned n = 0;

	refresh();
	TAILQ_FOREACH (v, &all, link) {
		if (v->collection->life != LIFE_LIVE)
			continue;
		v->demanded = true;
		n++;
	}
	return n;
}

enum status wal_verify(struct collection *c, enum wal_verify_repair repair, int64_t *id)
{
	struct wal_verify_figures *f = &asked.figures;

	*id = f->job;
	if (f->running)
		return STATUS_BUSY;
	if (c != NULL && c->life != LIFE_LIVE)
		return STATUS_NOT_FOUND;
	*id = ++f->job;
	asked.repair = repair;
	f->collections = c != NULL ? 1 : demand_all();
	if (c != NULL)
		get(c)->demanded = true;
	f->checked = f->differing = 0;
	f->running = f->collections > 0;
	f->started_wall_ms = clock_wall_ms();
	f->finished_wall_ms = f->running ? 0 : f->started_wall_ms;
	if (now.of == NULL)
		job_kick(job);
	return STATUS_OK;
}

void wal_each_verification(wal_verification_fn *fn, void *arg)
{
	const struct verified *v;

	TAILQ_FOREACH (v, &all, link)
		if (v->known && v->collection->life == LIFE_LIVE)
			fn(arg, &v->found);
}

struct wal_verify_figures wal_verify_figures(void)
{
	struct wal_verify_figures f = asked.figures;
	const struct verified *v;

	f.now = now.of != NULL ? now.of->collection : NULL;
	f.items = now.of != NULL ? now.pass.items : 0;
	f.total = now.of != NULL ? now.pass.total : 0;
	TAILQ_FOREACH (v, &all, link)
		for (unsigned k = 0; k < WAL_VERIFIED_KINDS; k++)
			f.differences += v->known ? v->found.found[k] : 0;
	return f;
}

/* --- after a restart -------------------------------------------------------------------
 */

static const struct pg_statement load = {
        "load_verification", "SELECT collection, (extract(epoch FROM at) * 1000)::bigint,"
                             " coalesce((extract(epoch FROM equal_at) * 1000)::bigint, 0)"
                             " FROM chromatid.verification"};

static const struct pg_statement sweep = {
        "sweep_verification",
        "DELETE FROM chromatid.verification v WHERE NOT EXISTS (SELECT 1 FROM"
        " chromatid.collection c WHERE c.id = v.collection AND c.life < 2)"};

void verify_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
}

static void plan_after(struct verified *v, int64_t equal_wall_ms)
{
	int64_t since = clock_wall_ms() - equal_wall_ms;
	msec ago = since > 0 ? (msec)since : 0;

	v->found.equal_wall_ms = equal_wall_ms;
	if (interval > 0 && equal_wall_ms > 0)
		v->due[CONTENT] =
		        clock_ms() + START_AFTER_MS +
		        (ago < interval ? interval - ago : within(interval / 10));
}

void verify_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		struct collection *c =
		        table_get(&found->collections, pg_get_text(r, at + 1, row, 0));

		if (c != NULL && c->life == LIFE_LIVE)
			plan_after(get(c), pg_get_int8(r, at + 1, row, 2));
	}
}

/* --- the whole -------------------------------------------------------------------------
 */

void verify_start(const struct conf *conf)
{
	interval = conf->verify_interval;
	repairs = conf->repair == REPAIR_AUTO;
	refreshed = 0;
	memset(&asked, 0, sizeof(asked));
	memset(instances, 0, sizeof(instances));
	health_on_change(on_health, NULL);
	job = job_create("verify", run, NULL);
	job_rest(job, EVERY_MS);
}

void verify_clear(void)
{
	struct verified *v;
	bool worked = now.of != NULL;

	if (worked)
		pass_clear(&now.pass);
	now.of = NULL;
	found_clear();
	asked.figures.running = false;
	while ((v = TAILQ_FIRST(&all)) != NULL)
		drop(v);
	table_clear(&by_id);
	if (worked && job != NULL)
		job_rest(job, EVERY_MS);
}

void verify_stop(void)
{
	verify_clear();
	job_destroy(&job);
}
