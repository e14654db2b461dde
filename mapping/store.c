/* mapping/store.c - the catalogue in PostgreSQL: its tables, the statements that change
 * them, and the load at take-over.
 *
 * The statements here only ever run inside a unit of wal/, next to the row of the log or
 * of the outcome they belong to, so the catalogue and the log cannot disagree. Statements
 * that create or drop are part of the append itself (wal/append_sql.c). */
#include <string.h>

#include "health/health.h"
#include "mapping/mapping.h"

const char *const store_schema[] = {
        "CREATE TABLE chromatid.tenant ("
        " name text PRIMARY KEY, created_seq bigint NOT NULL,"
        " created_at timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE chromatid.database ("
        " id bigint PRIMARY KEY, public_id uuid NOT NULL,"
        " tenant text NOT NULL, name text NOT NULL, life smallint NOT NULL,"
        " created_at timestamptz NOT NULL DEFAULT now())",
        "CREATE UNIQUE INDEX database_name ON chromatid.database (tenant, name)"
        " WHERE life < 2",
        "CREATE TABLE chromatid.collection ("
        " id bigint PRIMARY KEY, public_id uuid UNIQUE, database bigint NOT NULL,"
        " name text NOT NULL, next_name text, life smallint NOT NULL,"
        " dimension_known boolean NOT NULL DEFAULT false,"
        " created_at timestamptz NOT NULL DEFAULT now(),"
        " updated_at timestamptz NOT NULL DEFAULT now())",
        "CREATE INDEX collection_life ON chromatid.collection (life)",
        /* Who may use a name in a database; a rename under way holds two. */
        "CREATE TABLE chromatid.name ("
        " database bigint NOT NULL, name text NOT NULL, collection bigint NOT NULL,"
        " PRIMARY KEY (database, name))",
        "CREATE INDEX name_collection ON chromatid.name (collection)",
        "CREATE TABLE chromatid.binding ("
        " collection bigint NOT NULL, instance smallint NOT NULL, local_id uuid NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now(),"
        " PRIMARY KEY (collection, instance), UNIQUE (instance, local_id))",
        /* For scripts of the system this one replaces; where we may not create it in
           public, or that system's own is there, they go without. */
        "DO $$ BEGIN"
        " CREATE VIEW public.collection_id_mapping AS"
        " SELECT c.name AS collection_name, p.local_id AS primary_collection_id,"
        " r.local_id AS replica_collection_id, c.created_at, c.updated_at"
        " FROM chromatid.collection c"
        " LEFT JOIN chromatid.binding p ON p.collection = c.id AND p.instance = 1"
        " LEFT JOIN chromatid.binding r ON r.collection = c.id AND r.instance = 2"
        " WHERE c.life = 1;"
        " EXCEPTION WHEN insufficient_privilege OR duplicate_table THEN NULL;"
        " END $$",
        "INSERT INTO chromatid.tenant (name, created_seq) VALUES ('default_tenant', 0)",
        "INSERT INTO chromatid.database (id, public_id, tenant, name, life) VALUES"
        " (1, '00000000-0000-0000-0000-000000000000', 'default_tenant',"
        " 'default_database', 1)",
        NULL,
};

/* --- loading ----------------------------------------------------------------------- */

static const struct pg_statement load_tenants = {
        "load_tenants",
        "SELECT name, created_seq FROM chromatid.tenant ORDER BY created_seq"};

static const struct pg_statement load_databases = {
        "load_databases",
        "SELECT " STORE_DATABASE_COLUMNS " FROM chromatid.database d WHERE d.life < 2"
        " OR d.id IN (SELECT database FROM chromatid.log WHERE seq > $1)"
        " OR d.id IN (SELECT c.database FROM chromatid.collection c WHERE c.id IN"
        "           (SELECT collection FROM chromatid.log WHERE seq > $1))"
        " ORDER BY d.id"};

static const struct pg_statement load_collections = {
        "load_collections",
        "SELECT " STORE_COLLECTION_COLUMNS " FROM chromatid.collection c"
        " WHERE c.life < 2 OR c.id IN"
        " (SELECT collection FROM chromatid.log WHERE seq > $1) ORDER BY c.id"};

static const struct pg_statement load_bindings = {
        "load_bindings",
        "SELECT b.collection, b.instance, b.local_id FROM chromatid.binding b"
        " JOIN chromatid.collection c ON c.id = b.collection WHERE c.life < 2"
        " OR c.id IN (SELECT collection FROM chromatid.log WHERE seq > $1)"};

void store_add_load(struct pg_unit *unit, int64_t floor)
{
	struct pg_param from[] = {pg_int8(floor)};

	pg_add(unit, &load_tenants, 0, NULL);
	pg_add(unit, &load_databases, 1, from);
	pg_add(unit, &load_collections, 1, from);
	pg_add(unit, &load_bindings, 1, from);
}

