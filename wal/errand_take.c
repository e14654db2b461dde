/* wal/errand_take.c - errands that other proxies have noted, at the one that leads.
 *
 * The happy path:
 *   run                take the one that came first: its row says which epoch has it,
 *                      before anything is done
 *   on_taken           it is carried out (http/errand.c); and is there another?
 *   wal_errand_answer  the answer goes into its row, and the one that asked is told
 * When it does not go well:
 *   - we do not lead any more: nothing is taken, and no answer is noted. Both are one
 *     statement with the question whether our epoch is the lease's
 *   - the session was lost while one was taken: the row says that it is ours, we do not
 *     know of it, so it was not begun: it is taken once more
 *   - it was lost while the answer was noted: noted again, until it is, or another leads
 *   - it is too old: nobody waits for it any more, or will soon be told that nothing was
 *     done. It is never taken
 *   - this proxy is about to end: what is there is the next leader's */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/errand.h"
#include "wal/lead.h"

#define LOOK_MS 1000u
#define AGAIN_MS 500u

struct wal_taken {
	struct uuid id;
	int64_t epoch;
	int code;
	char *headers;
	struct blob *body;
	struct op *noting;
	struct timer again;
	TAILQ_ENTRY(wal_taken) link;
};

static TAILQ_HEAD(taken_list, wal_taken) list = TAILQ_HEAD_INITIALIZER(list);

static struct {
	struct job *job;
	struct op *pending;
	wal_carry_out_fn *carry_out;
	int64_t epoch; /* that the one under way is taken for */
	unsigned n;
	bool rests;
} taking;

#define OURS                                                                             \
	"(SELECT epoch, holder_name FROM chromatid.lease WHERE epoch = $1 FOR KEY "      \
	"SHARE)"

/* $2: those we know of. What is ours and not among them was never begun. */
static const struct pg_statement take = {
        "errand_take",
        "WITH l AS " OURS ", n AS (SELECT id FROM chromatid.errand WHERE code IS NULL"
        " AND (taken IS NULL AND at > clock_timestamp() - interval '" ERRAND_TAKE_WITHIN
        "'"
        "  OR taken = $1 AND id <> ALL (string_to_array($2::text, ',')::uuid[]))"
        " ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " UPDATE chromatid.errand e SET taken = l.epoch, leader = l.holder_name"
        " FROM l, n WHERE e.id = n.id"
        " RETURNING e.id::text, e.method, e.target, e.headers, e.address, e.who, e.body"};

enum { ID, METHOD, TARGET, HEADERS, ADDRESS, WHO, BODY };

static const struct pg_statement note_answer = {
        "errand_done", "WITH l AS " OURS " UPDATE chromatid.errand e SET code = $3,"
                       " answer_headers = $4, answer = $5 FROM l"
                       " WHERE e.id = $2::uuid AND e.taken = l.epoch"};

static const struct pg_statement tidy = {
        "trim_errands",
        "DELETE FROM chromatid.errand WHERE at < now() - interval '1 hour'"};

/* --- those that are taken ----------------------------------------------------------- */

static struct wal_taken *taken_create(const struct pg_results *r)
{
	struct wal_taken *t = mem_new(struct wal_taken);

	t->id = store_uuid(r, 0, 0, ID);
	t->epoch = taking.epoch;
	TAILQ_INSERT_TAIL(&list, t, link);
	taking.n++;
	return t;
}

static void taken_end(struct wal_taken *t)
{
	op_cancel(&t->noting);
	timer_stop(&t->again);
	TAILQ_REMOVE(&list, t, link);
	taking.n--;
	blob_unref(&t->body);
	free(t->headers);
	free(t);
}

bool errand_is_busy(void)
{
	return taking.n > 0;
}

/* --- taking ------------------------------------------------------------------------- */

static void carry_out(const struct pg_results *r)
{
	size_t len;
	const void *bytes = pg_get_bytes(r, 0, 0, BODY, &len);
	struct blob *body = len > 0 ? blob_create(bytes, len) : NULL;
	struct wal_errand e = {.method = pg_get_text(r, 0, 0, METHOD),
	                       .target = pg_get_text(r, 0, 0, TARGET),
	                       .headers = pg_get_text(r, 0, 0, HEADERS),
	                       .address = pg_get_text(r, 0, 0, ADDRESS),
	                       .who = pg_get_text(r, 0, 0, WHO),
	                       .body = body};

	FAILPOINT("errand_taken");
	taking.carry_out(&e, taken_create(r));
	blob_unref(&body);
}

