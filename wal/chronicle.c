/* wal/chronicle.c - what has happened, noted in PostgreSQL (chromatid.event): changes of
 * state, what administrators did or were refused, starts and ends.
 *
 * The happy path:
 *   on_event   core/log.c has told a change (core/events.c): it waits here
 *   run        a moment later, or once an hour: the parts of the table (keep_events) ...
 *   on_kept    ... then what waits, fifty at a time; at the first time it is asked, too,
 *              what had happened before, for those who look at /status
 *   on_noted   they go from the queue; more wait: again
 * When it does not go well:
 *   - PostgreSQL is away: they wait, a thousand at most; what comes then is lost
 *   - the connection is lost meanwhile: noted once more, maybe twice
 *   - it refuses them: they are lost. A part that is missing is made at the next run
 *   - one kind comes by the thousand (quarantines of a lost disk, a stranger who tries
 *     tokens): a few hundred of that kind are noted, then one a second, the rest is lost
 * What is lost is counted. Nobody ever waits for any of this. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/events.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/lead.h"

#define WAITING_MOST 1000u
#define AT_ONCE 50u
#define GATHER_MS 200u
#define LOOK_MS 1000u
#define KEEP_EVERY_MS 3600000u
#define MANY_MOST 300u /* of a kind that may come by the thousand */
#define MANY_EVERY_MS 1000u
#define TEXT_MOST 2000u

struct happening {
	int64_t wall_ms;
	unsigned times;
	const char *word;
	char *text;
	TAILQ_ENTRY(happening) link;
};

static struct {
	struct job *job;
	struct op *pending;
	struct timer gather;
	TAILQ_HEAD(event_queue, happening) queue;
	unsigned waiting;
	unsigned sent;  /* of these, under way */
	unsigned spent; /* of MANY_MOST */
	msec spent_at;
	msec retention;
	bool tidy; /* the parts of the table are there, the old ones gone ... */
	msec tidied_at;
	bool asked; /* and what had happened before is known */
	char proxy[64];
	uint64_t noted, lost;
} chronicle = {.queue = TAILQ_HEAD_INITIALIZER(chronicle.queue)};

static const struct pg_statement keep = {
        "keep_events", "SELECT chromatid.keep_events($1 * interval '1 millisecond')"};

static const struct pg_statement before = {
        "events_before",
        "SELECT (extract(epoch FROM at) * 1000)::bigint, proxy, event, message, times"
        " FROM chromatid.event ORDER BY at DESC LIMIT $1"};

static const struct pg_statement note = {
        "note_event", "INSERT INTO chromatid.event (at, proxy, event, message, times)"
                      " VALUES (to_timestamp($1::bigint / 1000.0), $2, $3, $4, $5)"};

/* --- the queue --------------------------------------------------------------------- */

static void start_gathering(void *arg)
{
	(void)arg;
	job_kick(chronicle.job);
}

static bool is_again(const char *word, const char *text)
{
	const struct happening *last = TAILQ_LAST(&chronicle.queue, event_queue);

	return chronicle.waiting > chronicle.sent && last->word == word &&
	       strcmp(last->text, text) == 0;
}

/* One is given back a second. */
static bool may_be_noted(void)
{
	msec now = clock_ms();
	uint64_t back = (now - chronicle.spent_at) / MANY_EVERY_MS;

	if (back > 0) {
		chronicle.spent -=
		        back < chronicle.spent ? (unsigned)back : chronicle.spent;
		chronicle.spent_at = now;
	}
	if (chronicle.spent >= MANY_MOST)
		return false;
	chronicle.spent++;
	return true;
}

static void add(const char *word, const char *text)
{
	struct happening *e = mem_new(struct happening);

	e->wall_ms = clock_wall_ms();
	e->times = 1;
	e->word = word;
	e->text = mem_substring(text, strnlen(text, TEXT_MOST));
	TAILQ_INSERT_TAIL(&chronicle.queue, e, link);
	chronicle.waiting++;
	if (!timer_running(&chronicle.gather))
		timer_start(&chronicle.gather, GATHER_MS, start_gathering, NULL);
}

static void on_event(const char *word, const char *text, bool many)
{
	if (is_again(word, text))
		TAILQ_LAST(&chronicle.queue, event_queue)->times++;
	else if (chronicle.waiting >= WAITING_MOST || (many && !may_be_noted()))
		chronicle.lost++;
	else
		add(word, text);
}

/* The oldest ones. */
static void forget(unsigned n)
{
	struct happening *e;

	for (; n > 0 && (e = TAILQ_FIRST(&chronicle.queue)) != NULL; n--) {
		TAILQ_REMOVE(&chronicle.queue, e, link);
		chronicle.waiting--;
		free(e->text);
		free(e);
	}
}

