/* wal/rebuild.c - a collection that an instance holds wrong, or has lost, is made anew
 * there from an instance that is well, while clients go on.
 *
 * What is in quarantine and has another instance to learn from comes here, one collection
 * at a time for each instance. The happy path:
 *   begin       a row, with a number that names the attempt
 *   make        a new collection beside the old one, like the donor's (copy.c)
 *   copy        its items, in order
 *   catch_up    what was touched meanwhile, again; until that is little
 *   freeze      new records of the collection wait, the donor comes to rest; the last of
 *               what was touched; both have as many items
 *   switch_over binding and position, in one commit: from now on the new one is it. The
 *               freeze is over before that: what comes now, the lane executes
 *   install     the new one takes the name, the old one goes
 *   end         the rows go, the lane moves
 * When it does not go well:
 *   - somebody does not answer, the donor does not come to rest within FREEZE_MOST: the
 *     same step again, later; the donor is gone for good: begin anew with another
 *   - the copy is found unsound: begin anew, each time later
 *   - the collection is deleted: before the switch the copy is abandoned (leftover.c),
 * and the lane passed; after it everything goes to its end first
 *   - we die: the row says what there was. A copy is gone on with; a switch is finished.
 * A repeated step never harms: its row is written before what it speaks of, or the
 * new collection is nobody's yet. */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/copy.h"
#include "wal/wal_private.h"

#define EVERY_MS 100u
#define NOTE_EVERY_MS 3000u
#define REST_FIRST_MS 1000u
#define REST_MOST_MS 300000u
#define QUIET_LOOK_MS 3u
#define FREEZE_MOST_MS 2000u
#define FREEZE_TOUCHED 200u /* no more than so many are left to copy in a freeze ... */
#define PASSES_MOST 5u      /* ... or it gets no less */

enum step {
	STEP_WAITING, /* for a donor, or for its time */
	STEP_BEGINNING,
	STEP_MAKING,
	STEP_COPYING,
	STEP_CATCHING_UP,
	STEP_FREEZING, /* until the donor is at rest */
	STEP_LAST,
	STEP_CHECKING,
	STEP_SWITCHING,
	STEP_INSTALLING,
	STEP_ENDING,
	STEP_ABANDONING,
};

static const char *const step_names[] = {
        [STEP_WAITING] = "waiting",         [STEP_BEGINNING] = "beginning",
        [STEP_MAKING] = "beginning",        [STEP_COPYING] = "copying",
        [STEP_CATCHING_UP] = "catching up", [STEP_FREEZING] = "catching up",
        [STEP_LAST] = "catching up",        [STEP_CHECKING] = "catching up",
        [STEP_SWITCHING] = "switching",     [STEP_INSTALLING] = "switching",
        [STEP_ENDING] = "switching",        [STEP_ABANDONING] = "discarding",
};

struct rebuild {
	struct collection *collection; /* held */
	unsigned target, donor;
	bool has_donor;
	enum step step;
	unsigned attempt;
	struct copy *copy;
	struct copy_progress found; /* of an earlier process */
	bool was_found;
	bool anew;       /* not with what was copied so far */
	bool switching;  /* that may be durable ... */
	bool switched;   /* ... and is */
	bool lost_again; /* since; what was old then is left over */
	bool room_made;  /* for its name, just now */
	bool frozen;     /* we hold its records */
	unsigned passes;
	unsigned failures;
	wal_seq at;      /* the position it will have */
	struct uuid old; /* its id before; none: there was none */
	char *name;      /* at the switch */
	char *why;
	int64_t since_wall_ms;
	msec freeze_until, rest_until;
	struct timer timer;
	struct op *pending; /* of the row that a step waits for ... */
	struct op *noting;  /* ... or that only notes how far it is */
	msec noted_at;
	TAILQ_ENTRY(rebuild) link;
};

static TAILQ_HEAD(rebuild_list, rebuild) all = TAILQ_HEAD_INITIALIZER(all);
static struct job *job;
static bool automatic;
static uint64_t n_rebuilt, n_items;

