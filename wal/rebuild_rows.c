/* wal/rebuild_rows.c - what is written of a rebuild, so that the next leader goes on.
 *
 * The happy path: a row before the new collection is made, its id before it is filled,
 * how far the copy is each few seconds, that it is switched together with the binding,
 * and no row any more at the end. Each is fenced by our epoch. A new leader reads the
 * rows: a copy is gone on with from there, a switch is finished.
 * When it does not go well:
 *   - we are not the leader any more: we hear so from the fence, and stop
 *   - it is not written: the step is taken again later
 *   - the quarantine ended without us (its collection was deleted): the row is swept at
 *     the load, what it speaks of is left over
 *   - the target has another disk: nothing of what was copied there is trusted */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/rebuild_private.h"

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

static const struct pg_statement task_end = {
        "task_end",
        "DELETE FROM chromatid.sync_task WHERE instance = $1 AND collection = $2"};

struct pg_unit *rebuild_unit(void)
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

static void add_task_end(struct pg_unit *unit, const struct rebuild *b)
{
	pg_add(unit, &task_end, 2,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b)});
}

void rebuild_add_begin(struct pg_unit *unit, const struct rebuild *b)
{
	pg_add(unit, &note_begin, 4,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           pg_int4(store_instance_id(b->donor)),
	                           pg_int4((int)b->attempt)});
	add_task_end(unit, b);
}

void rebuild_add_progress(struct pg_unit *unit, const struct rebuild *b)
{
	const struct copy_progress *p = rebuild_progress(b);

	pg_add(unit, &note_progress, 7,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           pg_text(p->made.text), pg_int8(p->base),
	                           pg_int8((int64_t)p->items), pg_int8((int64_t)p->total),
	                           pg_bool(p->all)});
	if (p->all)
		add_task_end(unit, b);
}

void rebuild_add_switch(struct pg_unit *unit, const struct rebuild *b)
{
	pg_add(unit, &note_switch, 4,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b),
	                           uuid_none(&b->old) ? pg_null() : pg_text(b->old.text),
	                           pg_text(b->name)});
}

void rebuild_add_end(struct pg_unit *unit, const struct rebuild *b)
{
	pg_add(unit, &note_end, 2,
	       (struct pg_param[]){number_of_target(b), number_of_collection(b)});
	add_task_end(unit, b);
}

bool rebuild_is_written(struct rebuild *b, enum status s, const struct pg_results *r)
{
	if (s == STATUS_OK)
		return true;
	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
	rebuild_rest(b, s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
	return false;
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
}

void rebuild_note(struct rebuild *b)
{
	struct pg_unit *unit;

	if (b->noting != NULL)
		return;
	unit = rebuild_unit();
	rebuild_add_progress(unit, b);
	pg_submit(wal_pg(), unit, on_noted, b, &b->noting);
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

static const struct pg_statement sweep_tasks = {
        "sweep_task",
        "DELETE FROM chromatid.sync_task t WHERE NOT EXISTS (SELECT 1 FROM"
        " chromatid.rebuild r WHERE r.instance = t.instance AND r.collection ="
        " t.collection AND r.attempt = t.attempt AND NOT r.complete)"};

void rebuild_add_load(struct pg_unit *unit)
{
	pg_add(unit, &sweep, 0, NULL);
	pg_add(unit, &load, 0, NULL);
	leftover_add_load(unit);
	pg_add(unit, &sweep_tasks, 0, NULL);
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
	rebuild_create_copy(b, &b->found);
	quarantine_switch(b->collection, b->target, true);
}

void rebuild_loaded(const struct store_load *found, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		int i = store_instance_index(pg_get_int8(r, at + 1, row, INSTANCE));
		struct collection *c = table_get(&found->collections,
		                                 pg_get_text(r, at + 1, row, COLLECTION));

		if (i >= 0 && c != NULL)
			load_one(rebuild_create(c, (unsigned)i), r, at + 1, row);
	}
	leftover_loaded(r, at + 2);
}

/* --- the target has another disk ------------------------------------------------------
 */

static const struct pg_statement distrust = {
        "rebuild_distrust",
        "UPDATE chromatid.rebuild SET made = NULL, base = 0, items = 0, total = 0,"
        " complete = false, switched = false, at = now() WHERE instance = $1"};

static const struct pg_statement distrust_tasks = {
        "task_distrust", "DELETE FROM chromatid.sync_task WHERE instance = $1"};

void rebuild_add_distrust(struct pg_unit *unit, unsigned target)
{
	pg_add(unit, &distrust_tasks, 1,
	       (struct pg_param[]){pg_int4(store_instance_id(target))});
	pg_add(unit, &distrust, 1,
	       (struct pg_param[]){pg_int4(store_instance_id(target))});
}

static void begin_anew(struct rebuild *b)
{
	op_cancel(&b->pending);
	op_cancel(&b->noting);
	timer_stop(&b->timer);
	copy_destroy(&b->copy);
	b->found = (struct copy_progress){0};
	b->was_found = false;
	b->anew = true;
	b->failures = 0; /* they were of another disk */
	if (b->switching) {
		b->switching = b->switched = false;
		b->lost_again = true;
		quarantine_switch(b->collection, b->target, false);
	}
	rebuild_rest(b, "the instance has another disk");
}

/* A copy that is there may be an older one, though it has the same id. */
void rebuild_distrust(unsigned target)
{
	struct rebuild *b;

	TAILQ_FOREACH (b, &rebuilds, link)
		if (b->target == target && b->step != STEP_ABANDONING)
			begin_anew(b);
}
