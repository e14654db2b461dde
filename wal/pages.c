/* wal/pages.c - what an operator asks about the log.
 *
 * The answers come from PostgreSQL, by the views of schema_operator.c, as JSON. They go
 * over a session of their own, with little patience, few at a time: a slow one holds up
 * neither an append nor the lease. None looks at more than so many places of the log:
 * where a list ends before its limit, it says where to go on. */
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/engine.h"
#include "wal/lead.h"
#include "wal/record.h"

#define WAITING_MOST 16u

static struct pg *session;

static const struct pg_statement patience = {
        "pages_patience", "SELECT set_config('statement_timeout', '8s', true)"};

#define WINDOW                                                                           \
	" w AS (SELECT min(seq) AS lo, count(*) AS n FROM (SELECT seq FROM"              \
	"  chromatid.log WHERE seq < $1 ORDER BY seq DESC LIMIT 20000) x)"
#define STATE                                                                            \
	"chromatid.write_state(decision, cardinality(lacking), "                         \
	"cardinality(quarantined))"
/* `of`: where the rows come from. */
#define ENTRY(of)                                                                        \
	"json_build_object('seq', seq, 'operation', operation, 'method', method,"        \
	" 'path', path, 'tenant', tenant, 'database', database, 'collection',"           \
	" collection, 'collection_id', collection_id, 'bytes', body_len, 'at', at,"      \
	" 'state', " STATE ", 'decision',"                                               \
	" (ARRAY['open','accepted','refused','refused','given_up'])[decision + 1],"      \
	" 'http', http, 'decided_by', decided_by, 'decided_at', decided_at,"             \
	" 'after_its_client_left', late, 'trace_id', (SELECT substring(l.trace FROM 4"   \
	"  FOR 32) FROM chromatid.log l WHERE l.seq = " of ".seq),"                      \
	" 'instances', instances)"

/* $1 older than, $2 limit, $3 state or '', $4 collection or '' */
static const struct pg_statement entries = {
        "pages_entries",
        "WITH" WINDOW ", hits AS (SELECT * FROM chromatid.entry e, w"
        " WHERE e.seq < $1 AND e.seq >= w.lo AND ($3 = '' OR $3 = " STATE ")"
        " AND ($4 = '' OR collection = $4 OR collection_id::text = $4)"
        " ORDER BY seq DESC LIMIT $2)"
        " SELECT coalesce(json_agg(" ENTRY(
                "hits") " ORDER BY seq DESC), '[]')::text,"
                        " coalesce(CASE WHEN count(*) = $2 THEN min(seq) ELSE (SELECT lo "
                        "FROM w"
                        "  WHERE n = 20000) END, 0) FROM hits"};

static const struct pg_statement entry = {
        "pages_entry", "SELECT coalesce(json_agg(" ENTRY(
                               "entry") "), '[]')::text, count(*)"
                                        " FROM chromatid.entry WHERE seq = $1"};

#define WRITE                                                                            \
	"json_build_object('write_id', seq::text, 'method', method, 'path', path,"       \
	" 'collection_id', collection_id, 'status', chromatid.write_state(decision,"     \
	" cardinality(lacking), 0), 'target_instance', 'both',"                          \
	" 'executed_on', decided_by, 'synced_instances', to_json(done),"                 \
	" 'error_message', CASE WHEN decision > 1 THEN 'refused: HTTP ' || http"         \
	" ELSE error END, 'created_at', at, 'updated_at', coalesce(decided_at, at),"     \
	" 'retry_count', attempts)"

/* $1 older than, $2 limit */
static const struct pg_statement debug = {
        "pages_debug",
        "WITH" WINDOW ", r AS (SELECT coalesce(json_agg(" WRITE
        " ORDER BY seq DESC), '[]') AS list,"
        "  count(*) AS n FROM (SELECT * FROM chromatid.entry WHERE seq < $1"
        "  ORDER BY seq DESC LIMIT $2) e),"
        " d AS (SELECT coalesce(json_agg(" WRITE " ORDER BY seq DESC), '[]') AS list,"
        "  count(*) AS n FROM (SELECT e.* FROM chromatid.entry e, w WHERE seq < $1"
        "  AND seq >= w.lo AND kind IN (4, 5, 12, 21) ORDER BY seq DESC LIMIT $2) e)"
        " SELECT json_build_object('recent_writes', r.list, 'delete_operations', d.list,"
        "  'summary', json_build_object('total_recent_writes', r.n,"
        "  'total_delete_operations', d.n))::text, r.n FROM r, d"};

