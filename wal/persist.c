/* wal/persist.c - outcomes and positions: what must survive this process.
 *
 * One unit a turn: the fence of our epoch, the outcome (if this turn decided it) with
 * what it means for the catalogue, the binding of a create, the position. Units ride with
 * the next commit of the log's connection, so for a busy proxy they cost next to nothing.
 *
 * When PostgreSQL goes away the units wait here and are sent again: each is harmless to
 * repeat. When it says that our epoch is over, we are: see wal_deposed(). */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"

#define ANSWER_MOST 65536u

struct persist {
	struct record *record;
	unsigned instance;
	bool with_decision;
	bool sent;
	struct op *pending;
	TAILQ_ENTRY(persist) link;
};

#define RETRY_MS 1000u

static TAILQ_HEAD(persist_list, persist) waiting;
static unsigned n_waiting;
static struct timer retry; /* after a refusal that is not about our epoch (disk full) */

static const struct pg_statement fence = {"fence", "SELECT chromatid.fence($1)"};

static const struct pg_statement outcome = {
        "outcome",
        "INSERT INTO chromatid.outcome (seq, decision, http, answer, instance,"
        " epoch, late) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (seq) DO NOTHING"};

static const struct pg_statement position = {
        "position", "INSERT INTO chromatid.position AS p (instance, scope, seq, epoch)"
                    " VALUES ($1, $2, $3, $4) ON CONFLICT (instance, scope) DO UPDATE"
                    " SET seq = greatest(p.seq, excluded.seq), epoch = excluded.epoch"};

static const struct pg_statement tell_decided = {
        "tell_decided", "SELECT pg_notify('" WAL_CHANNEL "', '" WAL_DECIDED "')"};

void persist_add_fence(struct pg_unit *unit)
{
	pg_add(unit, &fence, 1, (struct pg_param[]){pg_int8(lease_epoch())});
}

void persist_add_position(struct pg_unit *unit, unsigned i, int64_t scope, wal_seq seq)
{
	pg_add(unit, &position, 4,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(scope),
	                           pg_int8(seq), pg_int8(lease_epoch())});
}

static void add_outcome(struct pg_unit *unit, const struct record *r)
{
	bool keep = r->answer != NULL && blob_len(r->answer) <= ANSWER_MOST;

	pg_add(unit, &outcome, 7,
	       (struct pg_param[]){
	               pg_int8(r->seq), pg_int4((int)r->decision), pg_int4(r->http),
	               keep ? pg_bytes(blob_bytes(r->answer), blob_len(r->answer))
	                    : pg_null(),
	               pg_int4(store_instance_id((unsigned)r->decided_by)),
	               pg_int8(lease_epoch()), pg_bool(r->late)});
}

static void add_catalogue(struct pg_unit *unit, const struct record *r)
{
	bool accepted = r->decision == DECISION_ACCEPTED;

	if (record_makes_collection(r->kind) && accepted)
		store_add_live(unit, r->collection, decision_public_id(r));
	if (record_makes_collection(r->kind) && !accepted)
		store_add_refused_create(unit, r->collection);
	if (r->kind == RECORD_MODIFY_COLLECTION && r->name != NULL)
		store_add_renamed(unit, r->collection, r->old_name, r->name, accepted);
	if (r->sets_dimension)
		store_add_dimension(unit, r->collection);
	if (r->kind == RECORD_CREATE_DATABASE && accepted)
		store_add_database_live(unit, r->database);
	if (r->kind == RECORD_CREATE_DATABASE && !accepted)
		store_add_database_refused(unit, r->database);
	if (r->kind == RECORD_CREATE_TENANT && !accepted)
		store_add_tenant_refused(unit, r->name);
	if (r->kind == RECORD_RESET && accepted)
		store_add_reset(unit, r->seq, RECORD_DELETE_DATABASE);
}

static void drop(struct persist *p)
{
	TAILQ_REMOVE(&waiting, p, link);
	n_waiting--;
	p->record->busy--;
	op_cancel(&p->pending);
	free(p);
}

static void on_retry(void *arg)
{
	(void)arg;
	persist_resume();
}

static void on_persisted(void *arg, enum status s, const struct pg_results *results)
{
	struct persist *p = arg;
	struct record *r = p->record;
	unsigned i = p->instance;

	p->sent = false;
	if (s == STATUS_OK) {
		FAILPOINT("persist_done");
		drop(p);
		if (r->turns[i].late_look)
			doubt_noted(r, i);
		engine_persisted(r, i);
	} else if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(results), "CT001") == 0) {
		wal_deposed("its epoch is over");
	} else if (s == STATUS_DB_REFUSED) {
		log_error("persist", "record %lld at %s: %s", (long long)r->seq,
		          instance_name(health_instance(i)), pg_message(results));
		timer_start(&retry, RETRY_MS, on_retry, NULL);
	} else if (s == STATUS_BUSY || wal_connected()) {
		/* connected again before we heard of the loss */
		timer_start(&retry, RETRY_MS, on_retry, NULL);
	}
}

static int64_t scope_of_position(const struct record *r, unsigned i)
{
	return r->turns[i].apart ? r->collection->id : r->members[0].scope->id;
}

static void submit(struct persist *p)
{
	const struct record *r = p->record;
	struct pg_unit *unit = pg_unit_create();
	const struct turn *t = &r->turns[p->instance];

	pg_unit_is(unit, PG_OUTCOME);
	persist_add_fence(unit);
	if (p->with_decision) {
		add_outcome(unit, r);
		add_catalogue(unit, r);
	}
	if (r->kind == RECORD_ADOPT_COLLECTION && !uuid_none(&t->local))
		store_add_unbind_gone(unit, p->instance, &t->local);
	if (record_makes_collection(r->kind) && !uuid_none(&t->local))
		store_add_binding(unit, r->collection, p->instance, &t->local);
	persist_add_position(unit, p->instance, scope_of_position(r, p->instance),
	                     r->seq);
	if (p->with_decision && r->elsewhere)
		pg_add(unit, &tell_decided, 0, NULL);
	if (r->kind == RECORD_RESET && r->decision == DECISION_ACCEPTED)
		identity_add_reset(unit, p->instance);
	if (t->late_look)
		doubt_add(unit, r, p->instance);
	p->sent = true;
	FAILPOINT("persist_sending");
	pg_submit(wal_pg(), unit, on_persisted, p, &p->pending);
}

void persist_turn(struct record *r, unsigned i, bool with_decision)
{
	struct persist *p = mem_new(struct persist);

	p->record = r;
	p->instance = i;
	p->with_decision = with_decision;
	r->busy++;
	TAILQ_INSERT_TAIL(&waiting, p, link);
	n_waiting++;
	submit(p);
}

void persist_resume(void)
{
	struct persist *p;

	TAILQ_FOREACH (p, &waiting, link)
		if (!p->sent)
			submit(p);
}

void persist_clear(void)
{
	struct persist *p;

	timer_stop(&retry);
	while ((p = TAILQ_FIRST(&waiting)) != NULL)
		drop(p);
}

unsigned persist_waiting(void)
{
	return n_waiting;
}

void persist_start(void)
{
	TAILQ_INIT(&waiting);
}