static void catch_up(struct rebuild *b);
static void install(struct rebuild *b);

static const char *target_name(const struct rebuild *b)
{
	return instance_name(health_instance(b->target));
}

static struct lane *lane_of(const struct rebuild *b, unsigned i)
{
	return &scope_of_collection(b->collection)->lanes[i];
}

/* Everything up to there is done in its lane, whether there was anything or not. */
static wal_seq reach_of(const struct rebuild *b, unsigned i)
{
	const struct lane *lane = lane_of(b, i);
	wal_seq reach = append_last_seq();

	if (lane->head != NULL)
		reach = lane->head->record->seq - 1;
	if (lane->first_cold > 0 && lane->first_cold <= reach)
		reach = lane->first_cold - 1;
	return reach;
}

static bool is_gone(const struct rebuild *b)
{
	return b->collection->life == LIFE_GONE;
}

/* --- freeze --------------------------------------------------------------------------
 */

static void thaw(struct rebuild *b)
{
	if (!b->frozen)
		return;
	b->frozen = false;
	timer_stop(&b->timer);
	b->collection->scope->holds--;
	engine_kick_scope(b->collection->scope);
}

/* --- the end of one ------------------------------------------------------------------
 */

static void drop(struct rebuild *b)
{
	thaw(b);
	TAILQ_REMOVE(&all, b, link);
	timer_stop(&b->timer);
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	copy_destroy(&b->copy);
	collection_release(&b->collection);
	free(b->name);
	free(b->why);
	free(b);
}

/* --- its row -------------------------------------------------------------------------
 */

static const struct pg_statement note_begin = {
        "rebuild_begin",
        "INSERT INTO chromatid.rebuild (instance, collection, donor, attempt)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (instance, collection) DO UPDATE"
        " SET donor = excluded.donor, attempt = excluded.attempt, made = NULL,"
        " base = 0, items = 0, total = 0, complete = false, switched = false,"
        " at = now()"};

static const struct pg_statement note_progress = {
        "rebuild_progress",
        "UPDATE chromatid.rebuild SET made = $3::uuid, base = $4, items = $5, total = $6,"
        " complete = $7, at = now() WHERE instance = $1 AND collection = $2"};

static const struct pg_statement note_switch = {
        "rebuild_switch",
        "UPDATE chromatid.rebuild SET switched = true, old = $3::uuid, name = $4,"
        " at = now() WHERE instance = $1 AND collection = $2"};

static const struct pg_statement note_end = {
        "rebuild_end",
        "DELETE FROM chromatid.rebuild WHERE instance = $1 AND collection = $2"};

static struct pg_unit *unit_of_ours(void)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	return unit;
}

static struct pg_param number_of_target(const struct rebuild *b)
{
	return pg_int4(store_instance_id(b->target));
}

static struct pg_param number_of_collection(const struct rebuild *b)
{
	return pg_int8(b->collection->id);
}

static void add_progress(struct pg_unit *unit, const struct rebuild *b)
{
	const struct copy_progress *p = copy_progress(b->copy);

	pg_add(unit, &note_progress, 7,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           pg_text(p->made.text), pg_int8(p->base),
	                           pg_int8((int64_t)p->items), pg_int8((int64_t)p->total),
	                           pg_bool(p->all)});
}

/* --- not now -------------------------------------------------------------------------
 */

static void say_why(struct rebuild *b, const char *why)
{
	free(b->why);
	b->why = mem_string(why);
}

static void rest(struct rebuild *b, const char *why)
{
	unsigned n = b->failures++;
	msec wait = n < 9 ? (msec)REST_FIRST_MS << n : REST_MOST_MS;

	thaw(b);
	b->step = STEP_WAITING;
	if (!b->switching)
		quarantine_heal(b->collection, b->target, false);
	b->rest_until = clock_ms() + (wait < REST_MOST_MS ? wait : REST_MOST_MS);
	if (b->why == NULL || strcmp(b->why, why) != 0)
		log_warn("rebuild", "collection %s at %s: %s; again in %llu ms",
		         b->collection->public_id.text, target_name(b), why,
		         (unsigned long long)wait);
	say_why(b, why);
}

