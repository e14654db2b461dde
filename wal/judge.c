/* wal/judge.c - what an instance's verdict means for the record, its client and the lane.
 *
 * The happy path:
 *   applied   the first one decides the record: its client is told; later ones follow
 *   refused   a promise of no effect, durable before the client hears of it; the others
 *             skip it, unless it may have set the dimension of its collection
 * When it does not go well:
 *   - not sent, unknown, busy: the turn rests and is tried again in its own place;
 *     another instance may decide the record meanwhile
 *   - refused here, accepted elsewhere; or the other way round; or the collection is not
 *     there; or nothing but failure while the instance takes other writes: the lane goes
 *     into quarantine, alone
 *   - nothing but failure on every instance, or instance after instance dies of it: the
 *     record is given up. Its client hears 500; some instance may have kept some of it,
 *     so its ids are compared later (doubt.c)
 */
#include <stdio.h>

#include "core/log.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/verdict.h"

#define REST_FIRST 100u
#define REST_MOST 30000u
/* How often, and how long, before a failure is the record's own. The canary of an
 * instance (health) tells within a second that it fails all writes. */
#define ERRORS_500_MOST 3u
#define ERRORS_500_FOR_MS 1500u
#define UNKNOWN_MOST 4u
#define UNKNOWN_FOR_MS 10000u
#define LOST_MOST 2u
#define ADOPT_MOST 5u
/* A record that was loaded without its outcome may have been answered 2xx. */
#define LOADED_FOR_MS 60000u

static bool must_be_durable_first(const struct record *r)
{
	return r->decision != DECISION_ACCEPTED || record_creates(r->kind) ||
	       r->kind == RECORD_RESET;
}

/* Where it has failed and rests, it is another question now what its answer means, and
 * whether the lane can go on. */
static void end_rests(struct record *r)
{
	for (unsigned j = 0; j < health_count(); j++)
		if (r->turns[j].state == TURN_QUEUED) /* it is not at the instance */
			execution_cancel(r, j);
}

static bool is_waited_for(const struct record *r)
{
	const struct wal_op *op;

	TAILQ_FOREACH (op, &r->watchers, link)
		if (op_wanted(&op->op))
			return true;
	return false;
}

/* Whoever decides it kicks its lanes then. */
static void decide(struct record *r, unsigned i, enum decision d, int http,
                   struct blob *answer)
{
	r->decision = d;
	r->decided_by = (int)i;
	r->executor = -1;
	r->http = http;
	r->answer = blob_ref(answer);
	r->late = (r->loaded || !r->elsewhere) && !is_waited_for(r);
	engine_totals()->undecided--;
	engine_totals()->decided++;
	decision_to_catalogue(r, d == DECISION_ACCEPTED);
	if (r->kind == RECORD_CREATE_COLLECTION)
		wal_public_ids(&r->answer, &r->turns[i].local, &r->collection->public_id);
	end_rests(r);
	quarantine_gone(r);
	if (!must_be_durable_first(r))
		engine_tell(r);
	engine_let_go(r);
}

/* --- a clear answer ---------------------------------------------------------------- */

static bool is_parked(const struct record *r, unsigned i)
{
	return r->collection != NULL &&
	       scope_of_collection(r->collection)->lanes[i].parked;
}

static void applied(struct record *r, unsigned i, const struct execution_result *result)
{
	engine_counts(i)->executed++;
	if (record_makes_collection(r->kind))
		collection_bind(r->collection, i, &r->turns[i].local);
	if (r->kind == RECORD_RESET)
		identity_was_reset(i);
	if (record_is_open(r))
		decide(r, i, DECISION_ACCEPTED, result->http, result->body);
	else
		engine_totals()->replayed++;
	if (r->decision == DECISION_REJECTED_EVERYWHERE)
		quarantine_begin(r->collection, i, r->seq, QUARANTINE_ACCEPTED,
		                 result->http, "accepted here, refused elsewhere");
	engine_done(r, i);
}

