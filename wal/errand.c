/* wal/errand.c - what only the leader can do, asked of a proxy that follows: an errand.
 *
 * Proxies know each other through PostgreSQL alone. So the one that was asked notes the
 * errand in a row, the leader takes it, carries it out and puts its answer into the same
 * row (errand_take.c). What it is about, and what the answer says, is none of our
 * business here.
 *
 * The happy path:
 *   wal_errand_ask  the row is noted, and the others are told (NOTIFY)
 *   errand_look     when told, and four times a second: what has become of ours?
 *   on_fetched      one has its answer: its asker gets it, and the row goes
 * When it does not go well:
 *   - PostgreSQL does not take the row: nothing has happened
 *   - nobody takes it in time: the row is deleted, unless it was taken at that very
 *     moment. A row that could not be deleted is too old to be taken by then, too
 *   - who has taken it leads no more: it may have been done, and nobody will ever say so
 *     (the answer is fenced by the epoch)
 *   - PostgreSQL does not say for long what has become of it: the same
 *   - the asker goes away: the row is deleted if nobody has taken it
 *   - we come to lead ourselves: the row is taken like any other
 * What to do next is decided in errand_step.c. */
#include "wal/errand.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/lead.h"

#define LOOK_MS 250u

const char *const errand_schema[] = {
        "CREATE TABLE chromatid.errand ("
        " id uuid PRIMARY KEY, place bigint GENERATED ALWAYS AS IDENTITY,"
        " method text NOT NULL, target text NOT NULL, headers text NOT NULL, body bytea,"
        " address text NOT NULL, who text NOT NULL,"
        " at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " taken bigint, leader text, code int, answer_headers text, answer bytea)",
        NULL,
};

struct asked {
	struct op op;
	struct op *pending; /* the statement under way for it alone */
	struct uuid id;
	struct blob *body; /* while it is being noted */
	wal_errand_fn *done;
	void *arg;
	bool noted, fetching;
	bool looked_for; /* by the look under way */
	msec noted_at, seen_at, until;
	enum wal_errand_end end;
	struct wal_errand_answer answer;
	char *headers, *leader; /* of the answer */
	TAILQ_ENTRY(asked) link;
};

static TAILQ_HEAD(asked_list, asked) list = TAILQ_HEAD_INITIALIZER(list);

static struct {
	unsigned n;
	struct op *looking;
	bool again; /* asked for while one was under way */
	struct timer timer;
} errands;

static const struct pg_statement note = {
        "errand_note",
        "INSERT INTO chromatid.errand (id, method, target, headers, body, address, who)"
        " VALUES ($1::uuid, $2, $3, $4, $5, $6, $7)"};

static const struct pg_statement tell = {"errand_tell", "SELECT pg_notify('" WAL_CHANNEL
                                                        "', '" WAL_ERRAND "')"};

static const struct pg_statement find_ours = {
        "errand_find",
        "SELECT e.id::text, coalesce(e.taken, 0), l.epoch, e.code IS NOT NULL"
        " FROM chromatid.errand e, chromatid.lease l"
        " WHERE e.id = ANY (string_to_array($1::text, ',')::uuid[])"};

static const struct pg_statement withdraw = {
        "errand_withdraw",
        "DELETE FROM chromatid.errand WHERE id = $1::uuid AND taken IS NULL"};

static const struct pg_statement fetch_answer = {
        "errand_answer", "SELECT code, answer_headers, coalesce(leader, '')"
                         " FROM chromatid.errand WHERE id = $1::uuid"};

static const struct pg_statement fetch_body = {
        "errand_body", "SELECT answer FROM chromatid.errand WHERE id = $1::uuid"};

static const struct pg_statement forget = {
        "errand_forget", "DELETE FROM chromatid.errand WHERE id = $1::uuid"};

void errand_add_tell(struct pg_unit *unit)
{
	pg_add(unit, &tell, 0, NULL);
}

/* --- its end ----------------------------------------------------------------------- */

static void deliver(struct op *op)
{
	struct asked *a = (struct asked *)op;

	a->done(a->arg, a->end, &a->answer);
}

static void release(struct op *op)
{
	struct asked *a = (struct asked *)op;

	op_cancel(&a->pending);
	blob_unref(&a->body);
	blob_unref(&a->answer.body);
	free(a->headers);
	free(a->leader);
	free(a);
}

