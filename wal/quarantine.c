/* wal/quarantine.c - lanes that cannot go on.
 *
 * What an instance makes of a collection is not what the log says, or it cannot digest a
 * record: its lane for that collection is parked. It is not read there, its records wait
 * (scope.c), everything else goes on.
 *
 *   quarantine_begin    found out: park, say so
 *   quarantine_lost     found out for many at once (resync.c), who keeps their rows
 *   on_written          its row is durable: from now on what changes the collection may
 *                       be passed by in the lanes of its database
 *   on_retry            try again: the lane moves, and its row goes when nothing of it
 *                       stands apart any more; or it is parked again
 *   quarantine_heal     rebuild.c makes the collection anew there, from an instance that
 *                       is well; its row goes when that has been done
 *   quarantine_gone     the collection is deleted: what waits is passed, nothing to heal
 *
 * A row that cannot be written is written when PostgreSQL is back, before any position
 * that relies on it. At a restart the rows park their lanes before anything is executed.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/quarantine_private.h"
#include "wal/record.h"
#include "wal/scope.h"

#define RETRY_FIRST_MS 60000u
#define RETRY_LATER_MS 600000u
#define WRITE_AGAIN_MS 1000u
#define KEPT_MOST_MS 10000u /* else whoever wanted to write it could not, or is gone */

struct quarantine_list quarantines = TAILQ_HEAD_INITIALIZER(quarantines);

static struct quarantine *find(const struct collection *c, unsigned i)
{
	return c->scope != NULL ? c->scope->lanes[i].quarantine : NULL;
}

static void drop(struct quarantine *q)
{
	TAILQ_REMOVE(&quarantines, q, link);
	q->collection->scope->lanes[q->instance].quarantine = NULL;
	timer_stop(&q->retry);
	timer_stop(&q->again);
	op_cancel(&q->pending);
	collection_release(&q->collection);
	free(q->error);
	free(q);
}

/* --- its row ----------------------------------------------------------------------- */

static const struct pg_statement keep = {
        "quarantine",
        "INSERT INTO chromatid.quarantine (instance, collection, seq, cause, http, error,"
        " attempts, apart) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (instance, collection) DO UPDATE SET seq = excluded.seq,"
        " cause = excluded.cause, http = excluded.http, error = excluded.error,"
        " attempts = excluded.attempts, apart = excluded.apart"};

static const struct pg_statement discard = {
        "quarantine_end",
        "DELETE FROM chromatid.quarantine WHERE instance = $1 AND collection = $2"};

bool quarantine_stands(const struct quarantine *q)
{
	return q->state == STATE_PARKED || q->state == STATE_HEALING ||
	       q->state == STATE_SWITCHING;
}

/* Not before the row is durable: a position behind what stands apart would say that it is
 * done. */
static void leave_database(struct quarantine *q)
{
	scope_stand_apart(q->collection->scope, q->instance);
	if (q->collection->db->scope != NULL)
		engine_kick_scope(q->collection->db->scope);
}

static void on_written(void *arg, enum status s, const struct pg_results *r)
{
	struct quarantine *q = arg;

	if (s == STATUS_OK && q->state == STATE_ENDED) {
		drop(q);
	} else if (s == STATUS_OK) {
		if (quarantine_stands(q))
			leave_database(q);
	} else if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0) {
		wal_deposed("its epoch is over");
	} else if (s != STATUS_OK) {
		timer_start(&q->again, WRITE_AGAIN_MS, quarantine_write_row, q);
	}
}

void quarantine_add_end(struct pg_unit *unit, const struct collection *c, unsigned i)
{
	pg_add(unit, &discard, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(c->id)});
}

void quarantine_write_row(void *arg)
{
	struct quarantine *q = arg;
	struct pg_unit *unit = pg_unit_create();
	int id = store_instance_id(q->instance);

	op_cancel(&q->pending);
	timer_stop(&q->again);
	persist_add_fence(unit);
	if (q->state == STATE_ENDED)
		quarantine_add_end(unit, q->collection, q->instance);
	else
		pg_add(unit, &keep, 8,
		       (struct pg_param[]){pg_int4(id), pg_int8(q->collection->id),
		                           pg_int8(q->seq), pg_int4((int)q->cause),
		                           pg_int4(q->http), pg_text(q->error),
		                           pg_int4((int)q->attempts), pg_int8(q->apart)});
	pg_submit(wal_pg(), unit, on_written, q, &q->pending);
}