/* A step of the copy, or a row, has failed. */
static void not_now(struct rebuild *b, enum status s, const char *why)
{
	b->anew |= s == STATUS_CONFLICT;
	rest(b, why[0] != '\0' ? why : status_text(s));
}

/* False: a row could not be written; that has been dealt with. */
static bool is_written(struct rebuild *b, enum status s, const struct pg_results *r)
{
	if (s == STATUS_OK)
		return true;
	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
	rest(b, s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
	return false;
}

/* --- the collection is deleted, or has healed by itself -------------------------------
 */

static void on_abandoned(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!is_written(b, s, r))
		return;
	leftover_added(b->collection, b->target, b->attempt);
	drop(b);
}

/* What stands there is nobody's, and goes in its own time. */
static void abandon(struct rebuild *b)
{
	struct pg_unit *unit = unit_of_ours();

	thaw(b);
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	timer_stop(&b->timer);
	copy_destroy(&b->copy);
	quarantine_heal(b->collection, b->target, false);
	b->step = STEP_ABANDONING;
	pg_add(unit, &note_end, 2,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b)});
	leftover_add(unit, b->collection, b->target, b->attempt);
	pg_submit(wal_pg(), unit, on_abandoned, b, &b->pending);
}

/* --- the new one takes over ------------------------------------------------------------
 */

static void on_ended(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!is_written(b, s, r))
		return;
	FAILPOINT("rebuild_ended");
	log_info("rebuild", "collection %s at %s: made anew from %s, %llu items",
	         b->collection->public_id.text, target_name(b),
	         instance_name(health_instance(b->donor)),
	         (unsigned long long)copy_progress(b->copy)->items);
	n_rebuilt++;
	quarantine_healed(b->collection, b->target);
	verify_soon(b->collection);
	drop(b);
	job_kick(job); /* the next one's turn */
}

static void end(struct rebuild *b)
{
	struct pg_unit *unit = unit_of_ours();

	b->step = STEP_ENDING;
	pg_add(unit, &note_end, 2,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b)});
	quarantine_add_end(unit, b->collection, b->target);
	pg_submit(wal_pg(), unit, on_ended, b, &b->pending);
}

static void on_room(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s == STATUS_OK)
		install(b);
	else
		rest(b, why[0] != '\0' ? why : status_text(s));
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
	if (s == STATUS_BUSY && !is_gone(b) && !b->room_made) {
		make_room(b);
		return;
	}
	b->room_made = false;
	if (s == STATUS_CONFLICT) { /* it is lost again already */
		b->switching = b->switched = false;
		b->anew = b->lost_again = true;
		quarantine_switch(b->collection, b->target, false);
	}
	rest(b, why[0] != '\0' ? why : status_text(s));
}

static void install(struct rebuild *b)
{
	b->step = STEP_INSTALLING;
	copy_install(b->copy, &b->old, is_gone(b) ? NULL : b->name, on_installed, b);
}

static void on_switched(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!is_written(b, s, r))
		return;
	FAILPOINT("rebuild_switched");
	b->switched = true;
	b->failures = 0;
	collection_bind(b->collection, b->target, &copy_progress(b->copy)->made);
	engine_jump(b->collection, b->target, b->at);
	install(b);
}

/* What the donor is at `at`, the copy is. Whoever deletes the collection from now on
 * waits until this has come to its end. */
static void switch_over(struct rebuild *b)
{
	const struct uuid *made = &copy_progress(b->copy)->made;
	struct pg_unit *unit = unit_of_ours();

	b->step = STEP_SWITCHING;
	b->switching = true;
	quarantine_switch(b->collection, b->target, true);
	pg_add(unit, &note_switch, 4,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           uuid_none(&b->old) ? pg_null() : pg_text(b->old.text),
	                           pg_text(b->name)});
	store_add_binding(unit, b->collection, b->target, made);
	persist_add_position(unit, b->target, b->collection->id, b->at);
	FAILPOINT("rebuild_switching");
	pg_submit(wal_pg(), unit, on_switched, b, &b->pending);
}

