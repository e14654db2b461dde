/* wal/engine.c - whose turn it is.
 *
 * The happy path of a record:
 *   engine_add        it is in the log: last in its scopes
 *   engine_kick       its turn at the preferred instance: execute it there
 *   engine_executed   judge.c: applied, so decided; its client is told, its position goes
 *                     to the log, the lane moves on (engine_done), the other instances
 *                     have it next
 *   engine_persisted  its position is durable; durable everywhere: forgotten
 * When it does not go well (judge.c says what an answer means):
 *   - its turn rests and comes again in its own place; while the record is undecided
 *     another instance that has everything before it executes it
 *   - a lane that cannot go on is parked (quarantine.c), alone
 *   - the lease has run out: what is under way is cut off, its outcome unknown
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/calls.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"
#include "wal/verdict.h"

/* Above that, what is cold stays cold while something else is under way. */
#define RECORDS_MOST 20000u
/* Undecided ones; each takes some hundred bytes. */
#define UNDECIDED_MOST_A_MB 50u
/* While something else decides whether it may start. */
#define LOOK_MS 5u
#define HALF_RESET_LOOK_MS 500u

static struct {
	struct record_list records; /* in seq order; some instance still lacks each */
	size_t n_records;
	bool hold;
	uint64_t undecided_most;
	struct wal_instance_figures figures[CONF_MAX_INSTANCES];
	struct engine_totals totals;
} engine;

const struct record_list *engine_records(void)
{
	return &engine.records;
}

struct engine_totals *engine_totals(void)
{
	return &engine.totals;
}

struct wal_instance_figures *engine_counts(unsigned i)
{
	return &engine.figures[i];
}

/* --- choosing the turn ------------------------------------------------------------- */

static void pass(struct record *r, unsigned i);

static bool rests(const struct turn *t)
{
	return t->state != TURN_QUEUED || t->execution != NULL;
}

void engine_join(struct record *r, unsigned i)
{
	r->turns[i].state = TURN_SENT;
	if (record_is_open(r))
		r->executor = (int)i;
}

void engine_part(struct record *r, unsigned i)
{
	r->turns[i].state = TURN_QUEUED;
	r->turns[i].execution = NULL;
	if (r->executor == (int)i)
		r->executor = -1;
}

static void start(struct record *r, unsigned i)
{
	engine_join(r, i);
	slots_take(i);
	execution_start(r, i);
}

/* While it is loaded, something may follow that is not. */
static bool is_obsolete(const struct record *r)
{
	return record_is_item(r->kind) && !engine.hold &&
	       scope_is_obsolete(r->members[0].scope, r->collection);
}

/* A refusal is skipped once it is durable; in a lane that is left (its collection is
 * being deleted) so is everything else that is decided. */
static bool must_be_passed(const struct record *r, unsigned i)
{
	return r->decision_durable &&
	       (record_is_skipped(r) || (is_obsolete(r) && !pause_is_on(i)) ||
	        quarantine_passes(r, i));
}

/* A reset that was cut off half way has left a Chroma without its tables: it answers
 * nothing but errors then, and only the same reset mends it. */
static bool is_half_reset(const struct record *r, unsigned i)
{
	return r->kind == RECORD_RESET && r->turns[i].doubt;
}

static bool takes_it(const struct record *r, unsigned i)
{
	const struct instance *in = health_instance(i);

	return !detach_is(i) &&
	       (instance_writable(in) ||
	        (is_half_reset(r, i) && instance_answers(in) && !identity_is_refused(i)));
}

/* Only who has it can say that it does; another says no when that one cannot be asked:
 * nothing has happened, and others wait behind it. */
static bool is_to_say(const struct record *r, unsigned i)
{
	return r->kind != RECORD_ADOPT_COLLECTION || record_is_from(r, i) ||
	       !record_has_origin(r) ||
	       !instance_writable(health_instance(r->origin.instance));
}

static bool may_start(const struct record *r, unsigned i)
{
	/* What a decision means for the catalogue is written once, and nothing that
	 * follows may be written before it; nor may a position say of a refusal that it
	 * was none. */
	if (!record_is_open(r) && !r->decision_durable &&
	    !(record_is_item(r->kind) && r->decision == DECISION_ACCEPTED))
		return false;
	if (record_is_skipped(r))
		return false; /* passed when it is durable */
	if (pause_holds(r, i))
		return false;
	if (record_is_open(r) &&
	    (r->executor >= 0 || scope_is_held(r) || !is_to_say(r, i)))
		return false;
	return !engine.hold && lease_may_send() && takes_it(r, i);
}

