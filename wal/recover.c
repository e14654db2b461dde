/* wal/recover.c - what a new leader must know: the catalogue, and what each instance
 * owes.
 *
 * There is no special path for a restart. What the log holds and an instance's position
 * has not passed is put into the same lanes as a new write; a former process may have
 * sent any of it (doubt), which re-executing it in its own place forgives.
 *
 *   recover_start   the instances: their numbers, and the floor below which none owes
 *   on_instances    catalogue, positions, and what has gone wrong
 *   on_loaded       rebuild all of that
 *   load_page       the log above the floor, without bodies, a page after the other: an
 *                   instance that was away for long is owed more than should be in memory
 *   on_page         into the lanes; after the last page, lead. Others go on appending:
 *                   that is the tail (tail.c)
 */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/log_row.h"
#include "wal/rebuild.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

struct recovery {
	struct op op;
	struct op *pending;
	void (*done)(bool ok);
	bool ok;
	wal_seq floor; /* loaded up to here */
	wal_seq floors[CONF_MAX_INSTANCES];
	unsigned n_records;
	struct store_load load;
	struct table positions; /* "instance scope" -> int64_t, its own memory */
	uint64_t started_us;
};

#define PAGE 5000

static void positions_clear(struct table *seqs)
{
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	void *seq;

	while ((seq = table_next(seqs, &bucket, &entry)) != NULL)
		free(seq);
	table_clear(seqs);
}

static void deliver(struct op *op)
{
	struct recovery *rec = (struct recovery *)op;

	rec->done(rec->ok);
}

static void release(struct op *op)
{
	struct recovery *rec = (struct recovery *)op;

	op_cancel(&rec->pending);
	positions_clear(&rec->positions);
	store_load_clear(&rec->load);
	free(rec);
}

static void abandon(struct op *op)
{
	struct recovery *rec = (struct recovery *)op;

	op_cancel(&rec->pending);
	op_end(op);
}

static void end(struct recovery *rec, bool ok)
{
	rec->ok = ok;
	op_end(&rec->op);
}

static bool failed(struct recovery *rec, const char *what, enum status s,
                   const struct pg_results *r)
{
	if (s == STATUS_OK)
		return false;
	log_error("recover", "%s: %s", what,
	          s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
	end(rec, false);
	return true;
}

/* --- positions --------------------------------------------------------------------- */

static void positions_load(struct table *seqs, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at); row++) {
		int i = store_instance_index(pg_get_int8(r, at, row, 0));
		char *key = mem_format("%d %s", i, pg_get_text(r, at, row, 1));
		int64_t *seq = mem_new(int64_t);

		*seq = pg_get_int8(r, at, row, 2);
		free(table_get(seqs, key));
		table_put(seqs, key, seq);
		free(key);
	}
}

static wal_seq position_of(const struct table *seqs, unsigned i, int64_t scope)
{
	char *key = mem_format("%u %lld", i, (long long)scope);
	const int64_t *seq = table_get(seqs, key);

	free(key);
	return seq != NULL ? *seq : 0;
}

/* --- records ----------------------------------------------------------------------- */

enum { DECISION = LOG_ROW_N_COLUMNS, HTTP, INSTANCE, IDS };

/* Where the other tables' places begin has to be said of each: PostgreSQL does not
 * conclude it for an outer join, and would read them from the start for every page. */
static const struct pg_statement load_log = {
        "load_log", "SELECT " LOG_ROW_COLUMNS ", o.decision, o.http, o.instance, r.ids"
                    " FROM chromatid.log l"
                    " LEFT JOIN chromatid.outcome o ON o.seq = l.seq AND o.seq > $1"
                    " LEFT JOIN chromatid.resolved r ON r.seq = l.seq AND r.seq > $1"
                    " AND o.decision IS DISTINCT FROM 2"
                    " WHERE l.seq > $1 AND l.seq <= $3 ORDER BY l.seq LIMIT $2"};

static void *object_at(const struct table *objects, const struct pg_results *r, int at,
                       int row, int column)
{
	return pg_is_null(r, at, row, column)
	               ? NULL
	               : table_get(objects, pg_get_text(r, at, row, column));
}

static void load_decision(struct record *rec, const struct pg_results *r, int at, int row)
{
	const void *ids;
	size_t len;

	if (!pg_is_null(r, at, row, DECISION)) {
		rec->decision = (enum decision)pg_get_int8(r, at, row, DECISION);
		rec->decision_durable = true;
		rec->http = (int)pg_get_int8(r, at, row, HTTP);
		rec->decided_by = store_instance_index(pg_get_int8(r, at, row, INSTANCE));
	}
	if (!pg_is_null(r, at, row, IDS)) {
		ids = pg_get_bytes(r, at, row, IDS, &len);
		rec->resolved = blob_create(ids, len);
	}
}