static enum decision refusal_of(const struct record *r)
{
	const struct collection *c = r->collection;

	return record_is_item(r->kind) && r->embeddings && !c->dimension_known
	               ? DECISION_REJECTED_EVERYWHERE
	               : DECISION_REJECTED;
}

static void rest(struct record *r, unsigned i, const char *why)
{
	struct wal_instance_figures *counts = engine_counts(i);
	struct turn *t = &r->turns[i];
	unsigned n = t->failures++;
	msec wait = n < 9 ? (msec)REST_FIRST << n : REST_MOST;

	if (t->troubled_at == 0)
		t->troubled_at = clock_ms();
	snprintf(counts->last_error, sizeof(counts->last_error), "seq %lld (%s): %s",
	         (long long)r->seq, record_kind_name(r->kind), why);
	counts->last_error_seq = r->seq;
	log_warn("turn", "record %lld (%s) at %s: %s; again in %llu ms",
	         (long long)r->seq, record_kind_name(r->kind),
	         instance_name(health_instance(i)), why, (unsigned long long)wait);
	execution_rest(r, i, wait < REST_MOST ? wait : REST_MOST);
}

/* Another may have applied it, its answer lost: that one has the say, if it is there and
 * can be heard; once. */
static bool another_has_the_say(const struct record *r, unsigned i)
{
	if (r->deferred)
		return false;
	for (unsigned j = 0; j < health_count(); j++)
		if (j != i && r->turns[j].doubt &&
		    instance_writable(health_instance(j)) && !is_parked(r, j))
			return true;
	return false;
}

static void let_another_say(struct record *r, unsigned i, const char *why)
{
	r->executor = -1;
	r->deferred = true;
	r->turns[i].doubt = false;
	rest(r, i, why);
	engine_kick(r);
}

static void refused(struct record *r, unsigned i, const struct execution_result *result)
{
	engine_counts(i)->refused++;
	if (record_is_open(r) && another_has_the_say(r, i)) {
		let_another_say(r, i, "refused here, in doubt elsewhere");
	} else if (record_is_open(r)) {
		decide(r, i, refusal_of(r), result->http, result->body);
		engine_done(r, i);
	} else if (r->decision == DECISION_REJECTED_EVERYWHERE ||
	           (r->collection != NULL && r->collection->life == LIFE_GONE)) {
		engine_done(r, i);
	} else if (r->collection != NULL) {
		engine_totals()->failures++;
		quarantine_begin(r->collection, i, r->seq, QUARANTINE_REFUSED,
		                 result->http, "refused here, accepted elsewhere");
	} else {
		engine_totals()->failures++;
		rest(r, i, "refused here, accepted elsewhere");
	}
}

/* --- no verdict -------------------------------------------------------------------- */

static bool for_so_long(const struct turn *t, msec least)
{
	return t->troubled_at != 0 && clock_ms() - t->troubled_at >= least;
}

/* The instance takes other writes, and this one fails again and again. */
static bool fails_here(const struct record *r, unsigned i)
{
	const struct turn *t = &r->turns[i];
	bool open = r->loaded && record_is_open(r);

	if (!instance_writable(health_instance(i)))
		return false;
	if (open && !for_so_long(t, LOADED_FOR_MS))
		return false;
	return (t->errors_500 >= ERRORS_500_MOST && for_so_long(t, ERRORS_500_FOR_MS)) ||
	       (t->unknown >= UNKNOWN_MOST && for_so_long(t, UNKNOWN_FOR_MS));
}

static bool lost_here(const struct record *r, unsigned i)
{
	/* What is adopted need never have been there. */
	unsigned most = r->kind == RECORD_ADOPT_COLLECTION ? 1 : LOST_MOST;

	return r->turns[i].lost >= most;
}

