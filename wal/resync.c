/* wal/resync.c - an instance comes up, and may lack what its positions say it has.
 *
 * The happy path:
 *   resync_begin    what is there? (survey.c)
 *   on_surveyed     everything that should be: done
 *
 * When it does not go well:
 *   - a collection is not there: its lane goes into quarantine before anything is read
 *     from it, with the cause "lost"; a rebuild heals it, no retry could
 *   - the instance has lost its disk, or has an older one: that goes for every collection
 *     it should have, whatever is there, in one statement. Its tenants and databases are
 *     made again, so that what is created from now on has its place; what holds a name
 *     without being in the catalogue (deleted since the copy was made; or with a name of
 *     ours, half deleted or half copied then) is set aside under "ctd-lost.<id>", never
 *     deleted, and told
 *   - it cannot be looked at, or not in a moment: without its disk it is not let in, and
 *     all is done again; bearing its marker it is, and what is missing is found out when
 *     it is used
 *
 * Nothing is executed there meanwhile: it is not up. What is appended meanwhile waits in
 * the lanes, parked or not. */
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
#include "wal/rebuild.h"
#include "wal/record.h"
#include "wal/survey.h"

/* For as long an instance that bears its marker waits to be let in. */
#define SURVEY_MOST_MS 1500u

struct resync {
	unsigned instance;
	enum identity verdict;
	const char *why;
	struct survey survey;
	size_t next;       /* of its strangers */
	wal_seq began;     /* the log, then; what came later was not looked for */
	struct table owed; /* creates that were not done there, then or now: "id" */
	struct collection **lost; /* held */
	size_t n_lost, room;
	struct op *pending;
	struct timer limit;
	resync_fn *done;
	void *arg;
};

static struct resync *running[CONF_MAX_INSTANCES];

static void resync_free(struct resync *r)
{
	running[r->instance] = NULL;
	op_cancel(&r->pending);
	timer_stop(&r->limit);
	survey_clear(&r->survey);
	table_clear(&r->owed);
	for (size_t k = 0; k < r->n_lost; k++)
		collection_release(&r->lost[k]);
	free(r->lost);
	free(r);
}

static void end(struct resync *r, bool good)
{
	resync_fn *done = r->done;
	void *arg = r->arg;

	resync_free(r);
	done(arg, good);
}

static bool nothing_is_trusted(const struct resync *r)
{
	return r->verdict == IDENTITY_BLANK || r->verdict == IDENTITY_OLD;
}

/* --- what it should have ----------------------------------------------------------- */

static void note_owed_creates(struct resync *r)
{
	const struct record *rec;
	char key[24];

	TAILQ_FOREACH (rec, engine_records(), link) {
		if (!record_makes_collection(rec->kind) ||
		    rec->turns[r->instance].state >= TURN_DONE)
			continue;
		snprintf(key, sizeof(key), "%lld", (long long)rec->seq);
		table_put(&r->owed, key, r);
	}
}

static bool is_owed(const struct resync *r, const struct collection *c)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)c->id);
	return table_get(&r->owed, key) != NULL;
}

static bool is_lost(const struct resync *r, const struct collection *c)
{
	const struct uuid *local = &c->local[r->instance];

	if (c->life != LIFE_LIVE || c->id > r->began || is_owed(r, c))
		return false;
	if (nothing_is_trusted(r))
		return true;
	if (quarantine_is_parked(c, r->instance))
		return quarantine_is_not_kept(c, r->instance);
	return uuid_none(local) || table_get(&r->survey.there, local->text) == NULL;
}

static void add_lost(struct resync *r, struct collection *c)
{
	if (r->n_lost == r->room) {
		r->room = r->room * 2 + 16;
		r->lost = mem_resize(r->lost, r->room * sizeof(*r->lost));
	}
	r->lost[r->n_lost++] = collection_hold(c);
}

/* What is deleted by now, while some of it is still to be decided. */
static void collect_gone(struct resync *r)
{
	const struct record *rec;
	struct table seen = {0};
	char key[24];

	TAILQ_FOREACH (rec, engine_records(), link) {
		struct collection *c = rec->collection;

		if (!record_is_item(rec->kind) || !record_is_open(rec) ||
		    c->life != LIFE_GONE || c->id > r->began || is_owed(r, c))
			continue;
		snprintf(key, sizeof(key), "%lld", (long long)c->id);
		if (table_get(&seen, key) != NULL)
			continue;
		table_put(&seen, key, c);
		add_lost(r, c);
	}
	table_clear(&seen);
}

static void collect_lost(struct resync *r)
{
	const struct database *db = NULL;
	struct collection *c;

	note_owed_creates(r);
	while ((db = catalogue_next_database(db)) != NULL)
		TAILQ_FOREACH (c, &db->collections, link)
			if (is_lost(r, c))
				add_lost(r, c);
	if (nothing_is_trusted(r))
		collect_gone(r);
}

/* --- into quarantine --------------------------------------------------------------- */

