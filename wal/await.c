/* wal/await.c - how a record ends that is executed by another proxy: we have appended it,
 * and do not lead; or we led, and do not any more.
 *
 *   await_outcome  its outcome is looked for in PostgreSQL
 *   await_kick     the leader has told (NOTIFY) that some are decided
 *   on_found       they are answered as they were stored
 * Nobody may tell, or a new leader must come first: looked for from time to time, too.
 * How long that is worth while is the client's exchange to say (http/write.c). */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/append.h"
#include "wal/lead.h"
#include "wal/record.h"

#define LOOK_MS 250u
/* That wait here; each takes some hundred bytes. */
#define MOST 20000u
/* Looked for in one statement. */
#define ASK_MOST 1000u

struct awaited {
	wal_seq seq;
	struct wal_op *op;
	TAILQ_ENTRY(awaited) link;
};

static TAILQ_HEAD(awaited_list, awaited) list = TAILQ_HEAD_INITIALIZER(list);

static struct {
	unsigned n;
	struct op *asking;
	bool again;
	bool infers; /* it is asked for those, too */
	struct timer look;
} await;

static const struct pg_statement find_outcomes = {
        "find_outcomes", "SELECT o.seq, " OUTCOME_COLUMNS " FROM chromatid.outcome o"
                         " LEFT JOIN chromatid.log l ON l.seq = o.seq" OUTCOME_JOINS
                         " WHERE o.seq = ANY (string_to_array($1::text, ',')::bigint[])"};

/* An item write whose outcome was lost was accepted if an instance is further:
 * infer_decision() in recover.c. */
static const struct pg_statement find_inferred = {
        "find_inferred",
        "SELECT l.seq, CASE l.kind WHEN 1 THEN 201 ELSE 200 END, NULL::bytea,"
        " NULL::smallint, NULL::uuid, NULL::uuid FROM chromatid.log l"
        " WHERE l.seq = ANY (string_to_array($1::text, ',')::bigint[]) AND l.kind < 10"
        " AND NOT EXISTS (SELECT 1 FROM chromatid.outcome o WHERE o.seq = l.seq)"
        " AND EXISTS (SELECT 1 FROM chromatid.position p"
        "  JOIN chromatid.instance i ON i.id = p.instance AND NOT i.detached"
        "  WHERE p.scope = l.collection AND p.seq >= l.seq)"};

enum { SEQ, OUTCOME };

/* --- as it was stored -------------------------------------------------------------- */

enum { HTTP, ANSWER, INSTANCE, PUBLIC_ID, LOCAL_ID };

static struct blob *stored_answer(const struct pg_results *r, int at, int row, int first)
{
	struct uuid local = store_uuid(r, at, row, first + LOCAL_ID);
	struct uuid public_id = store_uuid(r, at, row, first + PUBLIC_ID);
	const void *bytes;
	struct blob *answer;
	size_t len;

	if (pg_is_null(r, at, row, first + ANSWER))
		return NULL;
	bytes = pg_get_bytes(r, at, row, first + ANSWER, &len);
	answer = blob_create(bytes, len);
	wal_public_ids(&answer, &local, &public_id);
	return answer;
}

void stored_outcome(const struct pg_results *r, int at, int row, int first,
                    struct wal_outcome *out)
{
	int by =
	        pg_is_null(r, at, row, first + INSTANCE)
	                ? -1
	                : store_instance_index(pg_get_int8(r, at, row, first + INSTANCE));

	*out = (struct wal_outcome){
	        .http = (int)pg_get_int8(r, at, row, first + HTTP),
	        .body = stored_answer(r, at, row, first),
	        .by = by >= 0 ? health_instance((unsigned)by) : NULL,
	};
}

/* --- waiting ----------------------------------------------------------------------- */

static void end(struct awaited *a, enum status s)
{
	TAILQ_REMOVE(&list, a, link);
	await.n--;
	wal_op_end(a->op, s);
	free(a);
}

static struct awaited *find(wal_seq seq)
{
	struct awaited *a;

	TAILQ_FOREACH (a, &list, link)
		if (a->seq == seq)
			return a;
	return NULL;
}

static void take(const struct pg_results *r, int at)
{
	struct awaited *a;

	for (int row = 0; row < pg_rows(r, at); row++) {
		wal_seq seq = pg_get_int8(r, at, row, SEQ);

		while ((a = find(seq)) != NULL) {
			blob_unref(&a->op->outcome.body);
			stored_outcome(r, at, row, OUTCOME, &a->op->outcome);
			a->op->outcome.seq = seq;
			end(a, STATUS_OK);
		}
	}
}

static void on_found(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s != STATUS_OK)
		return; /* looked for again */
	take(r, 0);
	if (await.infers)
		take(r, 1);
	if (await.again)
		await_kick();
}

static void drop_unwanted(void)
{
	struct awaited *a, *next;

	for (a = TAILQ_FIRST(&list); a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (!op_wanted(&a->op->op))
			end(a, STATUS_STOPPED); /* nobody is told */
	}
}

static void ask(bool infers)
{
	struct pg_unit *unit;
	struct text seqs = {0};

	await.again = await.asking != NULL;
	if (await.again || await.n == 0)
		return;
	for (unsigned k = 0; k < await.n && k < ASK_MOST; k++) {
		struct awaited *a = TAILQ_FIRST(&list);

		text_addf(&seqs, "%s%lld", k > 0 ? "," : "", (long long)a->seq);
		TAILQ_REMOVE(&list, a, link); /* the next time it is others' turn */
		TAILQ_INSERT_TAIL(&list, a, link);
	}
	unit = pg_unit_create();
	pg_add(unit, &find_outcomes, 1, (struct pg_param[]){pg_text(text_string(&seqs))});
	await.infers = infers;
	if (infers)
		pg_add(unit, &find_inferred, 1,
		       (struct pg_param[]){pg_text(text_string(&seqs))});
	text_clear(&seqs);
	pg_submit(wal_reader(), unit, on_found, NULL, &await.asking);
}

void await_kick(void)
{
	ask(false);
}

static void on_look(void *arg)
{
	(void)arg;
	drop_unwanted();
	ask(true);
	if (await.n > 0)
		timer_start(&await.look, LOOK_MS, on_look, NULL);
}

void await_outcome(wal_seq seq, struct wal_op *op)
{
	struct awaited *a = mem_new(struct awaited);

	a->seq = seq;
	a->op = op;
	TAILQ_INSERT_TAIL(&list, a, link);
	await.n++;
	if (!timer_running(&await.look))
		timer_start(&await.look, LOOK_MS, on_look, NULL);
	if (op_wanted(&op->op) && op->outcome.seq == 0) {
		op->outcome.seq = seq;
		op->appended(op->arg, seq);
	}
}

bool await_is_full(void)
{
	return await.n >= MOST;
}

void await_clear(enum status s)
{
	op_cancel(&await.asking);
	timer_stop(&await.look);
	while (!TAILQ_EMPTY(&list))
		end(TAILQ_FIRST(&list), s);
}