struct uuid store_uuid(const struct pg_results *r, int statement, int row, int column)
{
	const char *s = pg_get_text(r, statement, row, column);
	struct uuid id;

	if (!uuid_parse(s, strlen(s), &id))
		id = (struct uuid){{0}};
	return id;
}

static void loaded_database(struct store_load *load, const struct pg_results *r, int at,
                            int row)
{
	int64_t id = pg_get_int8(r, at, row, 0), life = pg_get_int8(r, at, row, 4);
	const char *tenant = pg_get_text(r, at, row, 2),
	           *name = pg_get_text(r, at, row, 3);
	struct uuid public_id = store_uuid(r, at, row, 1);
	struct database *db;

	if (life == LIFE_GONE) {
		db = catalogue_gone_database(id, tenant, name);
	} else {
		db = database_hold(
		        catalogue_add_database(id, tenant, name, LIFE_CREATING));
		db->public_id = public_id;
		if (life == LIFE_LIVE)
			database_set_live(db, &public_id);
	}
	table_put(&load->databases, pg_get_text(r, at, row, 0), db);
}

static void loaded_collection(struct store_load *load, const struct pg_results *r, int at,
                              int row)
{
	struct database *db = table_get(&load->databases, pg_get_text(r, at, row, 2));
	int64_t id = pg_get_int8(r, at, row, 0), life = pg_get_int8(r, at, row, 5);
	const char *name = pg_get_text(r, at, row, 3);
	struct uuid public_id = store_uuid(r, at, row, 1);
	struct collection *c;

	if (db == NULL)
		return;
	if (life == LIFE_GONE) {
		c = catalogue_gone_collection(id, db, name);
		c->public_id = public_id;
	} else {
		c = collection_hold(
		        catalogue_add_collection(id, db, name, LIFE_CREATING));
		if (!pg_is_null(r, at, row, 4))
			collection_reserve(c, pg_get_text(r, at, row, 4));
		c->public_id = public_id;
		if (life == LIFE_LIVE)
			collection_set_live(c, &public_id);
	}
	c->dimension_known = pg_get_bool(r, at, row, 6);
	c->created_ms = pg_get_int8(r, at, row, 7);
	c->updated_ms = pg_get_int8(r, at, row, 8);
	table_put(&load->collections, pg_get_text(r, at, row, 0), c);
}

static void loaded_binding(struct store_load *load, const struct pg_results *r, int at,
                           int row)
{
	struct collection *c = table_get(&load->collections, pg_get_text(r, at, row, 0));
	int instance = store_instance_index(pg_get_int8(r, at, row, 1));
	struct uuid local = store_uuid(r, at, row, 2);
	int64_t updated_ms;

	if (c == NULL || instance < 0)
		return;
	updated_ms = c->updated_ms;
	collection_bind(c, (unsigned)instance, &local);
	c->updated_ms = updated_ms;
}

void store_loaded(struct store_load *load, const struct pg_results *r, int first)
{
	for (int row = 0; row < pg_rows(r, first); row++)
		catalogue_add_tenant(pg_get_text(r, first, row, 0),
		                     pg_get_int8(r, first, row, 1));
	for (int row = 0; row < pg_rows(r, first + 1); row++)
		loaded_database(load, r, first + 1, row);
	for (int row = 0; row < pg_rows(r, first + 2); row++)
		loaded_collection(load, r, first + 2, row);
	for (int row = 0; row < pg_rows(r, first + 3); row++)
		loaded_binding(load, r, first + 3, row);
}

void store_load_clear(struct store_load *load)
{
	const struct table_entry *entry = NULL;
	struct collection *c;
	struct database *db;
	size_t bucket = 0;

	while ((c = table_next(&load->collections, &bucket, &entry)) != NULL)
		collection_release(&c);
	bucket = 0;
	entry = NULL;
	while ((db = table_next(&load->databases, &bucket, &entry)) != NULL)
		database_release(&db);
	table_clear(&load->collections);
	table_clear(&load->databases);
}

/* --- following --------------------------------------------------------------------- */

enum { ID, PUBLIC_ID, TENANT_OR_DATABASE, NAME, LIFE };
enum { C_NEXT_NAME = 4, C_LIFE, C_DIMENSION, C_CREATED, C_UPDATED };

static const char *text_or_null(const struct pg_results *r, int at, int row, int column)
{
	return pg_is_null(r, at, row, column) ? NULL : pg_get_text(r, at, row, column);
}