static void on_taken(void *arg, enum status s, const struct pg_results *r)
{
	bool one = s == STATUS_OK && pg_rows(r, 0) == 1;

	(void)arg;
	if (s == STATUS_DB_REFUSED)
		log_warn("errand", "PostgreSQL refused: %s", pg_message(r));
	if (one && lease_epoch() == taking.epoch) /* else we were deposed meanwhile */
		carry_out(r);
	job_rest(taking.job, one ? 0 : LOOK_MS);
}

static char *list_of_ids(void)
{
	struct text ids = {0};
	const struct wal_taken *t;

	TAILQ_FOREACH (t, &list, link)
		text_addf(&ids, "%s%s", ids.len > 0 ? "," : "", t->id.text);
	text_adds(&ids, "");
	return text_detach(&ids);
}

static bool may_take(void)
{
	return wal_ready() && !taking.rests && taking.n < ERRANDS_TAKEN_MOST &&
	       pg_state(wal_upkeep()) == PG_UP;
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;
	char *ids;

	(void)arg;
	if (!may_take()) {
		job_rest(job, LOOK_MS);
		return;
	}
	ids = list_of_ids();
	taking.epoch = lease_epoch();
	unit = pg_unit_create();
	pg_add(unit, &take, 2, (struct pg_param[]){pg_int8(taking.epoch), pg_text(ids)});
	free(ids);
	pg_submit(wal_upkeep(), unit, on_taken, NULL, &taking.pending);
}

void errand_kick(void)
{
	if (taking.job != NULL && wal_ready())
		job_kick(taking.job);
}

/* --- answering ---------------------------------------------------------------------- */

static void note(void *arg);

/* No row: our epoch is over, or nobody waits any more. */
static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	struct wal_taken *t = arg;

	if (s == STATUS_DB_REFUSED)
		log_error("errand", "its answer cannot be noted: %s", pg_message(r));
	if (s == STATUS_OK) {
		if (pg_changed(r, 0) == 0)
			log_info("errand",
			         "an answer came too late: nobody waits for it, "
			         "or another proxy leads");
		taken_end(t);
		errand_kick(); /* there may have been too many */
	} else {
		timer_start(&t->again, AGAIN_MS, note, t);
	}
}

static void note(void *arg)
{
	struct wal_taken *t = arg;
	struct pg_unit *unit = pg_unit_create();
	size_t len = blob_len(t->body);

	pg_add(unit, &note_answer, 5,
	       (struct pg_param[]){pg_int8(t->epoch), pg_text(t->id.text),
	                           pg_int4(t->code), pg_text(t->headers),
	                           len > 0 ? pg_bytes(blob_bytes(t->body), len)
	                                   : pg_null()});
	errand_add_tell(unit);
	pg_submit(wal_upkeep(), unit, on_noted, t, &t->noting);
}

void wal_errand_answer(struct wal_taken *taken, int code, const char *headers,
                       struct blob *body)
{
	FAILPOINT("errand_done");
	taken->code = code;
	taken->headers = mem_string(headers);
	taken->body = blob_ref(body);
	note(taken);
}

void wal_errand_drop(struct wal_taken *taken)
{
	taken_end(taken);
}

void errand_add_tidy(struct pg_unit *unit)
{
	pg_add(unit, &tidy, 0, NULL);
}

/* --- its life ----------------------------------------------------------------------- */

void wal_errand_start(wal_carry_out_fn *fn)
{
	taking.carry_out = fn;
	taking.job = job_create("errand", run, NULL);
	job_rest(taking.job, LOOK_MS);
}

void wal_errand_rest(void)
{
	taking.rests = true;
}

void wal_errand_stop(void)
{
	errand_stop();
	op_cancel(&taking.pending);
	job_destroy(&taking.job);
	while (!TAILQ_EMPTY(&list))
		taken_end(TAILQ_FIRST(&list));
	taking.rests = false;
}
