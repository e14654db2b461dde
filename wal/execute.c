/* wal/execute.c - one record at one instance; or several in one call (batch.c).
 *
 * The happy path:
 *   execution_start   who goes along? Fetch the bodies that were let go, merge them
 *   execution_step    send what this kind of record needs next
 *   execute_reply.c   read the verdict; some kinds have a second step:
 *                       delete by filter: ask for the ids, make them durable, delete them
 *                       delete collection: set it aside under a name of its own (by its
 *                       id, so no other can be meant), delete that name
 *                       create: taken already? then find the one that is there
 *   execution_conclude  tell the engine
 * When it does not go well:
 *   - no clear answer: the engine rests the turn and tries again in its own place, after
 *     the connection was closed, which drops what the instance has not begun. A repeat
 *     goes through the instance's one queue of writes, behind anything it had begun.
 *   - a 404 to our own repeated delete, a 409 to our own repeated create: it is done.
 *   - the body or the ids cannot be read or written (PostgreSQL): nothing was sent.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/mem.h"
#include "wal/engine.h"
#include "wal/execute_private.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/verdict.h"

static LIST_HEAD(execution_list, execution) at_work = LIST_HEAD_INITIALIZER(at_work);

#define TIMEOUT_LEAST 5000u
#define TIMEOUT_MOST 120000u
#define TIMEOUT_RESOLVE 30000u /* a filter may look at everything */
#define TIMEOUT_BYTES_A_MS 100u
#define STALLED_MS 1500u
#define LOOK_MS 5u /* while others read their bodies from the log */

static msec time_limit(const struct blob *body)
{
	msec limit = TIMEOUT_LEAST + blob_len(body) / TIMEOUT_BYTES_A_MS;

	return limit < TIMEOUT_MOST ? limit : TIMEOUT_MOST;
}

/* --- stalled ------------------------------------------------------------------------ */

static void on_stalled(void *arg)
{
	struct execution *e = arg;

	op_cancel(&e->pending);
	execution_conclude(e, VERDICT_UNKNOWN, 0, NULL,
	                   "later writes were answered, this one not");
}

static size_t body_of(const struct execution *e)
{
	return e->batch.body != NULL ? blob_len(e->batch.body) : e->record->body_len;
}

/* A Chroma executes writes one after the other. One that was sent before another which is
 * answered by now, and is not answered itself some time after, never will be: something
 * on the way has lost it. What takes long to receive may be overtaken honestly. */
static void look_for_stalled(unsigned instance, uint64_t sent_us)
{
	uint64_t now = clock_us(), allowed;
	struct execution *e;

	LIST_FOREACH (e, &at_work, link) {
		if (e->instance != instance || e->sent_us == 0 || e->sent_us >= sent_us ||
		    timer_running(&e->rest) || !record_is_item(e->record->kind))
			continue;
		allowed = STALLED_MS + body_of(e) / TIMEOUT_BYTES_A_MS;
		allowed = e->sent_us + allowed * 1000;
		timer_start(&e->rest, allowed > now ? (allowed - now) / 1000 : 0,
		            on_stalled, e);
	}
}

/* --- the end ----------------------------------------------------------------------- */

/* A Chroma that is being reset answers with errors: no reason to cut the reset off. */
static void pardon(const struct record *r, unsigned i, bool yes)
{
	if (r->kind != RECORD_RESET)
		return;
	instance_pardon(health_instance(i), yes);
	identity_resets(i, yes);
}

static void execution_free(struct execution *e)
{
	for (size_t k = 0; k < e->batch.n; k++)
		e->batch.records[k]->turns[e->instance].execution = NULL;
	pardon(e->record, e->instance, false);
	op_cancel(&e->pending);
	timer_stop(&e->rest);
	if (e->step == STEP_STORE_IDS) /* nobody knows whether they are stored */
		blob_unref(&e->record->resolved);
	blob_unref(&e->taken);
	batch_clear(&e->batch);
	LIST_REMOVE(e, link);
	free(e);
}