static struct record *load_record(const struct store_load *load,
                                  const struct pg_results *r, int at, int row)
{
	struct wal_write w = {
	        .kind = (enum record_kind)pg_get_int8(r, at, row, LOG_KIND),
	        .collection = object_at(&load->collections, r, at, row, LOG_COLLECTION),
	        .database = object_at(&load->databases, r, at, row, LOG_DATABASE),
	        .embeddings = pg_get_bool(r, at, row, LOG_EMBEDDINGS),
	};
	const char *name = pg_is_null(r, at, row, LOG_NAME)
	                           ? NULL
	                           : pg_get_text(r, at, row, LOG_NAME);
	struct record *rec;

	w.name = w.tenant = name;
	rec = record_create(pg_get_int8(r, at, row, LOG_SEQ), &w);
	log_row_fill(rec, r, at, row);
	rec->elsewhere = true;
	load_decision(rec, r, at, row);
	return rec;
}

static int64_t primary_scope(const struct record *r)
{
	if (r->collection == NULL)
		return 0;
	return record_is_item(r->kind) ? r->collection->id : r->collection->db->id;
}

/* Of what changes a collection the position is that of its database, or, where it stood
 * apart, of the collection: which cannot be past it before it is done. */
static bool is_durable(struct record *r, const struct table *p, unsigned i)
{
	bool own =
	        r->collection != NULL && position_of(p, i, r->collection->id) >= r->seq;
	bool first = position_of(p, i, primary_scope(r)) >= r->seq;

	r->turns[i].apart = own && !first; /* and may have passed others there */
	return own || (first && !quarantine_covers(r, i));
}

/* Its turns that are durable already; true if that is all of them that count. */
static bool settled(struct record *r, const wal_seq *floors, const struct table *p)
{
	bool all = true;

	for (unsigned i = 0; i < health_count(); i++) {
		if (r->seq <= floors[i] || is_durable(r, p, i)) {
			r->turns[i].state = TURN_DURABLE;
		} else {
			r->turns[i].doubt = r->loaded = true;
			all = all && detach_is(i);
		}
	}
	return all;
}

/* Before any record: a wide one must be in the scopes also of what is gone by now, since
 * records behind it may be, too. */
static void create_scopes(const struct store_load *load)
{
	const struct table_entry *entry = NULL;
	struct collection *c;
	struct database *db;
	size_t bucket = 0;

	while ((c = table_next(&load->collections, &bucket, &entry)) != NULL)
		scope_of_collection(c);
	bucket = 0;
	entry = NULL;
	while ((db = table_next(&load->databases, &bucket, &entry)) != NULL)
		scope_of_database(db);
}

/* An instance has it, and its outcome was lost with the process that knew it. Others are
 * sent an item write when it is accepted, and pass a refusal when that is durable; who
 * has refused it itself is sent nothing behind it before (scope.c). So it was accepted,
 * and its client may have been told. */
static void infer_decision(struct record *r)
{
	for (unsigned i = 0;
	     record_is_open(r) && record_is_item(r->kind) && i < health_count(); i++) {
		if (r->turns[i].state != TURN_DURABLE || detach_is(i))
			continue;
		r->decision = DECISION_ACCEPTED;
		r->decision_durable = true;
		r->decided_by = (int)i;
		r->http = r->kind == RECORD_ADD ? 201 : 200;
	}
}

static void load_records(struct recovery *rec, const struct pg_results *r)
{
	for (int row = 0; row < pg_rows(r, 1); row++) {
		struct record *record = load_record(&rec->load, r, 1, row);

		rec->floor = record->seq;
		if (settled(record, rec->floors, &rec->positions)) {
			record_free(record);
			continue;
		}
		infer_decision(record);
		engine_add(record);
		rec->n_records++;
	}
}

/* --- steps ------------------------------------------------------------------------- */

static void load_page(struct recovery *rec);

static void on_page(void *arg, enum status s, const struct pg_results *r)
{
	struct recovery *rec = arg;

	if (failed(rec, "cannot load the log", s, r))
		return;
	load_records(rec, r);
	if (pg_rows(r, 1) > 0) {
		load_page(rec);
		return;
	}
	quarantine_all_loaded();
	log_info("recover",
	         "loaded %u collections; %u records owed by some instance; %llu ms",
	         catalogue_count(NULL).live, rec->n_records,
	         (unsigned long long)((clock_us() - rec->started_us) / 1000));
	end(rec, true);
}

/* Up to the place that the catalogue was loaded at; what came since is the tail's. */
static void load_page(struct recovery *rec)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &load_log, 3,
	       (struct pg_param[]){pg_int8(rec->floor), pg_int8(PAGE),
	                           pg_int8(append_last_seq())});
	pg_submit(wal_pg(), unit, on_page, rec, &rec->pending);
}

/* With its lock, for as long as the rest is loaded: what others append meanwhile would be
 * in the catalogue, and behind the place that we load the log up to. */
