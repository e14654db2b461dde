/* wal/append_sql.c - the statements that append: each takes the next place, inserts the
 * record and changes the catalogue with it, in one. Where the catalogue says no (the name
 * is taken, the collection gone) no row comes back, and nothing was done. */
#include <stdlib.h>

#include "wal/append.h"
#include "wal/lead.h"
#include "wal/record.h"

/* --- the statements ---------------------------------------------------------------- */

/* $1 op, $2 kind, $3 collection, $4 database, $5 name, $6 old name, $7 body, $8 length,
 * $9 embeddings, $10 epoch, $11 digest, $12 trace; 0 stands for no collection or
 * database. */
#define INTO_LOG                                                                         \
	" INSERT INTO chromatid.log (seq, op, kind, collection, database, name, "        \
	"old_name,"                                                                      \
	" body, body_len, embeddings, epoch, digest, trace)"                             \
	" SELECT c.seq, $1::uuid, $2, "
#define THE_REST " $5::text, $6::text, $7, $8, $9, $10, $11::bytea, $12::text"
#define GIVEN " nullif($3::bigint, 0), nullif($4::bigint, 0),"
#define TAKE_SEQ "c AS (UPDATE chromatid.clock SET seq = seq + 1"

/* Its collection may have been deleted through another proxy. */
static const struct pg_statement append_plain = {
        "append",
        "WITH " TAKE_SEQ " WHERE $3::bigint = 0 OR EXISTS"
        " (SELECT 1 FROM chromatid.collection WHERE id = $3::bigint"
        "  AND life < 2) RETURNING seq)" INTO_LOG GIVEN THE_REST " FROM c RETURNING seq"};

static const struct pg_statement append_create_collection = {
        "append_create_collection",
        "WITH " TAKE_SEQ " WHERE NOT EXISTS (SELECT 1 FROM chromatid.name n"
        "  WHERE n.database = $4::bigint AND n.name = $5::text)"
        "  AND EXISTS (SELECT 1 FROM chromatid.database d"
        "  WHERE d.id = $4::bigint AND d.life = 1) RETURNING seq),"
        " n AS (INSERT INTO chromatid.name (database, name, collection)"
        "  SELECT $4::bigint, $5::text, c.seq FROM c ON CONFLICT DO NOTHING"
        "  RETURNING collection),"
        " k AS (INSERT INTO chromatid.collection (id, database, name, life, public_id)"
        "  SELECT n.collection, $4::bigint, $5::text, 0, $13::uuid FROM n)" INTO_LOG
        " c.seq, $4::bigint + $3::bigint * 0," THE_REST
        " FROM c, n WHERE n.collection = c.seq RETURNING seq"};

/* $6 says where it is, and under which id: after the slash. Two may not have one id; and
 * what was deleted is not adopted if it should turn up again. */
#define ID_THERE "split_part($6::text, '/', 2)::uuid"

static const struct pg_statement append_adopt_collection = {
        "append_adopt_collection",
        "WITH " TAKE_SEQ " WHERE NOT EXISTS (SELECT 1 FROM chromatid.name n"
        "  WHERE n.database = $4::bigint AND n.name = $5::text)"
        "  AND NOT EXISTS (SELECT 1 FROM chromatid.collection k"
        "  WHERE k.public_id = " ID_THERE ")"
        "  AND NOT EXISTS (SELECT 1 FROM chromatid.binding b"
        "  WHERE b.instance IN (SELECT id FROM chromatid.instance)"
        "  AND b.local_id = " ID_THERE ")"
        "  AND EXISTS (SELECT 1 FROM chromatid.database d"
        "  WHERE d.id = $4::bigint AND d.life = 1) RETURNING seq),"
        " n AS (INSERT INTO chromatid.name (database, name, collection)"
        "  SELECT $4::bigint, $5::text, c.seq FROM c ON CONFLICT DO NOTHING"
        "  RETURNING collection),"
        " k AS (INSERT INTO chromatid.collection (id, database, name, life)"
        "  SELECT n.collection, $4::bigint, $5::text, 0 FROM n)" INTO_LOG
        " c.seq, $4::bigint + $3::bigint * 0," THE_REST
        " FROM c, n WHERE n.collection = c.seq RETURNING seq"};

static const struct pg_statement append_rename = {
        "append_rename",
        "WITH n AS (INSERT INTO chromatid.name (database, name, collection)"
        "  SELECT $4::bigint, $5::text, k.id FROM chromatid.collection k"
        "  WHERE k.id = $3::bigint AND k.life = 1 AND k.next_name IS NULL"
        "  ON CONFLICT DO NOTHING RETURNING collection),"
        " k AS (UPDATE chromatid.collection SET next_name = $5::text FROM n"
        "  WHERE id = n.collection RETURNING id), " TAKE_SEQ
        " WHERE EXISTS (SELECT 1 FROM k) RETURNING seq)" INTO_LOG GIVEN THE_REST
        " FROM c RETURNING seq"};

