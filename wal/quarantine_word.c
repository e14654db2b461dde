/* wal/quarantine_word.c - what is said of the lanes in quarantine, and an operator's word
 * on them.
 *
 *   wal_retry   try again; or, where content differs: it is mended
 *   wal_skip    leave this record out here. The collection differs from then on, and
 * stays parked until it is made anew or wal_retry says that it is mended */
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/quarantine_private.h"
#include "wal/record.h"
#include "wal/scope.h"

const char *quarantine_cause_name(enum quarantine_cause cause)
{
	static const char *const names[] = {"none",    "refused", "accepted", "lost",
	                                    "failing", "differs", "index"};

	return names[cause];
}

static bool is_active(const struct quarantine *q)
{
	return quarantine_stands(q) || q->state == STATE_TRYING;
}

void wal_each_quarantine(wal_quarantine_fn *fn, void *arg)
{
	int64_t wall = clock_wall_ms();
	msec now = clock_ms();
	const struct quarantine *q;

	TAILQ_FOREACH (q, &quarantines, link) {
		struct wal_quarantine each = {
		        .in = health_instance(q->instance),
		        .collection = q->collection,
		        .seq = q->seq,
		        .cause = q->cause,
		        .http = q->http,
		        .error = q->error,
		        .attempts = q->attempts,
		        .owed = q->collection->scope->lanes[q->instance].behind,
		        .since_wall_ms = q->since_wall_ms,
		};

		if (q->retry_at > now)
			each.retry_wall_ms = wall + (int64_t)(q->retry_at - now);
		if (is_active(q))
			fn(arg, &each);
	}
}

unsigned quarantine_count(unsigned i)
{
	const struct quarantine *q;
	unsigned n = 0;

	TAILQ_FOREACH (q, &quarantines, link)
		n += is_active(q) && q->instance == i;
	return n;
}

void quarantine_error(unsigned i, char *text, size_t room)
{
	const struct quarantine *q;

	text[0] = '\0';
	TAILQ_FOREACH (q, &quarantines, link) {
		if (!is_active(q) || q->instance != i)
			continue;
		snprintf(text, room, "seq %lld (in quarantine, %s): %s",
		         (long long)q->seq, quarantine_cause_name(q->cause), q->error);
		return;
	}
}

unsigned wal_quarantined(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < health_count(); i++)
		n += quarantine_count(i);
	return n;
}

static bool stands_at(const struct quarantine *q, wal_seq seq)
{
	return q->state == STATE_PARKED && q->seq == seq && !quarantine_is_surveyed(q);
}

enum status wal_retry(wal_seq seq)
{
	enum status found = STATUS_NOT_FOUND;
	struct quarantine *q;

	TAILQ_FOREACH (q, &quarantines, link) {
		if (!stands_at(q, seq))
			continue;
		quarantine_try_again(q);
		found = STATUS_OK;
	}
	return found;
}

/* --- a record is left out ----------------------------------------------------------- */

static bool is_there(const struct quarantine *q, const struct member *head)
{
	return q->cause != QUARANTINE_LOST &&
	       (head == NULL || !record_makes_collection(head->record->kind));
}

/* NULL: it may be left out. */
static const char *why_not_left_out(const struct quarantine *q)
{
	const struct member *head = q->collection->scope->lanes[q->instance].head;

	if (!is_there(q, head))
		return "The collection is not there, so no record is left out of it. "
		       "Let the instance have it again, then retry; or copy it into a "
		       "new one with a client, then delete this one";
	if (quarantine_is_about_content(q))
		return "What differs is in it already, no record waits to be left out. "
		       "Mend the content, then retry";
	if (head == NULL || head->record->seq != q->seq)
		return "Another record comes before it there: retry";
	if (record_is_open(head->record))
		return "It is not decided yet: no instance has accepted it";
	return NULL;
}

/* The collection lacks the record now, so it is not equal and is not read there, until
 * somebody says that it is (wal_retry). The row is written first: a position without it
 * would say that the lane may go on. */
static void leave_out(struct quarantine *q)
{
	struct record *r = q->collection->scope->lanes[q->instance].head->record;

	log_warn("quarantine", "collection %s at %s: record %lld is left out there",
	         q->collection->public_id.text,
	         instance_name(health_instance(q->instance)), (long long)q->seq);
	timer_stop(&q->retry);
	q->retry_at = 0;
	q->cause = QUARANTINE_DIFFERS;
	q->http = 0;
	free(q->error);
	q->error = mem_string("a record was left out here");
	quarantine_write_row(q);
	engine_done(r, q->instance);
}

enum status wal_skip(wal_seq seq, const char **why)
{
	bool left_out = false;
	struct quarantine *q;

	*why = NULL;
	TAILQ_FOREACH (q, &quarantines, link) {
		const char *why_not = stands_at(q, seq) ? why_not_left_out(q) : NULL;

		if (why_not != NULL) {
			*why = why_not;
		} else if (stands_at(q, seq)) {
			leave_out(q);
			left_out = true;
		}
	}
	if (left_out)
		return STATUS_OK;
	return *why != NULL ? STATUS_CONFLICT : STATUS_NOT_FOUND;
}
