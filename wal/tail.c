/* wal/tail.c - what other proxies append while we lead.
 *
 * Every proxy appends; one executes. The clock's row makes the order of seq the order of
 * commit, so what is in the log up to a place is all there will ever be there: no gap is
 * filled later. What we append ourselves comes back with its place; if that is not the
 * next one, what lies between was appended by others (or is no place at all: upkeep.c
 * closes partitions), and is read before it is let in (append.c).
 *
 * The happy path:
 *   tail_kick     another has said (NOTIFY) that it has appended, or our own place shows
 * it fetch         the clock, and all behind the last place we know, without bodies
 *   on_fetched    each becomes a record, in its order among our own
 * When it does not go well:
 *   - nobody has told us: looked at every second all the same
 *   - the session is lost: what is not known of our own appends is found out first
 *     (append.c); then, as at every begin of a session, the tail is read
 *   - we do not lead (any more): another does it
 * It goes through the session that appends: an answer of ours that was on its way is here
 * before the fetch is, so nothing of ours is taken for another's. */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/lead.h"
#include "wal/log_row.h"
#include "wal/record.h"

#define LOOK_MS 1000u
#define PAGE 2000

static struct {
	struct op *fetching;
	bool again; /* asked for while one was under way */
	struct timer look;
} tail;

static const struct pg_statement tail_clock = {"tail_clock",
                                               "SELECT seq FROM chromatid.clock"};

static const struct pg_statement tail_log = {
        "tail_log",
        "SELECT " LOG_ROW_COLUMNS ", coalesce(d.public_id::text, ''), d.tenant,"
        " coalesce(c.public_id::text, ''), c.database, c.name"
        " FROM chromatid.log l"
        " LEFT JOIN chromatid.database d ON l.kind = 20 AND d.id = l.database"
        " LEFT JOIN chromatid.collection c ON c.id = l.collection"
        " WHERE l.seq > $1 ORDER BY l.seq LIMIT $2"};

enum {
	DATABASE_PUBLIC_ID = LOG_ROW_N_COLUMNS,
	DATABASE_TENANT,
	PUBLIC_ID,
	OWN_DATABASE, /* of the collection ... */
	OWN_NAME
};

/* --- objects ----------------------------------------------------------------------- */

/* What nobody holds any more was deleted: a stand-in, which nobody finds. */
static struct database *database_of(const struct pg_results *r, int row, int column)
{
	int64_t id = pg_get_int8(r, 1, row, column);
	struct database *db = catalogue_database_numbered(id);

	return db != NULL ? database_hold(db) : catalogue_gone_database(id, "", "");
}

static struct collection *collection_of(const struct pg_results *r, int row)
{
	int64_t id = pg_get_int8(r, 1, row, LOG_COLLECTION);
	struct collection *c = catalogue_numbered(id);
	struct database *db;

	if (c != NULL)
		return collection_hold(c);
	db = database_of(r, row, OWN_DATABASE);
	c = catalogue_gone_collection(id, db, pg_get_text(r, 1, row, OWN_NAME));
	database_release(&db);
	return c;
}

static const char *text_or_null(const struct pg_results *r, int row, int column)
{
	return pg_is_null(r, 1, row, column) ? NULL : pg_get_text(r, 1, row, column);
}

/* --- taking up --------------------------------------------------------------------- */

static void take_up(const struct pg_results *r, int row)
{
	struct uuid database_id = store_uuid(r, 1, row, DATABASE_PUBLIC_ID);
	struct uuid public_id = store_uuid(r, 1, row, PUBLIC_ID);
	struct wal_write w = {.kind = (enum record_kind)pg_get_int8(r, 1, row, LOG_KIND),
	                      .embeddings = pg_get_bool(r, 1, row, LOG_EMBEDDINGS)};
	struct record *record;

	w.name = w.tenant = text_or_null(r, row, LOG_NAME);
	if (w.kind == RECORD_CREATE_DATABASE)
		w.tenant = text_or_null(r, row, DATABASE_TENANT);
	else if (!pg_is_null(r, 1, row, LOG_DATABASE))
		w.database = database_of(r, row, LOG_DATABASE);
	if (record_makes_collection(w.kind))
		w.public_id = uuid_none(&public_id) ? NULL : &public_id;
	else if (!pg_is_null(r, 1, row, LOG_COLLECTION))
		w.collection = collection_of(r, row);
	record = admit_begin(&w, pg_get_int8(r, 1, row, LOG_SEQ), &database_id);
	log_row_fill(record, r, 1, row);
	record->digested = false; /* its client waits elsewhere: nobody else joins it */
	record->elsewhere = true;
	admit_end(record, &w);
	collection_release(&w.collection);
	database_release(&w.database);
}

static void on_fetched(void *arg, enum status s, const struct pg_results *r)
{
	bool all = s == STATUS_OK && pg_rows(r, 1) < PAGE;

	(void)arg;
	if (s != STATUS_OK) {
		if (s == STATUS_DB_REFUSED)
			log_error("tail", "cannot read the log: %s", pg_message(r));
		return; /* else: when the session is back */
	}
	for (int row = 0; row < pg_rows(r, 1); row++) {
		wal_seq seq = pg_get_int8(r, 1, row, LOG_SEQ);

		if (!append_is_ours(seq)) {
			take_up(r, row);
			append_reached(seq);
		}
	}
	if (all)
		append_reached(pg_get_int8(r, 0, 0, 0));
	append_let_in();
	if (!all || tail.again)
		tail_kick();
}

/* --- when -------------------------------------------------------------------------- */

static void on_look(void *arg)
{
	(void)arg;
	timer_start(&tail.look, LOOK_MS, on_look, NULL);
	tail_kick();
}

void tail_kick(void)
{
	struct pg_unit *unit;

	tail.again = tail.fetching != NULL;
	if (tail.again || !wal_leads() || !append_all_known())
		return;
	unit = pg_unit_create();
	pg_add(unit, &tail_clock, 0, NULL);
	pg_add(unit, &tail_log, 2,
	       (struct pg_param[]){pg_int8(append_last_seq()), pg_int4(PAGE)});
	pg_submit(wal_pg(), unit, on_fetched, NULL, &tail.fetching);
}

void tail_lead(void)
{
	on_look(NULL);
}

void tail_clear(void)
{
	op_cancel(&tail.fetching);
	timer_stop(&tail.look);
	tail.again = false;
}