/* Lanes in quarantine, and writes that no instance could be brought to answer. $1 limit
 */
static const struct pg_statement errors = {
        "pages_errors",
        "WITH bad AS (SELECT q.seq, e.method, coalesce(nullif(e.path, ''),"
        "  chromatid.write_path(11, d.tenant, d.name, c.name, c.public_id)) AS path,"
        "  q.error, q.since AS at, q.attempts, i.name AS instance, c.name AS collection,"
        "  true AS critical FROM chromatid.quarantine q"
        "  JOIN chromatid.instance i ON i.id = q.instance AND i.place IS NOT NULL"
        "  JOIN chromatid.collection c ON c.id = q.collection"
        "  JOIN chromatid.database d ON d.id = c.database"
        "  LEFT JOIN chromatid.entry e ON e.seq = q.seq"
        " UNION ALL SELECT e.seq, e.method, e.path, 'given up: no instance gave a clear"
        " answer (HTTP ' || o.http || ')', o.at, e.attempts, NULL, e.collection, false"
        "  FROM chromatid.outcome o JOIN chromatid.entry e ON e.seq = o.seq"
        "  WHERE o.decision = 4),"
        " newest AS (SELECT * FROM bad ORDER BY at DESC LIMIT $1)"
        " SELECT json_build_object('recent_errors', l.list, 'errors', l.list,"
        "  'error_count', n.total, 'total_errors', n.total,"
        "  'critical_errors', n.critical)::text, n.total"
        " FROM (SELECT coalesce(json_agg(json_build_object('write_id', seq::text,"
        "  'method', coalesce(method, ''), 'path', path, 'error', error, 'timestamp',"
        "  at, 'retry_count', attempts, 'instance', instance, 'collection', collection,"
        "  'critical', critical) ORDER BY at DESC), '[]') AS list FROM newest) l,"
        " (SELECT count(*) AS total, count(*) FILTER (WHERE critical) AS critical"
        "  FROM bad) n"};

/* What became of it, in the words of older scripts. */
#define ENDED                                                                            \
	"CASE WHEN o.decision = 1 AND o.late THEN 'RECOVERED'"                           \
	" WHEN o.decision = 1 THEN 'COMPLETED' WHEN o.decision > 1 THEN 'FAILED'"        \
	" WHEN l.seq <= (SELECT max(floor) FROM chromatid.instance) THEN 'COMPLETED'"    \
	" ELSE 'ATTEMPTING' END"

static const struct pg_statement transactions = {
        "pages_transactions",
        "WITH t AS (SELECT " ENDED " AS status, l.at FROM (SELECT seq, at FROM"
        "  chromatid.log ORDER BY seq DESC LIMIT 200000) l"
        "  LEFT JOIN chromatid.outcome o ON o.seq = l.seq"
        "  WHERE l.at > now() - interval '2 hours'),"
        " s AS (SELECT status, count(*) AS n, max(at) AS latest FROM t GROUP BY status)"
        " SELECT json_build_object('total_last_2_hours', coalesce(sum(n), 0),"
        "  'by_status', coalesce(json_agg(json_build_object('status', status, 'count',"
        "  n, 'latest', latest) ORDER BY status), '[]'))::text,"
        " (SELECT count(*) FROM chromatid.outcome WHERE decision = 4"
        "  AND at > now() - interval '24 hours') FROM s"};

/* $1 its place or its id */
static const struct pg_statement transaction = {
        "pages_transaction",
        "WITH which AS (SELECT l.seq, " ENDED " AS status FROM chromatid.log l"
        "  LEFT JOIN chromatid.outcome o ON o.seq = l.seq WHERE CASE"
        "  WHEN $1::text ~ '^[0-9]{1,18}$' THEN l.seq = $1::text::bigint"
        "  WHEN $1::text ~* '^[0-9a-f-]{36}$' THEN l.op::text = lower($1::text)"
        "  ELSE false END LIMIT 1)"
        " SELECT coalesce(json_agg(json_build_object('transaction_id', seq::text,"
        "  'status', status, 'method', method, 'path', path, 'operation_type',"
        "  operation, 'created_at', at, 'completed_at', decided_at, 'retry_count',"
        "  attempts, 'is_timing_gap_failure', decision = 4, 'failure_reason', CASE"
        "  WHEN decision = 4 THEN 'no instance gave a clear answer' WHEN decision > 1"
        "  THEN 'refused' END, 'response_status', http)), '[]')::text, count(*)"
        " FROM which JOIN chromatid.entry e USING (seq)"};

