/* wal/schema_operator.c - the log for the eyes of operators, and for scripts of the
 * system this one replaces: views, whose values follow from positions.
 *
 *	chromatid.entry        each record, with what has become of it, at each instance
 *	chromatid.mapping      which collection has which id on the first two instances
 *
 * And for older scripts, in public, if we may create something there and nothing of that
 * name is there already: collection_id_mapping, where a DELETE is a wish (wal/wish.c);
 * unified_wal_writes, where it does nothing.
 *
 * An instance counts as long as it is in the settings (place) and not detached. */
#include "wal/lead.h"

/* Its creating record carries no mark of its own in older logs. */
#define COLLECTION_OF                                                                    \
	"c.id = coalesce(l.collection, CASE WHEN l.kind IN (10, 13) THEN l.seq END)"

/* What changes a collection is not done by the position of its database from where it
 * stands apart in quarantine: `apart` says where that is found. */
#define ENTRY(apart)                                                                     \
	"CREATE OR REPLACE VIEW chromatid.entry AS SELECT l.seq, l.op, l.kind, l.at, "   \
	"l.body_len,"                                                                    \
	" chromatid.write_method(l.kind) AS method,"                                     \
	" coalesce(chromatid.write_path(l.kind, d.tenant, d.name, c.name, c.public_id)," \
	"  '') AS path,"                                                                 \
	" chromatid.write_operation(l.kind) AS operation,"                               \
	" d.tenant, d.name AS database, c.name AS collection,"                           \
	" c.public_id AS collection_id, o.http, o.at AS decided_at,"                     \
	" coalesce(o.late, false) AS late,"                                              \
	" CASE WHEN o.decision > 0 THEN o.decision::int"                                 \
	"  WHEN t.n_done > 0 AND l.kind < 10 THEN 1 ELSE 0 END AS decision,"             \
	" (SELECT name FROM chromatid.instance WHERE id = o.instance) AS decided_by,"    \
	" t.done, t.lacking, t.quarantined, t.error, t.attempts, t.instances"            \
	" FROM chromatid.log l"                                                          \
	" LEFT JOIN chromatid.outcome o ON o.seq = l.seq"                                \
	" LEFT JOIN chromatid.collection c ON " COLLECTION_OF                            \
	" LEFT JOIN chromatid.database d ON d.id = coalesce(l.database, c.database)"     \
	" CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE x.done) AS n_done,"          \
	"  coalesce(array_agg(x.name ORDER BY x.place) FILTER (WHERE x.done), '{}')"     \
	"   AS done,"                                                                    \
	"  coalesce(array_agg(x.name ORDER BY x.place) FILTER (WHERE NOT x.done), '{}')" \
	"   AS lacking,"                                                                 \
	"  coalesce(array_agg(x.name ORDER BY x.place) FILTER (WHERE x.cause > 0), "     \
	"'{}')"                                                                          \
	"   AS quarantined,"                                                             \
	"  max(x.error) FILTER (WHERE x.cause > 0) AS error,"                            \
	"  coalesce(max(x.attempts) FILTER (WHERE x.cause > 0), 0) AS attempts,"         \
	"  coalesce(json_object_agg(x.name, json_build_object('state', CASE"             \
	"   WHEN x.done AND o.decision > 1 AND o.instance = x.id THEN 'refused'"         \
	"   WHEN x.done AND o.decision IN (2, 4) THEN 'passed'"                          \
	"   WHEN x.done THEN 'done' WHEN x.cause > 0 THEN 'quarantined'"                 \
	"   ELSE 'pending' END, 'attempts', CASE WHEN x.cause > 0 THEN x.attempts"       \
	"   ELSE 0 END, 'error', CASE WHEN x.cause > 0 THEN x.error END)), '{}')"        \
	"   AS instances FROM (SELECT y.*, CASE WHEN NOT y.done AND l.seq >= y.begun"    \
	"    THEN y.why END AS cause FROM (SELECT i.id, i.place, i.name,"                \
	"    l.seq <= i.floor OR coalesce(own.seq >= l.seq, false) OR"                   \
	"    coalesce(first.seq >= l.seq AND NOT (l.kind IN (10, 11, 13)"                \
	"     AND q.seq IS NOT NULL AND l.seq >= " apart "), false) AS done,"            \
	"    q.seq AS begun, q.cause AS why, q.error, q.attempts"                        \
	"    FROM chromatid.instance i"                                                  \
	"    LEFT JOIN chromatid.position own ON own.instance = i.id"                    \
	"     AND own.scope = c.id"                                                      \
	"    LEFT JOIN chromatid.position first ON first.instance = i.id"                \
	"     AND first.scope = CASE WHEN l.kind < 10 THEN c.id WHEN l.kind < 20"        \
	"     THEN c.database ELSE 0 END"                                                \
	"    LEFT JOIN chromatid.quarantine q ON q.instance = i.id"                      \
	"     AND q.collection = c.id"                                                   \
	"    WHERE i.place IS NOT NULL AND NOT i.detached) y) x) t"