static void on_deleted(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)s; /* what is left goes by its age */
	(void)r;
}

static void delete_row(const struct asked *a, const struct pg_statement *how)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, how, 1, (struct pg_param[]){pg_text(a->id.text)});
	pg_submit(wal_upkeep(), unit, on_deleted, NULL, NULL);
}

static void end(struct asked *a, enum wal_errand_end how)
{
	op_cancel(&a->pending);
	TAILQ_REMOVE(&list, a, link);
	errands.n--;
	a->end = how;
	op_end(&a->op);
}

/* Nobody waits for it any more, and it may still be there, taken by nobody. */
static void leave(struct asked *a, enum wal_errand_end how)
{
	delete_row(a, &withdraw);
	end(a, how);
}

static void abandon(struct op *op)
{
	leave((struct asked *)op, ERRAND_UNKNOWN);
}

/* --- the next step ------------------------------------------------------------------ */

static void on_fetched(void *arg, enum status s, const struct pg_results *r)
{
	struct asked *a = arg;
	const void *bytes;
	size_t len;

	a->fetching = false;
	if (s == STATUS_OK && pg_rows(r, 0) == 1 && pg_rows(r, 1) == 1) {
		a->headers = mem_string(pg_get_text(r, 0, 0, 1));
		a->leader = mem_string(pg_get_text(r, 0, 0, 2));
		bytes = pg_get_bytes(r, 1, 0, 0, &len);
		a->answer = (struct wal_errand_answer){
		        .code = (int)pg_get_int8(r, 0, 0, 0),
		        .headers = a->headers,
		        .leader = a->leader,
		        .body = len > 0 ? blob_create(bytes, len) : NULL,
		};
		delete_row(a, &forget);
		end(a, ERRAND_ANSWERED);
		errand_look(); /* others may have waited for this one */
	}
}

static bool one_is_fetched(void)
{
	const struct asked *a;

	TAILQ_FOREACH (a, &list, link)
		if (a->fetching)
			return true;
	return false;
}

/* One at a time, for they may be long. */
static void fetch(struct asked *a)
{
	struct pg_unit *unit;
	struct pg_param id[] = {pg_text(a->id.text)};

	if (one_is_fetched())
		return;
	a->fetching = true;
	unit = pg_unit_create();
	pg_add(unit, &fetch_answer, 1, id);
	pg_add(unit, &fetch_body, 1, id);
	pg_wants_bytes(unit);
	pg_submit(wal_upkeep(), unit, on_fetched, a, &a->pending);
}

/* Else it was taken at the last moment, or is not known to have gone: looked at again. */
static void on_withdrawn(void *arg, enum status s, const struct pg_results *r)
{
	struct asked *a = arg;

	if (s == STATUS_OK && pg_changed(r, 0) == 1)
		end(a, ERRAND_NOT_TAKEN);
}

static void take_back(struct asked *a)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, &withdraw, 1, (struct pg_param[]){pg_text(a->id.text)});
	pg_submit(wal_upkeep(), unit, on_withdrawn, a, &a->pending);
}

static void go_on(struct asked *a, struct errand_facts *f)
{
	msec now = clock_ms();

	f->waited = now - a->noted_at;
	f->impatient = now >= a->until;
	switch (errand_step(f)) {
	case ERRAND_WAIT:
		break;
	case ERRAND_FETCH:
		fetch(a);
		break;
	case ERRAND_WITHDRAW:
		take_back(a);
		break;
	case ERRAND_GIVE_UP:
		leave(a, ERRAND_UNKNOWN);
		break;
	case ERRAND_TOO_LATE:
		leave(a, ERRAND_LATE);
		break;
	}
}

/* --- looking ------------------------------------------------------------------------ */

static struct errand_facts facts_of(const struct asked *a, const struct pg_results *r)
{
	for (int row = 0; row < pg_rows(r, 0); row++)
		if (strcmp(pg_get_text(r, 0, row, 0), a->id.text) == 0)
			return (struct errand_facts){.there = true,
			                             .taken = pg_get_int8(r, 0, row, 1),
			                             .epoch = pg_get_int8(r, 0, row, 2),
			                             .answered =
			                                     pg_get_bool(r, 0, row, 3)};
	return (struct errand_facts){.there = false};
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	struct asked *a, *next;

