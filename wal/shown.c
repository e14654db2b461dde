/* wal/shown.c - what only the leader knows, for all proxies to show.
 *
 * Who asks a proxy how things are asks any of them. What waits for whom is in the memory
 * of the one that leads, and in no table that could be read in passing. So it says it in
 * a row, a second after it was so, and the others have it at hand when they are asked.
 *
 * The happy path:
 *   run            we lead: what is known now is written down as JSON (by those who show
 *                  it: wal_shown_start)
 *   decide         it differs from the last one: the row gets it. It does not: every
 *                  three seconds the row is told that it is still so
 *   shown_looked   who follows finds it with its look at the log (mirror.c) and hands it
 *                  to those who show it; what it has already is not sent again
 * When it does not go well:
 *   - who writes does not lead any more: refused by its epoch; who reads looks at the
 *     epoch, too
 *   - the table is empty, since PostgreSQL has crashed (it is not logged there): the
 *     whole is written again
 *   - nothing new comes: it is shown for ten seconds (shown_kept.c), then not known
 *
 * It goes by a session on which no lease is renewed. Of the collections only a list that
 * somebody would read is told, less often, and only if another proxy is there. */
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/lead.h"
#include "wal/shown.h"

#define LOOK_MS 1000u
#define AGAIN_MS 2900u /* at the latest; a run may be early */
#define LIST_MS 4900u  /* all collections are looked at for it */

struct part {
	/* of a leader */
	msec made, noted;
	int64_t version; /* of what is noted; grows */
	bool is_noted;
	struct text text;
	enum { RESTS, STILL_SO, IS_NEW } next;
	/* of the others */
	struct shown_kept kept;
};

static struct {
	const struct wal_shows *shows;
	struct job *job;
	struct op *pending;
	int64_t epoch; /* under which it was noted */
	int64_t clock; /* of PostgreSQL, microseconds, or a moment before; 0: not known
	                  ... */
	msec clock_at; /* ... at that time of ours */
	struct part parts[WAL_SHOWN_PARTS];
} shown;

static const msec every[WAL_SHOWN_PARTS] = {
        [WAL_SHOWN_FIGURES] = 0, [WAL_SHOWN_COLLECTIONS] = LIST_MS};

/* --- the leader writes -------------------------------------------------------------- */

/* $1 epoch, $2 part, $3 version, $4 when it was so: a statement may have to wait. */
#define WHEN "least(clock_timestamp(), to_timestamp($4::bigint / 1e6))"
#define CLOCK " RETURNING (extract(epoch FROM clock_timestamp()) * 1e6)::bigint"

static const struct pg_statement note = {
        "shown_note",
        "INSERT INTO chromatid.shown AS s (part, epoch, version, at, document)"
        " SELECT $2::int, $1, $3, " WHEN ", $5 FROM chromatid.lease WHERE epoch = $1"
        " ON CONFLICT (part) DO UPDATE SET epoch = excluded.epoch,"
        " version = excluded.version, at = excluded.at, document = excluded.document"
        " WHERE s.epoch <= excluded.epoch" CLOCK};

static const struct pg_statement touch = {
        "shown_touch", "UPDATE chromatid.shown SET at = " WHEN
                       " WHERE epoch = $1 AND part = $2::int AND version = $3" CLOCK};

/* By the clock of PostgreSQL, and rather a moment too early. */
static struct pg_param when(msec now)
{
	if (shown.clock == 0)
		return pg_null();
	return pg_int8(shown.clock + (int64_t)(now - shown.clock_at) * 1000);
}

/* True: it is other than what was noted last. */
static bool make(enum wal_shown which, struct part *part)
{
	struct text now = {0};
	bool same;

	shown.shows->write(which, &now);
	same = part->is_noted && now.len == part->text.len &&
	       memcmp(text_string(&now), text_string(&part->text), now.len) == 0;
	text_clear(&part->text);
	part->text = now;
	return !same;
}

static bool is_due(enum wal_shown which, const struct part *part, msec now)
{
	if (which == WAL_SHOWN_COLLECTIONS && lease_is_alone())
		return false;
	return part->made == 0 || now - part->made >= every[which];
}

/* True: there is something to be said. */
static bool decide(enum wal_shown which, struct part *part, msec now)
{
	part->next = RESTS;
	if (!is_due(which, part, now))
		return false;
	part->made = now;
	if (make(which, part))
		part->next = IS_NEW;
	else if (now - part->noted >= AGAIN_MS)
		part->next = STILL_SO;
	return part->next != RESTS;
}

static void add(struct pg_unit *unit, enum wal_shown which, struct part *part, msec now)
{
	bool is_new = part->next == IS_NEW;

	if (part->next == RESTS)
		return;
	part->noted = now;
	part->version += is_new ? 1 : 0;
	pg_add(unit, is_new ? &note : &touch, is_new ? 5 : 4,
	       (struct pg_param[]){pg_int8(shown.epoch), pg_int4(which),
	                           pg_int8(part->version), when(now),
	                           pg_text(text_string(&part->text))});
}

