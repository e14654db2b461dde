/* wal/rebuild_switch.c - the change of places, at the end of a rebuild.
 *
 * The happy path:
 *   freeze       new records of the collection wait, until the donor is at rest
 *   on_last      the last of what was touched is copied
 *   on_checked   both have as many items. Clients go on from here
 *   switch_over  that the new one is it, and where it stands in the log: one commit
 *   install      it takes the name, the old one goes
 *   end          the rows go, the lane moves; it is read once it is compared (unproven.c)
 * When it does not go well:
 *   - the donor does not come to rest in time, or the last of it takes too long: clients
 *     go on, and it is tried again later
 *   - the counts differ: the copy is not sound; begin anew
 *   - we do not know whether the commit is durable: the same commit again, it says the
 *     same
 *   - somebody else has the name: he is who the catalogue does not mean, and gets another
 *   - the new collection is not there: it is lost again; begin anew */
#include <stdlib.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/rebuild_private.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define QUIET_LOOK_MS 3u
#define FREEZE_MOST_MS 2000u

/* --- freeze --------------------------------------------------------------------------
 */

void rebuild_thaw(struct rebuild *b)
{
	if (!b->frozen)
		return;
	b->frozen = false;
	timer_stop(&b->timer);
	b->collection->scope->holds--;
	engine_kick_scope(b->collection->scope);
}

/* --- the new one takes over ------------------------------------------------------------
 */

static void on_ended(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!rebuild_is_written(b, s, r))
		return;
	FAILPOINT("rebuild_ended");
	log_info("rebuild", "collection %s at %s: made anew from %s, %llu items",
	         b->collection->public_id.text, rebuild_target_name(b),
	         instance_name(health_instance(b->donor)),
	         (unsigned long long)copy_progress(b->copy)->items);
	if (!rebuild_is_gone(b))
		unproven_begin(b->collection, b->target);
	quarantine_healed(b->collection, b->target, !b->row_stays);
	verify_soon(b->collection);
	rebuild_drop(b);
	rebuild_ended();
}

/* Without the row of the quarantine the position of the database would say that what
 * stands apart is done. */
static void end(struct rebuild *b)
{
	struct pg_unit *unit = rebuild_unit();

	b->step = STEP_ENDING;
	b->row_stays = !scope_stop_apart(b->collection->scope, b->target);
	rebuild_add_end(unit, b);
	if (!rebuild_is_gone(b))
		unproven_add(unit, b->collection, b->target);
	if (!b->row_stays)
		quarantine_add_end(unit, b->collection, b->target);
	pg_submit(wal_pg(), unit, on_ended, b, &b->pending);
}

static void on_room(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s == STATUS_OK)
		rebuild_install(b);
	else
		rebuild_rest(b, why[0] != '\0' ? why : status_text(s));
}

/* By now it may have another; and who has that, but not by the catalogue, loses it. */
static void make_room(struct rebuild *b)
{
	b->room_made = true;
	free(b->name);
	b->name = mem_string(b->collection->name);
	copy_make_room(b->copy, b->name, on_room, b);
}

static void on_installed(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	FAILPOINT("rebuild_installed");
	if (s == STATUS_OK) {
		end(b);
		return;
	}
	if (s == STATUS_BUSY && !rebuild_is_gone(b) && !b->room_made) {
		make_room(b);
		return;
	}
	b->room_made = false;
	if (s == STATUS_CONFLICT) { /* it is lost again already */
		b->switching = b->switched = false;
		b->anew = b->lost_again = true;
		quarantine_switch(b->collection, b->target, false);
	}
	rebuild_rest(b, why[0] != '\0' ? why : status_text(s));
}

void rebuild_install(struct rebuild *b)
{
	b->step = STEP_INSTALLING;
	copy_install(b->copy, &b->old, rebuild_is_gone(b) ? NULL : b->name, on_installed,
	             b);
}

static void on_switched(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!rebuild_is_written(b, s, r))
		return;
	FAILPOINT("rebuild_switched");
	b->switched = true;
	b->failures = 0;
	collection_bind(b->collection, b->target, &copy_progress(b->copy)->made);
	engine_jump(b->collection, b->target, b->at);
	rebuild_install(b);
}