/* --- freeze --------------------------------------------------------------------------
 */

static bool donor_is_fit(const struct rebuild *b, unsigned j)
{
	return j != b->target && instance_writable(health_instance(j)) &&
	       wal_readable(health_instance(j), b->collection);
}

static void on_checked(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;
	bool still_frozen = b->frozen;

	thaw(b);
	if (is_gone(b)) {
		abandon(b);
	} else if (s != STATUS_OK) {
		not_now(b, still_frozen || s != STATUS_CONFLICT ? s : STATUS_BUSY, why);
	} else if (!still_frozen) {
		rest(b, "the last of it took too long");
	} else {
		free(b->name);
		b->name = mem_string(b->collection->name);
		b->old = b->collection->local[b->target];
		switch_over(b);
	}
}

/* It has taken so long that clients may go on: then this was one more pass. */
static void on_last(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s != STATUS_OK) {
		not_now(b, s, why);
	} else if (!b->frozen) {
		rest(b, "the last of it took too long");
	} else {
		b->step = STEP_CHECKING;
		copy_check(b->copy, on_checked, b);
	}
}

static void on_frozen_too_long(void *arg)
{
	struct rebuild *b = arg;

	thaw(b);
	if (b->step == STEP_FREEZING)
		rest(b, "the donor does not come to rest");
}

static bool is_under_way(const struct rebuild *b, unsigned i)
{
	const struct member *head = lane_of(b, i)->head;

	return head != NULL && head->record->turns[i].state == TURN_SENT;
}

/* Everything the donor was sent is done there, and durably so: what it shows is its
 * position. And nothing is at the target that was sent before its lane was parked. */
static bool is_at_rest(const struct rebuild *b)
{
	const struct lane *lane = lane_of(b, b->donor);
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

	if (now >= b->freeze_until || is_gone(b) || !donor_is_fit(b, b->donor)) {
		on_frozen_too_long(b);
	} else if (!is_at_rest(b)) {
		timer_start(&b->timer, QUIET_LOOK_MS, on_quiet_look, b);
	} else {
		b->step = STEP_LAST;
		b->at = reach_of(b, b->donor);
		timer_start(&b->timer, b->freeze_until - now, on_frozen_too_long, b);
		copy_touched(b->copy, b->at, on_last, b);
	}
}

/* A comparison may be holding them as well, and does not mind. */
static void freeze(struct rebuild *b)
{
	b->step = STEP_FREEZING;
	b->frozen = true;
	b->collection->scope->holds++;
	b->freeze_until = clock_ms() + FREEZE_MOST_MS;
	FAILPOINT("rebuild_freezing");
	timer_start(&b->timer, 0, on_quiet_look, b);
}

/* --- copying -------------------------------------------------------------------------
 */

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
	b->noted_at = clock_ms();
}

static void note(struct rebuild *b)
{
	struct pg_unit *unit;

	if (b->noting != NULL)
		return;
	unit = unit_of_ours();
	add_progress(unit, b);
	pg_submit(wal_pg(), unit, on_noted, b, &b->noting);
}

static void on_caught_up(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;
	uint64_t touched = copy_progress(b->copy)->touched;

	if (s != STATUS_OK) {
		not_now(b, s, why);
		return;
	}
	note(b);
	if (touched > FREEZE_TOUCHED && ++b->passes < PASSES_MOST)
		catch_up(b);
	else
		freeze(b);
}

static void catch_up(struct rebuild *b)
{
	b->step = STEP_CATCHING_UP;
	copy_touched(b->copy, reach_of(b, b->donor), on_caught_up, b);
}

static void on_copied(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;

	if (s != STATUS_OK) {
		not_now(b, s, why);
		return;
	}
	FAILPOINT("rebuild_copied");
	n_items += copy_progress(b->copy)->items;
	note(b);
	catch_up(b);
}

/* From where it is. */
static void go_on(struct rebuild *b)
{
	b->passes = 0;
	if (copy_progress(b->copy)->all) {
		catch_up(b);
		return;
	}
	b->step = STEP_COPYING;
	copy_items(b->copy, on_copied, b);
}

