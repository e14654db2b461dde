/* wal/mirror.c - the catalogue at a proxy that does not lead.
 *
 * It is as PostgreSQL has it, and PostgreSQL has everything a client may have been told
 * of: what is created or deleted is durable before its client hears of it. So a request
 * that needs the catalogue waits for a look at PostgreSQL that begins after it has come;
 * all that come within one turn of the loop share one. A look reads what the log has got
 * since the last one, and with what was created, changed or deleted there how that is by
 * now; and how the collections that were asked for stand at the instances (standing.c).
 *
 * The happy path:
 *   mirror_start   another leads: load the catalogue, its markers, the last places
 *   on_loaded      it is here: this proxy follows
 *   mirror_ask     a request: it rides with the next look
 *   on_looked      what the look has found is put into the catalogue; those who ride go
 * on When it does not go well:
 *   - something that was created, renamed or reset is not decided yet: it is read again
 *     with each look, until it is
 *   - a reset was decided, or there was no look for so long that the log may have been
 * cut: load again
 *   - the leader is of an older version, which does not execute what others append, or
 * does not know yet what the instances hold (strangers.c): wait
 *   - PostgreSQL is away: those who ride hear so
 *   - this proxy is to lead: everything here goes, and is loaded with what a leader needs
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/mirror.h"
#include "wal/record.h"
#include "wal/shown.h"

#define LOOK_MS 1000u     /* when nobody asks */
#define UNDECIDED_MS 100u /* while something is not decided */
#define AGAIN_MS 500u     /* after a failure */
#define STALE_MS 60000u   /* no look for so long: what is not in the log any more? */
#define PAGE 2000

struct ask {
	struct op op;
	wal_refreshed_fn *done;
	void *arg;
	enum status status;
	struct collection *collection; /* held; or NULL */
	struct database *database;     /* all of it; held; or NULL */
	TAILQ_ENTRY(ask) link;
};

TAILQ_HEAD(ask_list, ask);

static struct {
	enum { OFF, LOADING, ON } state;
	wal_seq last; /* everything up to here was seen */
	uint64_t round;
	struct ask_list waiting, riding;
	struct op *pending;
	struct timer timer; /* the next look, or load */
	msec looked;        /* when the last look that was answered had begun */
	msec began;         /* that one */
	msec cared;       /* ... and the last that asked who leads, and for the markers */
	bool cares, asks; /* what the one under way asks, beside the log */
	struct table undecided; /* seq as text -> the mirror itself */
	bool resetting;
} mirror;

bool wal_follows(void)
{
	return mirror.state == ON;
}

uint64_t mirror_round(void)
{
	return mirror.round;
}

bool mirror_resets(void)
{
	return mirror.resetting;
}

/* --- those who ask ----------------------------------------------------------------- */

static void deliver(struct op *op)
{
	struct ask *a = (struct ask *)op;

	a->done(a->arg, a->status);
}

static void release(struct op *op)
{
	struct ask *a = (struct ask *)op;

	collection_release(&a->collection);
	database_release(&a->database);
	free(a);
}

/* It rides on, unwanted. */
static void abandon(struct op *op)
{
	(void)op;
}

static void end_all(struct ask_list *list, enum status s)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, a, link);
		a->status = s;
		op_end(&a->op);
	}
}

static void end_everybody(enum status s)
{
	end_all(&mirror.riding, s);
	end_all(&mirror.waiting, s);
}

static void look(void *arg);

void wal_refresh(struct collection *c, struct database *db, wal_refreshed_fn *done,
                 void *arg, struct op **slot)
{
	struct ask *a = mem_new(struct ask);

	a->op.deliver = deliver;
	a->op.release = release;
	a->op.abandon = abandon;
	a->done = done;
	a->arg = arg;
	a->collection = collection_hold(c);
	a->database = database_hold(db);
	op_begin(&a->op, slot);
	if (mirror.state != ON) {
		a->status = STATUS_DEPOSED;
		op_end(&a->op);
		return;
	}
	TAILQ_INSERT_TAIL(&mirror.waiting, a, link);
	if (mirror.pending == NULL)
		timer_start(&mirror.timer, 0, look, NULL);
}

/* --- what is not decided yet -------------------------------------------------------- */

static void note_undecided(wal_seq seq, bool undecided)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)seq);
	if (undecided)
		table_put(&mirror.undecided, key, &mirror);
	else
		table_remove(&mirror.undecided, key);
}

