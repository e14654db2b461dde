/* wal/engine.c - whose turn it is, and what a verdict means.
 *
 * The happy path of a record:
 *   engine_add        it is in the log: last in its scopes
 *   engine_kick       its turn at the preferred instance: execute it there
 *   engine_executed   applied: decided, its client is told, its position goes to the log
 *                     (decide), the lane moves on (done), the other instances have it
 * next engine_persisted  its position is durable; durable everywhere: forgotten When it
 * does not go well:
 *   - refused: a promise of no effect, durable before the client hears of it; the others
 *     skip it, unless it may have set the dimension of its collection
 *   - not sent, unknown, busy: the turn rests and is tried again in its own place; while
 *     the record is undecided another instance that has everything before it executes it
 *   - 500 again and again on every instance that is up: the record is at fault; its
 *     client gets the 500 and the lanes move on
 *   - an instance answers differently than was decided: its lane stays where it is
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/wal_private.h"

#define REST_FIRST 100u
#define REST_MOST 30000u
#define ERRORS_500_MOST 3u
/* While an instance that is up catches up, each new record waits until that one has done
 * two: otherwise clients could keep the one ahead so busy that the other never gets
 * there. */
#define PACE_BEHIND 16u
#define PACE_RECORDS 2u
#define PACE_LOOK_MS 5u
#define PACE_MOST_MS 300u
/* Bodies of records that only wait for a lagging instance are let go above this, and
 * read from the log again when their turn comes. */
#define BODIES_MOST (48u * 1024u * 1024u)

static struct {
	struct record_list records; /* in seq order; some instance still lacks each */
	bool hold;
	unsigned max_in_flight;
	unsigned in_flight[CONF_MAX_INSTANCES];
	TAILQ_HEAD(turn_list, turn)
	blocked[CONF_MAX_INSTANCES]; /* wait for one in flight to end */
	struct wal_instance_figures figures[CONF_MAX_INSTANCES];
	uint64_t owed, undecided, decided, replayed, failures;
} engine;

/* --- choosing the turn ------------------------------------------------------------- */

static void pass(struct record *r, unsigned i);

static bool rests(const struct turn *t)
{
	return t->state != TURN_QUEUED || t->execution != NULL;
}

static void start(struct record *r, unsigned i)
{
	r->turns[i].state = TURN_SENT;
	if (r->decision == DECISION_OPEN)
		r->executor = (int)i;
	engine.in_flight[i]++;
	scope_sent(r, i);
	execution_start(r, i);
}

static void block(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];

	if (t->blocked)
		return;
	t->blocked = true;
	TAILQ_INSERT_TAIL(&engine.blocked[i], t, blocked_link);
}

static void unqueue(struct turn *t, unsigned i)
{
	if (t->blocked)
		TAILQ_REMOVE(&engine.blocked[i], t, blocked_link);
	t->blocked = false;
}

static bool must_wait(struct record *r, uint64_t passed)
{
	msec now = clock_ms();

	if (r->pace_until == 0) {
		r->pace_until = now + PACE_MOST_MS;
		r->pace_goal = passed + PACE_RECORDS;
	}
	return now < r->pace_until && passed < r->pace_goal;
}

static bool must_be_paced(struct record *r, unsigned i)
{
	uint64_t passed;

	for (unsigned j = 0; r->decision == DECISION_OPEN && j < health_count(); j++)
		if (instance_up(health_instance(j)) &&
		    scope_leaves_behind(r, i, j, PACE_BEHIND, &passed))
			return must_wait(r, passed);
	return false;
}

static void try_turn(struct record *r, unsigned i)
{
	if (rests(&r->turns[i]) || !scope_may_execute(r, i))
		return;
	if (r->decision == DECISION_REJECTED) {
		if (r->decision_durable)
			pass(r, i);
		return;
	}
	if (r->decision == DECISION_OPEN && r->executor >= 0)
		return;
	/* What a decision means for the catalogue is written once, and nothing that
	 * follows may be written before it. */
	if (r->decision != DECISION_OPEN && !r->decision_durable &&
	    !record_is_item(r->kind))
		return;
	if (engine.hold || !lease_may_send() || !instance_up(health_instance(i)))
		return;
	if (engine.in_flight[i] >= engine.max_in_flight) {
		block(r, i);
	} else if (must_be_paced(r, i)) {
		execution_rest(r, i, PACE_LOOK_MS);
	} else {
		start(r, i);
	}
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

static void kick_heads(const struct scope *s)
{
	for (unsigned i = 0; i < health_count(); i++)
		kick_lane(&s->lanes[i]);
}

/* A record that has moved on stays in the list until its last position is durable, and
 * that always comes from the loop: walking it while kicking is safe. */
void engine_kick_all(void)
{
	struct record *r;

	TAILQ_FOREACH (r, &engine.records, link)
		engine_kick(r);
}

static void unblock(unsigned i)
{
	struct turn *t;

	while (engine.in_flight[i] < engine.max_in_flight &&
	       (t = TAILQ_FIRST(&engine.blocked[i])) != NULL) {
		unqueue(t, i);
		engine_kick(t->record);
	}
}

/* --- a turn is over ---------------------------------------------------------------- */

static void lane_moves(struct record *r)
{
	for (unsigned k = 0; k < r->n_members; k++)
		kick_heads(r->members[k].scope);
}

/* Its position is on its way; what stands behind it is kicked by the caller, or when the
 * position is durable. */
static void pass(struct record *r, unsigned i)
{
	unqueue(&r->turns[i], i);
	r->turns[i].state = TURN_DONE;
	r->turns[i].doubt = false;
	scope_done(r, i);
	persist_turn(r, i, (int)i == r->decided_by && !r->decision_durable);
}

static void done(struct record *r, unsigned i)
{
	pass(r, i);
	lane_moves(r);
}

static void forget(struct record *r)
{
	TAILQ_REMOVE(&engine.records, r, link);
	scope_leave(r);
	engine.owed--;
	record_free(r);
}

static void tell_watchers(struct record *r)
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
		tell_watchers(r);
	}
	lane_moves(r);
	if (r->unsettled == 0 && r->busy == 0)
		forget(r);
}