/* What is in the new collection must be known by its id before it is worth anything. */
static void on_made_noted(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (is_written(b, s, r))
		go_on(b);
}

static void on_made(void *arg, enum status s, const char *why)
{
	struct rebuild *b = arg;
	struct pg_unit *unit;

	if (s != STATUS_OK) {
		b->anew = true;
		not_now(b, s, why);
		return;
	}
	FAILPOINT("rebuild_made");
	unit = unit_of_ours();
	add_progress(unit, b);
	pg_submit(wal_pg(), unit, on_made_noted, b, &b->pending);
}

/* --- begin ---------------------------------------------------------------------------
 */

/* The one furthest on, of those that show the collection as the log says. */
static bool choose_donor(const struct rebuild *b, unsigned *found)
{
	bool any = false;

	for (unsigned j = 0; j < health_count(); j++) {
		if (!donor_is_fit(b, j))
			continue;
		if (!any || lane_of(b, j)->behind < lane_of(b, *found)->behind)
			*found = j;
		any = true;
	}
	return any;
}

static void create_copy(struct rebuild *b, const struct copy_progress *progress)
{
	const struct collection *c = b->collection;
	const struct copy_spec spec = {.collection = c->id,
	                               .tenant = c->db->tenant,
	                               .database = c->db->name,
	                               .donor = b->donor,
	                               .target = b->target,
	                               .source = c->local[b->donor],
	                               .attempt = b->attempt};

	copy_destroy(&b->copy);
	b->copy = copy_create(&spec, progress);
}

static void on_begun(void *arg, enum status s, const struct pg_results *r)
{
	struct rebuild *b = arg;

	if (!is_written(b, s, r))
		return;
	FAILPOINT("rebuild_begun");
	if (b->lost_again)
		leftover_added(b->collection, b->target, b->attempt - 1);
	b->anew = b->lost_again = false;
	create_copy(b, NULL);
	b->step = STEP_MAKING;
	copy_make(b->copy, reach_of(b, b->donor), on_made, b);
}

static void begin(struct rebuild *b, unsigned donor)
{
	struct pg_unit *unit = unit_of_ours();

	b->step = STEP_BEGINNING;
	b->donor = donor;
	b->has_donor = true;
	b->was_found = false;
	if (b->lost_again)
		leftover_add(unit, b->collection, b->target, b->attempt);
	b->attempt++;
	log_info("rebuild", "collection %s at %s: made anew from %s, attempt %u",
	         b->collection->public_id.text, target_name(b),
	         instance_name(health_instance(donor)), b->attempt);
	pg_add(unit, &note_begin, 4,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           pg_int4(store_instance_id(donor)),
	                           pg_int4((int)b->attempt)});
	pg_submit(wal_pg(), unit, on_begun, b, &b->pending);
}

static bool can_go_on(const struct rebuild *b)
{
	return b->has_donor && !b->anew && (b->copy != NULL || b->was_found) &&
	       donor_is_fit(b, b->donor);
}

/* It waits no longer. */
static void move(struct rebuild *b)
{
	unsigned donor;

	if (b->switched) {
		install(b);
	} else if (b->switching) {
		switch_over(b);
	} else if (can_go_on(b)) {
		if (b->copy == NULL)
			create_copy(b, &b->found);
		go_on(b);
	} else if (choose_donor(b, &donor)) {
		begin(b, donor);
	} else {
		rest(b, "no other instance has it as it should be, now");
	}
}

/* --- whose turn it is ----------------------------------------------------------------
 */

static struct rebuild *create(struct collection *c, unsigned target)
{
	struct rebuild *b = mem_new(struct rebuild);

	b->collection = collection_hold(c);
	b->target = target;
	b->since_wall_ms = clock_wall_ms();
	b->step = STEP_WAITING;
	TAILQ_INSERT_TAIL(&all, b, link);
	return b;
}

static struct rebuild *find(const struct collection *c, unsigned target)
{
	struct rebuild *b;