static char *undecided_list(void)
{
	const struct table_entry *entry = NULL;
	struct text list = {0};
	size_t bucket = 0;

	while (table_next(&mirror.undecided, &bucket, &entry) != NULL)
		text_addf(&list, "%s%s", list.len > 0 ? "," : "", table_key(entry));
	text_adds(&list, "");
	return text_detach(&list);
}

/* --- a look ------------------------------------------------------------------------ */

#define FROM_LOG " SELECT seq, kind, collection, database, name FROM chromatid.log"

static const struct pg_statement mirror_tail = {
        "mirror_tail",
        "SELECT t.seq, t.kind, coalesce(t.collection, 0), coalesce(t.database, 0),"
        " coalesce(t.name, ''), o.decision, n.name IS NOT NULL,"
        " " STORE_DATABASE_COLUMNS ", " STORE_COLLECTION_COLUMNS " FROM ((" FROM_LOG
        " WHERE seq > $1 ORDER BY seq LIMIT $2) UNION ALL" FROM_LOG
        "  WHERE seq = ANY (string_to_array($3::text, ',')::bigint[])) t"
        " LEFT JOIN chromatid.outcome o ON t.kind >= 10 AND o.seq = t.seq"
        " LEFT JOIN chromatid.tenant n ON t.kind = 30 AND n.name = t.name"
        " LEFT JOIN chromatid.database d ON t.kind >= 10 AND d.id = t.database"
        " LEFT JOIN chromatid.collection c ON t.kind >= 10 AND c.id = t.collection"
        " ORDER BY t.seq"};

enum { SEQ, KIND, COLLECTION, DATABASE, NAME, DECISION, TENANT_IS_THERE, DATABASE_AT };
#define COLLECTION_AT (DATABASE_AT + STORE_N_DATABASE_COLUMNS)

/* Who leads, and does it execute what others append? */
static const struct pg_statement mirror_leader = {
        "mirror_leader", "SELECT tails IS NOT DISTINCT FROM epoch FROM chromatid.lease"};

static bool is_change(const struct pg_results *r, int row)
{
	return pg_get_int8(r, 0, row, KIND) >= RECORD_CREATE_COLLECTION;
}

/* Its last places: what an instance must have passed to show all of it. */
static void note_place(const struct pg_results *r, int row)
{
	struct collection *c = catalogue_numbered(pg_get_int8(r, 0, row, COLLECTION));
	struct database *db;
	wal_seq seq = pg_get_int8(r, 0, row, SEQ);

	if (c == NULL)
		return;
	db = c->db;
	if (!is_change(r, row) && c->standing.items < seq)
		c->standing.items = seq;
	if (is_change(r, row) && c->standing.changes < seq)
		c->standing.changes = seq;
	if (is_change(r, row) && db->standing.changes < seq)
		db->standing.changes = seq;
}

static void follow_tenant(const struct pg_results *r, int row)
{
	const char *name = pg_get_text(r, 0, row, NAME);

	if (pg_get_bool(r, 0, row, TENANT_IS_THERE))
		catalogue_add_tenant(name, pg_get_int8(r, 0, row, SEQ));
	else
		catalogue_remove_tenant(name);
}

static void follow_change(const struct pg_results *r, int row)
{
	enum record_kind kind = (enum record_kind)pg_get_int8(r, 0, row, KIND);
	bool undecided = pg_is_null(r, 0, row, DECISION);

	note_undecided(pg_get_int8(r, 0, row, SEQ), undecided);
	if (kind == RECORD_CREATE_TENANT)
		follow_tenant(r, row);
	store_follow_database(r, 0, row, DATABASE_AT);
	store_follow_collection(r, 0, row, COLLECTION_AT);
	if (kind == RECORD_RESET)
		mirror.resetting = undecided;
}

/* True: everything is other now. */
static bool was_reset(const struct pg_results *r)
{
	for (int row = 0; row < pg_rows(r, 0); row++)
		if (pg_get_int8(r, 0, row, KIND) == RECORD_RESET &&
		    pg_get_int8(r, 0, row, DECISION) == DECISION_ACCEPTED)
			return true;
	return false;
}

static void follow(const struct pg_results *r)
{
	for (int row = 0; row < pg_rows(r, 0); row++)
		if (is_change(r, row))
			store_follow_names(r, 0, row, COLLECTION_AT);
	for (int row = 0; row < pg_rows(r, 0); row++) {
		wal_seq seq = pg_get_int8(r, 0, row, SEQ);

		if (is_change(r, row))
			follow_change(r, row);
		note_place(r, row);
		if (mirror.last < seq)
			mirror.last = seq;
	}
}

static void load_again(const char *why);

