/* wal/leftover.c - copies that nobody needs any more, until they are gone.
 *
 * The collection was deleted, or has healed by itself, while it was being made anew at an
 * instance. What stands there has names of our own, with the number of the attempt, which
 * no other collection will ever have: they are deleted, however late.
 *
 *   leftover_add   a row, with the unit that ends the rebuild
 *   run            the next whose instance takes writes
 *   on_deleted     each name it may have, one after the other (404: it has not)
 *   on_forgotten   its row goes
 * When it does not go well it is tried again later, the others meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/lead.h"
#include "wal/rebuild.h"

#define EVERY_MS 2000u
#define AGAIN_MS 30000u
#define LATE_MS 5000u /* a call that was cut off may still be executed */
#define ANSWER_MS 60000u
#define ANSWER_MOST 65536u

/* Of each attempt; the last few may all have left something. */
static const char *const names[] = {"new", "old"};
#define NAMES (sizeof(names) / sizeof(names[0]))
#define ATTEMPTS_MOST 8u

struct leftover {
	unsigned instance, attempt;
	int64_t collection;
	char *tenant, *database;
	msec due;
	TAILQ_ENTRY(leftover) link;
};

static TAILQ_HEAD(leftover_list, leftover) all = TAILQ_HEAD_INITIALIZER(all);

static struct {
	struct job *job;
	struct leftover *now; /* NULL: none */
	unsigned attempt;     /* of it, and before: the one that is looked at ... */
	size_t name;          /* ... by that name */
	struct op *pending;
} work;

static void leftover_free(struct leftover *l)
{
	free(l->tenant);
	free(l->database);
	free(l);
}

static void drop(struct leftover *l)
{
	TAILQ_REMOVE(&all, l, link);
	leftover_free(l);
}

/* --- rows ----------------------------------------------------------------------------
 */

static const struct pg_statement note = {
        "leftover",
        "INSERT INTO chromatid.leftover (instance, collection, attempt, tenant, database)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"};

static const struct pg_statement forget = {
        "leftover_end", "DELETE FROM chromatid.leftover WHERE instance = $1"
                        " AND collection = $2 AND attempt = $3"};

static const struct pg_statement load = {
        "load_leftover",
        "SELECT instance, collection, attempt, tenant, database FROM chromatid.leftover"};

static struct leftover *create(unsigned i, int64_t collection, unsigned attempt,
                               const char *tenant, const char *database)
{
	struct leftover *l = mem_new(struct leftover);

	l->instance = i;
	l->collection = collection;
	l->attempt = attempt;
	l->due = clock_ms() + LATE_MS;
	l->tenant = mem_string(tenant);
	l->database = mem_string(database);
	TAILQ_INSERT_TAIL(&all, l, link);
	return l;
}

void leftover_add(struct pg_unit *unit, const struct collection *c, unsigned i,
                  unsigned attempt)
{
	pg_add(unit, &note, 5,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(c->id),
	                           pg_int4((int)attempt), pg_text(c->db->tenant),
	                           pg_text(c->db->name)});
}

void leftover_added(const struct collection *c, unsigned i, unsigned attempt)
{
	create(i, c->id, attempt, c->db->tenant, c->db->name);
}

bool leftover_remembers(unsigned i, int64_t collection, unsigned attempt)
{
	const struct leftover *l;

	TAILQ_FOREACH (l, &all, link)
		if (l->instance == i && l->collection == collection &&
		    attempt <= l->attempt)
			return true;
	return false;
}

void leftover_add_load(struct pg_unit *unit)
{
	pg_add(unit, &load, 0, NULL);
}

void leftover_loaded(const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at); row++) {
		int i = store_instance_index(pg_get_int8(r, at, row, 0));

		if (i >= 0)
			create((unsigned)i, pg_get_int8(r, at, row, 1),
			       (unsigned)pg_get_int8(r, at, row, 2),
			       pg_get_text(r, at, row, 3), pg_get_text(r, at, row, 4));
	}
}

/* --- away with it --------------------------------------------------------------------
 */

static void ask(void);

static void over(bool gone)
{
	struct leftover *l = work.now;

	work.now = NULL;
	if (gone)
		drop(l);
	else
		l->due = clock_ms() + AGAIN_MS;
	job_rest(work.job, gone ? 0 : EVERY_MS);
}

static void on_forgotten(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)r;
	over(s == STATUS_OK);
}

static void forget_it(void)
{
	struct pg_unit *unit = pg_unit_create();
	const struct leftover *l = work.now;

	persist_add_fence(unit);
	pg_add(unit, &forget, 3,
	       (struct pg_param[]){pg_int4(store_instance_id(l->instance)),
	                           pg_int8(l->collection), pg_int4((int)l->attempt)});
	pg_submit(wal_pg(), unit, on_forgotten, NULL, &work.pending);
}

static bool is_another_name(void)
{
	if (++work.name < NAMES)
		return true;
	work.name = 0;
	if (work.attempt <= 1)
		return false;
	work.attempt--;
	return work.attempt + ATTEMPTS_MOST > work.now->attempt;
}

static void on_deleted(void *arg, const struct reply *reply)
{
	(void)arg;
	if (reply->status != STATUS_OK || (reply->http != 404 && reply->http >= 300))
		over(false);
	else if (is_another_name())
		ask();
	else
		forget_it();
}

static void ask(void)
{
	const struct leftover *l = work.now;
	struct text target = {0};
	struct call call = {.method = "DELETE",
	                    .timeout = ANSWER_MS,
	                    .max_reply = ANSWER_MOST,
	                    .repeatable = true};

	text_adds(&target, "/api/v2/tenants/");
	rewrite_add_segment(&target, l->tenant);
	text_adds(&target, "/databases/");
	rewrite_add_segment(&target, l->database);
	text_addf(&target, "/collections/" RESERVED_PREFIX "%s.%lld.%u", names[work.name],
	          (long long)l->collection, work.attempt);
	call.target = target.s;
	upstream_call(instance_upstream(health_instance(l->instance)), &call, on_deleted,
	              NULL, &work.pending);
	text_clear(&target);
}

static struct leftover *next_due(void)
{
	struct leftover *l;

	TAILQ_FOREACH (l, &all, link)
		if (l->due <= clock_ms() &&
		    instance_writable(health_instance(l->instance)))
			return l;
	return NULL;
}

static void run(struct job *job, void *arg)
{
	(void)arg;
	work.now = wal_ready() ? next_due() : NULL;
	work.name = 0;
	if (work.now != NULL) {
		work.attempt = work.now->attempt;
		ask();
	}
	if (work.now == NULL)
		job_rest(job, EVERY_MS);
}

/* --- the whole -----------------------------------------------------------------------
 */

void leftover_start(void)
{
	work.job = job_create("leftovers", run, NULL);
	job_rest(work.job, EVERY_MS);
}

void leftover_clear(void)
{
	struct leftover *l, *next;

	op_cancel(&work.pending);
	if (work.now != NULL)
		job_rest(work.job, EVERY_MS);
	work.now = NULL;
	for (l = TAILQ_FIRST(&all); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		leftover_free(l);
	}
	TAILQ_INIT(&all);
}

void leftover_stop(void)
{
	leftover_clear();
	job_destroy(&work.job);
}
