/* wal/worker_task.c - one task of this proxy's worker.
 *
 * The happy path:
 *   work_take    it is ours
 *   look         is it the instances it speaks of that answer here? (Who leads knows.)
 *   copy         all items (copy_items.c): the target itself says where to go on
 *   end          done
 * When it does not go well:
 *   - another server answers, or none, or we do not have such an instance: it is given
 *     back, and we take no other one there for a while
 *   - the copy fails: failed, with the reason; and unsound if the copy is
 *   - we may not write now (worker.c): it rests here, and stays ours until the leader
 * says otherwise; what was cut off on its way may still arrive, so that copy is unsound
 *   - it is ours no more: nothing of it is written from then on
 *   - the end cannot be written: the task is taken again, and finds nothing left to do */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/rebuild.h"
#include "wal/worker_private.h"

#define NOT_HERE_MS 10000u

static const struct pg_statement take = {
        "worker_take",
        "WITH next AS (SELECT instance, collection FROM chromatid.sync_task"
        "  WHERE (state = 'free' OR (state = 'taken' AND worker = $1)) AND instance ="
        "  (SELECT id FROM chromatid.instance WHERE name = $2)"
        "  ORDER BY since, collection LIMIT 1 FOR UPDATE SKIP LOCKED),"
        " mine AS (UPDATE chromatid.sync_task t SET state = 'taken', worker = $1,"
        "  at = now() FROM next n WHERE t.instance = n.instance"
        "  AND t.collection = n.collection RETURNING t.*)"
        " SELECT m.instance, m.collection, m.attempt, m.donor, d.name, m.source, "
        "m.tenant,"
        " m.database, m.made, m.base, m.items, m.total, c.id, i.marker, i.beat, d.marker,"
        " d.beat FROM mine m JOIN chromatid.instance i ON i.id = m.instance"
        " JOIN chromatid.instance d ON d.id = m.donor, chromatid.cluster c"};

enum {
	INSTANCE,
	COLLECTION,
	ATTEMPT,
	DONOR,
	DONOR_NAME,
	SOURCE,
	TENANT,
	DATABASE,
	MADE,
	BASE,
	ITEMS,
	TOTAL,
	CLUSTER,
	MARKER,
	BEAT,
	DONOR_MARKER,
	DONOR_BEAT
};

static const struct pg_statement note = {
        "worker_note", "UPDATE chromatid.sync_task SET items = $5, total = $6, at = now()"
                       " WHERE instance = $1 AND collection = $2 AND attempt = $3"
                       " AND worker = $4 AND state = 'taken'"};

static const struct pg_statement over = {
        "worker_end",
        "UPDATE chromatid.sync_task SET items = $5, total = $6, state = $7, sound = $8,"
        " why = $9, worker = CASE WHEN $7 = 'free' THEN NULL ELSE worker END, at = now()"
        " WHERE instance = $1 AND collection = $2 AND attempt = $3 AND worker = $4"
        " AND state = 'taken'"};

static const struct copy_progress *progress_of(const struct work *w)
{
	return w->copy != NULL ? copy_progress(w->copy) : &w->progress;
}

/* --- its end -------------------------------------------------------------------------
 */

void work_drop(struct work *w)
{
	op_cancel(&w->pending);
	copy_destroy(&w->copy);
	free(w->tenant);
	free(w->database);
	w->tenant = w->database = NULL;
	w->on = w->cut = false;
	w->serial++;
}

static void on_over(void *arg, enum status s, const struct pg_results *r)
{
	struct work *w = arg;

	(void)s; /* if it was not written, it is taken again */
	(void)r;
	FAILPOINT("worker_done");
	work_drop(w);
	rebuild_look_soon();
	worker_kick();
}

static void add_over(struct pg_unit *unit, const struct work *w, const char *state,
                     bool sound, const char *why)
{
	const struct copy_progress *p = progress_of(w);

	pg_add(unit, &over, 9,
	       (struct pg_param[]){pg_int8(w->instance), pg_int8(w->collection),
	                           pg_int8(w->attempt), pg_text(worker_name()),
	                           pg_int8((int64_t)p->items), pg_int8((int64_t)p->total),
	                           pg_text(state), pg_bool(sound), pg_text(why)});
}

static void end(struct work *w, const char *state, bool sound, const char *why)
{
	struct pg_unit *unit = pg_unit_create();

	add_over(unit, w, state, sound, why);
	pg_submit(wal_upkeep(), unit, on_over, w, &w->pending);
}

static void give_back(struct work *w, const char *why)
{
	log_warn("worker", "the copy of collection %lld at %s is not for this proxy: %s",
	         (long long)w->collection, instance_name(health_instance(w->target)),
	         why);
	w->not_before = clock_ms() + NOT_HERE_MS;
	end(w, "free", true, "");
}

/* --- copying -------------------------------------------------------------------------
 */

