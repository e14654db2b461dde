/* wal/identity.c - is the server behind an instance's URL the one whose positions we
 * keep, on the disk they were earned on? (What a marker is: health/marker.c.)
 *
 * The happy path:
 *   identity_loaded  PostgreSQL knows the cluster, and of each instance its name in the
 *                    markers and the last beat that was on its disk
 *   judge            an instance answers and bears the marker it was left with: if it was
 *                    away, look whether its collections are there (resync.c); let it in
 *   next, written    each write of the canary: the next beat; it is noted in PostgreSQL
 *                    when the server has answered for it
 *
 * When it does not go well:
 *   - it was never marked: mark it, then let it in. One instance at a time, so that one
 *     server under two URLs is found out by the second
 *   - it has no marker, or one with an older beat: it has lost its disk, or has got an
 *     old copy of it. Nothing there is trusted: resync.c puts all it should have into
 *     quarantine. Then it is marked; the marker is last, so that whoever dies on the way
 *     finds it again as it was
 *   - another instance's marker, or another cluster's: it is not let in
 *   - the log was not kept for it (detach.c): as if it had an older copy
 *   - we have reset it ourselves: no marker is what there should be. The reset's position
 *     and "not marked" become durable together; until then the reset is owed, and in
 *     doubt, which says the same
 *
 * Beats are younger than the last one known on both sides. A copy of a disk that is not
 * older than its last beat (ten seconds at most) cannot be told from the disk. */
#include <stdio.h>
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
#include "wal/survey.h"

struct known {
	struct uuid uuid;
	int64_t beat;
	bool marked;
	bool checked;           /* its collections, since we lead */
	bool resetting;         /* a reset of ours is under way there */
	bool refused;           /* it is somebody else's server */
	unsigned resets;        /* that have begun or ended there */
	unsigned resets_before; /* the marker that is being written */
	enum identity verdict;
	struct op *noting; /* the beat */
	struct op *pending;
};

static struct {
	bool loaded;
	struct uuid cluster, adopted; /* ADOPT_CLUSTER; none */
	struct known list[CONF_MAX_INSTANCES];
	struct table names; /* of all instances there ever were: uuid -> name, ours */
	int first;          /* the one that is being marked for the first time; or -1 */
} id = {.first = -1};

/* --- pure -------------------------------------------------------------------------- */

enum identity identity_verdict(const struct identity_facts *f)
{
	const struct marker *m = f->found;

	if (!m->there)
		return f->marked ? IDENTITY_BLANK : IDENTITY_NEW;
	if (uuid_compare(&m->cluster, f->cluster) != 0) {
		if (uuid_none(f->adopted) || uuid_compare(&m->cluster, f->adopted) != 0)
			return IDENTITY_FOREIGN;
		return f->marked ? IDENTITY_OLD : IDENTITY_NEW;
	}
	if (uuid_compare(&m->instance, f->instance) != 0)
		return IDENTITY_ANOTHER;
	return m->beat >= f->beat ? IDENTITY_OURS : IDENTITY_OLD;
}

const char *identity_name(enum identity v)
{
	static const char *const names[] = {"ours", "new",     "blank",
	                                    "old",  "another", "foreign"};

	return names[v];
}

/* --- what PostgreSQL knows --------------------------------------------------------- */

static const struct pg_statement load_cluster = {"load_cluster",
                                                 "SELECT id FROM chromatid.cluster"};

static const struct pg_statement load_markers = {
        "load_markers", "SELECT id, name, marker, beat, marked FROM chromatid.instance"};

/* The last word is the one with the highest beat, also when a session that was lost goes
 * on at the server behind what was sent again. */
static const struct pg_statement note_beat = {
        "note_beat", "UPDATE chromatid.instance SET beat = $2, marked = true"
                     " WHERE id = $1 AND beat < $2"};

static const struct pg_statement unmark = {
        "unmark", "UPDATE chromatid.instance SET beat = $2, marked = false"
                  " WHERE id = $1 AND beat < $2"};

void identity_add_load(struct pg_unit *unit)
{
	pg_add(unit, &load_cluster, 0, NULL);
	pg_add(unit, &load_markers, 0, NULL);
}

static void load_known(const struct pg_results *r, int at, int row)
{
	int i = store_instance_index(pg_get_int8(r, at, row, 0));
	struct uuid u = store_uuid(r, at, row, 2);

	free(table_get(&id.names, u.text));
	table_put(&id.names, u.text, mem_string(pg_get_text(r, at, row, 1)));
	if (i < 0)
		return;
	id.list[i].uuid = u;
	id.list[i].beat = pg_get_int8(r, at, row, 3);
	id.list[i].marked = pg_get_bool(r, at, row, 4);
}

