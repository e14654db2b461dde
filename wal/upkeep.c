/* wal/upkeep.c - the job that keeps the log: there is always a partition for what comes,
 * and what nobody needs any more goes, so that the disk does not fill.
 *
 * The happy path:
 *   run         note for each instance up to where nothing is owed; what belongs to
 *               records that have gone goes too, a little at a time
 *   look        how large and how old are the partitions, who is behind
 *   on_looked   retain.c decides on one step
 *   on_done     once more from the beginning; nothing to do: rest
 * When it does not go well:
 *   - we do not lead: nothing goes, but partitions are added all the same: the one that
 *     leads may be of an older version, which does not know of them
 *   - somebody reads the log, so that the partition cannot go: appends have waited for
 *     80 ms at most, nothing has happened; again later
 *   - an append finds no partition (upkeep_now): at once
 *   - an instance is detached: first nothing is begun there any more, then it is durable,
 *     then what it is owed goes. Whoever dies in between finds it as it was, or detached
 *
 * A cleanup (cleanup.c) is the same with another age, until there is nothing to do. */
#include <stdlib.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/errand.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/retain.h"

#define EVERY_MS 5000u
#define NEAR_LIMIT_MS 1000u
#define BUSY_MS 20u
#define DEAD_MS 30000u   /* it may only be starting again */
#define BLOCKED_TOLD 12u /* tries */

static struct {
	struct job *job;
	struct op *pending;
	msec retention;
	uint64_t limit;
	bool looked;
	int64_t looked_wall_ms;
	struct partition_view view;
	struct retain_instance *facts; /* as many as view.instances */
	struct retain_decision step;   /* the one under way */
	unsigned level;                /* that was told */
	unsigned blocked; /* tries in a row that somebody was in the way of */
	bool stuck, untidy;
} upkeep;

static void begin(void);

static bool leads(void)
{
	return wal_leads() && lease_may_send();
}

/* --- the end of a run -------------------------------------------------------------- */

static void rest(void)
{
	msec wait = upkeep.level > 0 ? NEAR_LIMIT_MS : EVERY_MS;

	cleanup_end(STATUS_OK);
	job_rest(upkeep.job, upkeep.untidy ? BUSY_MS : wait);
}

static void failed(enum status s, const struct pg_results *r)
{
	if (s == STATUS_DB_REFUSED)
		log_warn("retention", "PostgreSQL refused: %s", pg_message(r));
	cleanup_end(s);
	job_failed(upkeep.job);
}

/* --- what is told ------------------------------------------------------------------ */

static struct retain_facts facts_of(void)
{
	return (struct retain_facts){
	        .partitions = upkeep.view.partitions,
	        .n_partitions = upkeep.view.n_partitions,
	        .instances = upkeep.facts,
	        .n_instances = upkeep.view.n_instances,
	        .clock = upkeep.view.clock,
	        .other_bytes = upkeep.view.other_bytes,
	        .limit = upkeep.limit,
	        .retention_ms = (int64_t)upkeep.retention,
	        .keep_ms = cleanup_asked() ? cleanup_age_ms() : (int64_t)upkeep.retention,
	        .asked = cleanup_asked(),
	        .leads = leads(),
	};
}

static void tell_level(const struct retain_facts *f)
{
	uint64_t bytes = retain_bytes(f);
	unsigned now = retain_level(bytes, f->limit, upkeep.level);

	if (now > upkeep.level)
		log_warn("retention",
		         "the log takes %llu MB, %u %% of LOG_MAX_BYTES or more; what "
		         "instances are owed is kept, then WAL_RETENTION; see /status",
		         (unsigned long long)(bytes >> 20), now);
	else if (now < upkeep.level)
		log_info("retention", "the log takes %llu MB",
		         (unsigned long long)(bytes >> 20));
	upkeep.level = now;
}

static void tell_stuck(bool stuck)
{
	if (stuck && !upkeep.stuck)
		log_error("retention",
		          "the log is at LOG_MAX_BYTES and nothing of it can go: it "
		          "grows on, look after the disk; an instance that is up must "
		          "catch up, or one that is down must be started or removed");
	upkeep.stuck = stuck;
}

static void tell_blocked(void)
{
	if (++upkeep.blocked == BLOCKED_TOLD)
		log_warn("retention",
		         "old parts of the log cannot go, somebody reads it without end "
		         "(pg_stat_activity); tried again and again");
}

/* --- steps ------------------------------------------------------------------------- */

static const struct partition_instance *chosen(void)
{
	return &upkeep.view.instances[upkeep.step.instance];
}

/* Index of the one that is being detached; -1: it is not configured. */
static int chosen_index(void)
{
	return store_instance_index(chosen()->id);
}

