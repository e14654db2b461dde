/* wal/rebuild.c - a collection that an instance holds wrong, or has lost, is made anew
 * there from an instance that is well, while clients go on.
 *
 * What is in quarantine and has another instance to learn from comes here, as many
 * collections at a time for each instance as there are proxies. The happy path:
 *   begin       a row, with a number that names the attempt
 *   make        a new collection beside the old one, like the donor's (copy.c)
 *   copy        its items, in order: a task that any proxy can take (rebuild_task.c)
 *   catch_up    what was touched meanwhile, again; until that is little
 *   freeze      new records of the collection wait, the donor comes to rest; the last of
 *               what was touched; both have as many items (this and the rest of it:
 *               rebuild_switch.c)
 *   switch_over binding and position, in one commit: from now on the new one is it. The
 *               freeze is over before that: what comes now, the lane executes
 *   install     the new one takes the name, the old one goes
 *   end         the rows go, the lane moves
 * When it does not go well:
 *   - somebody does not answer, the donor does not come to rest within FREEZE_MOST: the
 *     same step again, later; the donor is gone for good: begin anew with another
 *   - the copy is found unsound: begin anew, each time later
 *   - the collection is deleted: before the switch the copy is abandoned (leftover.c),
 *     and the lane has been passed by the delete; after it everything goes to its end
 *     first
 *   - we die: the row says what there was. A copy is gone on with; a switch is finished.
 * A repeated step never harms: its row is written before what it speaks of, or the
 * new collection is nobody's yet. */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/rebuild_private.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define REST_FIRST_MS 1000u
#define REST_MOST_MS 300000u
#define FREEZE_TOUCHED 200u /* no more than so many are left to copy in a freeze ... */
#define PASSES_MOST 5u      /* ... or it gets no less */
#define FREEZE_WAIT_MS 50u

static void catch_up(struct rebuild *b);
static void on_freeze_wait(void *arg);

/* --- not now -------------------------------------------------------------------------
 */

static void say_why(struct rebuild *b, const char *why)
{
	free(b->why);
	b->why = mem_string(why);
}

void rebuild_rest(struct rebuild *b, const char *why)
{
	unsigned n = b->failures++;
	msec wait = n < 9 ? (msec)REST_FIRST_MS << n : REST_MOST_MS;

	rebuild_thaw(b);
	rebuild_take_back(b);
	b->step = STEP_WAITING;
	if (!b->switching)
		quarantine_heal(b->collection, b->target, false);
	b->rest_until = clock_ms() + (wait < REST_MOST_MS ? wait : REST_MOST_MS);
	if (b->why == NULL || strcmp(b->why, why) != 0)
		log_warn("rebuild", "collection %s at %s: %s; again in %llu ms",
		         b->collection->public_id.text, rebuild_target_name(b), why,
		         (unsigned long long)wait);
	say_why(b, why);
}

void rebuild_not_now(struct rebuild *b, enum status s, const char *why)
{
	b->anew |= s == STATUS_CONFLICT;
	rebuild_rest(b, why[0] != '\0' ? why : status_text(s));
}

/* --- the collection is deleted, or has healed by itself -------------------------------
 */

static void on_abandoned(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!rebuild_is_written(b, s, r))
		return;
	if (b->attempt > 0)
		leftover_added(b->collection, b->target, b->attempt);
	rebuild_drop(b);
}

/* What stands there is nobody's, and goes in its own time. */
void rebuild_abandon(struct rebuild *b)
{
	struct pg_unit *unit = rebuild_unit();

	rebuild_thaw(b);
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	timer_stop(&b->timer);
	copy_destroy(&b->copy);
	rebuild_take_back(b);
	quarantine_heal(b->collection, b->target, false);
	b->step = STEP_ABANDONING;
	rebuild_add_end(unit, b);
	if (b->attempt > 0)
		leftover_add(unit, b->collection, b->target, b->attempt);
	pg_submit(wal_pg(), unit, on_abandoned, b, &b->pending);
}

/* --- copying -------------------------------------------------------------------------
 */

wal_seq rebuild_reach(const struct rebuild *b)
{
	const struct lane *lane = rebuild_lane(b, b->donor);
	wal_seq reach = append_last_seq();

	if (lane->head != NULL)
		reach = lane->head->record->seq - 1;
	if (lane->first_cold > 0 && lane->first_cold <= reach)
		reach = lane->first_cold - 1;
	return reach;
}

static void on_caught_up(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;
	uint64_t touched = copy_progress(b->copy)->touched;

	if (s != STATUS_OK) {
		rebuild_not_now(b, s, why);
		return;
	}
	rebuild_note(b);
	if (touched > FREEZE_TOUCHED && ++b->passes < PASSES_MOST)
		catch_up(b);
	else if (rebuild_may_freeze(b))
		rebuild_freeze(b);
	else
		timer_start(&b->timer, FREEZE_WAIT_MS, on_freeze_wait, b);
}

static void on_freeze_wait(void *arg)
{
	catch_up(arg);
}

