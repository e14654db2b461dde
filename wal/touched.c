/* wal/touched.c - which items of a collection the log touches, from some record on.
 *
 *   touched_read   where does the log end now?
 *   on_page        the next records of the collection: their kinds and lengths
 *   on_bodies      their bodies, some megabytes at a time, of which the ids are kept
 * When it does not go well:
 *   - a delete by filter that has no ids yet: no instance has executed it, nor anything
 *     behind it in the collection; the reading ends in front of it, and the next one
 *     begins there
 *   - more ids than can be kept, or a record that is in the log no more: STATUS_CONFLICT
 *   - PostgreSQL does not answer: what was read is kept, the next reading goes on there
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/copy_private.h"
#include "wal/lead.h"
#include "wal/record.h"

#define SEQS_A_PAGE 50000 /* of all collections: one look at the log is short */
#define RECORDS_A_PAGE 500
#define RECORDS_A_PAGE_TEXT "500"
#define BODIES_AT_ONCE 64u
#define BYTES_AT_ONCE (4u * 1024u * 1024u)
#define IDS_MOST 1000000u
#define IDS_BYTES_MOST (64u * 1024u * 1024u)

struct touched_record {
	wal_seq seq;
	enum record_kind kind;
	size_t len;
};

static void read_page(struct touched *t);
static void read_bodies(struct touched *t);

void touched_begin(struct touched *t, const struct copy_spec *spec, wal_seq from)
{
	touched_clear(t);
	t->collection = spec->collection;
	t->donor_id = spec->donor_id;
	t->seen = t->executed = from;
}

void touched_clear(struct touched *t)
{
	op_cancel(&t->pending);
	text_clear(&t->ids);
	id_set_clear(&t->all);
	id_set_clear(&t->deleted);
	free(t->found);
	*t = (struct touched){0};
}

static void end(struct touched *t, enum status s, const char *why)
{
	t->n_found = 0;
	t->done(t->arg, s, why);
}

