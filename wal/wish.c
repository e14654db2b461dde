/* wal/wish.c - what somebody wants who speaks SQL: DELETE FROM collection_id_mapping.
 *
 * The view notes it as a wish; who leads looks for wishes each second, and does what
 * DELETE /collection/mappings/{name} would: only if no instance has the collection, and
 * never with one that is protected. What came of it is an event, and the wish is over. */
#include <stdlib.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/lead.h"

#define LOOK_MS 1000u

static struct {
	struct job *job;
	struct op *pending;
	const struct conf *conf;
	int64_t id; /* of the wish in hand */
	char *by;
} wish;

static const struct pg_statement first_wish = {
        "wish_first",
        "SELECT id, collection, by FROM chromatid.wish ORDER BY id LIMIT 1"};

static const struct pg_statement wish_over = {"wish_over",
                                              "DELETE FROM chromatid.wish WHERE id = $1"};

static struct collection *find(int64_t id)
{
	struct collection *c;

	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db))
		TAILQ_FOREACH (c, &db->collections, link)
			if (c->id == id)
				return c;
	return NULL;
}

static void on_over(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)r;
	if (s == STATUS_OK)
		job_rest(wish.job, 0);
	else
		job_failed(wish.job);
}

static void finish(const char *what)
{
	struct pg_unit *unit = pg_unit_create();

	log_info("operator", "mapping deleted by SQL, by %s: %s", wish.by, what);
	free(wish.by);
	wish.by = NULL;
	pg_add(unit, &wish_over, 1, (struct pg_param[]){pg_int8(wish.id)});
	pg_submit(wal_upkeep(), unit, on_over, NULL, &wish.pending);
}

static void on_unmapped(void *arg, enum status s, const struct instance *where)
{
	(void)arg;
	(void)where;
	if (s == STATUS_OK || s == STATUS_NOT_FOUND)
		finish("it has gone");
	else if (s == STATUS_CONFLICT)
		finish("refused, an instance still has the collection");
	else if (s == STATUS_NO_INSTANCE)
		finish("refused, an instance cannot be asked whether it has it");
	else
		job_failed(wish.job); /* later */
}

static void carry_out(const struct pg_results *r)
{
	struct collection *c = find(pg_get_int8(r, 0, 0, 1));

	wish.id = pg_get_int8(r, 0, 0, 0);
	free(wish.by);
	wish.by = mem_string(pg_get_text(r, 0, 0, 2));
	if (c == NULL || c->life != LIFE_LIVE)
		finish("it has gone already");
	else if (conf_lists(wish.conf->protected_collections, c->name))
		finish("refused, the collection is protected");
	else
		wal_unmap(c, false, on_unmapped, NULL, &wish.pending);
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_OK && pg_rows(r, 0) > 0 && wal_ready())
		carry_out(r);
	else
		job_rest(wish.job, LOOK_MS);
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (!wal_ready() || pg_state(wal_upkeep()) != PG_UP) {
		job_rest(job, LOOK_MS);
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &first_wish, 0, NULL);
	pg_submit(wal_upkeep(), unit, on_looked, NULL, &wish.pending);
}

void wal_wish_start(const struct conf *conf)
{
	wish.conf = conf;
	wish.job = job_create("wish", run, NULL);
	job_kick(wish.job);
}

void wal_wish_stop(void)
{
	op_cancel(&wish.pending);
	job_destroy(&wish.job);
	free(wish.by);
	wish.by = NULL;
}