	TAILQ_FOREACH (b, &all, link)
		if (b->collection == c && b->target == target)
			return b;
	return NULL;
}

static bool is_busy(unsigned target)
{
	const struct rebuild *b;

	TAILQ_FOREACH (b, &all, link)
		if (b->target == target && b->step != STEP_WAITING)
			return true;
	return false;
}

/* Deleted; or it has healed by itself while we waited. */
static bool is_of_no_use(const struct rebuild *b)
{
	return is_gone(b) || !lane_of(b, b->target)->parked;
}

static void look_after(struct rebuild *b)
{
	if (is_of_no_use(b) && !b->switching && b->step < STEP_SWITCHING)
		abandon(b);
	else if (is_gone(b) && b->step == STEP_WAITING)
		b->rest_until = 0; /* its delete waits for us */
	else if (b->step == STEP_COPYING && clock_ms() >= b->noted_at + NOTE_EVERY_MS)
		note(b);
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

	TAILQ_FOREACH (b, &all, link)
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
	return c != NULL ? create(c, target) : NULL;
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
	move(b);
}

static void run(struct job *self, void *arg)
{
	struct rebuild *b, *next;

	(void)arg;
	for (b = TAILQ_FIRST(&all); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		look_after(b);
	}
	for (unsigned i = 0; wal_ready() && i < health_count(); i++)
		give_turn(i);
	job_rest(self, EVERY_MS);
}

/* --- after a restart -----------------------------------------------------------------
 */

static const struct pg_statement load = {
        "load_rebuild",
        "SELECT instance, collection, donor, attempt, made, base, items, total, complete,"
        " switched, old, name, (extract(epoch FROM since) * 1000)::bigint"
        " FROM chromatid.rebuild"};

static const struct pg_statement sweep = {
        "sweep_rebuild",
        "WITH gone AS (DELETE FROM chromatid.rebuild r WHERE NOT EXISTS (SELECT 1 FROM"
        "  chromatid.quarantine q WHERE q.instance = r.instance"
        "  AND q.collection = r.collection) RETURNING instance, collection, attempt)"
        " INSERT INTO chromatid.leftover (instance, collection, attempt, tenant, "
        "database)"
        " SELECT g.instance, g.collection, g.attempt, d.tenant, d.name FROM gone g"
        " JOIN chromatid.collection c ON c.id = g.collection"
        " JOIN chromatid.database d ON d.id = c.database ON CONFLICT DO NOTHING"};

void rebuild_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
	leftover_add_load(unit);
}

enum {
	INSTANCE,
	COLLECTION,
	DONOR,
	ATTEMPT,
	MADE,
	BASE,
	ITEMS,
	TOTAL,
	COMPLETE,
	SWITCHED,
	OLD,
	NAME,
	SINCE
};

static void get_uuid(const struct pg_results *r, int at, int row, int column,
                     struct uuid *out)
{
	const char *text = pg_get_text(r, at, row, column);

	if (!uuid_parse(text, strlen(text), out))
		*out = (struct uuid){{0}};
}

static void load_one(struct rebuild *b, const struct pg_results *r, int at, int row)
{
	int donor = store_instance_index(pg_get_int8(r, at, row, DONOR));

	b->has_donor = donor >= 0;
	b->donor = donor >= 0 ? (unsigned)donor : b->target;
	b->attempt = (unsigned)pg_get_int8(r, at, row, ATTEMPT);
	get_uuid(r, at, row, MADE, &b->found.made);
	b->found.base = pg_get_int8(r, at, row, BASE);
	b->found.items = (uint64_t)pg_get_int8(r, at, row, ITEMS);
	b->found.total = (uint64_t)pg_get_int8(r, at, row, TOTAL);
	b->found.all = pg_get_bool(r, at, row, COMPLETE);
	b->was_found = !uuid_none(&b->found.made);
	b->switching = b->switched = pg_get_bool(r, at, row, SWITCHED);
	get_uuid(r, at, row, OLD, &b->old);
	b->name = mem_string(pg_get_text(r, at, row, NAME));
	b->since_wall_ms = pg_get_int8(r, at, row, SINCE);
	if (!b->switched)
		return;
	create_copy(b, &b->found);
	quarantine_switch(b->collection, b->target, true);
}