static void end_by(struct touched *t, enum status s, const struct pg_results *r)
{
	end(t, s, s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
}

/* --- ids ------------------------------------------------------------------------------
 */

static bool deletes(enum record_kind kind)
{
	return kind == RECORD_DELETE || kind == RECORD_DELETE_WHERE;
}

static void take_id(struct touched *t, const struct touched_record *r,
                    struct json_slice id)
{
	uint64_t hash;

	if (!id_hash(id, &hash)) /* such a write was refused */
		return;
	if (deletes(r->kind))
		id_set_note(&t->deleted, hash, r->seq);
	if (t->only_deletes || !id_set_add(&t->all, hash))
		return;
	text_adds(&t->ids, t->ids.len > 0 ? "," : "[");
	text_add(&t->ids, id.at, id.len);
}

static bool take_ids(struct touched *t, const struct touched_record *r, const char *bytes,
                     size_t len)
{
	struct json_walk w = json_walk(json_member(json_whole(bytes, len), "ids"));

	while (json_step(&w)) {
		take_id(t, r, w.value);
		if (t->all.n > IDS_MOST || t->deleted.n > IDS_MOST ||
		    t->ids.len > IDS_BYTES_MOST)
			return false;
	}
	return true;
}

/* --- bodies --------------------------------------------------------------------------
 */

static const struct pg_statement body = {
        "touched_body", "SELECT coalesce((SELECT r.ids FROM chromatid.resolved r"
                        " WHERE r.seq = l.seq), l.body) FROM chromatid.log l"
                        " WHERE l.seq = $1"};

static size_t at_once(const struct touched *t)
{
	size_t n = 0, bytes = 0;

	while (t->at + n < t->n_found && n < BODIES_AT_ONCE &&
	       (n == 0 || bytes + t->found[t->at + n].len <= BYTES_AT_ONCE))
		bytes += t->found[t->at + n++].len;
	return n;
}

static bool take_body(struct touched *t, const struct pg_results *r, int k)
{
	const char *bytes;
	size_t len;

	if (pg_rows(r, k) != 1) {
		end(t, STATUS_CONFLICT, "the log is not kept that far back");
		return false;
	}
	bytes = pg_get_bytes(r, k, 0, 0, &len);
	if (take_ids(t, &t->found[t->at], bytes, len))
		return true;
	end(t, STATUS_CONFLICT, "too much was touched meanwhile");
	return false;
}

static void on_bodies(void *arg, enum status s, const struct pg_results *r)
{
	struct touched *t = arg;
	size_t n = at_once(t);

	if (s != STATUS_OK) {
		end_by(t, s, r);
		return;
	}
	for (size_t k = 0; k < n; k++, t->at++)
		if (!take_body(t, r, (int)k))
			return;
	read_bodies(t);
}

static void page_over(struct touched *t)
{
	t->seen = t->reach;
	if (t->held_back || t->seen >= t->end)
		end(t, STATUS_OK, "");
	else
		read_page(t);
}

static void read_bodies(struct touched *t)
{
	size_t n = at_once(t);
	struct pg_unit *unit;

	if (n == 0) {
		page_over(t);
		return;
	}
	unit = pg_unit_create();
	for (size_t k = 0; k < n; k++)
		pg_add(unit, &body, 1,
		       (struct pg_param[]){pg_int8(t->found[t->at + k].seq)});
	pg_submit(wal_reader(), unit, on_bodies, t, &t->pending);
}

/* --- records -------------------------------------------------------------------------
 */

static const struct pg_statement log_end = {"touched_end",
                                            "SELECT seq FROM chromatid.clock"};

static const struct pg_statement position = {
        "touched_position",
        "SELECT seq FROM chromatid.position WHERE instance = $1 AND scope = $2"};

/* Looked up one by one: a join would be free to read all of the other tables. */
static const struct pg_statement records = {
        "touched_records",
        "SELECT l.seq, l.kind, l.body_len,"
        " (SELECT octet_length(r.ids) FROM chromatid.resolved r WHERE r.seq = l.seq),"
        " (SELECT o.decision FROM chromatid.outcome o WHERE o.seq = l.seq)"
        " FROM chromatid.log l WHERE l.collection = $1 AND l.seq > $2 AND l.seq <= $3"
        " AND (l.kind BETWEEN 1 AND 5 OR l.kind = 11)"
        " ORDER BY l.seq LIMIT " RECORDS_A_PAGE_TEXT};

static void find(struct touched *t, wal_seq seq, enum record_kind kind, size_t len)
{
	if (kind == RECORD_MODIFY_COLLECTION)
		t->modified |= !t->only_deletes;
	else if (deletes(kind) || !t->only_deletes)
		t->found[t->n_found++] = (struct touched_record){seq, kind, len};
}

/* False: it holds back what follows. */
static bool take_record(struct touched *t, const struct pg_results *r, int row)
{
	wal_seq seq = pg_get_int8(r, 1, row, 0);
	enum record_kind kind = (enum record_kind)pg_get_int8(r, 1, row, 1);
	bool resolved = !pg_is_null(r, 1, row, 3), decided = !pg_is_null(r, 1, row, 4);

	if (kind != RECORD_DELETE_WHERE)
		find(t, seq, kind, (size_t)pg_get_int8(r, 1, row, 2));
	else if (resolved)
		find(t, seq, kind, (size_t)pg_get_int8(r, 1, row, 3));
	else if (!decided) /* else it has had no effect */
		return false;
	t->reach = seq;
	return true;
}

/* How far this page goes, if it is not full. */
static wal_seq page_end(const struct touched *t, wal_seq now)
{
	return now - t->seen > SEQS_A_PAGE ? t->seen + SEQS_A_PAGE : now;
}

static void take_records(struct touched *t, const struct pg_results *r, wal_seq now)
{
	int n = pg_rows(r, 1);
	wal_seq reach = page_end(t, now);

	t->reach = t->seen;
	t->n_found = t->at = 0;
	t->found = mem_resize(t->found, RECORDS_A_PAGE * sizeof(*t->found));
	for (int row = 0; row < n && !t->held_back; row++)
		t->held_back = !take_record(t, r, row);
	if (!t->held_back && n < RECORDS_A_PAGE && reach > t->reach)
		t->reach = reach;
}

static void on_page(void *arg, enum status s, const struct pg_results *r)
{
	struct touched *t = arg;
	wal_seq now;

	if (s != STATUS_OK) {
		end_by(t, s, r);
		return;
	}
	now = pg_get_int8(r, 0, 0, 0);
	if (!t->end_known)
		t->end = now;
	t->end_known = true;
	if (pg_rows(r, 2) > 0 && pg_get_int8(r, 2, 0, 0) > t->executed)
		t->executed = pg_get_int8(r, 2, 0, 0);
	take_records(t, r, now);
	read_bodies(t);
}

/* The end is looked up first: all that is behind it is of the page as well, or later. */
static void read_page(struct touched *t)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, &log_end, 0, NULL);
	pg_add(unit, &records, 3,
	       (struct pg_param[]){pg_int8(t->collection), pg_int8(t->seen),
	                           pg_int8(t->seen + SEQS_A_PAGE)});
	pg_add(unit, &position, 2,
	       (struct pg_param[]){pg_int4(t->donor_id), pg_int8(t->collection)});
	pg_submit(wal_reader(), unit, on_page, t, &t->pending);
}

void touched_read(struct touched *t, bool only_deletes, touched_fn *done, void *arg)
{
	t->only_deletes = only_deletes;
	t->end_known = t->held_back = false;
	t->done = done;
	t->arg = arg;
	read_page(t);
}