static void on_copied(void *arg, enum status s, const char *why)
{
	struct work *w = arg;

	FAILPOINT("worker_copied");
	if (s == STATUS_OK) {
		end(w, "done", true, "");
	} else if (s != STATUS_DEPOSED) {
		if (s != STATUS_CONFLICT && !wal_leads())
			w->not_before =
			        clock_ms() + NOT_HERE_MS; /* others may do better */
		end(w, "failed", s != STATUS_CONFLICT,
		    why[0] != '\0' ? why : status_text(s));
	} else if (worker_is_leaving()) {
		end(w, "free", true, "");
	} else {
		work_drop(w); /* it is taken again, if it is ours still */
	}
}

static void copy(struct work *w)
{
	log_info("worker", "copies collection %lld from %s to %s, attempt %u",
	         (long long)w->collection, instance_name(health_instance(w->donor)),
	         instance_name(health_instance(w->target)), w->attempt);
	w->copy = copy_create(&w->spec, &w->progress);
	FAILPOINT("worker_copies");
	copy_items(w->copy, on_copied, w);
}

/* --- who answers there? --------------------------------------------------------------
 */

static void look(struct work *w);

static void on_marker(void *arg, enum status s, const struct marker *found)
{
	static const struct uuid none;
	struct work *w = arg;
	const struct identity_facts f = {
	        .found = found,
	        .cluster = &w->cluster,
	        .adopted = &none,
	        .instance = &w->marker[w->looked],
	        .beat = w->beat[w->looked],
	        .marked = true,
	};

	if (s != STATUS_OK) {
		give_back(w, "an instance cannot be asked who it is");
	} else if (identity_verdict(&f) != IDENTITY_OURS) {
		give_back(w, "another server answers, or one with another disk");
	} else {
		w->looked++;
		look(w);
	}
}

static void look(struct work *w)
{
	unsigned whom = w->looked == 0 ? w->target : w->donor;

	if (wal_leads() || w->looked == 2)
		copy(w);
	else
		instance_read_marker(health_instance(whom), on_marker, w, &w->pending);
}

/* --- taking --------------------------------------------------------------------------
 */

void work_add_take(struct pg_unit *unit, const struct work *w)
{
	pg_add(unit, &take, 2,
	       (struct pg_param[]){pg_text(worker_name()),
	                           pg_text(instance_name(health_instance(w->target)))});
}

static bool find_donor(struct work *w, const char *name)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (strcmp(instance_name(health_instance(i)), name) == 0) {
			w->donor = i;
			return true;
		}
	return false;
}

static void take_row(struct work *w, const struct pg_results *r, int at)
{
	w->instance = pg_get_int8(r, at, 0, INSTANCE);
	w->collection = pg_get_int8(r, at, 0, COLLECTION);
	w->attempt = (unsigned)pg_get_int8(r, at, 0, ATTEMPT);
	w->tenant = mem_string(pg_get_text(r, at, 0, TENANT));
	w->database = mem_string(pg_get_text(r, at, 0, DATABASE));
	w->progress =
	        (struct copy_progress){.made = store_uuid(r, at, 0, MADE),
	                               .base = pg_get_int8(r, at, 0, BASE),
	                               .items = (uint64_t)pg_get_int8(r, at, 0, ITEMS),
	                               .total = (uint64_t)pg_get_int8(r, at, 0, TOTAL)};
	w->cluster = store_uuid(r, at, 0, CLUSTER);
	w->marker[0] = store_uuid(r, at, 0, MARKER);
	w->marker[1] = store_uuid(r, at, 0, DONOR_MARKER);
	w->beat[0] = pg_get_int8(r, at, 0, BEAT);
	w->beat[1] = pg_get_int8(r, at, 0, DONOR_BEAT);
}

void work_take(struct work *w, const struct pg_results *r, int at)
{
	w->on = true;
	w->looked = 0;
	take_row(w, r, at);
	if (!find_donor(w, pg_get_text(r, at, 0, DONOR_NAME))) {
		give_back(w, "its donor is none of ours");
		return;
	}
	w->spec = (struct copy_spec){.collection = w->collection,
	                             .tenant = w->tenant,
	                             .database = w->database,
	                             .donor = w->donor,
	                             .target = w->target,
	                             .donor_id = (int)pg_get_int8(r, at, 0, DONOR),
	                             .source = store_uuid(r, at, 0, SOURCE),
	                             .attempt = w->attempt,
	                             .may_write = worker_may_write};
	look(w);
}

/* --- heartbeats ----------------------------------------------------------------------
 */

void work_add_note(struct pg_unit *unit, const struct work *w)
{
	const struct copy_progress *p = progress_of(w);

	if (w->cut) {
		add_over(unit, w, "failed", false, "its worker was not heard of");
		return;
	}
	pg_add(unit, &note, 6,
	       (struct pg_param[]){pg_int8(w->instance), pg_int8(w->collection),
	                           pg_int8(w->attempt), pg_text(worker_name()),
	                           pg_int8((int64_t)p->items),
	                           pg_int8((int64_t)p->total)});
}

void work_lost(struct work *w)
{
	log_warn("worker", "the copy of collection %lld at %s is not ours any more",
	         (long long)w->collection, instance_name(health_instance(w->target)));
	work_drop(w);
}

void work_cut(struct work *w)
{
	if (w->copy == NULL || !copy_is_writing(w->copy))
		return;
	w->progress = *copy_progress(w->copy);
	copy_destroy(&w->copy);
	w->cut = true;
}