static const struct pg_statement append_delete_collection = {
        "append_delete_collection",
        "WITH k AS (UPDATE chromatid.collection SET life = 2, updated_at = now()"
        "  WHERE id = $3::bigint AND life = 1 RETURNING id),"
        " n AS (DELETE FROM chromatid.name USING k WHERE collection = k.id), " TAKE_SEQ
        " WHERE EXISTS (SELECT 1 FROM k) RETURNING seq)" INTO_LOG GIVEN THE_REST
        " FROM c RETURNING seq"};

/* $3 is not used as an id here but must have a type. */
/* A reset (40) that is not decided is about to bring the default one back. */
static const struct pg_statement append_create_database = {
        "append_create_database",
        "WITH " TAKE_SEQ " WHERE NOT EXISTS (SELECT 1 FROM chromatid.database d"
        "  WHERE d.tenant = $14::text AND d.name = $5::text AND d.life < 2)"
        " AND NOT ($14::text = '" TENANT_DEFAULT "' AND $5::text = '" DATABASE_DEFAULT
        "' AND EXISTS (SELECT 1 FROM chromatid.log l WHERE l.kind = 40"
        "  AND l.seq > " LOG_FLOOR " AND NOT EXISTS"
        "  (SELECT 1 FROM chromatid.outcome o WHERE o.seq = l.seq))) RETURNING seq),"
        " k AS (INSERT INTO chromatid.database (id, public_id, tenant, name, life)"
        "  SELECT c.seq, $13::uuid, $14::text, $5::text, 0 FROM c"
        "  ON CONFLICT DO NOTHING RETURNING id)" INTO_LOG
        " nullif($3::bigint, 0), c.seq + $4::bigint * 0," THE_REST
        " FROM c, k RETURNING seq"};

static const struct pg_statement append_delete_database = {
        "append_delete_database",
        "WITH d AS (UPDATE chromatid.database SET life = 2"
        "  WHERE id = $4::bigint AND life = 1 RETURNING id),"
        " k AS (UPDATE chromatid.collection SET life = 2, updated_at = now() FROM d"
        "  WHERE database = d.id AND life < 2),"
        " n AS (DELETE FROM chromatid.name USING d WHERE database = d.id), " TAKE_SEQ
        " WHERE EXISTS (SELECT 1 FROM d) RETURNING seq)" INTO_LOG GIVEN THE_REST
        " FROM c RETURNING seq"};

static const struct pg_statement append_create_tenant = {
        "append_create_tenant",
        "WITH " TAKE_SEQ " WHERE NOT EXISTS (SELECT 1 FROM chromatid.tenant t"
        "  WHERE t.name = $5::text) RETURNING seq),"
        " k AS (INSERT INTO chromatid.tenant (name, created_seq) SELECT $5::text, c.seq"
        "  FROM c ON CONFLICT DO NOTHING RETURNING created_seq)" INTO_LOG GIVEN THE_REST
        " FROM c, k RETURNING seq"};

static const struct pg_statement *statement_for(const struct wal_write *w)
{
	switch (w->kind) {
	case RECORD_CREATE_COLLECTION:
		return &append_create_collection;
	case RECORD_ADOPT_COLLECTION:
		return &append_adopt_collection;
	case RECORD_MODIFY_COLLECTION:
		return w->name != NULL ? &append_rename : &append_plain;
	case RECORD_DELETE_COLLECTION:
		return &append_delete_collection;
	case RECORD_CREATE_DATABASE:
		return &append_create_database;
	case RECORD_DELETE_DATABASE:
		return &append_delete_database;
	case RECORD_CREATE_TENANT:
		return &append_create_tenant;
	default:
		return &append_plain;
	}
}

void append_sql_add(struct pg_unit *unit, const struct wal_write *w,
                    const struct uuid *op, const struct uuid *public_id,
                    const struct digest *digest)
{
	const struct database *db =
	        w->collection != NULL ? w->collection->db : w->database;
	bool rename = w->collection != NULL && w->kind == RECORD_MODIFY_COLLECTION &&
	              w->name != NULL;
	bool database = w->kind == RECORD_CREATE_DATABASE;
	int n = database ? 14 : w->kind == RECORD_CREATE_COLLECTION ? 13 : 12;
	char trace[TRACE_BYTES];
	char *origin = w->origin != NULL ? record_origin_text(w->origin) : NULL;
	struct pg_param params[] = {
	        pg_text(op->text),
	        pg_int4((int)w->kind),
	        pg_int8(w->collection != NULL ? w->collection->id : 0),
	        pg_int8(db != NULL ? db->id : 0),
	        pg_text(w->kind == RECORD_CREATE_TENANT ? w->tenant : w->name),
	        pg_text(rename ? w->collection->name : origin),
	        w->body != NULL ? pg_bytes(blob_bytes(w->body), blob_len(w->body))
	                        : pg_null(),
	        pg_int4((int)blob_len(w->body)),
	        pg_bool(w->embeddings),
	        pg_int8(lease_epoch()),
	        digest != NULL ? pg_bytes(digest->bytes, DIGEST_LEN) : pg_null(),
	        w->trace != NULL ? pg_text(trace_text(w->trace, trace)) : pg_null(),
	        pg_text(database || w->public_id != NULL ? public_id->text : NULL),
	        pg_text(w->tenant),
	};

	pg_add(unit, statement_for(w), n, params);
	free(origin);
}