static void catch_up(struct rebuild *b)
{
	b->step = STEP_CATCHING_UP;
	copy_touched(b->copy, rebuild_reach(b), on_caught_up, b);
}

void rebuild_copied(struct rebuild *b)
{
	FAILPOINT("rebuild_copied");
	b->found.all = true;
	rebuild_create_copy(b, &b->found);
	rebuild_count(b);
	rebuild_note(b);
	catch_up(b);
}

/* From where it is. */
static void go_on(struct rebuild *b)
{
	b->passes = 0;
	if (copy_progress(b->copy)->all)
		catch_up(b);
	else
		rebuild_hand_out(b);
}

/* What is in the new collection must be known by its id before it is worth anything: the
 * same commit says that it may be filled. */
static void on_made(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s != STATUS_OK) {
		b->anew = true;
		rebuild_not_now(b, s, why);
		return;
	}
	FAILPOINT("rebuild_made");
	go_on(b);
}

/* --- begin ---------------------------------------------------------------------------
 */

bool rebuild_donor_is_fit(const struct rebuild *b, unsigned j)
{
	return j != b->target && instance_writable(health_instance(j)) &&
	       wal_readable(health_instance(j), b->collection);
}

/* Then nobody learns from what was not compared yet; also not one that is proven itself,
 * and is to be made anew because somebody wants it. */
static bool one_is_proven(const struct collection *c)
{
	for (unsigned j = 0; j < health_count(); j++)
		if (wal_readable(health_instance(j), c) && !unproven_is(c, j))
			return true;
	return false;
}

bool rebuild_choose_donor(const struct rebuild *b, unsigned *found)
{
	bool any = false, proven = one_is_proven(b->collection);

	for (unsigned j = 0; j < health_count(); j++) {
		if (!rebuild_donor_is_fit(b, j) ||
		    (proven && unproven_is(b->collection, j)))
			continue;
		if (!any || rebuild_lane(b, j)->behind < rebuild_lane(b, *found)->behind)
			*found = j;
		any = true;
	}
	return any;
}

void rebuild_create_copy(struct rebuild *b, const struct copy_progress *progress)
{
	const struct collection *c = b->collection;
	const struct copy_spec spec = {.collection = c->id,
	                               .tenant = c->db->tenant,
	                               .database = c->db->name,
	                               .donor = b->donor,
	                               .target = b->target,
	                               .donor_id = store_instance_id(b->donor),
	                               .source = c->local[b->donor],
	                               .attempt = b->attempt,
	                               .may_write = lease_may_send};

	copy_destroy(&b->copy);
	b->copy = copy_create(&spec, progress);
}

static void on_begun(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!rebuild_is_written(b, s, r))
		return;
	FAILPOINT("rebuild_begun");
	if (b->lost_again)
		leftover_added(b->collection, b->target, b->attempt - 1);
	b->anew = b->lost_again = false;
	rebuild_create_copy(b, NULL);
	b->step = STEP_MAKING;
	copy_make(b->copy, rebuild_reach(b), on_made, b);
}

static void begin(struct rebuild *b, unsigned donor)
{
	struct pg_unit *unit = rebuild_unit();

	b->step = STEP_BEGINNING;
	b->donor = donor;
	b->has_donor = true;
	b->found = (struct copy_progress){0};
	b->was_found = false;
	if (b->lost_again)
		leftover_add(unit, b->collection, b->target, b->attempt);
	b->attempt++;
	log_info("rebuild", "collection %s at %s: made anew from %s, attempt %u",
	         b->collection->public_id.text, rebuild_target_name(b),
	         instance_name(health_instance(donor)), b->attempt);
	rebuild_add_begin(unit, b);
	pg_submit(wal_pg(), unit, on_begun, b, &b->pending);
}

static bool can_go_on(const struct rebuild *b)
{
	return b->has_donor && !b->anew && (b->copy != NULL || b->was_found) &&
	       rebuild_donor_is_fit(b, b->donor);
}

/* It waits no longer. */
void rebuild_move(struct rebuild *b)
{
	unsigned donor;

	if (b->switched) {
		rebuild_install(b);
	} else if (b->switching) {
		rebuild_switch_over(b);
	} else if (can_go_on(b)) {
		if (b->copy == NULL)
			rebuild_create_copy(b, &b->found);
		go_on(b);
	} else if (rebuild_choose_donor(b, &donor)) {
		begin(b, donor);
	} else {
		rebuild_rest(b, "no other instance has it as it should be, now");
	}
}

/* --- the end of one ------------------------------------------------------------------
 */

void rebuild_drop(struct rebuild *b)
{
	rebuild_thaw(b);
	TAILQ_REMOVE(&rebuilds, b, link);
	rebuild_lane(b, b->target)->rebuild = NULL;
	timer_stop(&b->timer);
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	copy_destroy(&b->copy);
	collection_release(&b->collection);
	free(b->name);
	free(b->why);
	free(b->worker);
	free(b);
}
