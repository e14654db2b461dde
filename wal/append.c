/* wal/append.c - make a write durable and give it its place.
 *
 * The happy path:
 *   append_write    one statement: take the next seq, insert the record, change the
 *                   catalogue with it (a create reserves its name, a delete gives it up)
 *   on_appended     committed: it has its place
 *   append_let_in   everything before it is known, too (tail.c): the catalogue in memory
 *                   follows, the engine has it. At a proxy that does not lead its
 *                   outcome is waited for (await.c).
 *
 * When it does not go well:
 *   - not sent: nothing has happened, the client hears so
 *   - the name is taken, the collection gone: no row comes back, nothing was logged. The
 *     client's request is looked at again when what others have appended is known
 *   - the connection is lost while it commits: nobody knows. When PostgreSQL is back the
 *     old session is ended for certain, then the log is asked for our op ids: what is
 *     there is taken up in order, what is not never happened. New writes wait for that
 *   - another has taken over meanwhile: the same, and what is there is executed there
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/retain.h"

#define DEADLOCKS_MOST 3u

struct append {
	struct wal_op *op;        /* whose write it is */
	struct wal_write write;   /* holds what it refers to; its texts are copies */
	struct wal_key key;       /* what write.key points to, if it has one */
	struct wal_origin origin; /* as with the key */
	struct trace trace;       /* the same */
	struct digest digest;
	bool digested;
	struct uuid id, public_id;
	struct op *pending;
	uint64_t started_us, log_us;
	unsigned deadlocks;
	wal_seq seq; /* its place; 0: not known, or not there */
	TAILQ_ENTRY(append) link;
};

TAILQ_HEAD(append_list, append);

static uint64_t counts[RECORD_RESET + 1];

static struct {
	struct append_list sent;    /* at the log, in order */
	struct append_list lost;    /* no answer: to be inquired about */
	struct append_list waiting; /* until that is known */
	struct append_list placed;  /* in the log; what is before them is not known yet */
	struct append_list refused; /* nothing logged; nor is why, in our catalogue */
	struct op *inquiry;
	struct timer again;
	int lost_pid;
	wal_seq last; /* everything up to here is known */
	uint64_t us_sum;
	struct metric_histogram seconds;
} appends;

/* --- in memory --------------------------------------------------------------------- */

static void append_free(struct append *a)
{
	op_cancel(&a->pending);
	collection_release(&a->write.collection);
	database_release(&a->write.database);
	blob_unref(&a->write.body);
	free((char *)(uintptr_t)a->write.tenant);
	free((char *)(uintptr_t)a->write.name);
	free((char *)(uintptr_t)a->key.text);
	free(a);
}

static void fail(struct append *a, enum status s)
{
	wal_op_end(a->op, s);
	append_free(a);
}

static void take_up(struct append *a)
{
	struct record *r;

	assert(a->seq > appends.last);
	appends.last = a->seq;
	r = admit_begin(&a->write, a->seq, &a->public_id);
	r->digest = a->digest;
	r->digested = a->digested;
	r->appended_wall_ms = clock_wall_ms();
	r->log_us = a->log_us;
	record_watch(r, a->op);
	admit_end(r, &a->write);
	append_free(a);
}

/* It is executed by another, or was loaded by us with the rest of the log. */
static void leave_to_log(struct append *a)
{
	await_outcome(a->seq, a->op);
	append_free(a);
}

static void let_in(wal_seq upto)
{
	struct append *a;

	while ((a = TAILQ_FIRST(&appends.placed)) != NULL && a->seq <= upto) {
		TAILQ_REMOVE(&appends.placed, a, link);
		take_up(a);
	}
}

bool append_is_ours(wal_seq seq)
{
	let_in(seq);
	return appends.last >= seq;
}

void append_reached(wal_seq upto)
{
	let_in(upto);
	if (appends.last < upto)
		appends.last = upto;
}

static void refuse_all(void);