/* Frees the execution, then tells the engine. */
void execution_conclude(struct execution *e, enum verdict v, int http, struct blob *body,
                        const char *detail)
{
	struct execution_result result = {.verdict = v,
	                                  .broken = e->broken,
	                                  .http = http,
	                                  .body = body,
	                                  .detail = detail};
	struct batch batch = e->batch;
	unsigned i = e->instance;

	for (size_t k = 0; k < batch.n; k++) {
		batch.records[k]->upstream_us = clock_us() - e->started_us;
		batch.records[k]->turns[i].execution = NULL;
	}
	if (v == VERDICT_APPLIED && e->sent_us > 0)
		look_for_stalled(i, e->sent_us);
	e->batch = (struct batch){0};
	execution_free(e);
	engine_executed(batch.records, batch.n, i, &result);
	batch_clear(&batch);
}

void execution_not_sent(struct execution *e, const char *why)
{
	execution_conclude(e, VERDICT_BUSY, 0, NULL, why);
}

/* --- what goes in the call ---------------------------------------------------------- */

static void on_bodies(void *arg, enum status s, const struct pg_results *results)
{
	struct execution *e = arg;

	if (s != STATUS_OK || !batch_take_bodies(&e->batch, results)) {
		execution_not_sent(e, "the body could not be read from the log");
		return;
	}
	e->step = e->first_step;
	batch_merge(&e->batch);
	execution_step(e);
}

/* The work starts from the loop, never inside the engine's own walk over its lanes. */
static void on_started(void *arg)
{
	struct execution *e = arg;
	struct pg_unit *unit;

	if (!batch_may_read(&e->batch)) {
		timer_start(&e->rest, LOOK_MS, on_started, e);
		return;
	}
	batch_gather(&e->batch);
	for (size_t k = 1; k < e->batch.n; k++)
		e->batch.records[k]->turns[e->instance].execution = e;
	unit = batch_bodies(&e->batch);
	if (unit == NULL) {
		batch_merge(&e->batch);
		execution_step(e);
		return;
	}
	e->first_step = e->step;
	e->step = STEP_FETCH;
	pg_submit(wal_reader(), unit, on_bodies, e, &e->pending);
}

/* --- steps ------------------------------------------------------------------------- */

static void issue(struct execution *e, struct prepared *p)
{
	struct headers headers = {0};
	struct call call = {.method = p->method,
	                    .target = p->target.s,
	                    .headers = &headers,
	                    .body = p->body,
	                    .timeout = e->step == STEP_RESOLVE ? TIMEOUT_RESOLVE
	                                                       : time_limit(p->body),
	                    .repeatable = p->repeatable};

	e->sent_us = e->step == STEP_SEND ? clock_us() : 0;
	if (p->body != NULL)
		headers_add(&headers, "content-type", "application/json");
	traced_call(e->batch.records, e->batch.n, e->instance, &headers);
	FAILPOINT("execution_sending");
	for (size_t k = 0; k < e->batch.n; k++)
		scope_sent(e->batch.records[k], e->instance);
	upstream_call(instance_upstream(health_instance(e->instance)), &call,
	              execution_on_reply, e, &e->pending);
	headers_clear(&headers);
	prepared_clear(p);
}

static void prepare_first(struct execution *e, struct prepared *p)
{
	const struct record *r = e->record;

	if (record_creates(r->kind))
		prepare_create(p, r);
	else if (r->kind == RECORD_MODIFY_COLLECTION)
		prepare_modify(p, r, e->instance);
	else if (execution_deletes(r))
		prepare_delete(p, r, e->instance);
	else if (r->kind == RECORD_RESET)
		prepare_reset(p);
	else
		prepare_item(p, r, e->instance, e->batch.body);
}

static bool nothing_to_delete(const struct record *r)
{
	return r->kind == RECORD_DELETE_WHERE && r->resolved != NULL &&
	       blob_len(r->resolved) <= strlen("{\"ids\":[]}");
}

/* Its database is gone, by a record before it or behind it. It cannot matter any more,
 * and must not be sent: another database may have that name by now. What an instance may
 * have executed before counts as done: its client may have been told. */