	(void)arg;
	for (a = TAILQ_FIRST(&list); s == STATUS_OK && a != NULL; a = next) {
		struct errand_facts f;

		next = TAILQ_NEXT(a, link);
		if (!a->looked_for || a->pending != NULL)
			continue;
		f = facts_of(a, r);
		a->seen_at = clock_ms();
		go_on(a, &f);
	}
	if (s == STATUS_DB_REFUSED)
		log_warn("errand", "PostgreSQL refused: %s", pg_message(r));
	else if (s == STATUS_OK && errands.again)
		errand_look();
}

/* Those that are noted and for which nothing else is under way. */
static void list_ours(struct text *ids)
{
	struct asked *a;

	TAILQ_FOREACH (a, &list, link) {
		a->looked_for = a->noted && a->pending == NULL;
		if (a->looked_for)
			text_addf(ids, "%s%s", ids->len > 0 ? "," : "", a->id.text);
	}
}

void errand_look(void)
{
	struct pg_unit *unit;
	struct text ids = {0};

	errands.again = errands.looking != NULL;
	if (errands.again || errands.n == 0)
		return;
	list_ours(&ids);
	if (ids.len > 0) {
		unit = pg_unit_create();
		pg_add(unit, &find_ours, 1, (struct pg_param[]){pg_text(ids.s)});
		pg_submit(wal_upkeep(), unit, on_looked, NULL, &errands.looking);
	}
	text_clear(&ids);
}

/* PostgreSQL may not answer at all. */
static void on_time(void *arg)
{
	msec now = clock_ms();
	struct asked *a, *next;

	(void)arg;
	for (a = TAILQ_FIRST(&list); a != NULL; a = next) {
		struct errand_facts unseen = {.silent = now - a->seen_at};

		next = TAILQ_NEXT(a, link);
		if (unseen.silent > 2 * LOOK_MS)
			go_on(a, &unseen);
	}
	errand_look();
	if (errands.n > 0)
		timer_start(&errands.timer, LOOK_MS, on_time, NULL);
}

/* --- asking ------------------------------------------------------------------------- */

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	struct asked *a = arg;

	blob_unref(&a->body);
	if (s == STATUS_DB_REFUSED)
		log_error("errand", "PostgreSQL refused: %s", pg_message(r));
	if (s != STATUS_OK && s != STATUS_DB_LOST) {
		end(a, ERRAND_NOT_NOTED);
		return;
	}
	a->noted = true; /* or we shall find that it is not */
	a->noted_at = a->seen_at = clock_ms();
}

static void send_note(struct asked *a, const struct wal_errand *e)
{
	struct pg_unit *unit = pg_unit_create();
	size_t len = blob_len(e->body);

	pg_add(unit, &note, 7,
	       (struct pg_param[]){pg_text(a->id.text), pg_text(e->method),
	                           pg_text(e->target), pg_text(e->headers),
	                           len > 0 ? pg_bytes(blob_bytes(e->body), len)
	                                   : pg_null(),
	                           pg_text(e->address), pg_text(e->who)});
	errand_add_tell(unit);
	pg_submit(wal_upkeep(), unit, on_noted, a, &a->pending);
}

void wal_errand_ask(const struct wal_errand *e, msec patience, wal_errand_fn *done,
                    void *arg, struct op **slot)
{
	struct asked *a = mem_new(struct asked);

	a->op.deliver = deliver;
	a->op.release = release;
	a->op.abandon = abandon;
	a->done = done;
	a->arg = arg;
	a->body = blob_ref(e->body);
	a->noted_at = a->seen_at = clock_ms();
	a->until = a->noted_at + patience;
	uuid_random(&a->id);
	op_begin(&a->op, slot);
	TAILQ_INSERT_TAIL(&list, a, link);
	if (++errands.n > ERRANDS_ASKED_MOST) {
		end(a, ERRAND_TOO_MANY);
		return;
	}
	send_note(a, e);
	if (!timer_running(&errands.timer))
		timer_start(&errands.timer, LOOK_MS, on_time, NULL);
}

/* Those who asked have gone. */
void errand_stop(void)
{
	op_cancel(&errands.looking);
	timer_stop(&errands.timer);
}