void append_let_in(void)
{
	const struct append *a;

	while ((a = TAILQ_FIRST(&appends.placed)) != NULL && a->seq == appends.last + 1)
		let_in(a->seq);
	refuse_all();
	if (a != NULL)
		tail_kick();
}

static void appended(struct append *a, wal_seq seq)
{
	a->seq = seq;
	a->log_us = clock_us() - a->started_us;
	counts[a->write.kind]++;
	appends.us_sum += a->log_us;
	metrics_observe(&appends.seconds, (double)a->log_us / 1e6);
	if (!wal_leads() || seq <= appends.last) {
		leave_to_log(a);
		return;
	}
	TAILQ_INSERT_TAIL(&appends.placed, a, link);
	if (seq == appends.last + 1)
		let_in(seq);
	else
		tail_kick();
}

/* --- the log's answer -------------------------------------------------------------- */

static bool is_refused(enum status s, const struct pg_results *r, const char *sqlstate)
{
	return s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), sqlstate) == 0;
}

static enum status nothing_logged(const struct wal_write *w)
{
	bool names = record_creates(w->kind) || w->kind == RECORD_MODIFY_COLLECTION;

	return names ? STATUS_CONFLICT : STATUS_NOT_FOUND;
}

/* What others have appended is known now, and with it what is in the way. */
static void refuse_all(void)
{
	struct append *a;

	while ((a = TAILQ_FIRST(&appends.refused)) != NULL) {
		TAILQ_REMOVE(&appends.refused, a, link);
		fail(a, nothing_logged(&a->write));
	}
}

static void refused(struct append *a)
{
	if (!wal_leads()) {
		fail(a, nothing_logged(&a->write));
		return;
	}
	TAILQ_INSERT_TAIL(&appends.refused, a, link);
	tail_kick();
}

static void submit(struct append *a);

static void on_appended(void *arg, enum status s, const struct pg_results *results)
{
	struct append *a = arg;
	int at = a->write.unless_after > 0 ? 2 : 1; /* behind what may refuse it */

	TAILQ_REMOVE(&appends.sent, a, link);
	if (s == STATUS_OK && pg_rows(results, at) == 1) {
		FAILPOINT("append_committed");
		appended(a, pg_get_int8(results, at, 0, 0));
	} else if (s == STATUS_OK) {
		refused(a);
	} else if (s == STATUS_DB_LOST) {
		TAILQ_INSERT_TAIL(&appends.lost, a, link);
	} else if (is_refused(s, results, "40P01") && a->deadlocks++ < DEADLOCKS_MOST) {
		submit(a); /* with another proxy's; it was rolled back */
	} else if (is_refused(s, results, "CT002")) {
		fail(a, STATUS_LOG_UNAVAILABLE);
	} else if (is_refused(s, results, "CT003")) {
		fail(a, STATUS_CONFLICT); /* something has come before it */
	} else if ((a->write.key != NULL || a->write.public_id != NULL) &&
	           is_refused(s, results, "23505")) {
		fail(a, STATUS_CONFLICT); /* the key, or the id, was used meanwhile */
	} else if (s == STATUS_DB_REFUSED) {
		log_error("append", "PostgreSQL refused an append: %s",
		          pg_message(results));
		if (is_refused(s, results, "23514")) /* there is no partition for it */
			upkeep_now();
		fail(a, STATUS_LOG_UNAVAILABLE);
	} else {
		fail(a, s == STATUS_BUSY ? STATUS_BUSY : STATUS_LOG_UNAVAILABLE);
	}
}

/* A leader of an older version does not look at what others append: it would pass it. */
static const struct pg_statement tails = {"tails", "SELECT chromatid.tails()"};

static const struct pg_statement unless = {"unless", "SELECT chromatid.unless($1, $2)"};

static const struct pg_statement tell_appended = {
        "tell_appended", "SELECT pg_notify('" WAL_CHANNEL "', '" WAL_APPENDED "')"};

