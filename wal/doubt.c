/* wal/doubt.c - a later look at what was in doubt.
 *
 * When an answer is lost, its record is executed again in its place, and all is well
 * unless the first request is still on its way: something in front of an instance may
 * hold it and deliver it minutes later, behind what came next. No instance can refuse it
 * then, so its ids are looked at again: after LATE_CHECK, and once more ten times later.
 *
 *   doubt_add, doubt_noted   with the position of the record, a row: look at it when due
 *   run                      the next one that is due, one at a time
 *   on_found                 its ids, from the log
 *   on_quiet                 new records of the collection wait a moment, until two
 *                            instances have come equally far
 *   on_answer                the same `get` to both: equal, or quarantine (differs)
 * When it does not go well: no second instance that is as far, an instance that does not
 * answer, a collection that does not come to rest within a second: later again. The
 * collection is deleted, the record trimmed from the log: nothing to look at. */
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/json_scan.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/calls.h"
#include "wal/compare.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define EVERY_MS 1000u
#define POSTPONE_MS 10000u
#define POSTPONE_DOUBLINGS 6u
#define SECOND_LOOK_TIMES 10u
#define QUIET_LOOK_MS 5u
#define QUIET_MOST_MS 1000u
#define ANSWER_MOST_MS 2000u
#define BEHIND_MOST 16u
#define IDS_MOST 1000u
#define EMBEDDINGS_MOST 100u /* so many ids: their embeddings are compared as well */
#define WAITING_MOST "10000"

struct doubt {
	wal_seq seq;
	unsigned instance;
	struct collection *collection; /* held */
	unsigned looks, postponed;
	msec due;
	TAILQ_ENTRY(doubt) link;
};

static TAILQ_HEAD(doubt_list, doubt) waiting = TAILQ_HEAD_INITIALIZER(waiting);

static struct {
	struct job *job;
	msec first_after;
	struct doubt *doubt; /* the one looked at now, or NULL */
	bool last;           /* it need not be looked at again */
	unsigned other;      /* compared with that instance */
	struct scope *held;
	struct blob *question;
	struct op *pending, *calls[2];
	struct blob *answers[2];
	struct timer quiet;
	msec quiet_until;
} look;

static void doubt_free(struct doubt *d)
{
	TAILQ_REMOVE(&waiting, d, link);
	collection_release(&d->collection);
	free(d);
}

/* --- the end of a look ------------------------------------------------------------- */

static void release_lanes(void)
{
	struct scope *s = look.held;

	look.held = NULL;
	if (s == NULL)
		return;
	s->holds--;
	engine_kick_scope(s);
}

static void look_over(void)
{
	op_cancel(&look.pending);
	timer_stop(&look.quiet);
	for (unsigned k = 0; k < 2; k++) {
		op_cancel(&look.calls[k]);
		blob_unref(&look.answers[k]);
	}
	blob_unref(&look.question);
	look.doubt = NULL;
	release_lanes();
	job_rest(look.job, EVERY_MS);
}

/* Not now: behind the others, and each time for longer. */
static void put_off(struct doubt *d)
{
	unsigned n = d->postponed < POSTPONE_DOUBLINGS ? d->postponed++ : d->postponed;

	d->due = clock_ms() + ((msec)POSTPONE_MS << n);
	TAILQ_REMOVE(&waiting, d, link);
	TAILQ_INSERT_TAIL(&waiting, d, link);
}

static void postpone(void)
{
	put_off(look.doubt);
	look_over();
}

static const struct pg_statement looked = {"doubt_looked",
                                           "UPDATE chromatid.doubt SET looks = looks + 1,"
                                           " due = now() + $3::bigint * interval '1 ms'"
                                           " WHERE seq = $1 AND instance = $2"};

static const struct pg_statement settled = {
        "doubt_settled", "DELETE FROM chromatid.doubt WHERE seq = $1 AND instance = $2"};

static msec second_after(void)
{
	return look.first_after * SECOND_LOOK_TIMES;
}

static void on_kept(void *arg, enum status s, const struct pg_results *r)
{
	struct doubt *d = look.doubt;

	(void)arg;
	(void)r;
	if (s != STATUS_OK) {
		postpone(); /* looked at once more: harmless */
		return;
	}
	d->looks++;
	d->postponed = 0;
	d->due = clock_ms() + second_after();
	if (look.last)
		doubt_free(d);
	look_over();
}