/* --- noting them ------------------------------------------------------------------- */

static void note_more(void);

static void rest(void)
{
	job_rest(chronicle.job, KEEP_EVERY_MS);
}

static void on_noted(void *arg, enum status s, const struct pg_results *r)
{
	unsigned sent = chronicle.sent;
	bool no_part = s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "23514") == 0;

	(void)arg;
	chronicle.sent = 0;
	if (s == STATUS_OK) {
		chronicle.noted += sent;
		forget(sent);
		note_more();
		return;
	}
	if (no_part) {
		chronicle.tidy = false;
	} else if (s == STATUS_DB_REFUSED) {
		log_warn("chronicle", "PostgreSQL refused %u events: %s", sent,
		         pg_message(r));
		chronicle.lost += sent;
		forget(sent);
	}
	job_failed(chronicle.job);
}

static void add_note(struct pg_unit *unit, const struct happening *e)
{
	pg_add(unit, &note, 5,
	       (struct pg_param[]){pg_int8(e->wall_ms), pg_text(chronicle.proxy),
	                           pg_text(e->word), pg_text(e->text),
	                           pg_int4((int)e->times)});
}

static void note_more(void)
{
	struct pg_unit *unit;
	struct happening *e;

	if (chronicle.waiting == 0) {
		rest();
		return;
	}
	unit = pg_unit_create();
	TAILQ_FOREACH (e, &chronicle.queue, link) {
		if (chronicle.sent == AT_ONCE)
			break;
		add_note(unit, e);
		chronicle.sent++;
	}
	pg_submit(wal_upkeep(), unit, on_noted, NULL, &chronicle.pending);
}

/* --- what had happened before ------------------------------------------------------- */

static void take_before(const struct pg_results *r, int row)
{
	struct kept_event e = {
	        .wall_ms = pg_get_int8(r, 1, row, 0),
	        .times = (unsigned)pg_get_int8(r, 1, row, 4),
	        .event = pg_get_text(r, 1, row, 2),
	};

	snprintf(e.proxy, sizeof(e.proxy), "%s", pg_get_text(r, 1, row, 1));
	snprintf(e.text, sizeof(e.text), "%s", pg_get_text(r, 1, row, 3));
	events_add_older(&e);
}

static void on_kept(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s != STATUS_OK) {
		if (s == STATUS_DB_REFUSED)
			log_warn("chronicle", "PostgreSQL refused to tidy events: %s",
			         pg_message(r));
		job_failed(chronicle.job);
		return;
	}
	for (int row = 0; !chronicle.asked && row < pg_rows(r, 1); row++)
		take_before(r, row);
	chronicle.asked = chronicle.tidy = true;
	chronicle.tidied_at = clock_ms();
	note_more();
}

static bool can_be_noted(void)
{
	return wal_migrated() && pg_state(wal_upkeep()) == PG_UP;
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (!can_be_noted()) {
		job_rest(job, LOOK_MS);
		return;
	}
	if (chronicle.tidy && clock_ms() - chronicle.tidied_at < KEEP_EVERY_MS) {
		note_more();
		return;
	}
	unit = pg_unit_create();
	pg_add(unit, &keep, 1,
	       (struct pg_param[]){pg_int8((int64_t)chronicle.retention)});
	if (!chronicle.asked)
		pg_add(unit, &before, 1, (struct pg_param[]){pg_int4(EVENTS_KEPT)});
	pg_submit(wal_upkeep(), unit, on_kept, NULL, &chronicle.pending);
}

/* --- its life ---------------------------------------------------------------------- */

void chronicle_start(const struct conf *conf)
{
	chronicle.retention = conf->events_retention;
	chronicle.asked = chronicle.tidy = false;
	chronicle.spent = 0;
	if (gethostname(chronicle.proxy, sizeof(chronicle.proxy) - 1) != 0)
		strcpy(chronicle.proxy, "chromatid");
	chronicle.job = job_create("chronicle", run, NULL);
	job_kick(chronicle.job);
	events_listen(on_event);
}

void chronicle_now(void)
{
	if (chronicle.job != NULL)
		job_kick(chronicle.job);
}

bool chronicle_is_busy(void)
{
	return chronicle.waiting > 0 && can_be_noted();
}

void chronicle_stop(void)
{
	events_listen(NULL);
	timer_stop(&chronicle.gather);
	op_cancel(&chronicle.pending);
	chronicle.sent = 0;
	forget(chronicle.waiting);
	job_destroy(&chronicle.job);
}

struct wal_event_figures wal_event_figures(void)
{
	return (struct wal_event_figures){.noted = chronicle.noted,
	                                  .lost = chronicle.lost,
	                                  .waiting = chronicle.waiting};
}
