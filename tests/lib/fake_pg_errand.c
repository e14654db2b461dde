/* tests/lib/fake_pg_errand.c - errands that were noted, and what has become of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/lib/fake_pg.h"
#include "tests/lib/fake_pg_tasks.h"

#define ROWS_MOST 100u
#define TAKE_WITHIN_MS 10000u
#define ID_BYTES 40u

struct errand_row {
	char id[ID_BYTES], target[64], headers[64];
	msec at;
	int64_t taken; /* 0: by nobody */
	int64_t code;  /* 0: not answered */
};

static struct {
	struct errand_row rows[ROWS_MOST];
	size_t n;
	bool taken_at_last; /* by another, in the moment it is withdrawn */
} db;

static struct errand_row *row_of(const char *id)
{
	for (size_t k = 0; k < db.n; k++)
		if (strcmp(db.rows[k].id, id) == 0)
			return &db.rows[k];
	return NULL;
}

static void delete_row(struct errand_row *row, struct fake_set *set)
{
	if (row == NULL)
		return;
	db.n--;
	memmove(row, row + 1, (size_t)(db.rows + db.n - row) * sizeof(*row));
	set->changed = 1;
}

/* --- by who was asked --------------------------------------------------------------- */

static void errand_note(struct fake_set *set)
{
	struct errand_row row = {.at = clock_ms()};

	assert(db.n < ROWS_MOST);
	strncpy(row.id, fake_text(1), sizeof(row.id) - 1);
	strncpy(row.target, fake_text(3), sizeof(row.target) - 1);
	db.rows[db.n++] = row;
	set->changed = 1;
}

static void errand_find(struct fake_set *set)
{
	for (size_t k = 0; k < db.n; k++) {
		const struct errand_row *row = &db.rows[k];

		if (strstr(fake_text(1), row->id) == NULL)
			continue;
		fake_put(set, row->id);
		fake_put_number(set, row->taken);
		fake_put_number(set, fake_pg_epoch());
		fake_put(set, row->code != 0 ? "t" : "f");
		fake_end_row(set);
	}
}

static void errand_withdraw(struct fake_set *set)
{
	struct errand_row *row = row_of(fake_text(1));

	if (row != NULL && db.taken_at_last)
		row->taken = fake_pg_epoch();
	if (row != NULL && row->taken == 0)
		delete_row(row, set);
}

static void errand_answer(struct fake_set *set)
{
	const struct errand_row *row = row_of(fake_text(1));

	if (row == NULL)
		return;
	fake_put_number(set, row->code);
	fake_put(set, row->headers);
	fake_put(set, "leader");
	fake_end_row(set);
}

static void errand_body(struct fake_set *set)
{
	if (row_of(fake_text(1)) == NULL)
		return;
	fake_put(set, "done");
	fake_end_row(set);
}

static void errand_forget(struct fake_set *set)
{
	delete_row(row_of(fake_text(1)), set);
}

/* --- by who leads --------------------------------------------------------------------
 */

static bool may_be_taken(const struct errand_row *row)
{
	if (row->code != 0)
		return false;
	if (row->taken == 0)
		return clock_ms() - row->at < TAKE_WITHIN_MS;
	return row->taken == fake_number(1) && strstr(fake_text(2), row->id) == NULL;
}

static void errand_take(struct fake_set *set)
{
	static const char *const rest[] = {"headers: none\n", "1.2.3.4", "somebody",
	                                   NULL};

	for (size_t k = 0; k < db.n && fake_pg_has_epoch(fake_number(1)); k++) {
		struct errand_row *row = &db.rows[k];

		if (!may_be_taken(row))
			continue;
		row->taken = fake_number(1);
		fake_put(set, row->id);
		fake_put(set, "POST");
		fake_put(set, row->target);
		for (unsigned i = 0; i < 4; i++)
			fake_put(set, rest[i]);
		fake_end_row(set);
		return;
	}
}

static void errand_done(struct fake_set *set)
{
	struct errand_row *row = row_of(fake_text(2));

	if (row == NULL || row->taken != fake_number(1) ||
	    !fake_pg_has_epoch(fake_number(1)))
		return;
	row->code = fake_number(3);
	strncpy(row->headers, fake_text(4), sizeof(row->headers) - 1);
	set->changed = 1;
}

static void nothing(struct fake_set *set)
{
	(void)set;
}

const struct fake_statement fake_errand_statements[] = {
        {"errand_note", errand_note},
        {"errand_tell", nothing},
        {"errand_find", errand_find},
        {"errand_withdraw", errand_withdraw},
        {"errand_answer", errand_answer},
        {"errand_body", errand_body},
        {"errand_forget", errand_forget},
        {"errand_take", errand_take},
        {"errand_done", errand_done},
        {"trim_errands", nothing},
        {NULL, NULL},
};

/* --- for tests -----------------------------------------------------------------------
 */

unsigned fake_pg_errands(unsigned *taken)
{
	if (taken != NULL)
		*taken = 0;
	for (size_t k = 0; taken != NULL && k < db.n; k++)
		*taken += db.rows[k].taken != 0;
	return (unsigned)db.n;
}

void fake_pg_take_errands_at_last(void)
{
	db.taken_at_last = true;
}

void fake_errands_stop(void)
{
	memset(&db, 0, sizeof(db));
}