static void keep(bool again)
{
	struct pg_unit *unit = pg_unit_create();
	struct doubt *d = look.doubt;
	struct pg_param params[] = {pg_int8(d->seq),
	                            pg_int4(store_instance_id(d->instance)),
	                            pg_int8((int64_t)second_after())};

	look.last = !again || d->looks > 0;
	persist_add_fence(unit);
	pg_add(unit, look.last ? &settled : &looked, look.last ? 2 : 3, params);
	pg_submit(wal_pg(), unit, on_kept, NULL, &look.pending);
}

/* --- the same question to both ----------------------------------------------------- */

static void judge(void)
{
	struct doubt *d = look.doubt;
	bool equal = compare_items(look.answers[0], look.answers[1]);

	if (!equal)
		quarantine_begin(d->collection, d->instance, d->seq, QUARANTINE_DIFFERS,
		                 0, "a late look found other content than elsewhere");
	release_lanes();
	keep(equal);
}

static void on_answer(void *arg, const struct reply *reply)
{
	struct blob **answer = arg;

	if (reply->status != STATUS_OK || reply->http != 200) {
		postpone();
		return;
	}
	*answer = blob_ref(reply->body);
	if (look.answers[0] != NULL && look.answers[1] != NULL)
		judge();
}

static void ask(unsigned k, unsigned instance)
{
	struct prepared p;
	struct headers headers = {0};
	struct call call = {
	        .headers = &headers, .timeout = ANSWER_MOST_MS, .repeatable = true};

	prepare_get(&p, look.doubt->collection, instance, look.question);
	call.method = p.method;
	call.target = p.target.s;
	call.body = p.body;
	headers_add(&headers, "content-type", "application/json");
	upstream_call(instance_upstream(health_instance(instance)), &call, on_answer,
	              &look.answers[k], &look.calls[k]);
	headers_clear(&headers);
	prepared_clear(&p);
}

/* --- two lanes at rest, equally far ------------------------------------------------- */

static bool may_be_asked(unsigned i)
{
	const struct collection *c = look.doubt->collection;

	return instance_writable(health_instance(i)) && !detach_is(i) &&
	       !uuid_none(&c->local[i]) && !c->scope->lanes[i].parked;
}

/* What was not compared yet says nothing about another. */
static bool may_tell(unsigned j)
{
	return may_be_asked(j) && !unproven_is(look.doubt->collection, j);
}

static bool is_at_rest(const struct lane *lane, unsigned i)
{
	return lane->head == NULL || lane->head->record->turns[i].state != TURN_SENT;
}

static bool find_equal(unsigned *other)
{
	unsigned i = look.doubt->instance;
	const struct lane *lanes = look.held->lanes;

	for (unsigned j = 0; j < health_count(); j++) {
		if (j == i || !may_tell(j) || lanes[j].done != lanes[i].done)
			continue;
		*other = j;
		return is_at_rest(&lanes[i], i) && is_at_rest(&lanes[j], j);
	}
	return false;
}

static void on_quiet(void *arg)
{
	(void)arg;
	if (look.doubt->collection->life == LIFE_GONE ||
	    !may_be_asked(look.doubt->instance) || clock_ms() >= look.quiet_until) {
		postpone();
	} else if (!find_equal(&look.other)) {
		timer_start(&look.quiet, QUIET_LOOK_MS, on_quiet, NULL);
	} else {
		ask(0, look.doubt->instance);
		ask(1, look.other);
	}
}

static bool may_come_to_rest(const struct collection *c, unsigned i)
{
	return may_be_asked(i) && !pause_is_on(i) &&
	       c->scope->lanes[i].behind <= BEHIND_MOST;
}

static bool is_worth_a_try(const struct doubt *d)
{
	unsigned n = 0;

	if (d->collection->life == LIFE_GONE)
		return true;
	scope_of_collection(d->collection);
	for (unsigned i = 0; i < health_count(); i++)
		n += i != d->instance && may_tell(i) &&
		     may_come_to_rest(d->collection, i);
	return n > 0 && may_come_to_rest(d->collection, d->instance);
}

static void hold_lanes(void)
{
	look.held = look.doubt->collection->scope;
	look.held->holds++;
	look.quiet_until = clock_ms() + QUIET_MOST_MS;
	timer_start(&look.quiet, 0, on_quiet, NULL);
}

/* --- what to ask for --------------------------------------------------------------- */

static const struct pg_statement find = {
        "doubt_find",
        "SELECT coalesce(r.ids, l.body) FROM chromatid.log l LEFT JOIN chromatid.resolved"
        " r ON r.seq = l.seq WHERE l.seq = $1"};