void rebuild_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		int i = store_instance_index(pg_get_int8(r, at + 1, row, INSTANCE));
		struct collection *c = table_get(&found->collections,
		                                 pg_get_text(r, at + 1, row, COLLECTION));

		if (i >= 0 && c != NULL)
			load_one(create(c, (unsigned)i), r, at + 1, row);
	}
	leftover_loaded(r, at + 2);
}

/* --- the target has another disk ------------------------------------------------------
 */

static const struct pg_statement distrust = {
        "rebuild_distrust",
        "UPDATE chromatid.rebuild SET made = NULL, base = 0, items = 0, total = 0,"
        " complete = false, switched = false, at = now() WHERE instance = $1"};

void rebuild_add_distrust(struct pg_unit *unit, unsigned target)
{
	pg_add(unit, &distrust, 1,
	       (struct pg_param[]){pg_int4(store_instance_id(target))});
}

static void begin_anew(struct rebuild *b)
{
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	timer_stop(&b->timer);
	copy_destroy(&b->copy);
	b->was_found = false;
	b->anew = true;
	if (b->switching) {
		b->switching = b->switched = false;
		b->lost_again = true;
		quarantine_switch(b->collection, b->target, false);
	}
	rest(b, "the instance has another disk");
}

/* A copy that is there may be an older one, though it has the same id. */
void rebuild_distrust(unsigned target)
{
	struct rebuild *b;

	TAILQ_FOREACH (b, &all, link)
		if (b->target == target && b->step != STEP_ABANDONING)
			begin_anew(b);
}

/* --- the whole -----------------------------------------------------------------------
 */

void wal_each_rebuild(wal_rebuild_fn *fn, void *arg)
{
	static const struct copy_progress nothing;
	const struct rebuild *b;

	TAILQ_FOREACH (b, &all, link) {
		const struct copy_progress *p =
		        b->copy != NULL ? copy_progress(b->copy) : &nothing;
		const struct wal_rebuild each = {
		        .collection = b->collection,
		        .in = health_instance(b->target),
		        .donor = b->has_donor ? health_instance(b->donor) : NULL,
		        .step = step_names[b->step],
		        .why = b->why != NULL ? b->why : "",
		        .attempt = b->attempt,
		        .items = p->items,
		        .total = p->total,
		        .since_wall_ms = b->since_wall_ms,
		};

		fn(arg, &each);
	}
}

enum status wal_rebuild(struct collection *c, const struct instance *in, const char *why)
{
	unsigned i = instance_index(in), donor;
	struct rebuild *b = find(c, i);

	if (c->life != LIFE_LIVE)
		return STATUS_NOT_FOUND;
	if (b != NULL)
		return STATUS_OK;
	b = create(c, i);
	if (!choose_donor(b, &donor)) {
		drop(b);
		return STATUS_CONFLICT;
	}
	if (!lane_of(b, i)->parked)
		quarantine_begin(c, i, lane_of(b, i)->done, QUARANTINE_DIFFERS, 0, why);
	return STATUS_OK;
}

void wal_rebuilt(uint64_t *collections, uint64_t *items)
{
	const struct rebuild *b;

	*collections = n_rebuilt;
	*items = n_items;
	TAILQ_FOREACH (b, &all, link)
		if (b->step == STEP_COPYING)
			*items += copy_progress(b->copy)->items;
}

void rebuild_start(bool by_itself)
{
	automatic = by_itself;
	job = job_create("rebuild", run, NULL);
	job_rest(job, EVERY_MS);
	leftover_start();
}

void rebuild_clear(void)
{
	struct rebuild *b;

	while ((b = TAILQ_FIRST(&all)) != NULL) {
		b->collection->scope->holds -= b->frozen;
		b->frozen = false; /* nobody is kicked any more */
		drop(b);
	}
	leftover_clear();
}

void rebuild_stop(void)
{
	rebuild_clear();
	leftover_stop();
	job_destroy(&job);
}
