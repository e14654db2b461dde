/* wal/standing.c - may an instance be read, at a proxy that does not lead?
 *
 * The leader answers a client before the position is durable, so PostgreSQL cannot say
 * what was answered; but it has every record before it is executed. So what an instance
 * must have passed is the last record of the collection that was in the log when a look
 * began (mirror.c): a little more than the leader asks for, milliseconds more. */
#include <string.h>

#include "wal/mirror.h"

#define IN_FIRST " = ANY (string_to_array($1::text, ',')::bigint[])"
#define IN_SECOND " = ANY (string_to_array($2::text, ',')::bigint[])"

/* Positions of item writes are the collection's; of what changes it the database's, or,
 * where it stood apart, the collection's (recover.c). */
static const struct pg_statement standing_collections = {
        "standing_collections",
        "SELECT c.id, i.id, coalesce(b.local_id::text, ''),"
        " greatest(p.seq, i.floor), greatest(p.seq, d.seq, i.floor), i.detached, q.cause,"
        " u.instance IS NOT NULL"
        " FROM (SELECT id, database FROM chromatid.collection"
        "  WHERE life < 2 AND id" IN_FIRST " UNION"
        "  SELECT id, database FROM chromatid.collection"
        "  WHERE life < 2 AND database" IN_SECOND ") c CROSS JOIN chromatid.instance i"
        " LEFT JOIN chromatid.binding b ON b.collection = c.id AND b.instance = i.id"
        " LEFT JOIN chromatid.position p ON p.instance = i.id AND p.scope = c.id"
        " LEFT JOIN chromatid.position d ON d.instance = i.id AND d.scope = c.database"
        " LEFT JOIN chromatid.quarantine q ON q.instance = i.id AND q.collection = c.id"
        " LEFT JOIN chromatid.unproven u ON u.instance = i.id AND u.collection = c.id"};

enum { ID, INSTANCE, LOCAL, ITEMS, CHANGES, DETACHED, CAUSE, UNPROVEN };

/* A database itself is made under the scope of everything (0). */
static const struct pg_statement standing_databases = {
        "standing_databases",
        "SELECT d.id, i.id, greatest(p.seq, i.floor), greatest(a.seq, i.floor),"
        " i.detached FROM chromatid.database d CROSS JOIN chromatid.instance i"
        " LEFT JOIN chromatid.position p ON p.instance = i.id AND p.scope = d.id"
        " LEFT JOIN chromatid.position a ON a.instance = i.id AND a.scope = 0"
        " WHERE d.id" IN_FIRST};

enum { D_ID, D_INSTANCE, D_CHANGES, D_MADE, D_DETACHED };

void standing_add(struct pg_unit *unit, const char *collections, const char *databases)
{
	pg_add(unit, &standing_collections, 2,
	       (struct pg_param[]){pg_text(collections), pg_text(databases)});
	pg_add(unit, &standing_databases, 1, (struct pg_param[]){pg_text(databases)});
}

static void begin(struct standing *s)
{
	if (s->round == mirror_round())
		return;
	s->round = mirror_round();
	s->current = s->readable = s->holds = s->unproven = 0;
	memset(s->behind, 0, sizeof(s->behind));
}

static uint64_t lacks(wal_seq wanted, wal_seq has)
{
	return wanted > has ? (uint64_t)(wanted - has) : 0;
}

/* Made anew there, it has another id. */
static void take_id(struct collection *c, unsigned i, const struct uuid *local)
{
	int64_t updated_ms = c->updated_ms;

	if (uuid_compare(&c->local[i], local) == 0)
		return;
	collection_bind(c, i, local);
	c->updated_ms = updated_ms;
}

static void found_collection(struct collection *c, unsigned i, const struct pg_results *r,
                             int at, int row)
{
	const char *text = pg_get_text(r, at, row, LOCAL);
	struct standing *s = &c->standing;
	bool parked = !pg_is_null(r, at, row, CAUSE);
	struct uuid local;

	if (!uuid_parse(text, strlen(text), &local))
		return;
	take_id(c, i, &local);
	if (!parked || pg_get_int8(r, at, row, CAUSE) != QUARANTINE_LOST)
		s->holds |= 1u << i;
	if (parked || pg_get_bool(r, at, row, DETACHED))
		return;
	s->readable |= 1u << i;
	s->unproven |= (unsigned)pg_get_bool(r, at, row, UNPROVEN) << i;
	s->behind[i] = lacks(s->items, pg_get_int8(r, at, row, ITEMS)) +
	               lacks(s->changes, pg_get_int8(r, at, row, CHANGES));
	if (s->behind[i] == 0 && !mirror_resets())
		s->current |= 1u << i;
}

static void found_database(struct database *db, unsigned i, const struct pg_results *r,
                           int at, int row)
{
	struct standing *s = &db->standing;

	if (pg_get_bool(r, at, row, D_DETACHED))
		return;
	if (pg_get_int8(r, at, row, D_CHANGES) >= s->changes &&
	    (db->id == DATABASE_DEFAULT_ID ||
	     pg_get_int8(r, at, row, D_MADE) >= db->id) &&
	    !mirror_resets())
		s->current |= 1u << i;
}

bool standing_gives_way(const struct collection *c, unsigned i)
{
	const struct standing *s = &c->standing;
	unsigned proven = s->current & ~s->unproven;

	if ((s->unproven >> i & 1) == 0)
		return false;
	for (unsigned j = 0; j < health_count(); j++)
		if ((proven >> j & 1) != 0 && instance_up(health_instance(j)))
			return true;
	return false;
}

void standing_found(const struct pg_results *r, int at)
{
	for (int row = 0; row < pg_rows(r, at); row++) {
		struct collection *c = catalogue_numbered(pg_get_int8(r, at, row, ID));
		int i = store_instance_index(pg_get_int8(r, at, row, INSTANCE));

		if (c != NULL)
			begin(&c->standing);
		if (c != NULL && i >= 0)
			found_collection(c, (unsigned)i, r, at, row);
	}
	for (int row = 0; row < pg_rows(r, at + 1); row++) {
		struct database *db =
		        catalogue_database_numbered(pg_get_int8(r, at + 1, row, D_ID));
		int i = store_instance_index(pg_get_int8(r, at + 1, row, D_INSTANCE));

		if (db != NULL)
			begin(&db->standing);
		if (db != NULL && i >= 0)
			found_database(db, (unsigned)i, r, at + 1, row);
	}
}
