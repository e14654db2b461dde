/* wal/execute_reply.c - what an instance's answer to a record means, and which step
 * follows.
 *
 *   execution_on_reply  the verdict, by the step that was answered
 *   on_resolved         the ids of a delete by filter: made durable, then deleted
 *   on_sent             the write itself: most are over with that
 *   on_taken, on_found  the name of a create is taken: by ourselves, earlier?
 * When it does not go well: what is no clear answer is none; the engine tries again. */
#include "core/failpoint.h"
#include "core/json_scan.h"
#include "wal/append.h"
#include "wal/execute_private.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/verdict.h"

/* --- the ids of a delete by filter ------------------------------------------------- */

static const struct pg_statement store_ids = {
        "store_ids", "INSERT INTO chromatid.resolved (seq, n, ids) VALUES ($1, $2, $3)"
                     " ON CONFLICT (seq) DO NOTHING"};

static void on_ids_stored(void *arg, enum status s, const struct pg_results *results)
{
	struct execution *e = arg;

	(void)results;
	if (s != STATUS_OK) {
		blob_unref(&e->record->resolved);
		execution_not_sent(e, "the resolved ids could not be stored");
		return;
	}
	FAILPOINT("filter_stored");
	e->step = STEP_SEND;
	execution_step(e);
}

static void store_resolved(struct execution *e, struct blob *ids, size_t count)
{
	struct record *r = e->record;
	struct pg_unit *unit = pg_unit_create();

	FAILPOINT("filter_resolved");
	r->resolved = ids;
	e->step = STEP_STORE_IDS;
	persist_add_fence(unit);
	pg_add(unit, &store_ids, 3,
	       (struct pg_param[]){pg_int8(r->seq), pg_int8((int64_t)count),
	                           pg_bytes(blob_bytes(ids), blob_len(ids))});
	pg_submit(wal_pg(), unit, on_ids_stored, e, &e->pending);
}

static void conclude_overtaken(struct execution *e, const struct reply *reply)
{
	enum verdict v = VERDICT_APPLIED;

	if (record_is_open(e->record))
		v = overtaken_another_can_say(e->record, e->instance) ? VERDICT_LOST
		                                                      : VERDICT_REFUSED;
	execution_conclude(e, v, reply->http, reply->body, reply->detail);
}

void execution_conclude_left(struct execution *e)
{
	static const char text[] = "{\"error\":\"NotFoundError\",\"message\":"
	                           "\"The collection has been deleted\"}";
	struct blob *body = blob_create(text, sizeof(text) - 1);
	const struct reply reply = {
	        .http = 404, .body = body, .detail = "the collection is deleted"};

	conclude_overtaken(e, &reply);
	blob_unref(&body);
}

static void on_resolved(struct execution *e, const struct reply *reply, enum verdict v)
{
	struct blob *ids;
	size_t count;

	if (overtaken_is(e->record, v)) {
		conclude_overtaken(e, reply);
		return;
	}
	if (v != VERDICT_APPLIED) {
		execution_conclude(e, v, reply->http, reply->body, reply->detail);
		return;
	}
	ids = resolved_from(reply->body, &count);
	if (ids == NULL)
		execution_not_sent(e, "the ids of the filter were not understood");
	else
		store_resolved(e, ids, count);
}

/* --- creates ----------------------------------------------------------------------- */

static bool learn_id(struct execution *e, const struct blob *answer)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));

	return uuid_parse_json(json_member(whole, "id"),
	                       &e->record->turns[e->instance].local);
}

static void created(struct execution *e, const struct reply *reply)
{
	FAILPOINT("create_executed");
	if (!learn_id(e, reply->body))
		execution_conclude(e, VERDICT_UNKNOWN, 0, NULL,
		                   "created, but its id was not understood");
	else
		execution_conclude(e, VERDICT_APPLIED, 200, reply->body, "");
}

static void conclude_taken(struct execution *e)
{
	struct blob *said = blob_ref(e->taken);

	execution_conclude(
	        e, VERDICT_REFUSED, 409, said,
	        "the name is taken by a collection made directly on the instance");
	blob_unref(&said);
}