void store_follow_database(const struct pg_results *r, int at, int row, int first)
{
	struct uuid public_id;
	struct database *db;
	int64_t life;

	if (pg_is_null(r, at, row, first + ID))
		return;
	db = catalogue_database_numbered(pg_get_int8(r, at, row, first + ID));
	life = pg_get_int8(r, at, row, first + LIFE);
	public_id = store_uuid(r, at, row, first + PUBLIC_ID);
	if (db == NULL && life != LIFE_GONE)
		db = catalogue_add_database(
		        pg_get_int8(r, at, row, first + ID),
		        pg_get_text(r, at, row, first + TENANT_OR_DATABASE),
		        pg_get_text(r, at, row, first + NAME), LIFE_CREATING);
	if (db == NULL)
		return;
	if (life == LIFE_GONE)
		database_set_gone(db);
	else if (life == LIFE_LIVE && db->life == LIFE_CREATING)
		database_set_live(db, &public_id);
}

static struct collection *followed(const struct pg_results *r, int at, int row, int first)
{
	return pg_is_null(r, at, row, first + ID)
	               ? NULL
	               : catalogue_numbered(pg_get_int8(r, at, row, first + ID));
}

void store_follow_names(const struct pg_results *r, int at, int row, int first)
{
	struct collection *c = followed(r, at, row, first);

	if (c != NULL && c->life != LIFE_GONE)
		collection_give_up_names(c);
}

static struct collection *new_collection(const struct pg_results *r, int at, int row,
                                         int first)
{
	struct database *db = catalogue_database_numbered(
	        pg_get_int8(r, at, row, first + TENANT_OR_DATABASE));

	return db == NULL || db->life == LIFE_GONE
	               ? NULL
	               : catalogue_add_collection(pg_get_int8(r, at, row, first + ID), db,
	                                          pg_get_text(r, at, row, first + NAME),
	                                          LIFE_CREATING);
}

void store_follow_collection(const struct pg_results *r, int at, int row, int first)
{
	struct collection *c = followed(r, at, row, first);
	int64_t life;
	struct uuid public_id;

	if (pg_is_null(r, at, row, first + ID))
		return;
	life = pg_get_int8(r, at, row, first + C_LIFE);
	public_id = store_uuid(r, at, row, first + PUBLIC_ID);
	if (c == NULL && life != LIFE_GONE)
		c = new_collection(r, at, row, first);
	if (c == NULL || c->life == LIFE_GONE)
		return;
	if (life == LIFE_GONE) {
		collection_set_gone(c);
		return;
	}
	collection_take_names(c, pg_get_text(r, at, row, first + NAME),
	                      text_or_null(r, at, row, first + C_NEXT_NAME));
	c->dimension_known = pg_get_bool(r, at, row, first + C_DIMENSION);
	c->created_ms = pg_get_int8(r, at, row, first + C_CREATED);
	if (life == LIFE_LIVE && c->life == LIFE_CREATING)
		collection_set_live(c, &public_id);
	c->updated_ms = pg_get_int8(r, at, row, first + C_UPDATED);
}

/* --- instances --------------------------------------------------------------------- */

static int instance_ids[CONF_MAX_INSTANCES];

void store_set_instance_id(unsigned index, int id)
{
	instance_ids[index] = id;
}

int store_instance_id(unsigned index)
{
	return instance_ids[index];
}

int store_instance_index(int64_t id)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (instance_ids[i] == id)
			return (int)i;
	return -1;
}

/* --- what a decision changes ------------------------------------------------------- */

static const struct pg_statement live = {
        "collection_live",
        "UPDATE chromatid.collection SET life = 1, public_id = $2::uuid,"
        " updated_at = now() WHERE id = $1 AND life = 0"};

static const struct pg_statement binding = {
        "binding", "INSERT INTO chromatid.binding (collection, instance, local_id)"
                   " VALUES ($1, $2, $3::uuid) ON CONFLICT (collection, instance)"
                   " DO UPDATE SET local_id = excluded.local_id, at = now()"};

static const struct pg_statement unbind_gone = {
        "unbind_gone",
        "DELETE FROM chromatid.binding b USING chromatid.collection c"
        " WHERE b.instance = $1 AND b.local_id = $2::uuid AND c.id = b.collection"
        " AND c.life = 2"};

static const struct pg_statement refused_create = {
        "refused_create",
        "WITH n AS (DELETE FROM chromatid.name WHERE collection = $1)"
        " UPDATE chromatid.collection SET life = 2, updated_at = now() WHERE id = $1"};

static const struct pg_statement rename_accepted = {
        "rename_accepted",
        "WITH n AS (DELETE FROM chromatid.name WHERE collection = $1 AND name = $2)"
        " UPDATE chromatid.collection SET name = $3, next_name = NULL, updated_at = now()"
        " WHERE id = $1"};