static void detached(void)
{
	int i = chosen_index();

	log_error("retention",
	          "instance %s is detached: %s; nothing of the log is kept for it any "
	          "more, when it returns it is made anew from another",
	          chosen()->name,
	          upkeep.step.early ? "it is the furthest behind, and the log is at "
	                              "LOG_MAX_BYTES"
	                            : "it has not been configured for WAL_RETENTION");
	FAILPOINT("retention_detached");
	if (i >= 0)
		detach_drop((unsigned)i);
}

static void dropped(const struct pg_results *r)
{
	uint64_t n;

	if (!partition_has_gone(r, 1, &n))
		return; /* there were many keys: again */
	upkeep.blocked = 0;
	FAILPOINT("retention_dropped");
	if (cleanup_asked())
		cleanup_counts(n);
	else if (upkeep.step.early)
		log_warn("retention",
		         "%llu records went from the log before WAL_RETENTION: it is at "
		         "LOG_MAX_BYTES",
		         (unsigned long long)n);
	else
		log_info("retention", "%llu records went from the log",
		         (unsigned long long)n);
}

/* The places between are not given any more. If that begins where our knowledge ends, it
 * is known up to there (who appends holds the clock until that is in the log or not, also
 * where we have lost its answer); else the tail is read. */
static void closed(const struct pg_results *r)
{
	if (partition_was_closed(r, 1) == append_last_seq())
		append_reached(upkeep.step.hi - 1);
	else
		tail_kick();
}

static void succeeded(const struct pg_results *r)
{
	switch (upkeep.step.step) {
	case RETAIN_CLOSE:
		closed(r);
		break;
	case RETAIN_DROP:
		dropped(r);
		break;
	case RETAIN_DETACH:
		detached();
		break;
	default:
		FAILPOINT("retention_added");
	}
}

static void undo_step(void)
{
	int i;

	if (upkeep.step.step != RETAIN_DETACH)
		return;
	i = chosen_index();
	if (i >= 0)
		detach_begin((unsigned)i, false);
	engine_kick_all();
}

static void on_done(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_OK) {
		succeeded(r);
		begin();
		return;
	}
	undo_step();
	if (s == STATUS_DB_REFUSED && upkeep.step.step == RETAIN_DROP) {
		tell_blocked();
		cleanup_blocked();
		rest();
	} else {
		failed(s, r);
	}
}

/* From now on nothing is begun there; it is down, and nothing is under way. */
static void begin_detach(struct pg_unit *unit)
{
	int i = chosen_index();

	if (i >= 0)
		detach_begin((unsigned)i, true);
	partition_add_detach(unit, chosen()->id);
	FAILPOINT("retention_detaching");
}

/* What changes places or instances goes with the appends, in order; the rest beside
 * them. */
static void do_step(void)
{
	const struct retain_decision *d = &upkeep.step;
	struct pg_unit *unit = pg_unit_create();
	struct pg *pg = wal_upkeep();

	if (d->step != RETAIN_ADD)
		persist_add_fence(unit);
	switch (d->step) {
	case RETAIN_CLOSE:
		partition_add_close(unit, d->hi);
		pg = wal_pg();
		break;
	case RETAIN_DROP:
		FAILPOINT("retention_dropping");
		partition_add_drop(unit, d->lo, d->hi);
		break;
	case RETAIN_DETACH:
		begin_detach(unit);
		pg = wal_pg();
		break;
	default:
		FAILPOINT("retention_adding");
		partition_add_create(unit, d->lo, d->hi);
	}
	pg_submit(pg, unit, on_done, NULL, &upkeep.pending);
}

/* --- looking ----------------------------------------------------------------------- */

static struct retain_instance fact_of(const struct partition_instance *p)
{
	struct retain_instance f = {
	        .floor = p->floor, .detached = p->detached, .unseen_ms = p->unseen_ms};
	int found = store_instance_index(p->id);
	unsigned i = (unsigned)found;
	const struct instance *in;

	if (found < 0 || !wal_leads())
		return f;
	in = health_instance(i);
	f.configured = true;
	f.detached = detach_is(i);
	f.up = instance_up(in);
	f.dead = instance_health(in) == HEALTH_DOWN && !instance_answers(in) &&
	         instance_away(in) >= DEAD_MS;
	f.busy = slots_in_flight(i) > 0;
	f.whole = quarantine_count(i) == 0;
	return f;
}