static void conclude_without_database(struct execution *e)
{
	static const char text[] = "{\"error\":\"NotFoundError\",\"message\":"
	                           "\"The database has been deleted\"}";
	const struct record *r = e->record;
	bool begun = r->turns[e->instance].doubt && !record_creates(r->kind);
	struct blob *body = blob_create(text, sizeof(text) - 1);

	if (record_is_open(r) && !begun && !execution_deletes(r))
		execution_conclude(e, VERDICT_REFUSED, 404, body, "");
	else
		execution_conclude(e, VERDICT_APPLIED, 200, NULL, "");
	blob_unref(&body);
}

/* Its create was left out there. */
static bool is_not_there(const struct record *r, unsigned i)
{
	return r->collection != NULL && r->kind != RECORD_CREATE_COLLECTION &&
	       uuid_none(&r->collection->local[i]);
}

static void on_claimed(void *arg, const struct claim_result *result)
{
	struct execution *e = arg;

	e->broken = result->broken;
	e->record->turns[e->instance].local = result->local;
	e->record->embeddings |= result->has_dimension;
	execution_conclude(e, result->verdict, result->http, result->body,
	                   result->detail);
}

void execution_step(struct execution *e)
{
	const struct record *r = e->record;
	struct prepared p;

	if (!lease_may_send()) {
		execution_not_sent(e, "the lease has run out");
		return;
	}
	if (r->collection != NULL && r->collection->life == LIFE_GONE)
		batch_part(&e->batch, 1); /* while bodies were fetched */
	if (r->collection != NULL && r->collection->db->life == LIFE_GONE) {
		conclude_without_database(e);
		return;
	}
	if (r->kind == RECORD_ADOPT_COLLECTION) {
		claim_start(r, e->instance, on_claimed, e, &e->pending);
		return;
	}
	if (overtaken_is_left(r, e->instance)) {
		execution_conclude_left(e);
		return;
	}
	if (is_not_there(r, e->instance)) {
		execution_conclude(
		        e, execution_deletes(r) ? VERDICT_APPLIED : VERDICT_LOST, 404,
		        NULL, "the instance does not have the collection");
		return;
	}
	if (e->step == STEP_FIND) {
		prepare_find_created(&p, r);
	} else if (r->kind == RECORD_DELETE_WHERE && r->resolved == NULL) {
		e->step = STEP_RESOLVE;
		FAILPOINT("filter_appended");
		prepare_resolve(&p, r, e->instance);
	} else if (nothing_to_delete(r)) {
		struct blob *none = blob_create("{\"deleted\":0}", 13);

		execution_conclude(e, VERDICT_APPLIED, 200, none, "");
		blob_unref(&none);
		return;
	} else if (e->step == STEP_SET_ASIDE) {
		prepare_set_aside(&p, r, e->instance);
	} else {
		e->step = STEP_SEND;
		prepare_first(e, &p);
	}
	issue(e, &p);
}

static struct execution *execution_of(struct record *r, unsigned i)
{
	struct execution *e = mem_new(struct execution);

	e->record = r;
	batch_begin(&e->batch, r, i);
	e->instance = i;
	e->started_us = clock_us();
	r->turns[i].execution = e;
	LIST_INSERT_HEAD(&at_work, e, link);
	return e;
}

void execution_start(struct record *r, unsigned i)
{
	struct execution *e = execution_of(r, i);

	e->step = r->kind == RECORD_DELETE_COLLECTION ? STEP_SET_ASIDE : STEP_SEND;
	pardon(r, i, true);
	timer_start(&e->rest, 0, on_started, e);
}

static void on_rested(void *arg)
{
	struct execution *e = arg;
	struct record *r = e->record;

	execution_free(e);
	engine_kick(r);
}

void execution_rest(struct record *r, unsigned i, msec wait)
{
	struct execution *e = execution_of(r, i);

	timer_start(&e->rest, wait, on_rested, e);
}

void execution_abandon(struct record *r, unsigned i, const char *why)
{
	struct execution *e = r->turns[i].execution;

	op_cancel(&e->pending);
	execution_conclude(e, VERDICT_UNKNOWN, 0, NULL, why);
}

void execution_cancel(struct record *r, unsigned i)
{
	struct execution *e = r->turns[i].execution;

	if (e != NULL)
		execution_free(e);
}