static const struct pg_statement rename_refused = {
        "rename_refused",
        "WITH n AS (DELETE FROM chromatid.name WHERE collection = $1 AND name = $2)"
        " UPDATE chromatid.collection SET next_name = NULL WHERE id = $1"};

static const struct pg_statement dimension = {
        "dimension",
        "UPDATE chromatid.collection SET dimension_known = true WHERE id = $1"};

static const struct pg_statement database_live = {
        "database_live",
        "UPDATE chromatid.database SET life = 1 WHERE id = $1 AND life = 0"};

static const struct pg_statement database_refused = {
        "database_refused", "UPDATE chromatid.database SET life = 2 WHERE id = $1"};

static const struct pg_statement tenant_refused = {
        "tenant_refused", "DELETE FROM chromatid.tenant WHERE name = $1"};

static const struct pg_statement reset_all = {
        "reset_all",
        "WITH d AS (UPDATE chromatid.database SET life = 2"
        "       WHERE life < 2 AND id <> 1 AND id < $1 RETURNING id),"
        " c AS (UPDATE chromatid.collection SET life = 2, updated_at = now()"
        "       WHERE life < 2 AND (id < $1 OR database IN (SELECT id FROM d))),"
        " n AS (DELETE FROM chromatid.name"
        "       WHERE collection < $1 OR database IN (SELECT id FROM d))"
        " DELETE FROM chromatid.tenant"
        " WHERE name <> 'default_tenant' AND created_seq < $1"};

/* Unless a delete of it ($2: its kind) stands behind the reset ($1). */
static const struct pg_statement reset_default = {
        "reset_default",
        "WITH t AS (INSERT INTO chromatid.tenant (name, created_seq)"
        "           VALUES ('default_tenant', 0) ON CONFLICT DO NOTHING)"
        " INSERT INTO chromatid.database (id, public_id, tenant, name, life)"
        " SELECT 1, '00000000-0000-0000-0000-000000000000', 'default_tenant',"
        " 'default_database', 1 WHERE NOT EXISTS"
        " (SELECT 1 FROM chromatid.log l JOIN chromatid.database d"
        "  ON d.id = l.database WHERE l.seq > $1 AND l.kind = $2"
        "  AND d.tenant = 'default_tenant' AND d.name = 'default_database')"
        " ON CONFLICT (id) DO UPDATE SET life = 1"};

static void add(struct pg_unit *unit, const struct pg_statement *s, int64_t id)
{
	pg_add(unit, s, 1, (struct pg_param[]){pg_int8(id)});
}

void store_add_live(struct pg_unit *unit, const struct collection *c,
                    const struct uuid *public_id)
{
	pg_add(unit, &live, 2,
	       (struct pg_param[]){pg_int8(c->id), pg_text(public_id->text)});
}

void store_add_binding(struct pg_unit *unit, const struct collection *c,
                       unsigned instance, const struct uuid *local)
{
	pg_add(unit, &binding, 3,
	       (struct pg_param[]){pg_int8(c->id), pg_int4(store_instance_id(instance)),
	                           pg_text(local->text)});
}

void store_add_unbind_gone(struct pg_unit *unit, unsigned instance,
                           const struct uuid *local)
{
	pg_add(unit, &unbind_gone, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(instance)),
	                           pg_text(local->text)});
}

void store_add_refused_create(struct pg_unit *unit, const struct collection *c)
{
	add(unit, &refused_create, c->id);
}

void store_add_renamed(struct pg_unit *unit, const struct collection *c, const char *was,
                       const char *next, bool accepted)
{
	if (accepted)
		pg_add(unit, &rename_accepted, 3,
		       (struct pg_param[]){pg_int8(c->id), pg_text(was), pg_text(next)});
	else
		pg_add(unit, &rename_refused, 2,
		       (struct pg_param[]){pg_int8(c->id), pg_text(next)});
}

void store_add_dimension(struct pg_unit *unit, const struct collection *c)
{
	add(unit, &dimension, c->id);
}

void store_add_database_live(struct pg_unit *unit, const struct database *db)
{
	add(unit, &database_live, db->id);
}

void store_add_database_refused(struct pg_unit *unit, const struct database *db)
{
	add(unit, &database_refused, db->id);
}

void store_add_tenant_refused(struct pg_unit *unit, const char *name)
{
	pg_add(unit, &tenant_refused, 1, (struct pg_param[]){pg_text(name)});
}

void store_add_reset(struct pg_unit *unit, int64_t seq, int delete_database)
{
	add(unit, &reset_all, seq);
	pg_add(unit, &reset_default, 2,
	       (struct pg_param[]){pg_int8(seq), pg_int4(delete_database)});
}