void quarantine_resume(void)
{
	struct quarantine *q, *next;

	for (q = TAILQ_FIRST(&quarantines); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		/* One that has ended must not go before the positions it has kept. */
		if (timer_running(&q->again) && q->state != STATE_ENDED)
			quarantine_write_row(q);
	}
}

/* --- trying again ------------------------------------------------------------------ */

static void set_free(struct quarantine *q, enum quarantine_state state)
{
	q->state = state;
	q->retry_at = 0;
	timer_stop(&q->retry);
	scope_unpark(q->collection->scope, q->instance);
}

/* A lane that is left is so until all of it is decided: what the instance has there says
 * nothing about what is not. */
static bool relies_on_it(const struct quarantine *q)
{
	const struct scope *s = q->collection->scope;

	return scope_has_apart(s, q->instance) ||
	       (q->state == STATE_LEAVING && s->n_open > 0);
}

static void end_if_nothing_relies_on_it(struct quarantine *q)
{
	if (relies_on_it(q))
		return;
	log_info("quarantine", "collection %s at %s: the lane goes on",
	         q->collection->public_id.text,
	         instance_name(health_instance(q->instance)));
	q->state = STATE_ENDED;
	quarantine_write_row(q);
}

bool quarantine_is_about_content(const struct quarantine *q)
{
	return q->cause == QUARANTINE_ACCEPTED || q->cause == QUARANTINE_DIFFERS ||
	       q->cause == QUARANTINE_INDEX;
}

void quarantine_try_again(struct quarantine *q)
{
	log_info("quarantine", "collection %s at %s: trying again from record %lld on",
	         q->collection->public_id.text,
	         instance_name(health_instance(q->instance)), (long long)q->seq);
	set_free(q, STATE_TRYING);
	if (quarantine_is_about_content(q)) /* nothing in the lane tells */
		end_if_nothing_relies_on_it(q);
	engine_kick_scope(q->collection->scope);
}

static void on_retry(void *arg)
{
	quarantine_try_again(arg);
}

/* Not by a record that was tried: quarantine_lost(). */
bool quarantine_is_surveyed(const struct quarantine *q)
{
	return q->attempts == 0;
}

/* What differs does not become equal by waiting. */
static void plan_retry(struct quarantine *q)
{
	msec wait = q->attempts <= 1 ? RETRY_FIRST_MS : RETRY_LATER_MS;

	timer_stop(&q->retry);
	q->retry_at = 0;
	if (quarantine_is_about_content(q) || quarantine_is_surveyed(q))
		return;
	q->retry_at = clock_ms() + wait;
	timer_start(&q->retry, wait, on_retry, q);
}

static void leave(struct quarantine *q)
{
	set_free(q, STATE_LEAVING);
	engine_kick_scope(q->collection->scope);
}

/* --- begin ------------------------------------------------------------------------- */

static struct quarantine *create(struct collection *c, unsigned i)
{
	struct quarantine *q = mem_new(struct quarantine);

	q->collection = collection_hold(c);
	q->instance = i;
	q->since_wall_ms = clock_wall_ms();
	scope_of_collection(c)->lanes[i].quarantine = q;
	TAILQ_INSERT_TAIL(&quarantines, q, link);
	return q;
}

static void park(struct quarantine *q)
{
	q->state = STATE_PARKED;
	scope_park(scope_of_collection(q->collection), q->instance);
	plan_retry(q);
}

/* The first record that is not done there stands apart from now on, if it can, and all
 * behind it; what was done is counted by the positions of the database. */
static wal_seq stands_before(const struct lane *lane)
{
	wal_seq head = lane->head != NULL ? lane->head->record->seq : 0;

	if (lane->first_cold > 0 && (head == 0 || lane->first_cold < head))
		return lane->first_cold;
	return head > 0 ? head : append_last_seq() + 1;
}

static uint64_t begun;

uint64_t quarantine_begun(void)
{
	return begun;
}

bool quarantine_begin(struct collection *c, unsigned i, wal_seq seq,
                      enum quarantine_cause cause, int http, const char *error)
{
	struct quarantine *q = find(c, i);

