/* wal/unproven.c - copies that took their place and were not compared yet.
 *
 * A collection that was made anew (rebuild.c) has as many items as its donor had, and
 * nobody has looked at what they are. It is written to like any other, and not read while
 * an instance that is proven can answer.
 *
 *   unproven_add        a row, in the commit that ends its quarantine
 *   unproven_begin      that is durable: it is compared as soon as may be (verify.c)
 *   unproven_found      everything was compared: who is not wrong is proven
 * When it does not go well:
 *   - it is found wrong: it is made anew once more, and is unproven after that
 *   - it cannot be compared: tried again, each time with a larger share of the instances'
 *     time, in the end with all of it (verify.c); why is told
 *   - no proven instance is up and shows everything: it is read. It has all the records,
 *     and one item in it that is wrong is less likely than a refusal is certain
 *   - none other will ever be: one that is parked may learn from it, and then they are
 *     compared with each other
 *   - we die: the rows say what was not compared. Of one whose row was about to go it is
 *     done again, which harms nobody
 *
 * Records are decided by a proven instance as long as there is one: a read must show what
 * was sent anywhere, so it would have to wait otherwise. */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define WRITE_AGAIN_MS 1000u

struct unproven {
	struct collection *collection; /* held */
	unsigned instance;
	bool proven; /* only its row is still there */
	int64_t since_wall_ms;
	unsigned tries;  /* to compare it ... */
	const char *why; /* ... and what became of the last; NULL: none has failed */
	struct timer again;
	struct op *pending;
	TAILQ_ENTRY(unproven) link;
};

static TAILQ_HEAD(unproven_list, unproven) all = TAILQ_HEAD_INITIALIZER(all);

static struct unproven *find(const struct collection *c, unsigned i)
{
	return c->scope != NULL ? c->scope->lanes[i].unproven : NULL;
}

static void drop(struct unproven *u)
{
	TAILQ_REMOVE(&all, u, link);
	u->collection->scope->lanes[u->instance].unproven = NULL;
	timer_stop(&u->again);
	op_cancel(&u->pending);
	collection_release(&u->collection);
	free(u);
}

static void create(struct collection *c, unsigned i, int64_t since_wall_ms)
{
	struct unproven *u = mem_new(struct unproven);

	u->collection = collection_hold(c);
	u->instance = i;
	u->since_wall_ms = since_wall_ms;
	scope_of_collection(c)->lanes[i].unproven = u;
	TAILQ_INSERT_TAIL(&all, u, link);
}

/* --- its row -------------------------------------------------------------------------
 */

static const struct pg_statement note = {
        "unproven", "INSERT INTO chromatid.unproven (instance, collection)"
                    " VALUES ($1, $2) ON CONFLICT DO NOTHING"};

static const struct pg_statement forget = {
        "unproven_end",
        "DELETE FROM chromatid.unproven WHERE instance = $1 AND collection = $2"};

static void end_row(void *arg);

static void on_ended(void *arg, enum status s, const struct pg_results *r)
{
	struct unproven *u = arg;

	if (s == STATUS_OK)
		drop(u);
	else if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
	else
		timer_start(&u->again, WRITE_AGAIN_MS, end_row, u);
}

static void end_row(void *arg)
{
	struct unproven *u = arg;
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &forget, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(u->instance)),
	                           pg_int8(u->collection->id)});
	pg_submit(wal_pg(), unit, on_ended, u, &u->pending);
}

/* What is to be forgotten of an earlier one must not take this one's along. */
void unproven_add(struct pg_unit *unit, const struct collection *c, unsigned i)
{
	struct unproven *u = find(c, i);

	if (u != NULL && u->proven)
		drop(u);
	pg_add(unit, &note, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(c->id)});
}

/* --- its life ------------------------------------------------------------------------
 */

void unproven_begin(struct collection *c, unsigned i)
{
	if (find(c, i) == NULL)
		create(c, i, clock_wall_ms());
}

bool unproven_is(const struct collection *c, unsigned i)
{
	const struct unproven *u = find(c, i);

	return u != NULL && !u->proven;
}

unsigned unproven_at(const struct collection *c)
{
	unsigned who = 0;

	for (unsigned i = 0; i < health_count(); i++)
		who |= (unsigned)unproven_is(c, i) << i;
	return who;
}

void unproven_found(const struct collection *c, unsigned well)
{
	for (unsigned i = 0; i < health_count(); i++) {
		if ((well >> i & 1) == 0 || !unproven_is(c, i))
			continue;
		log_info("rebuild", "collection %s at %s: compared, and read from now on",
		         c->public_id.text, instance_name(health_instance(i)));
		find(c, i)->proven = true;
		end_row(find(c, i));
	}
}