static void take_facts(void)
{
	size_t n = upkeep.view.n_instances;

	free(upkeep.facts);
	upkeep.facts = mem_array(n + 1, sizeof(struct retain_instance));
	for (size_t k = 0; k < n; k++)
		upkeep.facts[k] = fact_of(&upkeep.view.instances[k]);
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	struct retain_facts facts;

	(void)arg;
	if (s != STATUS_OK) {
		failed(s, r);
		return;
	}
	partition_looked(&upkeep.view, r, 0);
	upkeep.looked = true;
	upkeep.looked_wall_ms = clock_wall_ms();
	take_facts();
	facts = facts_of();
	tell_level(&facts);
	upkeep.step = retain_decide(&facts);
	tell_stuck(upkeep.step.stuck);
	if (upkeep.step.step == RETAIN_REST)
		rest();
	else
		do_step();
}

static void look(void)
{
	struct pg_unit *unit = pg_unit_create();

	partition_add_look(unit);
	pg_submit(wal_upkeep(), unit, on_looked, NULL, &upkeep.pending);
}

/* --- a run ------------------------------------------------------------------------- */

static void on_tidied(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	upkeep.untidy = s == STATUS_OK && partition_is_untidy(r, 1);
	if (s == STATUS_OK)
		look();
	else
		failed(s, r);
}

static void tidy(void)
{
	struct pg_unit *unit = pg_unit_create();
	wal_seq below = upkeep.view.n_partitions > 0 ? upkeep.view.partitions[0].lo : 0;

	persist_add_fence(unit);
	partition_add_tidy(unit, upkeep.retention, below);
	errand_add_tidy(unit);
	pg_submit(wal_upkeep(), unit, on_tidied, NULL, &upkeep.pending);
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_OK)
		tidy();
	else
		failed(s, r);
}

/* With the appends: a floor is durable behind the positions it speaks of. */
static void note_floors(void)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	for (unsigned i = 0; i < health_count(); i++)
		partition_add_floor(unit, i);
	pg_submit(wal_pg(), unit, on_noted, NULL, &upkeep.pending);
}

static void begin(void)
{
	if (leads())
		note_floors();
	else if (wal_migrated() && pg_state(wal_upkeep()) == PG_UP)
		look();
	else
		rest();
}

static void run(struct job *self, void *arg)
{
	(void)self;
	(void)arg;
	begin();
}

/* --- its life ---------------------------------------------------------------------- */

void upkeep_start(const struct conf *conf)
{
	upkeep.retention = conf->wal_retention;
	upkeep.limit = (uint64_t)conf->log_max_bytes;
	upkeep.job = job_create("upkeep", run, NULL);
	job_rest(upkeep.job, EVERY_MS);
}

void upkeep_now(void)
{
	job_kick(upkeep.job);
}

/* Nobody leads any more here: what was decided is void. */
void upkeep_clear(void)
{
	cleanup_end(STATUS_DEPOSED);
	detach_clear();
	upkeep.level = 0;
	upkeep.stuck = upkeep.untidy = false;
	if (upkeep.pending == NULL)
		return;
	op_cancel(&upkeep.pending);
	job_rest(upkeep.job, EVERY_MS);
}

void upkeep_stop(void)
{
	cleanup_end(STATUS_STOPPED);
	op_cancel(&upkeep.pending);
	job_destroy(&upkeep.job);
	partition_view_clear(&upkeep.view);
	free(upkeep.facts);
	upkeep.facts = NULL;
	upkeep.looked = false;
}

/* --- what is known ----------------------------------------------------------------- */

/* Of the oldest record there is. */
static int64_t oldest_ms(void)
{
	for (size_t k = 0; k < upkeep.view.n_partitions; k++)
		if (upkeep.view.partitions[k].oldest_ms >= 0)
			return upkeep.view.partitions[k].oldest_ms;
	return -1;
}

void wal_log_figures(struct wal_log_figures *out)
{
	struct retain_facts facts = facts_of();

	*out = (struct wal_log_figures){.limit = upkeep.limit, .known = upkeep.looked};
	if (!upkeep.looked)
		return;
	out->bytes = retain_bytes(&facts);
	out->partitions = upkeep.view.n_partitions;
	if (oldest_ms() >= 0)
		out->oldest_wall_ms = upkeep.looked_wall_ms - oldest_ms();
}

void wal_each_removed(wal_removed_fn *fn, void *arg)
{
	for (size_t k = 0; k < upkeep.view.n_instances; k++) {
		const struct partition_instance *p = &upkeep.view.instances[k];

		if (store_instance_index(p->id) < 0)
			fn(arg,
			   &(struct wal_removed){
			           .name = p->name,
			           .detached = p->detached,
			           .seen_wall_ms = upkeep.looked_wall_ms - p->unseen_ms,
			   });
	}
}