	if (c->life == LIFE_GONE)
		return false;
	begun += q == NULL || q->state == STATE_ENDED ? 1 : 0;
	if (q == NULL)
		q = create(c, i);
	else if (q->state == STATE_ENDED)
		q->attempts = 0;
	q->apart = stands_before(&c->scope->lanes[i]);
	q->seq = seq < q->apart ? seq : q->apart;
	q->cause = cause;
	q->http = http;
	free(q->error);
	q->error = mem_string(error);
	q->attempts++;
	log_error("quarantine", "collection %s at %s: record %lld: %s (%s, HTTP %d)",
	          c->public_id.text, instance_name(health_instance(i)), (long long)seq,
	          error, quarantine_cause_name(cause), http);
	park(q);
	quarantine_write_row(q);
	return true;
}

wal_seq quarantine_lost(struct collection *c, unsigned i, const char *error)
{
	struct quarantine *q = find(c, i);

	if (q == NULL)
		q = create(c, i);
	if (q->error == NULL || q->state == STATE_ENDED)
		q->apart = stands_before(&c->scope->lanes[i]);
	q->seq = q->apart;
	q->cause = QUARANTINE_LOST;
	q->http = 0;
	q->attempts = 0;
	free(q->error);
	q->error = mem_string(error);
	op_cancel(&q->pending); /* a row that is written now would be the last */
	timer_start(&q->again, KEPT_MOST_MS, quarantine_write_row, q);
	if (c->life == LIFE_GONE)
		leave(q);
	else
		park(q);
	return q->seq;
}

void quarantine_kept(struct collection *c, unsigned i)
{
	struct quarantine *q = find(c, i);

	if (q != NULL && q->state == STATE_LEAVING)
		timer_stop(&q->again);
	if (q == NULL || !quarantine_stands(q))
		return;
	timer_stop(&q->again);
	leave_database(q);
}

bool quarantine_is_not_kept(const struct collection *c, unsigned i)
{
	const struct quarantine *q = find(c, i);

	return q != NULL && q->state == STATE_PARKED && quarantine_is_surveyed(q) &&
	       !c->scope->lanes[i].apart;
}

bool quarantine_is_lost(const struct collection *c, unsigned i)
{
	const struct quarantine *q = find(c, i);

	return q != NULL && quarantine_stands(q) && q->cause == QUARANTINE_LOST;
}

bool quarantine_is_parked(const struct collection *c, unsigned i)
{
	return c->scope != NULL && c->scope->lanes[i].parked;
}

/* --- the end ----------------------------------------------------------------------- */

void quarantine_moved(struct record *r, unsigned i)
{
	struct quarantine *q = r->collection != NULL ? find(r->collection, i) : NULL;

	if (q != NULL && (q->state == STATE_TRYING || q->state == STATE_LEAVING))
		end_if_nothing_relies_on_it(q);
}

bool quarantine_passes(const struct record *r, unsigned i)
{
	if (TAILQ_EMPTY(&quarantines) || r->collection == NULL ||
	    r->kind == RECORD_DELETE_COLLECTION || record_may_have_created(r, i))
		return false;
	return quarantine_is_left(r->collection, i);
}

bool quarantine_is_left(const struct collection *c, unsigned i)
{
	const struct quarantine *q = find(c, i);

	return q != NULL && q->state == STATE_LEAVING;
}

/* Asked about each write, and there may be ten thousand lanes in quarantine. */
static bool may_delete(const struct record *r)
{
	return r->kind == RECORD_DELETE_COLLECTION || r->kind == RECORD_DELETE_DATABASE ||
	       r->kind == RECORD_RESET;
}

static bool deletes(const struct record *r, const struct collection *c)
{
	if (r->kind == RECORD_DELETE_COLLECTION)
		return r->collection == c;
	if (r->kind == RECORD_DELETE_DATABASE)
		return r->database == c->db;
	return r->kind == RECORD_RESET && c->life == LIFE_GONE;
}

void quarantine_gone(const struct record *r)
{
	struct quarantine *q, *next;

	if (!may_delete(r) || !wal_leads())
		return; /* still loading: quarantine_all_loaded() */
	for (q = TAILQ_FIRST(&quarantines); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->state != STATE_ENDED && q->state != STATE_LEAVING &&
		    q->state != STATE_SWITCHING && deletes(r, q->collection))
			leave(q);
	}
}

/* --- healed by another instance ------------------------------------------------------
 */

/* What merely fails may go through the next time. Nothing is passed before the row is
 * durable. */
static bool may_be_healed(const struct quarantine *q)
{
	return q->state == STATE_PARKED && q->collection->life == LIFE_LIVE &&
	       q->collection->scope->lanes[q->instance].apart &&
	       (q->cause != QUARANTINE_FAILING || q->attempts > 1);
}