static const struct pg_statement clock_now = {
        "clock_now", "SELECT seq FROM chromatid.clock FOR UPDATE"};
static const struct pg_statement load_positions = {
        "load_positions", "SELECT instance, scope, seq FROM chromatid.position"};

static void on_loaded(void *arg, enum status s, const struct pg_results *r)
{
	struct recovery *rec = arg;

	if (failed(rec, "cannot load the catalogue", s, r))
		return;
	append_loaded(pg_get_int8(r, 1, 0, 0));
	store_loaded(&rec->load, r, 2);
	positions_load(&rec->positions, r, 2 + STORE_LOAD_STATEMENTS);
	create_scopes(&rec->load);
	quarantine_loaded(&rec->load, r, 3 + STORE_LOAD_STATEMENTS);
	doubt_loaded(&rec->load, r, 5 + STORE_LOAD_STATEMENTS);
	rebuild_loaded(&rec->load, r, 7 + STORE_LOAD_STATEMENTS);
	identity_loaded(r, 11 + STORE_LOAD_STATEMENTS);
	strangers_loaded(r, 13 + STORE_LOAD_STATEMENTS);
	verify_loaded(&rec->load, r, 14 + STORE_LOAD_STATEMENTS);
	unproven_loaded(&rec->load, r, 16 + STORE_LOAD_STATEMENTS);
	FAILPOINT("recovery_loaded");
	load_page(rec);
}

static void load_everything(struct recovery *rec)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &clock_now, 0, NULL);
	store_add_load(unit, rec->floor);
	pg_add(unit, &load_positions, 0, NULL);
	quarantine_add_load(unit);
	doubt_add_load(unit);
	rebuild_add_load(unit);
	identity_add_load(unit);
	strangers_add_load(unit);
	verify_add_load(unit);
	unproven_add_load(unit);
	pg_submit(wal_pg(), unit, on_loaded, rec, &rec->pending);
}

/* A number is never given twice, also when its row was taken out by hand: what is noted
 * under it must not be taken for that of another. */
static const struct pg_statement register_instance = {
        "register_instance",
        "WITH known AS (UPDATE chromatid.instance SET url = $2::text, seen = now(),"
        "  place = $3::int WHERE name = $1::text RETURNING id, floor, detached),"
        " number AS (UPDATE chromatid.numbering SET instance = greatest(instance,"
        "  (SELECT coalesce(max(id), 0) FROM chromatid.instance)) + 1"
        "  WHERE NOT EXISTS (SELECT 1 FROM known) RETURNING instance),"
        " made AS (INSERT INTO chromatid.instance (id, name, url, place)"
        "  SELECT instance, $1::text, $2::text, $3::int FROM number"
        "  RETURNING id, floor, detached)"
        " SELECT * FROM known UNION ALL SELECT * FROM made"};

/* Names have no commas: in the settings they stand with commas between. */
static const struct pg_statement forget_places = {
        "forget_places", "UPDATE chromatid.instance SET place = NULL"
                         " WHERE name <> ALL (string_to_array($1::text, ','))"};

static void load_instance(struct recovery *rec, unsigned i, const struct pg_results *r)
{
	int at = (int)i + 1;

	store_set_instance_id(i, (int)pg_get_int8(r, at, 0, 0));
	rec->floors[i] = pg_get_int8(r, at, 0, 1);
	detach_set(i, pg_get_bool(r, at, 0, 2));
	if (detach_is(i))
		log_warn("retention",
		         "instance %s is detached: the log was not kept for it",
		         instance_name(health_instance(i)));
	else if (rec->floors[i] < rec->floor)
		rec->floor = rec->floors[i];
}

static void on_instances(void *arg, enum status s, const struct pg_results *r)
{
	struct recovery *rec = arg;

	if (failed(rec, "cannot register the instances", s, r))
		return;
	rec->floor = INT64_MAX;
	for (unsigned i = 0; i < health_count(); i++)
		load_instance(rec, i, r);
	load_everything(rec);
}

void recover_start(void (*done)(bool ok), struct op **slot)
{
	struct recovery *rec = mem_new(struct recovery);
	struct pg_unit *unit = pg_unit_create();
	struct text names = {0};

	rec->op.deliver = deliver;
	rec->op.release = release;
	rec->op.abandon = abandon;
	rec->done = done;
	rec->started_us = clock_us();
	op_begin(&rec->op, slot);
	persist_add_fence(unit);
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		pg_add(unit, &register_instance, 3,
		       (struct pg_param[]){pg_text(instance_name(in)),
		                           pg_text(upstream_url(instance_upstream(in))),
		                           pg_int4((int)i)});
		text_addf(&names, "%s%s", i > 0 ? "," : "", instance_name(in));
	}
	pg_add(unit, &forget_places, 1,
	       (struct pg_param[]){pg_text(text_string(&names))});
	text_clear(&names);
	pg_submit(wal_pg(), unit, on_instances, rec, &rec->pending);
}
