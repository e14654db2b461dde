/* wal/key.c - the Idempotency-Key: the same key and the same write have the same answer,
 * whenever they come, and at whichever proxy.
 *
 * The happy path:
 *   key_add      the key is noted in the unit that appends its record: both or none
 *   key_look     sent again, it is looked up before anything else is
 *   on_looked    decided: the outcome as it was stored; undecided: wait for its record
 * When it does not go well:
 *   - nothing has that key: the caller makes the write, with it
 *   - it was given to another write: the caller says so
 *   - two of them come at once: the second is not appended, its unit is rolled back, and
 *     it is looked up again (append.c, http/repeat.c)
 *   - an append was lost, and may have been one with that key: wait until it is known
 *   - its record was appended by another proxy, or is executed by one: its outcome is
 *     waited for (await.c)
 *   - it has a record and no outcome that we know: looked up again, once. An outcome that
 *     PostgreSQL could not store is not known
 * A key is forgotten with the log's retention, before its record (upkeep.c). */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/lead.h"
#include "wal/record.h"

#define WAIT_MS 50u

struct look {
	struct wal_op *op;
	char *key;
	struct digest fingerprint;
	bool again;
	struct op *pending;
	struct timer wait;
	TAILQ_ENTRY(look) link;
};

static TAILQ_HEAD(look_list, look) looks = TAILQ_HEAD_INITIALIZER(looks);

static const struct pg_statement note_key = {
        "note_key", "INSERT INTO chromatid.idempotency (key, fingerprint, seq)"
                    " SELECT $1::text, $2::bytea, l.seq FROM chromatid.log l"
                    " WHERE l.op = $3::uuid AND l.seq > $4"};

static const struct pg_statement find_key = {
        "find_key",
        "SELECT k.seq, k.fingerprint, " OUTCOME_COLUMNS " FROM chromatid.idempotency k"
        " LEFT JOIN chromatid.outcome o ON o.seq = k.seq"
        " LEFT JOIN chromatid.log l ON l.seq = k.seq" OUTCOME_JOINS
        " WHERE k.key = $1::text"};

enum { SEQ, FINGERPRINT, OUTCOME };

void key_add(struct pg_unit *unit, const struct wal_key *key, const struct uuid *op)
{
	pg_add(unit, &note_key, 4,
	       (struct pg_param[]){pg_text(key->text),
	                           pg_bytes(key->fingerprint.bytes, DIGEST_LEN),
	                           pg_text(op->text), pg_int8(append_last_seq())});
}

/* --- looking it up ----------------------------------------------------------------- */

static void look(void *arg);

static void look_free(struct look *l)
{
	TAILQ_REMOVE(&looks, l, link);
	op_cancel(&l->pending);
	timer_stop(&l->wait);
	free(l->key);
	free(l);
}

static void end(struct look *l, enum status s)
{
	wal_op_end(l->op, s);
	look_free(l);
}

static bool is_same_write(const struct look *l, const struct pg_results *r)
{
	size_t len;
	const void *bytes = pg_get_bytes(r, 0, 0, FINGERPRINT, &len);

	return len == DIGEST_LEN && memcmp(bytes, l->fingerprint.bytes, len) == 0;
}

static void decided(struct look *l, const struct pg_results *r)
{
	struct wal_op *op = l->op;

	stored_outcome(r, 0, 0, OUTCOME, &op->outcome);
	op->outcome.seq = pg_get_int8(r, 0, 0, SEQ);
	if (op_wanted(&op->op))
		op->appended(op->arg, op->outcome.seq);
	end(l, STATUS_OK);
}

static void undecided(struct look *l, wal_seq seq)
{
	struct record *r = engine_find(seq);

	if (r != NULL && !r->decision_durable) {
		record_watch(r, l->op);
		look_free(l);
	} else if (!wal_leads() || seq > append_last_seq()) {
		await_outcome(seq, l->op);
		look_free(l);
	} else if (!l->again) {
		l->again = true;
		look(l);
	} else {
		end(l, STATUS_UNKNOWN);
	}
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	struct look *l = arg;

	if (s != STATUS_OK)
		end(l, s == STATUS_BUSY ? STATUS_BUSY : STATUS_LOG_UNAVAILABLE);
	else if (pg_rows(r, 0) == 0)
		end(l, STATUS_NOT_FOUND);
	else if (!is_same_write(l, r))
		end(l, STATUS_CONFLICT);
	else if (!pg_is_null(r, 0, 0, OUTCOME))
		decided(l, r);
	else
		undecided(l, pg_get_int8(r, 0, 0, SEQ));
}

/* In the session that appends, so that it sees what was appended before. */
static void look(void *arg)
{
	struct look *l = arg;
	struct pg_unit *unit;

	if (!append_all_known()) {
		timer_start(&l->wait, WAIT_MS, look, l);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &find_key, 1, (struct pg_param[]){pg_text(l->key)});
	pg_submit(wal_pg(), unit, on_looked, l, &l->pending);
}

void key_look(const struct wal_key *key, struct wal_op *op)
{
	struct look *l = mem_new(struct look);

	l->op = op;
	l->key = mem_string(key->text);
	l->fingerprint = key->fingerprint;
	TAILQ_INSERT_TAIL(&looks, l, link);
	look(l);
}

void key_clear(enum status s)
{
	while (!TAILQ_EMPTY(&looks))
		end(TAILQ_FIRST(&looks), s);
}