/* The name is taken there. By our own earlier attempt: it is done. By another collection
 * of ours, whose change of name waits in quarantine: not yet. By somebody who went to the
 * instance directly: as for any client of that server, a conflict. */
static void on_owner(struct execution *e, const struct reply *reply)
{
	struct record *r = e->record;
	struct uuid *local = &r->turns[e->instance].local;
	bool open = record_is_open(r);
	struct collection *owner;

	if (!learn_id(e, reply->body)) {
		execution_conclude(e, VERDICT_UNKNOWN, 0, NULL,
		                   "its id was not understood");
		return;
	}
	owner = catalogue_by_uuid(local);
	if (owner != NULL && owner != r->collection) {
		*local = (struct uuid){{0}};
		execution_conclude(
		        e, open ? VERDICT_BUSY : VERDICT_REFUSED, 0, NULL,
		        "the name is still held by a collection in quarantine");
	} else if (r->turns[e->instance].doubt) {
		execution_conclude(e, VERDICT_APPLIED, 200, reply->body, "");
	} else {
		*local = (struct uuid){{0}};
		conclude_taken(e);
	}
}

static void on_taken(struct execution *e, const struct reply *reply)
{
	if (e->record->kind != RECORD_CREATE_COLLECTION) {
		/* By our own earlier attempt; or an older disk has it still, or somebody
		 * made it there: what the catalogue did not list was not there for a
		 * client, and the catalogue has it now. */
		execution_conclude(e, VERDICT_APPLIED, 200, NULL, "");
	} else {
		e->taken = blob_ref(reply->body);
		e->step = STEP_FIND;
		execution_step(e);
	}
}

/* --- replies ----------------------------------------------------------------------- */

bool execution_deletes(const struct record *r)
{
	return r->kind == RECORD_DELETE_COLLECTION || r->kind == RECORD_DELETE_DATABASE;
}

static void on_sent(struct execution *e, const struct reply *reply, enum verdict v)
{
	const struct record *r = e->record;

	FAILPOINT("execution_answered");
	if (e->batch.n > 1)
		execution_conclude(e, v, reply->http, reply->body, reply->detail);
	else if (overtaken_is(r, v) && !execution_deletes(r))
		conclude_overtaken(e, reply);
	else if (record_creates(r->kind) && reply->http == 409)
		on_taken(e, reply);
	else if (execution_deletes(r) && reply->http == 404)
		execution_conclude(e, VERDICT_APPLIED, 200, NULL, "");
	else if (r->kind == RECORD_RESET && v == VERDICT_DENIED)
		execution_conclude(e, VERDICT_REFUSED, reply->http, reply->body,
		                   reply->detail);
	else if (r->kind == RECORD_CREATE_COLLECTION && v == VERDICT_APPLIED)
		created(e, reply);
	else
		execution_conclude(e, v, reply->http, reply->body, reply->detail);
}

static void on_found(struct execution *e, const struct reply *reply, enum verdict v)
{
	if (v == VERDICT_APPLIED)
		on_owner(e, reply);
	else
		execution_conclude(e, v == VERDICT_LOST ? VERDICT_UNKNOWN : v,
		                   reply->http, reply->body, reply->detail);
}

void execution_on_reply(void *arg, const struct reply *reply)
{
	struct execution *e = arg;
	enum verdict v = e->step == STEP_SEND ? verdict_of_sent(e->record, reply)
	                                      : verdict_of(reply);

	/* Where something stands in front of an instance, its death is told so. */
	e->broken = reply->status == STATUS_BROKEN || reply->http == 502 ||
	            reply->http == 504;
	health_report(health_instance(e->instance), health_signal_of(reply),
	              reply->detail);
	switch (e->step) {
	case STEP_RESOLVE:
		on_resolved(e, reply, v);
		return;
	case STEP_SET_ASIDE:
		if (v == VERDICT_APPLIED || v == VERDICT_LOST) {
			FAILPOINT("set_aside_done");
			e->step = STEP_SEND;
			execution_step(e);
			return;
		}
		execution_conclude(e, v, reply->http, reply->body, reply->detail);
		return;
	case STEP_FIND:
		on_found(e, reply, v);
		return;
	default:
		on_sent(e, reply, v);
	}
}