static bool is_to_wait(struct record *r, unsigned i)
{
	if (record_is_open(r))
		return suspect_holds(r, i) || unproven_holds(r, i) || pace_holds(r, i);
	return follow_holds(r, i);
}

static void try_turn(struct record *r, unsigned i)
{
	if (rests(&r->turns[i]) || !scope_may_execute(r, i))
		return;
	if (must_be_passed(r, i)) {
		pass(r, i);
		return;
	}
	if (!may_start(r, i)) {
		if (is_half_reset(r, i)) /* nobody tells when it answers again */
			execution_rest(r, i, HALF_RESET_LOOK_MS);
		return;
	}
	if (is_to_wait(r, i))
		execution_rest(r, i, LOOK_MS);
	else if (slots_has_room(r, i))
		start(r, i);
	else
		slots_wait(r, i);
}

void engine_kick(struct record *r)
{
	for (unsigned i = 0; i < health_count(); i++)
		try_turn(r, i);
}

/* A kick may pass the head (a refusal to skip): then the next one has its turn. */
static void kick_lane(const struct lane *lane)
{
	const struct member *head;

	do {
		head = lane->head;
		if (head != NULL)
			engine_kick(head->record);
	} while (lane->head != head);
}

void engine_kick_scope(const struct scope *s)
{
	for (unsigned i = 0; i < health_count(); i++) {
		kick_lane(&s->lanes[i]);
		if (s->lanes[i].cold != NULL)
			cold_turn(s->lanes[i].cold);
	}
}

/* A record that has moved on stays in the list until its last position is durable, and
 * that always comes from the loop: walking it while kicking is safe. */
void engine_kick_all(void)
{
	struct record *r;

	TAILQ_FOREACH (r, &engine.records, link)
		engine_kick(r);
	for (unsigned i = 0; i < health_count(); i++)
		cold_wake(i);
}

/* --- a turn is over ---------------------------------------------------------------- */

static void lane_moves(struct record *r)
{
	for (unsigned k = 0; k < r->n_members; k++)
		engine_kick_scope(r->members[k].scope);
}

static void end_turn(struct record *r, unsigned i)
{
	execution_cancel(r, i); /* it may rest */
	slots_leave(r, i);
	r->turns[i].state = TURN_DONE;
	r->turns[i].doubt = false;
	scope_done(r, i);
}

/* Its position is on its way; what stands behind it is kicked by the caller, or when the
 * position is durable. */
static void pass(struct record *r, unsigned i)
{
	end_turn(r, i);
	persist_turn(r, i, (int)i == r->decided_by && !r->decision_durable);
	quarantine_moved(r, i);
}

void engine_done(struct record *r, unsigned i)
{
	pass(r, i);
	lane_moves(r);
}

void engine_take_out(struct record *r)
{
	TAILQ_REMOVE(&engine.records, r, link);
	engine.n_records--;
	scope_leave(r);
	record_free(r);
}

static void forget(struct record *r)
{
	engine.totals.owed--;
	engine_take_out(r);
}

void engine_leave(struct record *r, unsigned i)
{
	end_turn(r, i);
	quarantine_moved(r, i);
	engine_persisted(r, i);
}

/* The last place of the collection that was sent anywhere, up to `upto`. */
static wal_seq last_sent(const struct scope *s, wal_seq upto)
{
	wal_seq last = 0;

	for (unsigned j = 0; j < health_count(); j++)
		if (s->lanes[j].sent > last)
			last = s->lanes[j].sent;
	return last < upto ? last : upto;
}

/* The lane is parked, so nothing of it is under way. It has come to a place that may be
 * another collection's: it must not seem to have been sent what others lack. */
void engine_jump(struct collection *c, unsigned i, wal_seq upto)
{
	struct lane *lane = &scope_of_collection(c)->lanes[i];
	wal_seq sent;

	assert(lane->parked);
	if (lane->cold != NULL)
		cold_jump(lane->cold, upto);
	while (lane->head != NULL && lane->head->record->seq <= upto) {
		struct record *r = lane->head->record;

		end_turn(r, i);
		engine_persisted(r, i);
	}
	if (lane->done < upto)
		lane->done = upto;
	sent = last_sent(scope_of_collection(c), upto);
	if (lane->sent < sent)
		lane->sent = sent;
}