static void not_compared(struct unproven *u, const char *why)
{
	bool same = u->why != NULL && strcmp(u->why, why) == 0;

	u->tries++;
	u->why = why;
	if (!same)
		log_warn("rebuild",
		         "collection %s at %s: made anew, and not compared: %s",
		         u->collection->public_id.text,
		         instance_name(health_instance(u->instance)), why);
}

void unproven_not_found(const struct collection *c, const char *why)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (unproven_is(c, i))
			not_compared(find(c, i), why);
}

void unproven_sweep(void)
{
	struct unproven *u, *next;

	for (u = TAILQ_FIRST(&all); u != NULL; u = next) {
		next = TAILQ_NEXT(u, link);
		if (u->collection->life == LIFE_GONE)
			drop(u);
	}
}

void unproven_each(wal_rebuild_fn *fn, void *arg)
{
	const struct unproven *u;

	TAILQ_FOREACH (u, &all, link) {
		const struct wal_rebuild each = {
		        .collection = u->collection,
		        .in = health_instance(u->instance),
		        .step = "comparing",
		        .why = u->why != NULL ? u->why : "",
		        .attempt = u->tries,
		        .since_wall_ms = u->since_wall_ms,
		};

		if (!u->proven && !quarantine_is_parked(u->collection, u->instance))
			fn(arg, &each);
	}
}

unsigned wal_unproven(const struct instance *in)
{
	const struct unproven *u;
	unsigned n = 0;

	TAILQ_FOREACH (u, &all, link)
		n += !u->proven && u->instance == instance_index(in);
	return n;
}

bool wal_is_unproven(const struct instance *in, const struct collection *c)
{
	return unproven_is(c, instance_index(in));
}

void unproven_clear(void)
{
	struct unproven *u;

	while ((u = TAILQ_FIRST(&all)) != NULL)
		drop(u);
}

/* --- who goes first ------------------------------------------------------------------
 */

bool unproven_gives_way(const struct collection *c, unsigned i)
{
	if (!unproven_is(c, i))
		return false;
	for (unsigned j = 0; j < health_count(); j++) {
		const struct instance *in = health_instance(j);

		if (!unproven_is(c, j) && instance_up(in) && wal_readable(in, c) &&
		    scope_current(c->scope, j))
			return true;
	}
	return false;
}

/* It takes the record as soon as that one. */
static bool may_decide(const struct record *r, unsigned j, unsigned i)
{
	const struct lane *lanes = r->collection->scope->lanes;
	const struct instance *in = health_instance(j);

	return !unproven_is(r->collection, j) && instance_writable(in) &&
	       wal_readable(in, r->collection) && lanes[j].behind <= lanes[i].behind &&
	       r->turns[j].failures == 0 && !r->turns[j].doubt;
}

bool unproven_holds(const struct record *r, unsigned i)
{
	if (r->collection == NULL || !unproven_is(r->collection, i))
		return false;
	for (unsigned j = 0; j < health_count(); j++)
		if (may_decide(r, j, i))
			return true;
	return false;
}

/* --- after a restart -----------------------------------------------------------------
 */

static const struct pg_statement sweep = {
        "sweep_unproven",
        "DELETE FROM chromatid.unproven u WHERE NOT EXISTS (SELECT 1 FROM"
        " chromatid.collection c WHERE c.id = u.collection AND c.life < 2)"};

static const struct pg_statement load = {
        "load_unproven", "SELECT instance, collection, (extract(epoch FROM since)"
                         " * 1000)::bigint FROM chromatid.unproven"};

void unproven_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
}

void unproven_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		int i = store_instance_index(pg_get_int8(r, at + 1, row, 0));
		struct collection *c =
		        table_get(&found->collections, pg_get_text(r, at + 1, row, 1));

		if (i >= 0 && c != NULL && find(c, (unsigned)i) == NULL)
			create(c, (unsigned)i, pg_get_int8(r, at + 1, row, 2));
	}
}

/* --- its table -----------------------------------------------------------------------
 */

const char *const unproven_schema[] = {
        "CREATE TABLE chromatid.unproven ("
        " instance smallint NOT NULL, collection bigint NOT NULL,"
        " since timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (instance, collection))",
        /* For what may only be logged if nothing else was (wal/verify_rescue.c). With the
           lock nothing can be, until it is; what is looked at is what is there then. */
        "CREATE FUNCTION chromatid.unless(which bigint, after bigint) RETURNS void"
        " LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM chromatid.clock FOR UPDATE;"
        " PERFORM 1 FROM chromatid.log WHERE collection = which AND seq > after;"
        " IF FOUND THEN RAISE EXCEPTION 'the collection was written to'"
        " USING ERRCODE = 'CT003'; END IF; END $$",
        NULL,
};