static void rest(msec wait)
{
	timer_start(&mirror.timer, wait, look, NULL);
}

static void look_again_later(void)
{
	if (!TAILQ_EMPTY(&mirror.waiting))
		look(NULL);
	else
		rest(mirror.undecided.count > 0 ? UNDECIDED_MS : LOOK_MS);
}

static void on_looked(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s != STATUS_OK) {
		if (s == STATUS_DB_REFUSED)
			log_error("mirror", "cannot look at the log: %s", pg_message(r));
		end_everybody(STATUS_LOG_UNAVAILABLE);
		rest(AGAIN_MS);
	} else if (was_reset(r)) {
		load_again("everything was reset");
	} else if (mirror.cares && !pg_get_bool(r, 1, 0, 0)) {
		load_again("the leader is of an older version");
	} else {
		mirror.looked = mirror.began;
		follow(r);
		if (pg_rows(r, 0) >= PAGE) { /* there is more, for the same ones */
			look(NULL);
			return;
		}
		if (mirror.cares) {
			identity_followed(r, 2);
			shown_looked(r, 3, mirror.began);
		}
		if (mirror.asks)
			standing_found(r, mirror.cares ? 3 + WAL_SHOWN_PARTS : 1);
		/* some instance may show it already */
		end_all(&mirror.riding,
		        mirror.resetting ? STATUS_LOG_UNAVAILABLE : STATUS_OK);
		look_again_later();
	}
}

/* What may be a second old. */
static void add_care(struct pg_unit *unit)
{
	mirror.cares = mirror.began - mirror.cared >= LOOK_MS;
	if (!mirror.cares)
		return;
	mirror.cared = mirror.began;
	pg_add(unit, &mirror_leader, 0, NULL);
	identity_add_follow(unit);
	shown_add_look(unit);
}

static void add_asked(struct pg_unit *unit)
{
	struct text collections = {0}, databases = {0};
	const struct ask *a;

	TAILQ_FOREACH (a, &mirror.riding, link) {
		if (a->collection != NULL)
			text_addf(&collections, "%s%lld", collections.len > 0 ? "," : "",
			          (long long)a->collection->id);
		if (a->database != NULL)
			text_addf(&databases, "%s%lld", databases.len > 0 ? "," : "",
			          (long long)a->database->id);
	}
	mirror.asks = collections.len > 0 || databases.len > 0;
	if (mirror.asks)
		standing_add(unit, text_string(&collections), text_string(&databases));
	text_clear(&collections);
	text_clear(&databases);
}

static void ask(void)
{
	struct pg_unit *unit = pg_unit_create();
	char *undecided = undecided_list();

	pg_add(unit, &mirror_tail, 3,
	       (struct pg_param[]){pg_int8(mirror.last), pg_int4(PAGE),
	                           pg_text(undecided)});
	free(undecided);
	add_care(unit);
	add_asked(unit);
	pg_submit(wal_reader(), unit, on_looked, NULL, &mirror.pending);
}

static void look(void *arg)
{
	(void)arg;
	timer_stop(&mirror.timer);
	mirror.began = clock_ms();
	mirror.round++;
	TAILQ_CONCAT(&mirror.riding, &mirror.waiting, link);
	if (mirror.began - mirror.looked > STALE_MS)
		load_again("there was no look at the log for long");
	else
		ask();
}

/* --- loading ----------------------------------------------------------------------- */

static const struct pg_statement mirror_clock = {
        "mirror_clock",
        "SELECT k.seq, l.tails IS NOT DISTINCT FROM l.epoch AND NOT a.open"
        " FROM chromatid.clock k, chromatid.lease l, chromatid.adoption a"};

static const struct pg_statement mirror_instances = {
        "mirror_instances", "SELECT id, name FROM chromatid.instance"};

/* Nothing below the floor of all instances is anybody's last place that matters. */
static const struct pg_statement mirror_places = {
        "mirror_places",
        "SELECT collection, coalesce(max(seq) FILTER (WHERE kind < 10), 0),"
        " coalesce(max(seq) FILTER (WHERE kind >= 10), 0) FROM chromatid.log"
        " WHERE collection IS NOT NULL AND seq > " LOG_FLOOR " GROUP BY collection"};

static const struct pg_statement mirror_undecided = {
        "mirror_undecided", "SELECT l.seq, l.kind FROM chromatid.log l"
                            " WHERE l.kind >= 10 AND l.seq > " LOG_FLOOR
                            " AND NOT EXISTS (SELECT 1 FROM chromatid.outcome o"
                            "  WHERE o.seq = l.seq)"};