static void forget_names(void)
{
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	void *name;

	while ((name = table_next(&id.names, &bucket, &entry)) != NULL)
		free(name);
	table_clear(&id.names);
}

void identity_followed(const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at); row++)
		load_known(r, at, row);
}

void identity_loaded(const struct pg_results *r, int at)
{
	id.cluster = store_uuid(r, at, 0, 0);
	identity_followed(r, at + 1);
}

void identity_add_follow(struct pg_unit *unit)
{
	pg_add(unit, &load_markers, 0, NULL);
}

/* --- words ------------------------------------------------------------------------- */

static void refuse(struct instance *in, enum identity v, const struct marker *found)
{
	const char *name = table_get(&id.names, found->instance.text);
	char why[320];

	if (v == IDENTITY_ANOTHER)
		snprintf(why, sizeof(why),
		         "this is the server of '%s': are the URLs swapped, or is one "
		         "server configured twice?",
		         name != NULL ? name : found->instance.text);
	else
		snprintf(why, sizeof(why),
		         "its server belongs to another cluster: wrong URL or "
		         "DATABASE_URL? (or take it over: ADOPT_CLUSTER=%s)",
		         found->cluster.text);
	id.list[instance_index(in)].refused = true;
	instance_refuse(in, identity_name(v), why);
}

static const char *why_not_trusted(enum identity v)
{
	switch (v) {
	case IDENTITY_BLANK:
		return "the instance came back without its data";
	case IDENTITY_OLD:
		return "the instance came back with an older copy of its data";
	case IDENTITY_NEW:
		return "the instance is new";
	default:
		return "the collection is not there any more";
	}
}

/* --- letting in -------------------------------------------------------------------- */

static void end_first(unsigned i)
{
	if (id.first == (int)i)
		id.first = -1;
}

static void let_in(unsigned i)
{
	struct known *k = &id.list[i];

	end_first(i);
	k->checked = true;
	instance_let_in(health_instance(i), identity_name(k->verdict));
}

static void on_ready(void *arg, bool good)
{
	struct known *k = arg;
	unsigned i = (unsigned)(k - id.list);

	FAILPOINT("resync_ready");
	if (!good) {
		end_first(i);
		instance_ask_again(health_instance(i));
	} else if (k->verdict == IDENTITY_OURS) {
		let_in(i);
	} else {
		instance_mark(health_instance(i));
	}
}

static void on_marked(void *arg, enum status s, const struct pg_results *r)
{
	struct known *k = arg;
	unsigned i = (unsigned)(k - id.list);

	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0) {
		wal_deposed("its epoch is over");
	} else if (s == STATUS_OK) {
		detach_ended(i);
		let_in(i);
	} else { /* it bears the marker now: asked again, it is ours */
		end_first(i);
		instance_ask_again(health_instance(i));
	}
}

static void note(struct known *k, pg_fn *done, struct op **slot)
{
	struct pg_unit *unit = pg_unit_create();
	unsigned i = (unsigned)(k - id.list);

	persist_add_fence(unit);
	pg_add(unit, &note_beat, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(k->beat)});
	if (detach_is_returning(i))
		detach_add_end(unit, i);
	pg_submit(wal_pg(), unit, done, k, slot);
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg; /* or with the next one */
	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
}

/* --- the registrar ----------------------------------------------------------------- */

static bool judges(void)
{
	return id.loaded;
}

/* A reset of ours may have wiped it. */
static bool may_be_reset(unsigned i)
{
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link)
		if (r->kind == RECORD_RESET && r->turns[i].state < TURN_DONE &&
		    (r->turns[i].doubt || r->turns[i].state == TURN_SENT))
			return true;
	return id.list[i].resetting;
}

static enum identity verdict_on(unsigned i, const struct marker *found)
{
	const struct known *k = &id.list[i];
	struct identity_facts f = {
	        .found = found,
	        .cluster = &id.cluster,
	        .adopted = &id.adopted,
	        .instance = &k->uuid,
	        .beat = k->beat,
	        .marked = k->marked,
	};
	enum identity v = identity_verdict(&f);

	return v == IDENTITY_BLANK && may_be_reset(i) ? IDENTITY_OURS : v;
}

/* Only one at a time is marked that was not ours before. */
static bool is_to_wait(unsigned i)
{
	return id.first >= 0 && id.first != (int)i;
}

static bool is_trusted(enum identity v)
{
	return v == IDENTITY_OURS || v == IDENTITY_NEW;
}