/* --- decisions --------------------------------------------------------------------- */

static bool must_be_durable_first(const struct record *r)
{
	return r->decision != DECISION_ACCEPTED || record_creates(r->kind);
}

static void decide(struct record *r, unsigned i, enum decision d, int http,
                   struct blob *answer)
{
	r->decision = d;
	r->decided_by = (int)i;
	r->executor = -1;
	r->http = http;
	r->answer = blob_ref(answer);
	engine.undecided--;
	engine.decided++;
	decision_to_catalogue(r, d == DECISION_ACCEPTED);
	if (!must_be_durable_first(r))
		tell_watchers(r);
	if (blob_total() > BODIES_MOST)
		blob_unref(&r->body);
}

static enum decision refusal_of(const struct record *r)
{
	const struct collection *c = r->collection;

	return r->embeddings && !c->dimension_known && c->life != LIFE_GONE
	               ? DECISION_REJECTED_EVERYWHERE
	               : DECISION_REJECTED;
}

static void applied(struct record *r, unsigned i, const struct execution_result *result)
{
	engine.figures[i].executed++;
	if (r->kind == RECORD_CREATE_COLLECTION)
		collection_bind(r->collection, i, &r->turns[i].local);
	if (r->decision == DECISION_OPEN) {
		decide(r, i, DECISION_ACCEPTED, result->http, result->body);
	} else {
		engine.replayed++;
	}
	done(r, i);
}

static void rest(struct record *r, unsigned i, const char *why)
{
	struct turn *t = &r->turns[i];
	unsigned n = t->failures++;
	msec wait = n < 9 ? (msec)REST_FIRST << n : REST_MOST;

	snprintf(engine.figures[i].last_error, sizeof(engine.figures[i].last_error),
	         "seq %lld (%s): %s", (long long)r->seq, record_kind_name(r->kind), why);
	log_warn("turn", "record %lld (%s) at %s: %s; again in %llu ms",
	         (long long)r->seq, record_kind_name(r->kind),
	         instance_name(health_instance(i)), why, (unsigned long long)wait);
	execution_rest(r, i, wait < REST_MOST ? wait : REST_MOST);
}

static void refused(struct record *r, unsigned i, const struct execution_result *result)
{
	engine.figures[i].refused++;
	if (r->decision == DECISION_OPEN) {
		decide(r, i, refusal_of(r), result->http, result->body);
		done(r, i);
	} else if (r->decision == DECISION_REJECTED_EVERYWHERE) {
		done(r, i);
	} else {
		engine.failures++;
		rest(r, i, "refused here, accepted elsewhere");
	}
}

/* --- no verdict -------------------------------------------------------------------- */

/* Every instance has answered 500 to it, several times. */
static bool at_fault(const struct record *r)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (r->turns[i].errors_500 < ERRORS_500_MOST)
			return false;
	return true;
}

/* "Busy" said by something in front of the instance, which may have had it by then. */
static bool may_have_begun(const struct execution_result *result)
{
	return result->verdict == VERDICT_BUSY &&
	       (result->http == 408 || result->http == 503);
}

static void no_verdict(struct record *r, unsigned i,
                       const struct execution_result *result)
{
	struct turn *t = &r->turns[i];
	const char *why = result->detail[0] != '\0' ? result->detail
	                                            : verdict_name(result->verdict);

	engine.failures++;
	engine.figures[i].unknown += result->verdict == VERDICT_UNKNOWN;
	if (result->verdict == VERDICT_UNKNOWN || may_have_begun(result))
		t->doubt = true;
	t->errors_500 += result->http == 500;
	if (r->executor == (int)i)
		r->executor = -1;
	if (r->decision == DECISION_OPEN && at_fault(r)) {
		log_error("record",
		          "record %lld (%s): every instance answers 500; given up",
		          (long long)r->seq, record_kind_name(r->kind));
		decide(r, i, DECISION_REJECTED, result->http, result->body);
		done(r, i);
		return;
	}
	rest(r, i, why);
	engine_kick(r);
}