/* Where nothing was written the row is not there, or not ours: all of it next time. */
static bool was_noted(const struct pg_results *r, int at)
{
	if (pg_rows(r, at) != 1)
		return false;
	shown.clock = pg_get_int8(r, at, 0, 0);
	shown.clock_at = clock_ms();
	return true;
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	int at = 0;

	(void)arg;
	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++)
		if (shown.parts[k].next != RESTS)
			shown.parts[k].is_noted = s == STATUS_OK && was_noted(r, at++);
	if (s == STATUS_DB_REFUSED)
		log_warn("shown", "what is known was not noted: %s", pg_message(r));
	if (s == STATUS_OK)
		job_rest(shown.job, LOOK_MS);
	else
		job_failed(shown.job);
}

static void begin_epoch(void)
{
	shown.epoch = lease_epoch();
	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++) {
		shown.parts[k].is_noted = false;
		shown.parts[k].made = 0;
	}
}

static void submit(msec now)
{
	struct pg_unit *unit = pg_unit_create();

	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++)
		add(unit, (enum wal_shown)k, &shown.parts[k], now);
	pg_submit(wal_upkeep(), unit, on_noted, NULL, &shown.pending);
}

static void write_down(void)
{
	msec now = clock_ms();
	bool any = false;

	if (shown.epoch != lease_epoch())
		begin_epoch();
	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++)
		any = decide((enum wal_shown)k, &shown.parts[k], now) || any;
	if (any)
		submit(now);
	else
		job_rest(shown.job, LOOK_MS);
}

static void run(struct job *job, void *arg)
{
	(void)arg;
	if (wal_leads() && lease_may_send() && pg_state(wal_upkeep()) == PG_UP)
		write_down();
	else
		job_rest(job, LOOK_MS);
}

void shown_kick(void)
{
	if (shown.job != NULL)
		job_kick(shown.job);
}

/* --- the others read ---------------------------------------------------------------- */

/* $1 part, $2 epoch and $3 version of what is known already, $4 how long it may be */
static const struct pg_statement look = {
        "shown_look",
        "SELECT l.epoch, s.epoch, s.version,"
        " (extract(epoch FROM s.at) * 1000000)::bigint,"
        " greatest(0, extract(epoch FROM clock_timestamp() - s.at) * 1000)::bigint,"
        " CASE WHEN (s.epoch <> $2 OR s.version <> $3)"
        "  AND octet_length(s.document) <= $4::int THEN s.document END"
        " FROM chromatid.lease l JOIN chromatid.shown s ON s.part = $1::int"};

enum { LEADER, EPOCH, VERSION, AT, AGE, DOCUMENT };

void shown_add_look(struct pg_unit *unit)
{
	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++) {
		const struct shown_kept *kept = &shown.parts[k].kept;

		pg_add(unit, &look, 4,
		       (struct pg_param[]){pg_int4(k), pg_int8(kept->epoch),
		                           pg_int8(kept->version),
		                           pg_int4(WAL_SHOWN_MOST)});
	}
}

static struct shown_found found_in(const struct pg_results *r, int at)
{
	if (pg_rows(r, at) == 0)
		return (struct shown_found){.is = false};
	return (struct shown_found){
	        .is = true,
	        .leader = pg_get_int8(r, at, 0, LEADER),
	        .epoch = pg_get_int8(r, at, 0, EPOCH),
	        .version = pg_get_int8(r, at, 0, VERSION),
	        .at = pg_get_int8(r, at, 0, AT),
	        .age = (msec)pg_get_int8(r, at, 0, AGE),
	        .comes = !pg_is_null(r, at, 0, DOCUMENT),
	        .text = pg_get_text(r, at, 0, DOCUMENT),
	};
}

void shown_looked(const struct pg_results *r, int at, msec asked)
{
	for (unsigned k = 0; k < WAL_SHOWN_PARTS && shown.shows != NULL; k++) {
		struct shown_found found = found_in(r, at + (int)k);
		enum shown_news news = shown_keep(&shown.parts[k].kept, &found, asked);

		if (news != SHOWN_SAME)
			shown.shows->read((enum wal_shown)k,
			                  news == SHOWN_NEW ? found.text : NULL);
	}
}

void shown_forget(void)
{
	for (unsigned k = 0; k < WAL_SHOWN_PARTS && shown.shows != NULL; k++) {
		shown.parts[k].kept = (struct shown_kept){.is = false};
		shown.shows->read((enum wal_shown)k, NULL);
	}
}

bool wal_shown_age(enum wal_shown part, msec *age)
{
	return wal_follows() &&
	       shown_is_current(&shown.parts[part].kept, clock_ms(), age);
}

/* --- its life ----------------------------------------------------------------------- */

void wal_shown_start(const struct wal_shows *shows)
{
	shown.shows = shows;
	shown.job = job_create("shown", run, NULL);
	job_rest(shown.job, LOOK_MS);
}

void wal_shown_stop(void)
{
	op_cancel(&shown.pending);
	job_destroy(&shown.job);
	shown_forget();
	for (unsigned k = 0; k < WAL_SHOWN_PARTS; k++)
		text_clear(&shown.parts[k].text);
	shown.shows = NULL;
}
