/* tests/lib/fake_pg_operator.c - what operators have noted: instances that are taken out,
 * wishes by SQL; and what is noted for them: events. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/lib/fake_pg.h"
#include "tests/lib/fake_pg_tasks.h"

#define ROWS_MOST 16u

struct out_row {
	char name[64], by[64];
	msec until; /* 0: for good */
};

struct wish_row {
	int64_t id, collection;
	char by[64];
};

struct event_row {
	int64_t at;
	char event[32], message[128];
	int64_t times;
};

static struct {
	struct out_row out[ROWS_MOST];
	size_t n_out;
	struct wish_row wishes[ROWS_MOST];
	size_t n_wishes;
	int64_t last_wish;
	struct event_row *events;
	size_t n_events;
	unsigned tidied;
} db;

/* --- taken out --------------------------------------------------------------------- */

static struct out_row *out_of(const char *name)
{
	for (size_t k = 0; k < db.n_out; k++)
		if (strcmp(db.out[k].name, name) == 0)
			return &db.out[k];
	return NULL;
}

void fake_pg_take_out(const char *name, msec for_ms, const char *by)
{
	struct out_row *row = out_of(name);

	assert(db.n_out < ROWS_MOST);
	row = row != NULL ? row : &db.out[db.n_out++];
	*row = (struct out_row){.until = for_ms > 0 ? clock_ms() + for_ms : 0};
	strncpy(row->name, name, sizeof(row->name) - 1);
	strncpy(row->by, by, sizeof(row->by) - 1);
}

void fake_pg_put_back(const char *name)
{
	struct out_row *row = out_of(name);

	if (row != NULL)
		*row = db.out[--db.n_out];
}

bool fake_pg_is_out(const char *name)
{
	const struct out_row *row = out_of(name);

	return row != NULL && (row->until == 0 || row->until > clock_ms());
}

static void override_take_out(struct fake_set *set)
{
	set->changed = fake_instance_id(fake_text(1)) > 0;
	if (set->changed > 0)
		fake_pg_take_out(fake_text(1), (msec)fake_number(2), fake_text(3));
}

static void override_put_back(struct fake_set *set)
{
	set->changed = fake_instance_id(fake_text(1)) > 0;
	fake_pg_put_back(fake_text(1));
}

static void override_look(struct fake_set *set)
{
	for (size_t k = 0; k < db.n_out; k++) {
		const struct out_row *row = &db.out[k];

		if (!fake_pg_is_out(row->name))
			continue;
		fake_put(set, row->name);
		if (row->until > 0)
			fake_put_number(set, (int64_t)(row->until - clock_ms()));
		else
			fake_put(set, NULL);
		fake_put(set, row->by);
		fake_end_row(set);
	}
}

/* --- wishes ------------------------------------------------------------------------ */

void fake_pg_wish(int64_t collection, const char *by)
{
	struct wish_row *row = &db.wishes[db.n_wishes++];

	assert(db.n_wishes <= ROWS_MOST);
	*row = (struct wish_row){.id = ++db.last_wish, .collection = collection};
	strncpy(row->by, by, sizeof(row->by) - 1);
}

unsigned fake_pg_wishes(void)
{
	return (unsigned)db.n_wishes;
}

static void wish_first(struct fake_set *set)
{
	if (db.n_wishes == 0)
		return;
	fake_put_number(set, db.wishes[0].id);
	fake_put_number(set, db.wishes[0].collection);
	fake_put(set, db.wishes[0].by);
	fake_end_row(set);
}

static void wish_over(struct fake_set *set)
{
	(void)set;
	if (db.n_wishes == 0 || db.wishes[0].id != fake_number(1))
		return;
	memmove(db.wishes, db.wishes + 1, --db.n_wishes * sizeof(db.wishes[0]));
}

/* --- events ------------------------------------------------------------------------ */

static void keep_events(struct fake_set *set)
{
	(void)set;
	db.tidied++;
}

static void note_event(struct fake_set *set)
{
	struct event_row row = {.at = fake_number(1), .times = fake_number(5)};

	(void)set;
	strncpy(row.event, fake_text(3), sizeof(row.event) - 1);
	strncpy(row.message, fake_text(4), sizeof(row.message) - 1);
	db.events = mem_resize(db.events, (db.n_events + 1) * sizeof(row));
	db.events[db.n_events++] = row;
}

static void events_before(struct fake_set *set)
{
	for (size_t k = db.n_events; k > 0; k--) {
		fake_put_number(set, db.events[k - 1].at);
		fake_put(set, "another");
		fake_put(set, db.events[k - 1].event);
		fake_put(set, db.events[k - 1].message);
		fake_put_number(set, db.events[k - 1].times);
		fake_end_row(set);
	}
}

unsigned fake_pg_events(const char *about, unsigned *times)
{
	unsigned n = 0;

	for (size_t k = 0; k < db.n_events; k++) {
		if (strstr(db.events[k].message, about) == NULL)
			continue;
		n++;
		if (times != NULL)
			*times = (unsigned)db.events[k].times;
	}
	return n;
}

unsigned fake_pg_tidied(void)
{
	return db.tidied;
}

void fake_operator_stop(void)
{
	free(db.events);
	memset(&db, 0, sizeof(db));
}

const struct fake_statement fake_operator_statements[] = {
        {"override_take_out", override_take_out},
        {"override_put_back", override_put_back},
        {"override_look", override_look},
        {"wish_first", wish_first},
        {"wish_over", wish_over},
        {"keep_events", keep_events},
        {"note_event", note_event},
        {"events_before", events_before},
        {NULL, NULL},
};