/* --- asking ------------------------------------------------------------------------ */

struct asking {
	struct op op;
	struct op *pending;
	wal_page_fn *done;
	void *arg;
	enum status status;
	char *json;
	int64_t number;
};

static void deliver(struct op *op)
{
	struct asking *a = (struct asking *)op;

	a->done(a->arg, a->status, a->json, a->number);
}

static void release(struct op *op)
{
	struct asking *a = (struct asking *)op;

	op_cancel(&a->pending);
	free(a->json);
	free(a);
}

static void abandon(struct op *op)
{
	struct asking *a = (struct asking *)op;

	op_cancel(&a->pending);
	op_end(op);
}

static void on_answer(void *arg, enum status s, const struct pg_results *r)
{
	struct asking *a = arg;

	if (s == STATUS_OK && pg_rows(r, 1) == 1) {
		a->json = mem_string(pg_get_text(r, 1, 0, 0));
		a->number = pg_get_int8(r, 1, 0, 1);
	} else {
		if (s == STATUS_DB_REFUSED)
			log_error("pages", "%s", pg_message(r));
		a->status = STATUS_LOG_UNAVAILABLE;
	}
	op_end(&a->op);
}

static void add_question(struct pg_unit *unit, const struct wal_question *q)
{
	static const struct pg_statement *const statements[] = {
	        [WAL_PAGE_ENTRIES] = &entries,
	        [WAL_PAGE_ENTRY] = &entry,
	        [WAL_PAGE_ERRORS] = &errors,
	        [WAL_PAGE_DEBUG] = &debug,
	        [WAL_PAGE_TRANSACTIONS] = &transactions,
	        [WAL_PAGE_TRANSACTION] = &transaction,
	};
	static const int counts[] = {4, 1, 1, 2, 0, 1};
	struct pg_param params[] = {pg_int8(q->seq), pg_int8(q->limit),
	                            pg_text(q->state != NULL ? q->state : ""),
	                            pg_text(q->text != NULL ? q->text : "")};

	if (q->page == WAL_PAGE_ERRORS)
		params[0] = params[1];
	if (q->page == WAL_PAGE_TRANSACTION)
		params[0] = params[3];
	pg_add(unit, &patience, 0, NULL);
	pg_add(unit, statements[q->page], counts[q->page], params);
}

void wal_ask(const struct wal_question *q, wal_page_fn *done, void *arg, struct op **slot)
{
	struct asking *a = mem_new(struct asking);
	struct pg_unit *unit;

	a->op.deliver = deliver;
	a->op.release = release;
	a->op.abandon = abandon;
	a->done = done;
	a->arg = arg;
	op_begin(&a->op, slot);
	if (!wal_migrated() || pg_state(session) != PG_UP) {
		a->status = STATUS_LOG_UNAVAILABLE;
	} else if (pg_figures(session).waiting_units >= WAITING_MOST) {
		a->status = STATUS_BUSY;
	} else {
		unit = pg_unit_create();
		add_question(unit, q);
		pg_submit(session, unit, on_answer, a, &a->pending);
		return;
	}
	op_end(&a->op);
}

static void on_change(void *arg, enum pg_state now, const char *why)
{
	(void)arg;
	if (now != PG_UP)
		log_debug("postgres", "pages session down: %s", why);
}

void wal_pages_start(const struct conf *conf)
{
	session = pg_create(conf->database_url, "pages", on_change, NULL);
	pg_start(session);
}

void wal_pages_stop(void)
{
	pg_destroy(&session);
}

/* --- from memory ------------------------------------------------------------------- */

static const char *state_of(const struct turn *t)
{
	if (t->state == TURN_SENT)
		return "executing";
	if (t->state == TURN_QUEUED)
		return t->failures > 0 ? "waiting to be tried again" : "pending";
	return "done";
}

void wal_each_turn(wal_seq first, wal_seq last, wal_turn_fn *fn, void *arg)
{
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link) {
		if (r->seq > last)
			return;
		for (unsigned i = 0; r->seq >= first && i < health_count(); i++)
			fn(arg, &(struct wal_turn){.seq = r->seq,
			                           .instance = i,
			                           .state = state_of(&r->turns[i]),
			                           .attempts = r->turns[i].failures});
	}
}

uint64_t wal_hurry(void)
{
	if (wal_leads())
		engine_kick_all();
	return engine_totals()->undecided;
}
