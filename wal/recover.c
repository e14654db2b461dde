/* wal/recover.c - what a new leader must know: the catalogue, and what each instance
 * owes.
 *
 * There is no special path for a restart. What the log holds and an instance's position
 * has not passed is put into the same lanes as a new write; a former process may have
 * sent any of it (doubt), which re-executing it in its own place forgives.
 *
 *   recover_start   the instances: their numbers, and the floor below which none owes
 *   on_instances    catalogue, positions, and the log above the floor, without bodies
 *   on_loaded       rebuild the lanes; lead
 */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/wal_private.h"

struct recovery {
	struct op op;
	struct op *pending;
	void (*done)(bool ok);
	bool ok;
	uint64_t started_us;
};

static void deliver(struct op *op)
{
	struct recovery *rec = (struct recovery *)op;

	rec->done(rec->ok);
}

static void release(struct op *op)
{
	struct recovery *rec = (struct recovery *)op;

	op_cancel(&rec->pending);
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

struct positions {
	struct table seqs; /* "instance scope" -> int64_t, its own memory */
};

static void positions_load(struct positions *p, const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at); row++) {
		int i = store_instance_index(pg_get_int8(r, at, row, 0));
		char *key = mem_format("%d %s", i, pg_get_text(r, at, row, 1));
		int64_t *seq = mem_new(int64_t);

		*seq = pg_get_int8(r, at, row, 2);
		free(table_get(&p->seqs, key));
		table_put(&p->seqs, key, seq);
		free(key);
	}
}

static wal_seq position_of(const struct positions *p, unsigned i, int64_t scope)
{
	char *key = mem_format("%u %lld", i, (long long)scope);
	const int64_t *seq = table_get(&p->seqs, key);

	free(key);
	return seq != NULL ? *seq : 0;
}

static void positions_clear(struct positions *p)
{
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	void *seq;

	while ((seq = table_next(&p->seqs, &bucket, &entry)) != NULL)
		free(seq);
	table_clear(&p->seqs);
}

/* --- records ----------------------------------------------------------------------- */

enum {
	SEQ,
	KIND,
	COLLECTION,
	DATABASE,
	NAME,
	OLD_NAME,
	BODY_LEN,
	EMBEDDINGS,
	AT,
	DECISION,
	HTTP,
	INSTANCE,
	IDS,
	DIGEST
};

static const struct pg_statement load_log = {
        "load_log",
        "SELECT l.seq, l.kind, l.collection, l.database, l.name, l.old_name, l.body_len,"
        " l.embeddings, (extract(epoch FROM l.at) * 1000)::bigint, o.decision, o.http,"
        " o.instance, r.ids, l.digest FROM chromatid.log l"
        " LEFT JOIN chromatid.outcome o ON o.seq = l.seq"
        " LEFT JOIN chromatid.resolved r ON r.seq = l.seq AND o.decision IS DISTINCT "
        "FROM 2"
        " WHERE l.seq > $1 ORDER BY l.seq"};

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

static void load_digest(struct record *rec, const struct pg_results *r, int at, int row)
{
	const void *digest;
	size_t len;

	if (pg_is_null(r, at, row, DIGEST))
		return;
	digest = pg_get_bytes(r, at, row, DIGEST, &len);
	rec->digested = len == DIGEST_LEN;
	if (rec->digested)
		memcpy(rec->digest.bytes, digest, len);
}