bool quarantine_may_be_healed(const struct collection *c, unsigned i)
{
	const struct quarantine *q = find(c, i);

	return q != NULL && may_be_healed(q);
}

struct collection *quarantine_next_to_heal(unsigned i, const struct collection *after)
{
	struct quarantine *q = after != NULL ? find(after, i) : NULL;

	q = q != NULL ? TAILQ_NEXT(q, link) : TAILQ_FIRST(&quarantines);
	while (q != NULL && (q->instance != i || !may_be_healed(q)))
		q = TAILQ_NEXT(q, link);
	return q != NULL ? q->collection : NULL;
}

void quarantine_heal(const struct collection *c, unsigned i, bool begin)
{
	struct quarantine *q = find(c, i);
	msec now = clock_ms();

	if (q == NULL || q->state == STATE_SWITCHING || !quarantine_stands(q))
		return;
	if (begin) {
		q->state = STATE_HEALING;
		timer_stop(&q->retry);
	} else if (c->life == LIFE_GONE) {
		leave(q);
	} else {
		q->state = STATE_PARKED;
		if (q->retry_at != 0)
			timer_start(&q->retry, q->retry_at > now ? q->retry_at - now : 0,
			            on_retry, q);
	}
}

void quarantine_switch(const struct collection *c, unsigned i, bool begin)
{
	struct quarantine *q = find(c, i);

	if (q == NULL || !quarantine_stands(q))
		return;
	q->state = begin ? STATE_SWITCHING : STATE_HEALING;
	q->retry_at = 0;
	timer_stop(&q->retry);
	if (!begin && !c->scope->lanes[i].apart)
		quarantine_write_row(q); /* it was about to end, and may be gone */
}

void quarantine_healed(struct collection *c, unsigned i, bool row_is_gone)
{
	struct quarantine *q = find(c, i);

	if (q == NULL)
		return;
	set_free(q, STATE_TRYING);
	if (row_is_gone)
		drop(q);
	else
		end_if_nothing_relies_on_it(q);
	engine_kick_scope(c->scope);
}

void quarantine_clear(void)
{
	struct quarantine *q;

	while ((q = TAILQ_FIRST(&quarantines)) != NULL)
		drop(q);
}

/* --- after a restart --------------------------------------------------------------- */

static const struct pg_statement load = {
        "load_quarantine",
        "SELECT instance, collection, seq, cause, http, error, attempts,"
        " (extract(epoch FROM since) * 1000)::bigint, coalesce(apart, seq)"
        " FROM chromatid.quarantine"};

static const struct pg_statement sweep = {
        "sweep_quarantine",
        "DELETE FROM chromatid.quarantine q WHERE NOT EXISTS (SELECT 1 FROM"
        " chromatid.collection c WHERE c.id = q.collection AND c.life < 2)"
        " AND NOT EXISTS (SELECT 1 FROM chromatid.log l WHERE"
        " l.collection = q.collection)"};

void quarantine_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
}

void quarantine_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		int i = store_instance_index(pg_get_int8(r, at + 1, row, 0));
		struct collection *c =
		        table_get(&found->collections, pg_get_text(r, at + 1, row, 1));
		struct quarantine *q;

		if (i < 0 || c == NULL)
			continue;
		q = create(c, (unsigned)i);
		q->seq = pg_get_int8(r, at + 1, row, 2);
		q->cause = (enum quarantine_cause)pg_get_int8(r, at + 1, row, 3);
		q->http = (int)pg_get_int8(r, at + 1, row, 4);
		q->error = mem_string(pg_get_text(r, at + 1, row, 5));
		q->attempts = (unsigned)pg_get_int8(r, at + 1, row, 6);
		q->since_wall_ms = pg_get_int8(r, at + 1, row, 7);
		q->apart = pg_get_int8(r, at + 1, row, 8);
		park(q);
		scope_stand_apart(c->scope, q->instance);
	}
}

void quarantine_all_loaded(void)
{
	struct quarantine *q, *next;

	for (q = TAILQ_FIRST(&quarantines); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->collection->life != LIFE_GONE || q->state == STATE_SWITCHING)
			continue;
		leave(q);
		if (q->state == STATE_LEAVING)
			end_if_nothing_relies_on_it(q);
	}
}

bool quarantine_covers(const struct record *r, unsigned i)
{
	const struct quarantine *q;

	if (!record_makes_collection(r->kind) && r->kind != RECORD_MODIFY_COLLECTION)
		return false;
	q = find(r->collection, i);
	return q != NULL && r->seq >= q->apart;
}
