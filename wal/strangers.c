/* wal/strangers.c - when what the instances hold besides is adopted, and what is only
 * told.
 *
 * At the very first start (`open`: the catalogue has never been used) a Chroma full of
 * data may be behind us. What it has is adopted before any client is answered, so that
 * nobody is told that it is not there:
 *   run            every instance that is up, and was not looked through
 *   on_adopted     all of that is in the catalogue
 *   settle         and was compared with what others have under that name: clients need
 *                  not wait any more
 *   on_closed      every instance was looked through: the first start is over, for good
 * From then on:
 *   run            now and then, each instance
 *   on_looked      told: in the log, in the status; adopted, if that is the policy
 *   wal_adopt      ... or an operator's wish
 * When it does not go well:
 *   - an instance is down at the first start: clients do not wait for it. It is adopted
 *     from when it comes
 *   - it answers, but not this; or one collection takes long to compare: HOLD_MOST_MS,
 *     then clients do not wait any more
 *   - we lead no longer: the next leader begins anew */
#include <string.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/strangers.h"

#define LOOK_MS 50u
#define AGAIN_MS 5000u
#define FIRST_AGAIN_MS 1000u
#define HOLD_MOST_MS 30000u

static struct {
	struct job *job;
	int policy;
	msec interval;
	bool open;       /* the first start is not over */
	bool holds;      /* clients wait */
	msec moved_at;   /* when something was last executed meanwhile ... */
	uint64_t moved;  /* ... by then so much, and ... */
	unsigned parked; /* ... so many found lost, at most */
	int64_t epoch;
	unsigned asked, seen; /* instances, by bit */
	msec next_at[CONF_MAX_INSTANCES];
	struct stranger_list found;
	struct op *pending;
} strangers = {.found = TAILQ_HEAD_INITIALIZER(strangers.found)};

static unsigned all_instances(void)
{
	return (1u << health_count()) - 1;
}

static bool is_other_epoch(void)
{
	return !wal_leads() || lease_epoch() != strangers.epoch;
}

/* --- its row -------------------------------------------------------------------------
 */

static const struct pg_statement load = {"load_adoption",
                                         "SELECT open FROM chromatid.adoption"};
static const struct pg_statement close_it = {
        "close_adoption", "UPDATE chromatid.adoption SET open = false"};

void strangers_add_load(struct pg_unit *unit)
{
	pg_add(unit, &load, 0, NULL);
}

void strangers_loaded(const struct pg_results *r, int at)
{
	strangers.open = pg_rows(r, at) > 0 && pg_get_bool(r, at, 0, 0);
	strangers.holds = strangers.open && strangers.policy != ADOPT_NEVER &&
	                  strangers.job != NULL;
	strangers.moved_at = clock_ms();
	strangers.parked = 0;
	strangers.epoch = lease_epoch();
	strangers.seen = 0;
	memset(strangers.next_at, 0, sizeof(strangers.next_at));
}

static void on_closed(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)r;
	FAILPOINT("adopt_closed");
	if (s == STATUS_OK && !is_other_epoch())
		strangers.open = false;
	job_rest(strangers.job, s == STATUS_OK ? LOOK_MS : AGAIN_MS);
}

static void close_first_start(void)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &close_it, 0, NULL);
	FAILPOINT("adopt_closing");
	pg_submit(wal_pg(), unit, on_closed, NULL, &strangers.pending);
}

/* --- what is told --------------------------------------------------------------------
 */

static size_t count(const struct stranger_list *list, unsigned i, bool adopted)
{
	const struct stranger *x;
	size_t n = 0;

	TAILQ_FOREACH (x, list, link)
		n += x->kind == STRANGER_COLLECTION && x->instance == i &&
		     (!adopted || x->outcome != NULL) &&
		     (!adopted || strcmp(x->outcome, "adopted") == 0);
	return n;
}

static void tell(unsigned i, size_t before, size_t now)
{
	const char *name = instance_name(health_instance(i));

	if (now == before)
		return;
	if (now == 0)
		log_info("strangers", "instance %s holds no such collections any more",
		         name);
	else
		log_warn("strangers",
		         "instance %s holds %zu collections that were not made through "
		         "this proxy: they are neither shown nor replicated",
		         name, now);
}