/* What the donor is at `at`, the copy is. Whoever deletes the collection from now on
 * waits until this has come to its end. */
void rebuild_switch_over(struct rebuild *b)
{
	const struct uuid *made = &copy_progress(b->copy)->made;
	struct pg_unit *unit = rebuild_unit();

	b->step = STEP_SWITCHING;
	b->switching = true;
	quarantine_switch(b->collection, b->target, true);
	rebuild_add_switch(unit, b);
	store_add_binding(unit, b->collection, b->target, made);
	persist_add_position(unit, b->target, b->collection->id, b->at);
	FAILPOINT("rebuild_switching");
	pg_submit(wal_pg(), unit, on_switched, b, &b->pending);
}

/* --- freeze --------------------------------------------------------------------------
 */

static void on_checked(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;
	bool still_frozen = b->frozen;

	rebuild_thaw(b);
	if (rebuild_is_gone(b)) {
		rebuild_abandon(b);
	} else if (s != STATUS_OK) {
		rebuild_not_now(b, still_frozen || s != STATUS_CONFLICT ? s : STATUS_BUSY,
		                why);
	} else if (!still_frozen) {
		rebuild_rest(b, "the last of it took too long");
	} else {
		free(b->name);
		b->name = mem_string(b->collection->name);
		b->old = b->collection->local[b->target];
		rebuild_switch_over(b);
	}
}

/* It has taken so long that clients may go on: then this was one more pass. */
static void on_last(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s != STATUS_OK) {
		rebuild_not_now(b, s, why);
	} else if (!b->frozen) {
		rebuild_rest(b, "the last of it took too long");
	} else {
		b->step = STEP_CHECKING;
		copy_check(b->copy, on_checked, b);
	}
}

static void on_frozen_too_long(void *arg)
{
	struct rebuild *b = arg;

	rebuild_thaw(b);
	if (b->step == STEP_FREEZING)
		rebuild_rest(b, "the donor does not come to rest");
}

static bool is_under_way(const struct rebuild *b, unsigned i)
{
	const struct member *head = rebuild_lane(b, i)->head;

	return head != NULL && head->record->turns[i].state == TURN_SENT;
}

/* Everything the donor was sent is done there, and durably so: what it shows is its
 * position. And nothing is at the target that was sent before its lane was parked. */
static bool is_at_rest(const struct rebuild *b)
{
	const struct lane *lane = rebuild_lane(b, b->donor);
	const struct record *r = lane->head != NULL ? lane->head->record : NULL;

	if (lane->cold != NULL || lane->undurable > 0 || is_under_way(b, b->target))
		return false;
	return r == NULL ||
	       (record_is_open(r) && r->turns[b->donor].state == TURN_QUEUED &&
	        !r->turns[b->donor].doubt && r->executor != (int)b->donor);
}

static void on_quiet_look(void *arg)
{
	struct rebuild *b = arg;
	msec now = clock_ms();

	if (now >= b->freeze_until || rebuild_is_gone(b) ||
	    !rebuild_donor_is_fit(b, b->donor)) {
		on_frozen_too_long(b);
	} else if (!is_at_rest(b)) {
		timer_start(&b->timer, QUIET_LOOK_MS, on_quiet_look, b);
	} else {
		b->step = STEP_LAST;
		b->at = rebuild_reach(b);
		timer_start(&b->timer, b->freeze_until - now, on_frozen_too_long, b);
		copy_touched(b->copy, b->at, on_last, b);
	}
}

bool rebuild_may_freeze(const struct rebuild *b)
{
	const struct rebuild *other;

	TAILQ_FOREACH (other, &rebuilds, link)
		if (other != b && other->target == b->target && other->frozen)
			return false;
	return true;
}

/* A comparison may be holding them as well, and does not mind. */
void rebuild_freeze(struct rebuild *b)
{
	b->step = STEP_FREEZING;
	b->frozen = true;
	b->collection->scope->holds++;
	b->freeze_until = clock_ms() + FREEZE_MOST_MS;
	FAILPOINT("rebuild_freezing");
	timer_start(&b->timer, 0, on_quiet_look, b);
}