static void begin(unsigned i, bool away)
{
	struct known *k = &id.list[i];

	if (k->verdict != IDENTITY_OURS)
		id.first = (int)i;
	if (!is_trusted(k->verdict))
		log_error("health", "instance %s: %s; its collections are to be rebuilt",
		          instance_name(health_instance(i)), why_not_trusted(k->verdict));
	/* Without a marker yet, nothing else tells that its disk is the same. */
	if (is_trusted(k->verdict) &&
	    ((!away && k->verdict == IDENTITY_OURS) || may_be_reset(i)))
		on_ready(k, true);
	else
		resync_begin(i, k->verdict, why_not_trusted(k->verdict), on_ready, k);
}

#define AWAY_MS 3000u

/* Whoever leads makes it whole, and then marks it. */
static void judge_following(unsigned i, enum identity v)
{
	struct instance *in = health_instance(i);

	id.list[i].verdict = v;
	if (is_trusted(v))
		instance_let_in(in, identity_name(v));
	else
		instance_ask_again(in);
}

static void judge(struct instance *in, const struct marker *found)
{
	unsigned i = instance_index(in);
	struct known *k = &id.list[i];
	enum identity v = verdict_on(i, found);

	k->refused = false;
	if (v == IDENTITY_ANOTHER || v == IDENTITY_FOREIGN) {
		refuse(in, v, found);
		return;
	}
	if (wal_follows()) {
		judge_following(i, v);
		return;
	}
	if (!detach_returns(i)) {
		instance_ask_again(in);
		return;
	}
	if (detach_is_returning(i) && is_trusted(v))
		v = IDENTITY_OLD; /* it lacks what the log has not kept for it */
	if (v != IDENTITY_OURS && is_to_wait(i)) {
		instance_ask_again(in);
		return;
	}
	k->verdict = v;
	if (found->beat > k->beat)
		k->beat = found->beat;
	begin(i, !k->checked || instance_away(in) > AWAY_MS);
}

static void forget(struct instance *in)
{
	unsigned i = instance_index(in);

	resync_cancel(i);
	op_cancel(&id.list[i].pending);
	end_first(i);
}

/* It is up. What it bears is what was written there last, or more: that of one who leads
 * by now. */
static bool trusts(struct instance *in, const struct marker *found)
{
	unsigned i = instance_index(in);
	const struct known *k = &id.list[i];

	if (may_be_reset(i) || !k->marked)
		return true;
	return verdict_on(i, found) == IDENTITY_OURS;
}

static bool next(struct instance *in, struct marker *m)
{
	struct known *k = &id.list[instance_index(in)];

	if (!wal_leads() || !lease_may_send())
		return false;
	k->resets_before = k->resets;
	*m = (struct marker){true, id.cluster, k->uuid, k->beat + 1};
	return true;
}

/* It may have been wiped again by a reset. */
static bool is_still_there(const struct known *k)
{
	return !k->resetting && k->resets == k->resets_before;
}

static void written(struct instance *in, const struct marker *m, bool good)
{
	unsigned i = instance_index(in);
	struct known *k = &id.list[i];
	bool first = !instance_up(in);

	if (!id.loaded || !wal_leads())
		return;
	FAILPOINT("marker_written");
	if (good && m->there && m->beat > k->beat && is_still_there(k)) {
		k->beat = m->beat;
		k->marked = true;
		op_cancel(&k->noting);
		note(k, first ? on_marked : on_noted, first ? &k->pending : &k->noting);
	} else if (first && k->verdict == IDENTITY_NEW) {
		let_in(i); /* it does not take writes: reads go on */
	} else if (first) {
		end_first(i);
		instance_refuse(in, identity_name(k->verdict),
		                "its marker cannot be written");
	}
}

static const struct registrar registrar = {judges, judge, forget, trusts, next, written};

/* --- resets ------------------------------------------------------------------------ */

void identity_resets(unsigned i, bool begins)
{
	id.list[i].resetting = begins;
	id.list[i].resets++;
}

void identity_was_reset(unsigned i)
{
	struct known *k = &id.list[i];

	k->marked = false;
	k->beat++; /* older copies are older than that */
}

void identity_add_reset(struct pg_unit *unit, unsigned i)
{
	pg_add(unit, &unmark, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(i)),
	                           pg_int8(id.list[i].beat)});
}

bool identity_is_refused(unsigned i)
{
	return id.list[i].refused;
}

/* --- its life ---------------------------------------------------------------------- */

void identity_start(const struct conf *conf)
{
	if (conf->adopt_cluster != NULL)
		uuid_parse(conf->adopt_cluster, strlen(conf->adopt_cluster), &id.adopted);
	health_identified_by(&registrar);
}

void identity_judge(void)
{
	id.loaded = true;
	health_identify_all();
}

void identity_clear(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		resync_cancel(i);
		op_cancel(&id.list[i].pending);
		op_cancel(&id.list[i].noting);
	}
	memset(id.list, 0, sizeof(id.list));
	forget_names();
	id.loaded = false;
	id.first = -1;
}