static void forget_found_at(unsigned i)
{
	struct stranger_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct stranger *x, *next;

	for (x = TAILQ_FIRST(&strangers.found); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->instance != i)
			continue;
		TAILQ_REMOVE(&strangers.found, x, link);
		TAILQ_INSERT_TAIL(&gone, x, link);
	}
	strangers_free(&gone);
}

/* What was found there takes the place of what was known. */
static void keep(unsigned i, struct stranger_list *found)
{
	size_t before = count(&strangers.found, i, false);
	struct stranger *x, *next;

	forget_found_at(i);
	for (x = TAILQ_FIRST(found); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->instance != i || x->kind != STRANGER_COLLECTION)
			continue;
		TAILQ_REMOVE(found, x, link);
		TAILQ_INSERT_TAIL(&strangers.found, x, link);
	}
	tell(i, before, count(&strangers.found, i, false));
}

/* --- the first start -----------------------------------------------------------------
 */

static void stop_holding(void)
{
	if (!strangers.holds)
		return;
	strangers.holds = false;
	log_info("adopt", "the instances have been looked through: clients are answered");
}

static bool all_decided(const struct stranger_list *found)
{
	const struct stranger *x;

	TAILQ_FOREACH (x, found, link)
		if (x->outcome == NULL || strcmp(x->outcome, "not now") == 0)
			return false;
	return true;
}

static void tell_adopted(const struct stranger_list *found)
{
	for (unsigned i = 0; i < health_count(); i++) {
		size_t n = count(found, i, true);

		if (n > 0)
			log_info("adopt", "%zu collections adopted from instance %s", n,
			         instance_name(health_instance(i)));
	}
}

static void on_adopted(void *arg, unsigned scanned, struct stranger_list *found)
{
	(void)arg;
	if (is_other_epoch()) {
		job_rest(strangers.job, LOOK_MS);
		return;
	}
	tell_adopted(found);
	if (all_decided(found))
		strangers.seen |= scanned;
	job_rest(strangers.job,
	         (strangers.asked & ~strangers.seen) == 0 ? LOOK_MS : FIRST_AGAIN_MS);
}

static uint64_t executed(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < health_count(); i++)
		n += engine_counts(i)->executed;
	return n;
}

/* Nothing has happened for so long. (Clients' writes wait, so it is about us.) */
static bool has_waited_long(void)
{
	if (executed() != strangers.moved || wal_quarantined() > strangers.parked) {
		strangers.moved = executed();
		strangers.parked = wal_quarantined();
		strangers.moved_at = clock_ms();
	}
	return clock_ms() - strangers.moved_at >= HOLD_MOST_MS;
}

static unsigned writable_of(unsigned instances)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (!instance_writable(health_instance(i)))
			instances &= ~(1u << i);
	return instances;
}

static void begin(unsigned instances, bool first, adopt_fn *done)
{
	struct adopt_spec spec = {.instances = instances,
	                          .count = !first,
	                          .adopt = first || strangers.policy == ADOPT_ALWAYS};

	strangers.asked = instances;
	adopt_start(&spec, done, NULL, &strangers.pending);
}

/* At some instance that could, it was not looked for yet. */
static bool is_to_be_claimed(const struct record *r)
{
	if (r->kind != RECORD_ADOPT_COLLECTION)
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (r->turns[i].state < TURN_DONE &&
		    instance_writable(health_instance(i)) &&
		    !r->collection->scope->lanes[i].parked)
			return true;
	return false;
}

static bool all_claimed(void)
{
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link)
		if (is_to_be_claimed(r))
			return false;
	return true;
}

static void settle(void)
{
	if (strangers.holds && (all_claimed() || has_waited_long()))
		stop_holding();
}

/* Of those that were not looked through. */
static unsigned first_now(void)
{
	return health_known() && strangers.policy != ADOPT_NEVER
	               ? writable_of(all_instances() & ~strangers.seen)
	               : 0;
}