/* Those that come back are older than nearly all that are here; `older` is another that
 * has come back, or NULL. */
void engine_put_back(struct record *r, struct record *older)
{
	struct record *next = older != NULL ? older : TAILQ_FIRST(&engine.records);

	engine.n_records++;
	while (next != NULL && next->seq < r->seq)
		next = TAILQ_NEXT(next, link);
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, r, link);
	else
		TAILQ_INSERT_TAIL(&engine.records, r, link);
}

/* However busy it is there and however much is in memory, once in a while. */
bool engine_has_room(unsigned i)
{
	if (engine.hold || !lease_may_send() || pause_is_on(i))
		return false;
	return slots_some_ended(i) ||
	       (slots_are_free(i) && engine.n_records < RECORDS_MOST);
}

bool engine_is_full(void)
{
	return engine.totals.undecided >= engine.undecided_most;
}

void engine_leave_out(unsigned i, size_t body_len)
{
	engine.figures[i].owed--;
	engine.figures[i].owed_bytes -= body_len;
	engine.totals.owed--;
}

void engine_let_go(struct record *r)
{
	if (batch_memory_is_short())
		blob_unref(&r->body);
}

void engine_tell(struct record *r)
{
	struct wal_op *op;

	while ((op = TAILQ_FIRST(&r->watchers)) != NULL) {
		TAILQ_REMOVE(&r->watchers, op, link);
		op->outcome = (struct wal_outcome){
		        .seq = r->seq,
		        .http = r->http,
		        .body = blob_ref(r->answer),
		        .by = r->decided_by >= 0
		                      ? health_instance((unsigned)r->decided_by)
		                      : NULL,
		        .log_us = r->log_us,
		        .upstream_us = r->upstream_us,
		};
		wal_op_end(op, STATUS_OK);
	}
}

void engine_persisted(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];

	t->state = TURN_DURABLE;
	engine.figures[i].owed--;
	engine.figures[i].owed_bytes -= r->body_len;
	r->unsettled--;
	scope_durable(r, i);
	if (!r->decision_durable && (int)i == r->decided_by) {
		r->decision_durable = true;
		scope_decided(r);
		scope_let_by(r);
		engine_tell(r);
	}
	quarantine_moved(r, i);
	lane_moves(r);
	if (r->unsettled == 0 && r->busy == 0)
		forget(r);
	else
		cold_takes(r);
	cold_wake(i);
}

/* One after the other, as if each had come alone; the next one stays sent meanwhile. */
static void all_applied(struct record *const *records, size_t n, unsigned i,
                        const struct execution_result *result)
{
	batch_worked(records[0], i, n);
	engine.totals.merged_calls++;
	engine.totals.merged += n;
	for (size_t k = 0; k < n; k++) {
		struct blob *own = batch_answer(records[k]);
		struct execution_result one = *result;

		one.body = own != NULL ? own : result->body;
		records[k]->turns[i].state = TURN_QUEUED;
		judge_executed(records[k], i, &one);
		blob_unref(&own);
	}
}

static void one_executed(struct record *r, unsigned i,
                         const struct execution_result *result)
{
	if (result->verdict == VERDICT_APPLIED)
		batch_worked(r, i, 1);
	r->turns[i].state = TURN_QUEUED;
	judge_executed(r, i, result);
}

static void not_applied(struct record *const *records, size_t n, unsigned i,
                        const struct execution_result *result)
{
	/* A collection that is not there takes none of them: each is looked at. */
	batch_failed(records[0], i, result->verdict == VERDICT_LOST ? 1 : n);
	engine.totals.reductions++;
	for (size_t k = 0; k < n; k++)
		records[k]->turns[i].state = TURN_QUEUED;
	judge_merged(records, n, i, result);
}

void engine_executed(struct record *const *records, size_t n, unsigned i,
                     const struct execution_result *result)
{
	slots_give(i);
	if (n == 1)
		one_executed(records[0], i, result);
	else if (result->verdict == VERDICT_APPLIED)
		all_applied(records, n, i, result);
	else
		not_applied(records, n, i, result);
	slots_serve(i);
	cold_wake(i);
}