static void submit(struct append *a)
{
	struct pg_unit *unit = pg_unit_create();

	pg_unit_is(unit, PG_APPEND);
	pg_add(unit, &tails, 0, NULL);
	if (a->write.unless_after > 0)
		pg_add(unit, &unless, 2,
		       (struct pg_param[]){pg_int8(a->write.collection->id),
		                           pg_int8(a->write.unless_after)});
	append_sql_add(unit, &a->write, &a->id, &a->public_id,
	               a->digested ? &a->digest : NULL);
	if (a->write.key != NULL)
		key_add(unit, a->write.key, &a->id);
	if (!wal_leads())
		pg_add(unit, &tell_appended, 0, NULL);
	TAILQ_INSERT_TAIL(&appends.sent, a, link);
	FAILPOINT("append_sending");
	pg_submit(wal_pg(), unit, on_appended, a, &a->pending);
}

/* --- the inquiry ------------------------------------------------------------------- */

static const struct pg_statement end_session = {
        "end_session", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                       " WHERE pid = $1 AND pid <> pg_backend_pid()"
                       " AND application_name = 'chromatid-log'"};

static const struct pg_statement find_op = {
        "find_op", "SELECT seq FROM chromatid.log WHERE op = $1::uuid AND seq > $2"};

static void inquire(void *arg);

static void inquire_again(void)
{
	timer_start(&appends.again, 100, inquire, NULL);
}

static struct append *first_found(void)
{
	struct append *a, *first = NULL;

	TAILQ_FOREACH (a, &appends.lost, link)
		if (a->seq > 0 && (first == NULL || a->seq < first->seq))
			first = a;
	return first;
}

/* Everything is known: what is in the log goes on, in order; the rest never was. */
static void settle_lost(void)
{
	struct append *a;

	while ((a = first_found()) != NULL) {
		TAILQ_REMOVE(&appends.lost, a, link);
		appended(a, a->seq);
	}
	while ((a = TAILQ_FIRST(&appends.lost)) != NULL) {
		TAILQ_REMOVE(&appends.lost, a, link);
		fail(a, STATUS_LOG_UNAVAILABLE);
	}
	while ((a = TAILQ_FIRST(&appends.waiting)) != NULL) {
		TAILQ_REMOVE(&appends.waiting, a, link);
		submit(a);
	}
}

static void on_inquired(void *arg, enum status s, const struct pg_results *results)
{
	struct append *a;
	int k = 1;

	(void)arg;
	if (s != STATUS_OK) {
		/* connected: again, before we heard of the loss */
		if (s == STATUS_DB_REFUSED || s == STATUS_BUSY || wal_connected())
			inquire_again();
		return; /* else: append_resume() when it is back */
	}
	if (pg_get_int8(results, 0, 0, 0) > 0) {
		inquire_again(); /* the old session was still there */
		return;
	}
	TAILQ_FOREACH (a, &appends.lost, link) {
		a->seq = pg_rows(results, k) == 1 ? pg_get_int8(results, k, 0, 0) : 0;
		k++;
	}
	log_info("append", "inquired about %d appends after the log was lost", k - 1);
	settle_lost();
	tail_kick();
}

static void inquire(void *arg)
{
	struct pg_unit *unit = pg_unit_create();
	struct append *a;

	(void)arg;
	timer_stop(&appends.again);
	pg_add(unit, &end_session, 1, (struct pg_param[]){pg_int4(appends.lost_pid)});
	TAILQ_FOREACH (a, &appends.lost, link)
		pg_add(unit, &find_op, 2,
		       (struct pg_param[]){pg_text(a->id.text), pg_int8(appends.last)});
	pg_submit(wal_pg(), unit, on_inquired, NULL, &appends.inquiry);
}

/* While some are lost, the session that matters is the one they were lost with. */
void append_lost_session(int pid)
{
	if (TAILQ_EMPTY(&appends.lost))
		appends.lost_pid = pid;
}

/* --- the door ---------------------------------------------------------------------- */