static bool is_first_start_over(void)
{
	return strangers.policy == ADOPT_NEVER || strangers.seen == all_instances();
}

/* False: there is nothing to do for it now. */
static bool first_start(void)
{
	unsigned now = first_now();

	if (now != 0) {
		if (has_waited_long())
			stop_holding();
		begin(now, true, on_adopted);
		return true;
	}
	if (health_known())
		settle();
	if (!strangers.holds && is_first_start_over()) {
		close_first_start();
		return true;
	}
	return false;
}

/* --- from then on --------------------------------------------------------------------
 */

static void on_looked(void *arg, unsigned scanned, struct stranger_list *found)
{
	(void)arg;
	if (!is_other_epoch())
		tell_adopted(found);
	for (unsigned i = 0; i < health_count() && !is_other_epoch(); i++) {
		bool done = (scanned & 1u << i) != 0;
		msec wait = done || strangers.interval < AGAIN_MS ? strangers.interval
		                                                  : AGAIN_MS;

		if ((strangers.asked & 1u << i) == 0)
			continue;
		strangers.next_at[i] = clock_ms() + wait;
		if (done)
			keep(i, found);
	}
	job_rest(strangers.job, LOOK_MS);
}

static unsigned due(void)
{
	unsigned instances = 0;

	for (unsigned i = 0; i < health_count(); i++)
		if (clock_ms() >= strangers.next_at[i])
			instances |= 1u << i;
	if (strangers.open)
		instances &= strangers.holds ? 0 : strangers.seen;
	return writable_of(instances);
}

static void run(struct job *job, void *arg)
{
	unsigned instances;

	(void)arg;
	if (!wal_ready() || is_other_epoch())
		job_rest(job, LOOK_MS);
	else if (strangers.open && first_start())
		return;
	else if ((instances = due()) != 0)
		begin(instances, false, on_looked);
	else
		job_rest(job, LOOK_MS);
}

/* --- the door ------------------------------------------------------------------------
 */

bool wal_adopting(void)
{
	return strangers.holds;
}

bool wal_adopts_tenants(void)
{
	return strangers.job != NULL && strangers.policy != ADOPT_NEVER;
}

static struct wal_stranger told(const struct stranger *x)
{
	return (struct wal_stranger){
	        .in = health_instance(x->instance),
	        .tenant = x->tenant,
	        .database = x->database,
	        .name = x->name,
	        .id = x->id,
	        .items = x->items,
	        .outcome = x->outcome != NULL ? x->outcome : "",
	};
}

void wal_each_stranger(const struct stranger_list *list, wal_stranger_fn *fn, void *arg)
{
	const struct stranger *x;

	TAILQ_FOREACH (x, list != NULL ? list : &strangers.found, link) {
		struct wal_stranger each = told(x);

		fn(arg, &each);
	}
}

unsigned wal_strangers(unsigned i)
{
	return (unsigned)count(&strangers.found, i, false);
}

void wal_adopt(const struct wal_adoption *what, wal_adopted_fn *done, void *arg,
               struct op **slot)
{
	struct adopt_spec spec = {.instances = what->in == NULL
	                                               ? all_instances()
	                                               : 1u << instance_index(what->in),
	                          .name = what->collection,
	                          .count = true,
	                          .adopt = !what->dry};

	memset(strangers.next_at, 0, sizeof(strangers.next_at)); /* tell of it soon */
	adopt_start(&spec, done, arg, slot);
}

void strangers_clear(void)
{
	strangers.holds = strangers.open = false;
	strangers.epoch = 0;
	strangers_free(&strangers.found);
}

void wal_adopt_start(const struct conf *conf)
{
	strangers.policy = conf->adopt;
	strangers.interval = conf->adopt_interval;
	scan_configure(conf->adopt_tenants);
	strangers.job = job_create("strangers", run, NULL);
	job_kick(strangers.job);
}

void wal_adopt_stop(void)
{
	look_stop();
	op_cancel(&strangers.pending);
	job_destroy(&strangers.job);
	scan_configure(NULL);
}
