/* wal/partition.c - what PostgreSQL is asked and told about the partitions of the log,
 * and about the instances it is kept for. When, is upkeep.c. */
#include <stdlib.h>

#include "core/mem.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/retain.h"

#define AT_ONCE 2000
#define AT_ONCE_TEXT "2000"

/* --- looking ----------------------------------------------------------------------- */

#define AGE_OF(order)                                                                    \
	" coalesce((SELECT (extract(epoch FROM clock_timestamp() - l.at) * 1000)"        \
	"::bigint FROM chromatid.log l WHERE l.seq >= p.lo AND l.seq < p.hi"             \
	" ORDER BY l.seq " order " LIMIT 1), -1)"

static const struct pg_statement look_partitions = {
        "look_partitions",
        "SELECT p.lo, p.hi, coalesce(pg_total_relation_size(p.id), 0)," AGE_OF(
                "ASC") "," AGE_OF("DESC") " FROM chromatid.log_partition p ORDER BY "
                                          "p.lo"};

static const struct pg_statement look_beside = {
        "look_beside", "SELECT seq, pg_total_relation_size('chromatid.outcome')"
                       " + pg_total_relation_size('chromatid.resolved')"
                       " + pg_total_relation_size('chromatid.idempotency')"
                       " FROM chromatid.clock"};

static const struct pg_statement look_instances = {
        "look_instances", "SELECT id, name, floor, detached,"
                          " (extract(epoch FROM now() - seen) * 1000)::bigint"
                          " FROM chromatid.instance ORDER BY id"};

void partition_add_look(struct pg_unit *unit)
{
	pg_add(unit, &look_partitions, 0, NULL);
	pg_add(unit, &look_beside, 0, NULL);
	pg_add(unit, &look_instances, 0, NULL);
}

static void read_partitions(struct partition_view *view, const struct pg_results *r,
                            int at)
{
	view->n_partitions = (size_t)pg_rows(r, at);
	view->partitions =
	        mem_array(view->n_partitions + 1, sizeof(struct retain_partition));
	for (int row = 0; row < pg_rows(r, at); row++)
		view->partitions[row] = (struct retain_partition){
		        .lo = pg_get_int8(r, at, row, 0),
		        .hi = pg_get_int8(r, at, row, 1),
		        .bytes = (uint64_t)pg_get_int8(r, at, row, 2),
		        .oldest_ms = pg_get_int8(r, at, row, 3),
		        .newest_ms = pg_get_int8(r, at, row, 4),
		};
}

static void read_instances(struct partition_view *view, const struct pg_results *r,
                           int at)
{
	view->n_instances = (size_t)pg_rows(r, at);
	view->instances =
	        mem_array(view->n_instances + 1, sizeof(struct partition_instance));
	for (int row = 0; row < pg_rows(r, at); row++)
		view->instances[row] = (struct partition_instance){
		        .id = pg_get_int8(r, at, row, 0),
		        .name = mem_string(pg_get_text(r, at, row, 1)),
		        .floor = pg_get_int8(r, at, row, 2),
		        .detached = pg_get_bool(r, at, row, 3),
		        .unseen_ms = pg_get_int8(r, at, row, 4),
		};
}

void partition_looked(struct partition_view *view, const struct pg_results *r, int at)
{
	partition_view_clear(view);
	read_partitions(view, r, at);
	view->clock = pg_get_int8(r, at + 1, 0, 0);
	view->other_bytes = (uint64_t)pg_get_int8(r, at + 1, 0, 1);
	read_instances(view, r, at + 2);
}

void partition_view_clear(struct partition_view *view)
{
	for (size_t k = 0; k < view->n_instances; k++)
		free(view->instances[k].name);
	free(view->instances);
	free(view->partitions);
	*view = (struct partition_view){0};
}

/* --- partitions -------------------------------------------------------------------- */

static const struct pg_statement add_partition = {"log_add",
                                                  "SELECT chromatid.log_add($1, $2)"};

/* Places are left out: they only have to grow. From which one on? */
static const struct pg_statement log_close = {
        "log_close",
        "WITH k AS (SELECT seq FROM chromatid.clock WHERE seq < $1::bigint - 1"
        " FOR UPDATE) UPDATE chromatid.clock SET seq = $1::bigint - 1 FROM k"
        " RETURNING k.seq"};

/* The keys of records go first: a key without its record would have no answer. */
static const struct pg_statement forget_keys = {
        "forget_keys", "DELETE FROM chromatid.idempotency WHERE key IN (SELECT key FROM"
                       " chromatid.idempotency WHERE seq < $1 ORDER BY seq"
                       " LIMIT " AT_ONCE_TEXT ")"};