static struct append *append_create(const struct wal_write *write,
                                    const struct digest *digest, struct wal_op *op)
{
	struct append *a = mem_new(struct append);

	a->op = op;
	a->write = *write;
	collection_hold(a->write.collection);
	database_hold(a->write.database);
	blob_ref(a->write.body);
	a->write.tenant = mem_string(write->tenant);
	a->write.name = mem_string(write->name);
	if (write->key != NULL) {
		a->key = *write->key;
		a->key.text = mem_string(write->key->text);
		a->write.key = &a->key;
	}
	if (write->origin != NULL) {
		a->origin = *write->origin;
		a->write.origin = &a->origin;
	}
	if (write->trace != NULL) {
		a->trace = *write->trace;
		a->write.trace = &a->trace;
	}
	a->digested = digest != NULL;
	if (a->digested)
		a->digest = *digest;
	a->started_us = clock_us();
	uuid_random(&a->id);
	uuid_random(&a->public_id);
	a->write.public_id = NULL;
	if (write->public_id != NULL) {
		a->public_id = *write->public_id;
		a->write.public_id = &a->public_id;
	}
	return a;
}

void append_write(const struct wal_write *write, const struct digest *digest,
                  struct wal_op *op)
{
	struct append *a = append_create(write, digest, op);

	if (TAILQ_EMPTY(&appends.lost))
		submit(a);
	else if (wal_connected())
		TAILQ_INSERT_TAIL(&appends.waiting, a, link);
	else
		fail(a, STATUS_LOG_UNAVAILABLE);
}

static struct append *find_left(struct append_list *list, const struct wal_write *w,
                                const struct digest *d)
{
	struct append *a;

	TAILQ_FOREACH (a, list, link)
		if (a->digested && !op_wanted(&a->op->op) && join_same(&a->write, w) &&
		    blob_len(a->write.body) == blob_len(w->body) &&
		    digest_same(&a->digest, d))
			return a;
	return NULL;
}

/* Its client has left before it was known whether it is in the log, and sends it again:
 * the same rule as for records, see join.c. */
bool append_join(const struct wal_write *w, const struct digest *d, struct wal_op *op)
{
	struct append_list *lists[] = {&appends.sent, &appends.lost, &appends.waiting};
	struct append *a = NULL;

	for (unsigned k = 0; k < 3 && a == NULL; k++)
		a = find_left(lists[k], w, d);
	if (a == NULL)
		return false;
	wal_op_end(a->op, STATUS_STOPPED); /* nobody is told */
	a->op = op;
	return true;
}

bool append_all_known(void)
{
	return TAILQ_EMPTY(&appends.lost);
}

void append_resume(void)
{
	if (!TAILQ_EMPTY(&appends.lost) && appends.inquiry == NULL)
		inquire(NULL);
}

static void fail_all(struct append_list *list, enum status s)
{
	struct append *a;

	while ((a = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, a, link);
		fail(a, s);
	}
}

/* Their sessions' end tells of those that are sent (on_appended). */
void append_deposed(void)
{
	struct append *a;

	while ((a = TAILQ_FIRST(&appends.placed)) != NULL) {
		TAILQ_REMOVE(&appends.placed, a, link);
		leave_to_log(a);
	}
	refuse_all();
	appends.last = 0;
}

void append_clear(void)
{
	op_cancel(&appends.inquiry);
	timer_stop(&appends.again);
	append_deposed();
	fail_all(&appends.sent, STATUS_STOPPED);
	fail_all(&appends.lost, STATUS_STOPPED);
	fail_all(&appends.waiting, STATUS_LOG_UNAVAILABLE);
}

void append_start(void)
{
	TAILQ_INIT(&appends.sent);
	TAILQ_INIT(&appends.lost);
	TAILQ_INIT(&appends.waiting);
	TAILQ_INIT(&appends.placed);
	TAILQ_INIT(&appends.refused);
}

void append_loaded(wal_seq last)
{
	appends.last = last;
}

wal_seq append_last_seq(void)
{
	return appends.last;
}

const struct metric_histogram *append_seconds(void)
{
	return &appends.seconds;
}

uint64_t append_us_sum(void)
{
	return appends.us_sum;
}

uint64_t wal_appended_count(enum record_kind kind)
{
	return counts[kind];
}