static const struct pg_statement quarantine_all = {
        "quarantine_all",
        "INSERT INTO chromatid.quarantine (instance, collection, seq, cause, http, error,"
        " attempts, apart) SELECT $1, t.collection, t.seq, $4, 0, $5, 0, t.seq"
        " FROM unnest($2::text::bigint[], $3::text::bigint[]) AS t(collection, seq)"
        " ON CONFLICT (instance, collection) DO UPDATE SET seq = excluded.seq,"
        " cause = excluded.cause, http = 0, error = excluded.error, attempts = 0,"
        " apart = excluded.apart"};

static void on_kept(void *arg, enum status s, const struct pg_results *results)
{
	struct resync *r = arg;

	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(results), "CT001") == 0)
		wal_deposed("its epoch is over");
	for (size_t k = 0; s == STATUS_OK && k < r->n_lost; k++)
		quarantine_kept(r->lost[k], r->instance);
	FAILPOINT("resync_kept");
	end(r, s == STATUS_OK);
}

static void keep(struct resync *r, const char *collections, const char *seqs)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &quarantine_all, 5,
	       (struct pg_param[]){pg_int4(store_instance_id(r->instance)),
	                           pg_text(collections), pg_text(seqs),
	                           pg_int4(QUARANTINE_LOST), pg_text(r->why)});
	if (nothing_is_trusted(r))
		rebuild_add_distrust(unit, r->instance);
	pg_submit(wal_pg(), unit, on_kept, r, &r->pending);
}

static void park_lost(struct resync *r)
{
	struct text collections = {0}, seqs = {0};

	for (size_t k = 0; k < r->n_lost; k++) {
		wal_seq seq = quarantine_lost(r->lost[k], r->instance, r->why);
		const char *between = k > 0 ? "," : "{";

		text_addf(&collections, "%s%lld", between, (long long)r->lost[k]->id);
		text_addf(&seqs, "%s%lld", between, (long long)seq);
	}
	text_addc(&collections, '}');
	text_addc(&seqs, '}');
	log_error("health", "instance %s: %zu collections are not there: %s",
	          instance_name(health_instance(r->instance)), r->n_lost, r->why);
	keep(r, text_string(&collections), text_string(&seqs));
	text_clear(&collections);
	text_clear(&seqs);
}

static void find_lost(struct resync *r)
{
	if (nothing_is_trusted(r))
		rebuild_distrust(r->instance);
	collect_lost(r);
	if (r->n_lost > 0)
		park_lost(r);
	else
		end(r, true);
}

/* --- set aside --------------------------------------------------------------------- */

static void set_aside(struct resync *r);

static void on_aside(void *arg, const struct reply *reply)
{
	struct resync *r = arg;

	if (reply->status != STATUS_OK || (reply->http >= 300 && reply->http != 404)) {
		end(r, false);
		return;
	}
	r->next++;
	set_aside(r);
}

static void set_aside(struct resync *r)
{
	const struct survey_stranger *x = &r->survey.strangers[r->next];
	const char *name = instance_name(health_instance(r->instance));
	struct text target = {0};
	char json[100];

	if (r->next == r->survey.n_strangers) {
		if (r->next > 0)
			log_warn("health",
			         "instance %s: %zu collections that the catalogue does "
			         "not "
			         "know are set aside as " LOST_PREFIX "<id>",
			         name, r->next);
		find_lost(r);
		return;
	}
	log_info("resync", "instance %s: collection %s is set aside", name, x->id.text);
	survey_add_place(&target, &r->survey.places[x->place]);
	text_addf(&target, "/%s", x->id.text);
	snprintf(json, sizeof(json), "{\"new_name\":\"" LOST_PREFIX "%s\"}", x->id.text);
	survey_call(r->instance, "PUT", text_string(&target), json, on_aside, r,
	            &r->pending);
	text_clear(&target);
}

/* --- steps ------------------------------------------------------------------------- */

static void on_surveyed(void *arg, bool good)
{
	struct resync *r = arg;

	FAILPOINT("resync_surveyed");
	timer_stop(&r->limit);
	if (nothing_is_trusted(r) && good)
		set_aside(r);
	else if (nothing_is_trusted(r))
		end(r, false);
	else if (good)
		find_lost(r);
	else
		end(r, true);
}

/* Clients wait: what is missing is found out when it is used. */
static void on_limit(void *arg)
{
	struct resync *r = arg;

	log_info("resync", "instance %s: let in before all its collections were seen",
	         instance_name(health_instance(r->instance)));
	end(r, true);
}

void resync_begin(unsigned i, enum identity verdict, const char *why, resync_fn *done,
                  void *arg)
{
	struct resync *r = mem_new(struct resync);

	resync_cancel(i);
	running[i] = r;
	r->instance = i;
	r->verdict = verdict;
	r->why = why;
	r->done = done;
	r->arg = arg;
	r->survey.instance = i;
	r->survey.makes = verdict != IDENTITY_OURS;
	r->survey.finds = nothing_is_trusted(r);
	r->survey.done = on_surveyed;
	r->survey.arg = r;
	if (!nothing_is_trusted(r))
		timer_start(&r->limit, SURVEY_MOST_MS, on_limit, r);
	r->began = append_last_seq();
	note_owed_creates(r);
	survey_begin(&r->survey);
}

void resync_cancel(unsigned i)
{
	if (running[i] != NULL)
		resync_free(running[i]);
}