static const struct pg_statement log_drop = {"log_drop",
                                             "SELECT chromatid.log_drop($1, $2)"};

/* Without reading them: places are left out at the end of a partition only. */
static const struct pg_statement count_records = {
        "count_records", "SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM chromatid.log "
                         "WHERE seq >= $1 AND seq < $2"};

static void add_range(struct pg_unit *unit, const struct pg_statement *statement,
                      wal_seq lo, wal_seq hi)
{
	pg_add(unit, statement, 2, (struct pg_param[]){pg_int8(lo), pg_int8(hi)});
}

void partition_add_create(struct pg_unit *unit, wal_seq lo, wal_seq hi)
{
	add_range(unit, &add_partition, lo, hi);
}

void partition_add_close(struct pg_unit *unit, wal_seq hi)
{
	pg_add(unit, &log_close, 1, (struct pg_param[]){pg_int8(hi)});
}

void partition_add_drop(struct pg_unit *unit, wal_seq lo, wal_seq hi)
{
	add_range(unit, &count_records, lo, hi);
	pg_add(unit, &forget_keys, 1, (struct pg_param[]){pg_int8(hi)});
	add_range(unit, &log_drop, lo, hi);
}

wal_seq partition_was_closed(const struct pg_results *r, int at)
{
	return pg_rows(r, at) == 1 ? pg_get_int8(r, at, 0, 0) : 0;
}

bool partition_has_gone(const struct pg_results *r, int at, uint64_t *records)
{
	*records = (uint64_t)pg_get_int8(r, at, 0, 0);
	return pg_get_bool(r, at + 2, 0, 0);
}

/* --- instances --------------------------------------------------------------------- */

static const struct pg_statement set_floor = {
        "set_floor", "UPDATE chromatid.instance SET floor = greatest(floor, $2),"
                     " seen = now() WHERE id = $1"};

static const struct pg_statement set_seen = {
        "set_seen", "UPDATE chromatid.instance SET seen = now() WHERE id = $1"};

static const struct pg_statement set_detached = {
        "set_detached", "UPDATE chromatid.instance SET detached = true WHERE id = $1"};

void partition_add_floor(struct pg_unit *unit, unsigned i)
{
	int id = store_instance_id(i);

	if (detach_is(i))
		pg_add(unit, &set_seen, 1, (struct pg_param[]){pg_int4(id)});
	else
		pg_add(unit, &set_floor, 2,
		       (struct pg_param[]){pg_int4(id), pg_int8(engine_floor(i))});
}

void partition_add_detach(struct pg_unit *unit, int64_t id)
{
	pg_add(unit, &set_detached, 1, (struct pg_param[]){pg_int4((int)id)});
}

/* --- what goes with the records ---------------------------------------------------- */

static const struct pg_statement trim_keys = {
        "trim_keys", "DELETE FROM chromatid.idempotency WHERE key IN"
                     " (SELECT key FROM chromatid.idempotency WHERE seq <="
                     "  (SELECT min(floor) FROM chromatid.instance WHERE NOT detached)"
                     "  AND at < now() - $1::bigint * interval '1 ms' ORDER BY seq"
                     "  LIMIT " AT_ONCE_TEXT ")"};

static const struct pg_statement trim_outcomes = {
        "trim_outcomes", "DELETE FROM chromatid.outcome WHERE seq IN (SELECT seq FROM"
                         " chromatid.outcome WHERE seq < $1 ORDER BY seq"
                         " LIMIT " AT_ONCE_TEXT ")"};

static const struct pg_statement trim_resolved = {
        "trim_resolved", "DELETE FROM chromatid.resolved WHERE seq IN (SELECT seq FROM"
                         " chromatid.resolved WHERE seq < $1 ORDER BY seq"
                         " LIMIT " AT_ONCE_TEXT ")"};

void partition_add_tidy(struct pg_unit *unit, msec keep, wal_seq below)
{
	struct pg_param seq[] = {pg_int8(below)};

	pg_add(unit, &trim_keys, 1, (struct pg_param[]){pg_int8((int64_t)keep)});
	pg_add(unit, &trim_outcomes, 1, seq);
	pg_add(unit, &trim_resolved, 1, seq);
}

bool partition_is_untidy(const struct pg_results *r, int at)
{
	for (int k = 0; k < PARTITION_TIDY_STATEMENTS; k++)
		if (pg_changed(r, at + k) >= AT_ONCE)
			return true;
	return false;
}