static void on_found(void *arg, enum status s, const struct pg_results *r)
{
	const char *bytes;
	size_t len;

	(void)arg;
	if (s != STATUS_OK) {
		postpone();
		return;
	}
	if (pg_rows(r, 0) == 1) {
		bytes = pg_get_bytes(r, 0, 0, 0, &len);
		look.question = question_about(bytes, len, IDS_MOST, EMBEDDINGS_MOST);
	}
	if (look.question == NULL)
		keep(false);
	else
		hold_lanes();
}

static void look_at(struct doubt *d)
{
	struct pg_unit *unit;

	if (d->collection->life == LIFE_GONE) {
		keep(false);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &find, 1, (struct pg_param[]){pg_int8(d->seq)});
	pg_wants_bytes(unit);
	pg_submit(wal_reader(), unit, on_found, NULL, &look.pending);
}

/* One that cannot be looked at now does not keep the others waiting. */
static struct doubt *next_due(void)
{
	struct doubt *d, *next;

	for (d = TAILQ_FIRST(&waiting); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->due > clock_ms())
			continue;
		look.doubt = d;
		if (is_worth_a_try(d))
			return d;
		look.doubt = NULL;
		put_off(d);
	}
	return NULL;
}

static void run(struct job *job, void *arg)
{
	struct doubt *d = wal_leads() && lease_may_send() ? next_due() : NULL;

	(void)arg;
	if (d != NULL)
		look_at(d);
	else
		job_rest(job, EVERY_MS);
}

/* --- rows -------------------------------------------------------------------------- */

static const struct pg_statement note = {
        "doubt_note", "INSERT INTO chromatid.doubt (seq, instance, collection, due)"
                      " VALUES ($1, $2, $3, now() + $4::bigint * interval '1 ms')"
                      " ON CONFLICT DO NOTHING"};

static bool is_worth_a_look(const struct record *r)
{
	return record_is_item(r->kind) && r->collection->life != LIFE_GONE;
}

void doubt_add(struct pg_unit *unit, const struct record *r, unsigned i)
{
	if (is_worth_a_look(r))
		pg_add(unit, &note, 4,
		       (struct pg_param[]){pg_int8(r->seq), pg_int4(store_instance_id(i)),
		                           pg_int8(r->collection->id),
		                           pg_int8((int64_t)look.first_after)});
}

static struct doubt *wait_for(struct collection *c, wal_seq seq, unsigned i, msec wait)
{
	struct doubt *d = mem_new(struct doubt);

	d->seq = seq;
	d->instance = i;
	d->collection = collection_hold(c);
	d->due = clock_ms() + wait;
	TAILQ_INSERT_TAIL(&waiting, d, link);
	return d;
}

void doubt_noted(const struct record *r, unsigned i)
{
	if (is_worth_a_look(r))
		wait_for(r->collection, r->seq, i, look.first_after);
}

static const struct pg_statement load = {
        "load_doubt", "SELECT seq, instance, collection, looks,"
                      " greatest(0, extract(epoch FROM due - now()) * 1000)::bigint"
                      " FROM chromatid.doubt ORDER BY due LIMIT " WAITING_MOST};

static const struct pg_statement sweep = {
        "sweep_doubt", "DELETE FROM chromatid.doubt d WHERE NOT EXISTS (SELECT 1 FROM"
                       " chromatid.collection c WHERE c.id = d.collection"
                       " AND c.life < 2)"};

void doubt_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
}

void doubt_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		int i = store_instance_index(pg_get_int8(r, at + 1, row, 1));
		struct collection *c =
		        table_get(&found->collections, pg_get_text(r, at + 1, row, 2));

		if (i >= 0 && c != NULL)
			wait_for(c, pg_get_int8(r, at + 1, row, 0), (unsigned)i,
			         (msec)pg_get_int8(r, at + 1, row, 4))
			        ->looks = (unsigned)pg_get_int8(r, at + 1, row, 3);
	}
}

void doubt_start(msec after)
{
	look.first_after = after;
	look.job = job_create("late look", run, NULL);
	job_rest(look.job, EVERY_MS);
}

void doubt_clear(void)
{
	struct doubt *d;

	if (look.held != NULL)
		look.held->holds--; /* nobody is kicked any more */
	look.held = NULL;
	if (look.doubt != NULL)
		look_over();
	while ((d = TAILQ_FIRST(&waiting)) != NULL)
		doubt_free(d);
}

void doubt_stop(void)
{
	doubt_clear();
	job_destroy(&look.job);
}