/* Where the lane is parked it must be for that reason: else it may be there. */
static bool lost_everywhere(const struct record *r)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (is_parked(r, i) ? !quarantine_is_lost(r->collection, i)
		                    : !lost_here(r, i))
			return false;
	return true;
}

/* Lanes that are parked have no say: they do not try. */
static bool everywhere(const struct record *r,
                       bool (*is_so)(const struct record *r, unsigned i))
{
	unsigned n = 0;

	for (unsigned i = 0; i < health_count(); i++) {
		if (is_parked(r, i) || detach_is(i))
			continue;
		if (!is_so(r, i))
			return false;
		n++;
	}
	return n > 0;
}

static void give_up(struct record *r, unsigned i, int http, struct blob *answer,
                    const char *why)
{
	log_error("record", "record %lld (%s) is given up: %s", (long long)r->seq,
	          record_kind_name(r->kind), why);
	for (unsigned j = 0; j < health_count(); j++)
		r->turns[j].late_look |= r->turns[j].doubt;
	decide(r, i, DECISION_GIVEN_UP, http, answer);
	engine_done(r, i);
}

static void gave_no_answer(struct record *r, unsigned i,
                           const struct execution_result *result)
{
	struct turn *t = &r->turns[i];

	engine_counts(i)->unknown++;
	t->doubt = t->late_look = true;
	t->unknown++;
	t->errors_500 += result->http == 500;
	if (result->broken)
		suspect_broken(r, i);
}

/* "Busy" said by something in front of the instance, which may have had it by then. */
static bool may_have_begun(const struct execution_result *result)
{
	return result->verdict == VERDICT_BUSY &&
	       (result->http == 408 || result->http == 503);
}

/* Parked; or passed, if the collection is being deleted and nothing is left to do to it.
 */
static bool set_aside(struct record *r, unsigned i, enum quarantine_cause cause, int http,
                      const char *why)
{
	if (r->collection == NULL || r->kind == RECORD_DELETE_COLLECTION)
		return false;
	if (quarantine_begin(r->collection, i, r->seq, cause, http, why))
		return true;
	if (!r->decision_durable || record_may_have_created(r, i))
		return false;
	engine_done(r, i);
	return true;
}

/* Nothing was to happen anywhere but in the catalogue, and others wait behind it. */
static bool may_be_dropped(const struct record *r, unsigned i)
{
	return r->kind == RECORD_ADOPT_COLLECTION && record_is_open(r) &&
	       r->turns[i].failures >= ADOPT_MOST;
}

/* Another may have the collection still, and say what becomes of the record. */
static bool is_set_aside_as_lost(struct record *r, unsigned i, int http,
                                 const char *detail)
{
	bool open = record_is_open(r);

	if (!set_aside(r, i, QUARANTINE_LOST, http,
	               r->kind == RECORD_ADOPT_COLLECTION
	                       ? detail
	                       : "the collection is not there any more"))
		return false;
	if (open)
		engine_kick(r);
	return true;
}

/* What can be said of it by now; false: nothing yet, try again. What changes the
 * catalogue is not given up: it would say otherwise than the instances for good. */
static bool has_come_to_its_end(struct record *r, unsigned i,
                                const struct execution_result *result)
{
	if (may_be_dropped(r, i) || (record_is_open(r) && lost_everywhere(r))) {
		decide(r, i, DECISION_REJECTED, result->http, result->body);
		engine_done(r, i);
		return true;
	}
	if (record_is_open(r) && record_is_item(r->kind) && everywhere(r, fails_here)) {
		give_up(r, i, 500, result->body, "no instance gives a clear answer");
		return true;
	}
	if (record_is_open(r) && r->kind == RECORD_CREATE_COLLECTION)
		return false; /* it lacks the database; not yet a collection of its own */
	if (lost_here(r, i))
		return is_set_aside_as_lost(r, i, result->http, result->detail);
	if (record_is_open(r))
		return false;
	return fails_here(r, i) && set_aside(r, i, QUARANTINE_FAILING, result->http,
	                                     "no clear answer, again and again");
}