/* --- the lease has run out ---------------------------------------------------------- */

void engine_abandon(const char *why)
{
	struct record *r;

	TAILQ_FOREACH (r, &engine.records, link)
		for (unsigned i = 0; i < health_count(); i++)
			if (r->turns[i].state == TURN_SENT)
				execution_abandon(r, i, why);
}

/* --- the whole --------------------------------------------------------------------- */

/* A turn that a former process has brought to its end (or may have sent: what others
 * show must not be less), or that is not to come: the instance is detached. */
static void was_durable(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];

	r->unsettled--;
	if (t->state == TURN_DURABLE || t->doubt)
		scope_sent(r, i);
	t->state = TURN_DURABLE;
	t->doubt = false;
	scope_done(r, i);
	scope_durable(r, i);
}

/* Far behind in a lane it cannot have been sent; and a reset comes behind everything: it
 * would explain too much (identity.c). */
static bool may_have_been_sent(const struct record *r, unsigned i)
{
	if (r->kind == RECORD_RESET)
		return scope_is_first(r, i);
	return !record_runs(r->kind) || r->members[0].scope->lanes[i].behind <= SENT_MOST;
}

/* A former process may have sent it. */
static void loaded_in_doubt(struct record *r, unsigned i)
{
	if (!may_have_been_sent(r, i)) {
		r->turns[i].doubt = false;
		return;
	}
	scope_sent(r, i);
	r->turns[i].late_look = true;
}

void engine_add(struct record *r)
{
	TAILQ_INSERT_TAIL(&engine.records, r, link);
	engine.n_records++;
	r->entered = clock_ms();
	engine.totals.owed++;
	engine.totals.undecided += record_is_open(r);
	scope_enter(r);
	for (unsigned i = 0; i < health_count(); i++) {
		if (r->turns[i].state == TURN_DURABLE || detach_is_durable(i)) {
			was_durable(r, i);
			continue;
		}
		engine.figures[i].owed++;
		engine.figures[i].owed_bytes += r->body_len;
		if (r->turns[i].doubt)
			loaded_in_doubt(r, i);
	}
	if (batch_memory_is_short() && health_up_count() == 0)
		blob_unref(&r->body); /* nobody takes it soon */
	quarantine_gone(r);
	if (!cold_takes(r))
		engine_kick(r);
}

struct record *engine_find(wal_seq seq)
{
	struct record *r;

	TAILQ_FOREACH_REVERSE(r, &engine.records, record_list, link)
	if (r->seq == seq)
		return r;
	return NULL;
}

void engine_hold(bool hold)
{
	engine.hold = hold;
	if (!hold)
		engine_kick_all();
}

static void on_health(struct instance *in, enum health was, void *arg)
{
	struct record *r;

	(void)was;
	(void)arg;
	if (!instance_up(in))
		TAILQ_FOREACH (r, &engine.records, link)
			judge_down(r, instance_index(in));
	engine_kick_all();
}

void engine_start(const struct conf *conf)
{
	TAILQ_INIT(&engine.records);
	engine.hold = true; /* until everything is loaded */
	slots_start((unsigned)conf->max_workers);
	engine.undecided_most = (uint64_t)conf->max_memory_mb * UNDECIDED_MOST_A_MB;
	batch_start(conf);
	cold_start();
	health_on_change(on_health, NULL);
}

void engine_clear(void)
{
	struct record *r;
	struct wal_op *op;

	pause_clear();
	persist_clear();
	verify_clear();
	unproven_clear();
	rebuild_clear();
	quarantine_clear();
	doubt_clear();
	cold_clear();
	while ((r = TAILQ_FIRST(&engine.records)) != NULL) {
		while ((op = TAILQ_FIRST(&r->watchers)) != NULL) {
			TAILQ_REMOVE(&r->watchers, op, link);
			op->outcome.seq = r->seq;
			await_outcome(r->seq, op); /* it is in the log */
		}
		r->busy = 0;
		forget(r);
	}
	scope_free(scope_all()); /* its lanes wait for positions that nobody writes now */
	slots_clear();
	engine.hold = true;
	memset(engine.figures, 0, sizeof(engine.figures));
	engine.totals.owed = engine.totals.undecided = 0;
}

void engine_stop(void)
{
	engine_clear();
}
