/* wal/figures.c - what is owed and what was done, for status, metrics and upkeep. */
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/record.h"

/* The first that the instance has not durably executed, a record or cold; 0: none. */
static wal_seq first_owed(unsigned i, int64_t *at_wall_ms)
{
	wal_seq cold = cold_first(i, at_wall_ms);
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link)
		if (r->turns[i].state != TURN_DURABLE)
			break;
	if (r == NULL || (cold != 0 && cold < r->seq))
		return cold;
	*at_wall_ms = r->appended_wall_ms;
	return r->seq;
}

wal_seq engine_floor(unsigned i)
{
	int64_t at_wall_ms;
	wal_seq first = first_owed(i, &at_wall_ms);

	return first != 0 ? first - 1 : append_last_seq();
}

static int64_t oldest_owed_by(unsigned i)
{
	int64_t at_wall_ms = 0;

	if (engine_counts(i)->owed > 0) /* else without walking what others are owed */
		first_owed(i, &at_wall_ms);
	return at_wall_ms;
}

/* Of two times, 0 being none. */
static int64_t earlier(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void of_instance(unsigned i, struct wal_instance_figures *out)
{
	*out = *engine_counts(i);
	out->in_flight = slots_in_flight(i);
	out->quarantined = quarantine_count(i);
	out->oldest_wall_ms = oldest_owed_by(i);
	out->replaying = out->owed > 0 && instance_up(health_instance(i));
	judge_error(i, out->last_error, sizeof(out->last_error));
}

void engine_figures(struct wal_figures *out)
{
	const struct engine_totals *totals = engine_totals();

	out->owed = totals->owed;
	out->undecided = totals->undecided;
	out->decided = totals->decided;
	out->replayed = totals->replayed;
	out->merged_calls = totals->merged_calls;
	out->merged = totals->merged;
	out->reductions = totals->reductions;
	out->failures = totals->failures;
	for (unsigned i = 0; i < health_count(); i++) {
		of_instance(i, &out->instances[i]);
		out->oldest_wall_ms =
		        earlier(out->oldest_wall_ms, out->instances[i].oldest_wall_ms);
	}
}