/* Refused, it had no effect, and they are tried again in smaller calls, in the end each
 * alone; at once, if the collection is not there. Without a clear answer each may have
 * its effect; but all are of one kind, and may be executed again in their order. Nothing
 * is said about any one of them. */
void judge_merged(struct record *const *records, size_t n, unsigned i,
                  const struct execution_result *result)
{
	bool unknown = result->verdict == VERDICT_UNKNOWN;
	struct record *head = records[0];

	engine_totals()->failures++;
	engine_counts(i)->unknown += unknown;
	for (size_t k = 0; k < n; k++) {
		struct record *r = records[k];

		if (r->executor == (int)i)
			r->executor = -1;
		if (unknown || may_have_begun(result))
			r->turns[i].doubt = r->turns[i].late_look = true;
		if (unknown && result->broken)
			suspect_broken(r, i);
	}
	if (result->verdict != VERDICT_REFUSED && result->verdict != VERDICT_LOST)
		rest(head, i,
		     result->detail[0] != '\0' ? result->detail
		                               : verdict_name(result->verdict));
	engine_kick_scope(head->members[0].scope);
}

static void no_verdict(struct record *r, unsigned i,
                       const struct execution_result *result)
{
	struct turn *t = &r->turns[i];

	engine_totals()->failures++;
	if (r->executor == (int)i)
		r->executor = -1;
	if (result->verdict == VERDICT_UNKNOWN)
		gave_no_answer(r, i, result);
	else if (may_have_begun(result))
		t->doubt = t->late_look = true;
	t->lost += result->verdict == VERDICT_LOST;
	if (has_come_to_its_end(r, i, result))
		return;
	rest(r, i,
	     result->detail[0] != '\0' ? result->detail : verdict_name(result->verdict));
	engine_kick(r);
}

void judge_executed(struct record *r, unsigned i, const struct execution_result *result)
{
	if (result->http > 0 && !result->broken) /* it lives */
		r->turns[i].broken = false;
	if (result->verdict == VERDICT_APPLIED)
		applied(r, i, result);
	else if (result->verdict == VERDICT_REFUSED)
		refused(r, i, result);
	else
		no_verdict(r, i, result);
}

/* --- what is wrong now -------------------------------------------------------------- */

static bool still_fails(wal_seq seq, unsigned i)
{
	const struct record *r = engine_find(seq);

	return r != NULL && r->turns[i].state < TURN_DONE && !is_parked(r, i);
}

void judge_error(unsigned i, char *text, size_t room)
{
	struct wal_instance_figures *counts = engine_counts(i);

	if (counts->last_error[0] != '\0' && !still_fails(counts->last_error_seq, i))
		counts->last_error[0] = '\0';
	if (counts->last_error[0] != '\0')
		snprintf(text, room, "%s", counts->last_error);
	else
		quarantine_error(i, text, room);
}

/* --- an instance is down ----------------------------------------------------------- */

static void too_many_deaths(struct record *r, unsigned i)
{
	static const char text[] = "{\"error\":\"InternalError\",\"message\":"
	                           "\"The servers died while they executed this write\"}";
	struct blob *body;

	if (!record_is_open(r)) {
		set_aside(r, i, QUARANTINE_FAILING, 0, "the instance dies of it");
		return;
	}
	if (!record_is_item(r->kind))
		return; /* the catalogue has it already */
	body = blob_create(text, sizeof(text) - 1);
	give_up(r, i, 500, body, "instances die of it");
	blob_unref(&body);
}

void judge_down(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];
	bool died = suspect_died(r, i);

	if (t->state != TURN_QUEUED)
		return;
	/* What failed while it was going down says nothing about the record. */
	t->unknown = t->errors_500 = t->lost = 0;
	t->troubled_at = 0;
	if (died && r->executor < 0)
		too_many_deaths(r, i);
}