void engine_executed(struct record *r, unsigned i, const struct execution_result *result)
{
	engine.in_flight[i]--;
	r->turns[i].state = TURN_QUEUED;
	if (result->verdict == VERDICT_APPLIED)
		applied(r, i, result);
	else if (result->verdict == VERDICT_REFUSED)
		refused(r, i, result);
	else
		no_verdict(r, i, result);
	unblock(i);
}

void engine_abandon(const char *why)
{
	const struct execution_result unknown = {VERDICT_UNKNOWN, 0, NULL, why};
	struct record *r;

	TAILQ_FOREACH (r, &engine.records, link)
		for (unsigned i = 0; i < health_count(); i++) {
			if (r->turns[i].state != TURN_SENT)
				continue;
			execution_cancel(r, i);
			engine_executed(r, i, &unknown);
		}
}

/* --- the whole --------------------------------------------------------------------- */

/* A turn that a former process has brought to its end. */
static void was_durable(struct record *r, unsigned i)
{
	r->unsettled--;
	scope_sent(r, i);
	scope_done(r, i);
	scope_durable(r, i);
}

void engine_add(struct record *r)
{
	TAILQ_INSERT_TAIL(&engine.records, r, link);
	engine.owed++;
	engine.undecided += r->decision == DECISION_OPEN;
	scope_enter(r);
	for (unsigned i = 0; i < health_count(); i++) {
		if (r->turns[i].state == TURN_DURABLE) {
			was_durable(r, i);
			continue;
		}
		engine.figures[i].owed++;
		engine.figures[i].owed_bytes += r->body_len;
		if (r->turns[i].doubt)
			scope_sent(r, i);
	}
	if (blob_total() > BODIES_MOST && health_up_count() == 0)
		blob_unref(&r->body); /* nobody takes it soon */
	engine_kick(r);
}

wal_seq engine_floor(unsigned i)
{
	struct record *r;

	TAILQ_FOREACH (r, &engine.records, link)
		if (r->turns[i].state != TURN_DURABLE)
			return r->seq - 1;
	return append_last_seq();
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

unsigned engine_in_flight(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < health_count(); i++)
		n += engine.in_flight[i];
	return n;
}

static void on_health(struct instance *in, enum health was, void *arg)
{
	(void)was;
	(void)arg;
	if (instance_up(in))
		engine_kick_all();
}

void engine_start(const struct conf *conf)
{
	TAILQ_INIT(&engine.records);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		TAILQ_INIT(&engine.blocked[i]);
	engine.hold = true; /* until everything is loaded */
	engine.max_in_flight = (unsigned)conf->max_workers;
	health_on_change(on_health, NULL);
}

void engine_clear(void)
{
	struct record *r;
	struct wal_op *op;

	persist_clear();
	while ((r = TAILQ_FIRST(&engine.records)) != NULL) {
		while ((op = TAILQ_FIRST(&r->watchers)) != NULL) {
			TAILQ_REMOVE(&r->watchers, op, link);
			op->outcome.seq = r->seq;
			wal_op_end(op, STATUS_DEPOSED);
		}
		r->busy = 0;
		forget(r);
	}
	scope_free(scope_all()); /* its lanes wait for positions that nobody writes now */
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		TAILQ_INIT(&engine.blocked[i]);
	engine.hold = true;
	memset(engine.in_flight, 0, sizeof(engine.in_flight));
	memset(engine.figures, 0, sizeof(engine.figures));
	engine.owed = engine.undecided = 0;
}

void engine_stop(void)
{
	engine_clear();
}

static int64_t oldest_owed_by(unsigned i)
{
	struct record *r;

	if (engine.figures[i].owed == 0)
		return 0; /* without walking what the others are owed */
	TAILQ_FOREACH (r, &engine.records, link)
		if (r->turns[i].state != TURN_DURABLE)
			return r->appended_wall_ms;
	return 0;
}

uint64_t engine_owed(void)
{
	return engine.owed;
}

void engine_figures(struct wal_figures *out)
{
	const struct record *r;

	out->owed = engine.owed;
	out->undecided = engine.undecided;
	out->decided = engine.decided;
	out->replayed = engine.replayed;
	out->failures = engine.failures;
	r = TAILQ_FIRST(&engine.records);
	out->oldest_wall_ms = r != NULL ? r->appended_wall_ms : 0;
	for (unsigned i = 0; i < health_count(); i++) {
		out->instances[i] = engine.figures[i];
		out->instances[i].in_flight = engine.in_flight[i];
		out->instances[i].oldest_wall_ms = oldest_owed_by(i);
		out->instances[i].replaying =
		        engine.figures[i].owed > 0 && instance_up(health_instance(i));
		if (engine.figures[i].owed == 0)
			out->instances[i].last_error[0] = '\0';
	}
}