const char *const operator_schema[] = {
        /* Taken out by hand: wal/override.c. Where in the settings: wal/recover.c. */
        "ALTER TABLE chromatid.instance ADD COLUMN place smallint,"
        " ADD COLUMN out_since timestamptz, ADD COLUMN out_until timestamptz,"
        " ADD COLUMN out_by text",
        "UPDATE chromatid.instance SET place = id - 1",
        /* Nobody waited for the answer any more. */
        "ALTER TABLE chromatid.outcome ADD COLUMN late boolean NOT NULL DEFAULT false",
        "CREATE INDEX outcome_given_up ON chromatid.outcome (seq) WHERE decision = 4",
        /* What somebody wants by SQL: wal/wish.c. */
        "CREATE TABLE chromatid.wish ("
        " id bigserial PRIMARY KEY, collection bigint NOT NULL,"
        " by text NOT NULL DEFAULT session_user, at timestamptz NOT NULL DEFAULT now())",
        "CREATE FUNCTION chromatid.write_method(kind int) RETURNS text LANGUAGE sql"
        " IMMUTABLE AS $$ SELECT CASE WHEN kind = 11 THEN 'PUT'"
        "  WHEN kind IN (12, 21) THEN 'DELETE' ELSE 'POST' END $$",
        "CREATE FUNCTION chromatid.write_operation(kind int) RETURNS text LANGUAGE sql"
        " IMMUTABLE AS $$ SELECT CASE kind WHEN 1 THEN 'add' WHEN 2 THEN 'upsert'"
        "  WHEN 3 THEN 'update' WHEN 4 THEN 'delete' WHEN 5 THEN 'delete_where'"
        "  WHEN 10 THEN 'create_collection' WHEN 11 THEN 'modify_collection'"
        "  WHEN 12 THEN 'delete_collection' WHEN 13 THEN 'adopt_collection'"
        "  WHEN 20 THEN 'create_database' WHEN 21 THEN 'delete_database'"
        "  WHEN 30 THEN 'create_tenant' WHEN 40 THEN 'reset' END $$",
        "CREATE FUNCTION chromatid.write_state(decision int, lacking int, parked int)"
        " RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE"
        "  WHEN decision = 0 THEN 'pending' WHEN decision > 1 THEN 'failed'"
        "  WHEN parked > 0 THEN 'quarantined' WHEN lacking > 0 THEN 'executed'"
        "  ELSE 'synced' END $$",
        "CREATE FUNCTION chromatid.write_path(kind int, tenant text, database text,"
        " collection text, id uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$"
        " SELECT CASE kind WHEN 13 THEN '/admin/adopt' WHEN 30 THEN '/api/v2/tenants'"
        "  WHEN 40 THEN '/api/v2/reset' ELSE '/api/v2/tenants/' || tenant ||"
        "  '/databases' END || CASE WHEN kind < 13 OR kind = 21 THEN '/' || database"
        "  ELSE '' END || CASE WHEN kind < 13 THEN '/collections' ELSE '' END ||"
        "  CASE WHEN kind < 10 OR kind = 11 THEN '/' || id"
        "  WHEN kind = 12 THEN '/' || collection ELSE '' END ||"
        "  CASE kind WHEN 1 THEN '/add' WHEN 2 THEN '/upsert' WHEN 3 THEN '/update'"
        "  WHEN 4 THEN '/delete' WHEN 5 THEN '/delete' ELSE '' END $$",
        ENTRY("q.seq"),
        "CREATE VIEW chromatid.mapping AS SELECT c.id, c.name AS collection_name,"
        " p.local_id AS primary_collection_id, r.local_id AS replica_collection_id,"
        " c.created_at, c.updated_at FROM chromatid.collection c"
        " LEFT JOIN chromatid.binding p ON p.collection = c.id AND p.instance ="
        "  (SELECT id FROM chromatid.instance WHERE place = 0)"
        " LEFT JOIN chromatid.binding r ON r.collection = c.id AND r.instance ="
        "  (SELECT id FROM chromatid.instance WHERE place = 1)"
        " WHERE c.life = 1",
        "CREATE FUNCTION chromatid.mapping_delete() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN INSERT INTO chromatid.wish (collection)"
        "  SELECT m.id FROM chromatid.mapping m WHERE m.collection_name ="
        "   OLD.collection_name AND m.primary_collection_id IS NOT DISTINCT FROM"
        "   OLD.primary_collection_id AND m.replica_collection_id IS NOT DISTINCT FROM"
        "   OLD.replica_collection_id AND m.created_at = OLD.created_at;"
        " RETURN OLD; END $$",
        "DO $$ BEGIN"
        " CREATE OR REPLACE VIEW public.collection_id_mapping AS"
        "  SELECT collection_name, primary_collection_id, replica_collection_id,"
        "  created_at, updated_at FROM chromatid.mapping;"
        " CREATE TRIGGER mapping_delete INSTEAD OF DELETE"
        "  ON public.collection_id_mapping FOR EACH ROW"
        "  EXECUTE FUNCTION chromatid.mapping_delete();"
        " EXCEPTION WHEN insufficient_privilege OR wrong_object_type THEN NULL; END $$",
        "DO $$ BEGIN"
        " CREATE VIEW public.unified_wal_writes AS SELECT seq::text AS write_id, method,"
        "  path, collection_id, collection AS collection_name,"
        "  chromatid.write_state(decision, cardinality(lacking), 0) AS status,"
        "  'both' AS target_instance, decided_by AS executed_on,"
        "  to_json(done) AS synced_instances,"
        "  CASE WHEN decision > 1 THEN 'refused: HTTP ' || http ELSE error END"
        "   AS error_message, attempts AS retry_count, body_len AS data_size_bytes,"
        "  at AS created_at, at AS timestamp, coalesce(decided_at, at) AS updated_at"
        "  FROM chromatid.entry;"
        " CREATE RULE unified_wal_writes_delete AS ON DELETE"
        "  TO public.unified_wal_writes DO INSTEAD NOTHING;"
        " EXCEPTION WHEN insufficient_privilege OR duplicate_table THEN NULL; END $$",
        NULL,
};

/* What differs may have begun long before it was found and its lane stood apart
 * (wal/quarantine.c). A program of an older version that leads meanwhile leaves it out.
 */
const char *const apart_schema[] = {
        "ALTER TABLE chromatid.quarantine ADD COLUMN apart bigint",
        ENTRY("coalesce(q.apart, q.seq)"),
        NULL,
};
