/* wal/history.c - what the log holds of a stretch of time, for a restore to a place
 * behind that of an export: the records with their bodies, as they were executed. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/lead.h"
#include "wal/record.h"

#define BYTES_MOST "8000000" /* of bodies in one answer, unless one alone has more */

struct looking {
	struct op op;
	struct op *pending;
	wal_history_fn *done;
	void *arg;
	enum status status;
	struct wal_history history;
	struct wal_past *rows;
};

/* $1 up to there, $2 up to then */
static const struct pg_statement range = {
        "history_range",
        "SELECT (SELECT id::text FROM chromatid.cluster),"
        " coalesce((SELECT min(seq) FROM chromatid.log), 0),"
        " (SELECT seq FROM chromatid.clock),"
        " coalesce((SELECT seq FROM chromatid.log WHERE seq <= $1"
        "  AND at <= to_timestamp($2::bigint / 1000.0) ORDER BY seq DESC LIMIT 1), 0)"};

/* $1 behind, $2 up to, $3 how many */
static const struct pg_statement rows = {
        "history_rows",
        "SELECT l.seq, (extract(epoch FROM l.at) * 1000)::bigint, l.kind,"
        " coalesce(o.decision, 0), c.public_id::text, d.tenant, d.name, l.name,"
        " coalesce(r.ids, l.body)"
        " FROM (SELECT *, sum(body_len) OVER (ORDER BY seq) - body_len AS before"
        "  FROM (SELECT * FROM chromatid.log WHERE seq > $1 AND seq <= $2"
        "   ORDER BY seq LIMIT $3) s) l"
        " LEFT JOIN chromatid.outcome o ON o.seq = l.seq"
        " LEFT JOIN chromatid.resolved r ON r.seq = l.seq"
        " LEFT JOIN chromatid.collection c ON c.id = coalesce(l.collection,"
        "  CASE WHEN l.kind = 10 THEN l.seq END)"
        " LEFT JOIN chromatid.database d ON d.id = coalesce(l.database, c.database)"
        " WHERE l.before < " BYTES_MOST " ORDER BY l.seq"};

enum { SEQ, AT, KIND, DECISION, COLLECTION, TENANT, DATABASE, NAME, BODY };

static void deliver(struct op *op)
{
	struct looking *l = (struct looking *)op;

	l->done(l->arg, l->status, &l->history);
}

static void release(struct op *op)
{
	struct looking *l = (struct looking *)op;

	op_cancel(&l->pending);
	for (size_t k = 0; k < l->history.n; k++) {
		free(l->rows[k].collection);
		free(l->rows[k].tenant);
		free(l->rows[k].database);
		free(l->rows[k].name);
		blob_unref(&l->rows[k].body);
	}
	free(l->rows);
	free(l);
}

static void abandon(struct op *op)
{
	struct looking *l = (struct looking *)op;

	op_cancel(&l->pending);
	op_end(op);
}

static char *text_at(const struct pg_results *r, int row, int column)
{
	return pg_is_null(r, 1, row, column) ? NULL
	                                     : mem_string(pg_get_text(r, 1, row, column));
}

static void take_row(const struct pg_results *r, int row, struct wal_past *out)
{
	const void *bytes;
	size_t len;

	*out = (struct wal_past){.seq = pg_get_int8(r, 1, row, SEQ),
	                         .at_wall_ms = pg_get_int8(r, 1, row, AT),
	                         .kind = (enum record_kind)pg_get_int8(r, 1, row, KIND),
	                         .collection = text_at(r, row, COLLECTION),
	                         .tenant = text_at(r, row, TENANT),
	                         .database = text_at(r, row, DATABASE),
	                         .name = text_at(r, row, NAME)};
	out->decided = pg_get_int8(r, 1, row, DECISION) != DECISION_OPEN;
	out->accepted = pg_get_int8(r, 1, row, DECISION) == DECISION_ACCEPTED;
	if (pg_is_null(r, 1, row, BODY))
		return;
	bytes = pg_get_bytes(r, 1, row, BODY, &len);
	out->body = blob_create(bytes, len);
}

static void on_found(void *arg, enum status s, const struct pg_results *r)
{
	struct looking *l = arg;
	const char *cluster;

	l->status = s == STATUS_OK ? STATUS_OK : STATUS_LOG_UNAVAILABLE;
	if (s == STATUS_OK) {
		cluster = pg_get_text(r, 0, 0, 0);
		uuid_parse(cluster, strlen(cluster), &l->history.cluster);
		l->history.oldest = pg_get_int8(r, 0, 0, 1);
		l->history.last = pg_get_int8(r, 0, 0, 2);
		l->history.until = pg_get_int8(r, 0, 0, 3);
		l->history.n = (size_t)pg_rows(r, 1);
		l->rows = mem_array(l->history.n + 1, sizeof(*l->rows));
		for (size_t k = 0; k < l->history.n; k++)
			take_row(r, (int)k, &l->rows[k]);
		l->history.rows = l->rows;
	}
	op_end(&l->op);
}

void wal_history(const struct wal_stretch *stretch, wal_history_fn *done, void *arg,
                 struct op **slot)
{
	struct looking *l = mem_new(struct looking);
	struct pg_unit *unit = pg_unit_create();

	l->op.deliver = deliver;
	l->op.release = release;
	l->op.abandon = abandon;
	l->done = done;
	l->arg = arg;
	op_begin(&l->op, slot);
	pg_add(unit, &range, 2,
	       (struct pg_param[]){pg_int8(stretch->until),
	                           pg_int8(stretch->until_wall_ms)});
	pg_add(unit, &rows, 3,
	       (struct pg_param[]){pg_int8(stretch->after), pg_int8(stretch->until),
	                           pg_int8(stretch->limit)});
	pg_submit(wal_reader(), unit, on_found, l, &l->pending);
}