static struct record *load_record(const struct store_load *load,
                                  const struct pg_results *r, int at, int row)
{
	struct wal_write w = {
	        .kind = (enum record_kind)pg_get_int8(r, at, row, KIND),
	        .collection = object_at(&load->collections, r, at, row, COLLECTION),
	        .database = object_at(&load->databases, r, at, row, DATABASE),
	        .embeddings = pg_get_bool(r, at, row, EMBEDDINGS),
	};
	const char *name =
	        pg_is_null(r, at, row, NAME) ? NULL : pg_get_text(r, at, row, NAME);
	struct record *rec;

	w.name = w.tenant = name;
	rec = record_create(pg_get_int8(r, at, row, SEQ), &w);
	if (!pg_is_null(r, at, row, OLD_NAME)) {
		free(rec->old_name);
		rec->old_name = mem_string(pg_get_text(r, at, row, OLD_NAME));
	}
	rec->body_len = (size_t)pg_get_int8(r, at, row, BODY_LEN);
	load_digest(rec, r, at, row);
	rec->appended_wall_ms = pg_get_int8(r, at, row, AT);
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
static bool is_durable(const struct record *r, const struct positions *p, unsigned i)
{
	bool own =
	        r->collection != NULL && position_of(p, i, r->collection->id) >= r->seq;

	return own || (!quarantine_covers(r, i) &&
	               position_of(p, i, primary_scope(r)) >= r->seq);
}

/* Its turns that are durable already; true if that is all of them. */
static bool settled(struct record *r, const struct positions *p)
{
	bool all = true;

	for (unsigned i = 0; i < health_count(); i++) {
		if (is_durable(r, p, i)) {
			r->turns[i].state = TURN_DURABLE;
		} else {
			r->turns[i].doubt = r->loaded = true;
			all = false;
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

static unsigned load_records(const struct store_load *load, const struct positions *p,
                             const struct pg_results *r, int at)
{
	unsigned n = 0;

	for (int row = 0; row < pg_rows(r, at); row++) {
		struct record *rec = load_record(load, r, at, row);

		if (settled(rec, p)) {
			record_free(rec);
			continue;
		}
		engine_add(rec);
		n++;
	}
	return n;
}

/* --- steps ------------------------------------------------------------------------- */

static const struct pg_statement clock_now = {"clock_now",
                                              "SELECT seq FROM chromatid.clock"};
static const struct pg_statement load_positions = {
        "load_positions", "SELECT instance, scope, seq FROM chromatid.position"};

static void on_loaded(void *arg, enum status s, const struct pg_results *r)
{
	struct recovery *rec = arg;
	struct store_load load = {{0}, {0}};
	struct positions positions = {{0}};
	unsigned n;

	if (failed(rec, "cannot load the log", s, r))
		return;
	append_loaded(pg_get_int8(r, 1, 0, 0));
	store_loaded(&load, r, 2);
	positions_load(&positions, r, 2 + STORE_LOAD_STATEMENTS);
	create_scopes(&load);
	quarantine_loaded(&load, r, 4 + STORE_LOAD_STATEMENTS);
	doubt_loaded(&load, r, 6 + STORE_LOAD_STATEMENTS);
	FAILPOINT("recovery_loaded");
	n = load_records(&load, &positions, r, 3 + STORE_LOAD_STATEMENTS);
	quarantine_all_loaded();
	positions_clear(&positions);
	store_load_clear(&load);
	log_info("recover",
	         "loaded %u collections; %u records owed by some instance; %llu ms",
	         catalogue_count(NULL).live, n,
	         (unsigned long long)((clock_us() - rec->started_us) / 1000));
	end(rec, true);
}

static void load_everything(struct recovery *rec, wal_seq floor)
{
	struct pg_unit *unit = pg_unit_create();

	persist_add_fence(unit);
	pg_add(unit, &clock_now, 0, NULL);
	store_add_load(unit, floor);
	pg_add(unit, &load_positions, 0, NULL);
	pg_add(unit, &load_log, 1, (struct pg_param[]){pg_int8(floor)});
	quarantine_add_load(unit);
	doubt_add_load(unit);
	pg_submit(wal_pg(), unit, on_loaded, rec, &rec->pending);
}

static const struct pg_statement register_instance = {
        "register_instance",
        "INSERT INTO chromatid.instance AS i (id, name, url)"
        " SELECT coalesce(max(id), 0) + 1, $1::text, $2::text FROM chromatid.instance"
        " ON CONFLICT (name) DO UPDATE SET url = excluded.url RETURNING i.id, i.floor"};

static void on_instances(void *arg, enum status s, const struct pg_results *r)
{
	struct recovery *rec = arg;
	wal_seq floor = INT64_MAX, mine;

	if (failed(rec, "cannot register the instances", s, r))
		return;
	for (unsigned i = 0; i < health_count(); i++) {
		store_set_instance_id(i, (int)pg_get_int8(r, (int)i + 1, 0, 0));
		mine = pg_get_int8(r, (int)i + 1, 0, 1);
		floor = mine < floor ? mine : floor;
	}
	load_everything(rec, floor);
}

void recover_start(void (*done)(bool ok), struct op **slot)
{
	struct recovery *rec = mem_new(struct recovery);
	struct pg_unit *unit = pg_unit_create();

	rec->op.deliver = deliver;
	rec->op.release = release;
	rec->op.abandon = abandon;
	rec->done = done;
	rec->started_us = clock_us();
	op_begin(&rec->op, slot);
	persist_add_fence(unit);
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		pg_add(unit, &register_instance, 2,
		       (struct pg_param[]){pg_text(instance_name(in)),
		                           pg_text(upstream_url(instance_upstream(in)))});
	}
	pg_submit(wal_pg(), unit, on_instances, rec, &rec->pending);
}