enum { AT_CLOCK, AT_INSTANCES, AT_STORE };
#define AT_PLACES (AT_STORE + STORE_LOAD_STATEMENTS)
#define AT_UNDECIDED (AT_PLACES + 1)
#define AT_IDENTITY (AT_PLACES + 2)

/* Those of ours that the leader has not noted: its settings are others. */
static bool load_instances(const struct pg_results *r)
{
	for (unsigned i = 0; i < health_count(); i++) {
		const char *name = instance_name(health_instance(i));
		bool found = false;

		for (int row = 0; row < pg_rows(r, AT_INSTANCES) && !found; row++) {
			found = strcmp(pg_get_text(r, AT_INSTANCES, row, 1), name) == 0;
			if (found)
				store_set_instance_id(
				        i, (int)pg_get_int8(r, AT_INSTANCES, row, 0));
		}
		if (!found)
			return false;
	}
	return true;
}

static void load_places(const struct pg_results *r)
{
	for (int row = 0; row < pg_rows(r, AT_PLACES); row++) {
		struct collection *c =
		        catalogue_numbered(pg_get_int8(r, AT_PLACES, row, 0));

		if (c == NULL)
			continue;
		c->standing.items = pg_get_int8(r, AT_PLACES, row, 1);
		c->standing.changes = pg_get_int8(r, AT_PLACES, row, 2);
		if (c->db->standing.changes < c->standing.changes)
			c->db->standing.changes = c->standing.changes;
	}
	for (int row = 0; row < pg_rows(r, AT_UNDECIDED); row++) {
		note_undecided(pg_get_int8(r, AT_UNDECIDED, row, 0), true);
		mirror.resetting |= pg_get_int8(r, AT_UNDECIDED, row, 1) == RECORD_RESET;
	}
}

static void load(void *arg);

static void on_loaded(void *arg, enum status s, const struct pg_results *r)
{
	struct store_load found = {0};

	(void)arg;
	if (s == STATUS_DB_REFUSED)
		log_error("mirror", "cannot load the catalogue: %s", pg_message(r));
	if (s != STATUS_OK || !pg_get_bool(r, AT_CLOCK, 0, 1) || !load_instances(r)) {
		timer_start(&mirror.timer, AGAIN_MS, load, NULL);
		return;
	}
	mirror.last = pg_get_int8(r, AT_CLOCK, 0, 0);
	store_loaded(&found, r, AT_STORE);
	store_load_clear(&found);
	load_places(r);
	identity_loaded(r, AT_IDENTITY);
	identity_judge();
	mirror.state = ON;
	mirror.looked = mirror.began;
	log_info("mirror", "another proxy leads; following it, with %u collections",
	         catalogue_count(NULL).live);
	rest(0);
}

static void load(void *arg)
{
	struct pg_unit *unit = pg_unit_create();

	(void)arg;
	mirror.began = clock_ms();
	pg_add(unit, &mirror_clock, 0, NULL); /* first: what follows is not older */
	pg_add(unit, &mirror_instances, 0, NULL);
	store_add_load(unit, INT64_MAX);
	pg_add(unit, &mirror_places, 0, NULL);
	pg_add(unit, &mirror_undecided, 0, NULL);
	identity_add_load(unit);
	pg_submit(wal_reader(), unit, on_loaded, NULL, &mirror.pending);
}

static void forget(void)
{
	op_cancel(&mirror.pending);
	timer_stop(&mirror.timer);
	table_clear(&mirror.undecided);
	mirror.resetting = false;
	identity_clear();
	shown_forget();
	catalogue_clear();
}

/* Those who ask are told to look again who leads, and wait for that. */
static void load_again(const char *why)
{
	log_info("mirror", "loading again: %s", why);
	forget();
	mirror.state = LOADING;
	end_everybody(STATUS_DEPOSED);
	timer_start(&mirror.timer, 0, load, NULL);
}

/* --- its life ---------------------------------------------------------------------- */

void mirror_start(void)
{
	if (mirror.state != OFF)
		return;
	TAILQ_INIT(&mirror.waiting);
	TAILQ_INIT(&mirror.riding);
	mirror.state = LOADING;
	load(NULL);
}

void mirror_kick(void)
{
	if (mirror.state == ON && mirror.pending == NULL && mirror.undecided.count > 0)
		look(NULL);
}

void mirror_stop(void)
{
	if (mirror.state == OFF)
		return;
	forget();
	mirror.state = OFF;
	end_everybody(STATUS_DEPOSED);
}
