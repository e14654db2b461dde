/* wal/schema.c - the tables of the log, and how a database comes to have them.
 *
 * Each migration is one transaction, under a lock, and leaves its number behind. */
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "wal/errand.h"
#include "wal/lead.h"

/* Runs first, outside the numbering: what the rest needs to find out where it stands. */
static const char *const ground[] = {
        "SELECT pg_advisory_xact_lock(4858, 1)",
        "CREATE SCHEMA IF NOT EXISTS chromatid",
        "CREATE TABLE IF NOT EXISTS chromatid.migration ("
        " version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        NULL,
};

static const char *const wal_schema[] = {
        /* The order of everything. One row, updated by each append: its lock makes the
           order of seq the order of commit and of visibility. A sequence would not. */
        "CREATE TABLE chromatid.clock ("
        " one boolean PRIMARY KEY DEFAULT true CHECK (one), seq bigint NOT NULL)"
        " WITH (fillfactor = 10)",
        "INSERT INTO chromatid.clock (seq) VALUES (1)",
        /* Who executes. */
        "CREATE TABLE chromatid.lease ("
        " one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL,"
        " holder uuid, holder_name text, until timestamptz)",
        "INSERT INTO chromatid.lease (epoch) VALUES (0)",
        "CREATE TABLE chromatid.instance ("
        " id smallint PRIMARY KEY, name text UNIQUE NOT NULL, url text NOT NULL,"
        " floor bigint NOT NULL DEFAULT 0, since timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE chromatid.log ("
        " seq bigint NOT NULL, op uuid NOT NULL, kind smallint NOT NULL,"
        " collection bigint, database bigint, name text, old_name text, body bytea,"
        " body_len int NOT NULL, embeddings boolean NOT NULL,"
        " epoch bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " PRIMARY KEY (seq))",
        "CREATE INDEX log_op ON chromatid.log (op)",
        "CREATE TABLE chromatid.resolved ("
        " seq bigint PRIMARY KEY, n bigint NOT NULL, ids bytea NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE chromatid.outcome ("
        " seq bigint PRIMARY KEY, decision smallint NOT NULL, http smallint NOT NULL,"
        " answer bytea, instance smallint, epoch bigint NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE chromatid.position ("
        " instance smallint NOT NULL, scope bigint NOT NULL, seq bigint NOT NULL,"
        " epoch bigint NOT NULL, PRIMARY KEY (instance, scope)) WITH (fillfactor = 50)",
        /* Bodies: lz4 where the server has it, else stored as they are; the default is
           four times slower than either. */
        "DO $$ BEGIN"
        " ALTER TABLE chromatid.log ALTER COLUMN body SET COMPRESSION lz4;"
        " EXCEPTION WHEN OTHERS THEN"
        " ALTER TABLE chromatid.log ALTER COLUMN body SET STORAGE EXTERNAL;"
        " END $$",
        /* Every durable step of the leader begins with this: no step after another proxy
           has taken over. The row lock makes the taking-over wait for the step. */
        "CREATE FUNCTION chromatid.fence(mine bigint) RETURNS void LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM 1 FROM chromatid.lease WHERE epoch = mine FOR KEY SHARE;"
        " IF NOT FOUND THEN RAISE EXCEPTION 'epoch % is over', mine"
        " USING ERRCODE = 'CT001'; END IF; END $$",
        NULL,
};

/* What goes wrong later than at once. */
static const char *const trouble_schema[] = {
        /* Lanes that cannot go on: wal/quarantine.c. */
        "CREATE TABLE chromatid.quarantine ("
        " instance smallint NOT NULL, collection bigint NOT NULL, seq bigint NOT NULL,"
        " cause smallint NOT NULL, http smallint NOT NULL, error text NOT NULL,"
        " attempts int NOT NULL, since timestamptz NOT NULL DEFAULT now(),"
        " PRIMARY KEY (instance, collection))",
        /* Records whose first answer was lost, to be looked at again: wal/doubt.c. */
        "CREATE TABLE chromatid.doubt ("
        " seq bigint NOT NULL, instance smallint NOT NULL, collection bigint NOT NULL,"
        " looks smallint NOT NULL DEFAULT 0, due timestamptz NOT NULL,"
        " PRIMARY KEY (seq, instance))",
        /* The same write, sent again by its client: wal/join.c. */
        "ALTER TABLE chromatid.log ADD COLUMN digest bytea",
        "CREATE TABLE chromatid.idempotency ("
        " key text PRIMARY KEY, fingerprint bytea NOT NULL, seq bigint NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now())",
        "CREATE INDEX idempotency_at ON chromatid.idempotency (at)",
        NULL,
};

/* What it takes to find holes, and to fill them. */
static const char *const heal_schema[] = {
        /* Who the instances are, and what their disks must say: wal/identity.c. */
        "CREATE TABLE chromatid.cluster ("
        " one boolean PRIMARY KEY DEFAULT true CHECK (one), id uuid NOT NULL)",
        "INSERT INTO chromatid.cluster (id) VALUES (gen_random_uuid())",
        "ALTER TABLE chromatid.instance"
        " ADD COLUMN marker uuid NOT NULL DEFAULT gen_random_uuid(),"
        " ADD COLUMN beat bigint NOT NULL DEFAULT 0,"
        " ADD COLUMN marked boolean NOT NULL DEFAULT false",
        /* Collections that are being made anew at an instance: wal/rebuild.c. */
        "CREATE TABLE chromatid.rebuild ("
        " instance smallint NOT NULL, collection bigint NOT NULL, donor smallint NOT "
        "NULL,"
        " attempt int NOT NULL, made uuid, base bigint NOT NULL DEFAULT 0,"
        " items bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0,"
        " complete boolean NOT NULL DEFAULT false,"
        " switched boolean NOT NULL DEFAULT false, old uuid, name text,"
        " since timestamptz NOT NULL DEFAULT now(), at timestamptz NOT NULL DEFAULT "
        "now(),"
        " PRIMARY KEY (instance, collection))",
        /* How each collection was found, when the instances were compared last:
           wal/verify.c. */
        "CREATE TABLE chromatid.verification ("
        " collection bigint PRIMARY KEY, at timestamptz NOT NULL, level text NOT NULL,"
        " result text NOT NULL, seq bigint NOT NULL, equal_at timestamptz)",
        /* What of that nobody needs any more: wal/leftover.c. */
        "CREATE TABLE chromatid.leftover ("
        " instance smallint NOT NULL, collection bigint NOT NULL, attempt int NOT NULL,"
        " tenant text NOT NULL, database text NOT NULL,"
        " PRIMARY KEY (instance, collection, attempt))",
        NULL,
};

static const char *const adopt_schema[] = {
        /* Was the log ever used? Until each instance was looked through for the first
           time, what it holds is adopted: wal/strangers.c. */
        "CREATE TABLE chromatid.adoption ("
        " one boolean PRIMARY KEY DEFAULT true CHECK (one), open boolean NOT NULL)",
        "INSERT INTO chromatid.adoption (open) SELECT seq = 1 FROM chromatid.clock",
        NULL,
};

/* Export and import: a collection that is deleted and imported again has its old id. */
static const char *const import_schema[] = {
        "ALTER TABLE chromatid.collection DROP CONSTRAINT collection_public_id_key",
        "CREATE UNIQUE INDEX collection_public_id ON chromatid.collection (public_id)"
        " WHERE life < 2",
        NULL,
};

/* The log in partitions, each a range of places (upkeep.c): what is old goes as a whole,
 * and gives its room back. Three migrations, so that none holds up for long who appends
 * meanwhile: the log that is there gets an upper bound; that it keeps it is made sure of
 * beside the appends; then it becomes the first partition, without being read again.
 * (If the second takes too long: VALIDATE CONSTRAINT by hand, it is then quick.) */
#define PATIENCE "SELECT set_config('lock_timeout', '5s', true)"

static const char *const bound_schema[] = {
        PATIENCE,
        "DO $$ BEGIN EXECUTE format('ALTER TABLE chromatid.log ADD CONSTRAINT log_bound"
        " CHECK (seq < %s) NOT VALID', (SELECT seq + 100000 FROM chromatid.clock));"
        " END $$",
        NULL,
};

static const char *const bounded_schema[] = {
        PATIENCE,
        "ALTER TABLE chromatid.log VALIDATE CONSTRAINT log_bound",
        NULL,
};

#define DDL " LANGUAGE plpgsql SET lock_timeout = '80ms' AS $$"

static const char *const partition_schema[] = {
        PATIENCE,
        "ALTER TABLE chromatid.log RENAME TO log_0",
        "ALTER INDEX chromatid.log_pkey RENAME TO log_0_pkey",
        "ALTER INDEX chromatid.log_op RENAME TO log_0_op",
        "CREATE TABLE chromatid.log (LIKE chromatid.log_0 INCLUDING ALL EXCLUDING"
        " CONSTRAINTS) PARTITION BY RANGE (seq)",
        "DO $$ DECLARE bound bigint; BEGIN"
        " SELECT substring(pg_get_constraintdef(oid) FROM '[0-9]+')::bigint INTO bound"
        "  FROM pg_constraint WHERE conname = 'log_bound'"
        "  AND conrelid = 'chromatid.log_0'::regclass;"
        " EXECUTE format('ALTER TABLE chromatid.log ATTACH PARTITION chromatid.log_0"
        "  FOR VALUES FROM (MINVALUE) TO (%s)', bound);"
        /* what comes next does not go into what is old */
        " IF EXISTS (SELECT 1 FROM chromatid.log_0) THEN"
        "  UPDATE chromatid.clock SET seq = greatest(seq, bound - 1); END IF;"
        " END $$",
        "ALTER TABLE chromatid.log_0 DROP CONSTRAINT log_bound",
        "CREATE VIEW chromatid.log_partition AS SELECT c.oid AS id, c.relname AS name,"
        " coalesce(substring(b.bound FROM 'FROM \\(''?([0-9]+)''?\\)')::bigint, 0) AS lo,"
        " substring(b.bound FROM 'TO \\(''?([0-9]+)''?\\)')::bigint AS hi"
        " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,"
        " LATERAL pg_get_expr(c.relpartbound, c.oid) AS b(bound)"
        " WHERE i.inhparent = 'chromatid.log'::regclass AND b.bound IS NOT NULL",
        /* ATTACH lets appends go on, which PARTITION OF does not. */
        "CREATE FUNCTION chromatid.log_add(lo bigint, hi bigint) RETURNS void" DDL
        " BEGIN EXECUTE format('CREATE TABLE chromatid.log_%1$s (LIKE chromatid.log"
        "  INCLUDING ALL)', lo);"
        " EXECUTE format('ALTER TABLE chromatid.log ATTACH PARTITION chromatid.log_%1$s"
        "  FOR VALUES FROM (%1$s) TO (%2$s)', lo, hi); END $$",
        /* Nobody may be at the log for that: who reads it for long is not waited for.
           False: there are keys of its records still. */
        "CREATE FUNCTION chromatid.log_drop(first bigint, after bigint)"
        " RETURNS boolean" DDL " DECLARE which text; BEGIN"
        " IF EXISTS (SELECT 1 FROM chromatid.idempotency WHERE seq < after) THEN"
        "  RETURN false; END IF;"
        " SELECT name INTO which FROM chromatid.log_partition"
        "  WHERE lo = first AND hi = after;"
        " IF FOUND THEN EXECUTE format('DROP TABLE chromatid.%I', which); END IF;"
        " RETURN true; END $$",
        "SELECT chromatid.log_add(hi, hi + 200000) FROM chromatid.log_partition",
        "CREATE INDEX idempotency_seq ON chromatid.idempotency (seq)",
        /* For whom the log is kept, and since when nobody asked for them; a number is
           given once (wal/recover.c). */
        "ALTER TABLE chromatid.instance"
        " ADD COLUMN detached boolean NOT NULL DEFAULT false,"
        " ADD COLUMN seen timestamptz NOT NULL DEFAULT now()",
        "CREATE TABLE chromatid.numbering ("
        " one boolean PRIMARY KEY DEFAULT true CHECK (one), instance smallint NOT NULL)",
        "INSERT INTO chromatid.numbering (instance)"
        " SELECT coalesce(max(id), 0) FROM chromatid.instance",
        NULL,
};

/* A view is for scripts; where we may not create it, or a former system left something of
 * that name, they go without. */
#define WITHOUT                                                                          \
	" EXCEPTION WHEN insufficient_privilege OR duplicate_table THEN NULL; END $$"

/* Copying is shared by the proxies: wal/worker.c takes what wal/rebuild_task.c hands out.
 * Who was not heard of for six seconds is dead, or may be. */
static const char *const worker_schema[] = {
        "CREATE TABLE chromatid.sync_worker ("
        " id text PRIMARY KEY, pid int NOT NULL, serves text[] NOT NULL,"
        " since timestamptz NOT NULL DEFAULT now(),"
        " heartbeat timestamptz NOT NULL DEFAULT now())",
        "CREATE TABLE chromatid.sync_task ("
        " instance smallint NOT NULL, collection bigint NOT NULL, attempt int NOT NULL,"
        " donor smallint NOT NULL, source uuid NOT NULL, tenant text NOT NULL,"
        " database text NOT NULL, made uuid NOT NULL, base bigint NOT NULL,"
        " items bigint NOT NULL, total bigint NOT NULL,"
        " state text NOT NULL DEFAULT 'free'"
        "  CHECK (state IN ('free', 'taken', 'done', 'failed')),"
        " worker text, sound boolean NOT NULL DEFAULT true, why text NOT NULL DEFAULT '',"
        " since timestamptz NOT NULL DEFAULT now(),"
        " at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (instance, collection))",
        "DO $$ BEGIN"
        " CREATE VIEW public.sync_tasks AS SELECT"
        " t.instance || '.' || t.collection || '.' || t.attempt AS task_id,"
        " i.name AS instance, d.name AS donor, c.name AS collection_name,"
        " c.public_id AS collection_id, t.state AS task_status, t.worker AS worker_id,"
        " t.items AS items_done, t.total AS items_total, t.why AS error,"
        " t.since AS created_at, t.at AS updated_at FROM chromatid.sync_task t"
        " LEFT JOIN chromatid.instance i ON i.id = t.instance"
        " LEFT JOIN chromatid.instance d ON d.id = t.donor"
        " LEFT JOIN chromatid.collection c ON c.id = t.collection;" WITHOUT,
        "DO $$ BEGIN"
        " CREATE VIEW public.sync_workers AS SELECT w.id AS worker_id,"
        " CASE WHEN w.heartbeat > now() - interval '6 seconds' THEN 'alive'"
        "  ELSE 'dead' END AS worker_status, w.heartbeat AS last_heartbeat,"
        " w.since AS started_at, (SELECT count(*) FROM chromatid.sync_task t"
        "  WHERE t.worker = w.id AND t.state = 'taken') AS tasks"
        " FROM chromatid.sync_worker w;" WITHOUT,
        NULL,
};

/* Every proxy appends; the leader executes what others have appended (wal/tail.c), if it
 * is not of a version that does not know of that. The row lock makes who takes over wait
 * for the append, so that it is loaded with the log. */
static const char *const follow_schema[] = {
        "ALTER TABLE chromatid.lease ADD COLUMN tails bigint",
        "CREATE FUNCTION chromatid.tails() RETURNS void LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM 1 FROM chromatid.lease WHERE tails = epoch FOR KEY SHARE;"
        " IF NOT FOUND THEN RAISE EXCEPTION 'the leader does not execute what others"
        " append' USING ERRCODE = 'CT002'; END IF; END $$",
        NULL,
};

/* What the leader knows, for the others to show (wal/shown.c). It is written each second
 * and worth nothing after a crash, so it is not logged. */
static const char *const shown_schema[] = {
        "CREATE UNLOGGED TABLE chromatid.shown ("
        " part int PRIMARY KEY, epoch bigint NOT NULL, version bigint NOT NULL,"
        " at timestamptz NOT NULL, document text NOT NULL) WITH (fillfactor = 20)",
        NULL,
};

static const char *const nothing[] = {NULL};

static const char *const *const migrations[][2] = {
        {wal_schema, store_schema},  /* 1 */
        {trouble_schema, nothing},   /* 2 */
        {heal_schema, nothing},      /* 3 */
        {adopt_schema, nothing},     /* 4 */
        {import_schema, nothing},    /* 5 */
        {bound_schema, nothing},     /* 6 */
        {bounded_schema, nothing},   /* 7 */
        {partition_schema, nothing}, /* 8 */
        {worker_schema, nothing},    /* 9 */
        {operator_schema, nothing},  /* 10 */
        {monitor_schema, nothing},   /* 11 */
        {apart_schema, nothing},     /* 12 */
        {follow_schema, nothing},    /* 13 */
        {unproven_schema, nothing},  /* 14 */
        {trace_schema, nothing},     /* 15 */
        {errand_schema, nothing},    /* 16 */
        {shown_schema, nothing},     /* 17 */
};
#define VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))
_Static_assert(VERSION == CHROMATID_SCHEMA, "core/version.h says which it is");

struct migrating {
	struct op op;
	struct pg *pg;
	int next; /* the migration to run */
	bool ok;
	void (*done)(void *arg, bool ok);
	void *arg;
	struct op *pending;
};

static void read_version(struct migrating *m);

static void deliver(struct op *op)
{
	struct migrating *m = (struct migrating *)op;

	m->done(m->arg, m->ok);
}

static void release(struct op *op)
{
	struct migrating *m = (struct migrating *)op;

	op_cancel(&m->pending);
	free(m);
}

static void abandon(struct op *op)
{
	struct migrating *m = (struct migrating *)op;

	op_cancel(&m->pending);
	op_end(op);
}

static void end(struct migrating *m, bool ok)
{
	m->ok = ok;
	op_end(&m->op);
}

static void add_all(struct pg_unit *unit, const char *const statements[])
{
	for (; *statements != NULL; statements++)
		pg_add_once(unit, *statements);
}

static void on_migrated(void *arg, enum status s, const struct pg_results *r)
{
	struct migrating *m = arg;

	if (s != STATUS_OK) {
		log_error("schema", "migration %d failed: %s", m->next,
		          s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
		end(m, false);
		return;
	}
	log_info("schema", "migrated to version %d", m->next);
	read_version(m);
}

static void migrate(struct migrating *m)
{
	struct pg_unit *unit = pg_unit_create();
	char *mark;

	pg_add_once(unit, ground[0]);
	for (unsigned k = 0; k < 2; k++)
		add_all(unit, migrations[m->next - 1][k]);
	mark = mem_format("INSERT INTO chromatid.migration (version) VALUES (%d)",
	                  m->next);
	pg_add_once(unit, mark);
	free(mark);
	pg_submit(m->pg, unit, on_migrated, m, &m->pending);
}

static void on_version(void *arg, enum status s, const struct pg_results *r)
{
	struct migrating *m = arg;
	int version;

	if (s != STATUS_OK) {
		log_error("schema", "cannot read the schema version: %s",
		          s == STATUS_DB_REFUSED ? pg_message(r) : status_text(s));
		end(m, false);
		return;
	}
	version = (int)pg_get_int8(r, 3, 0, 0);
	if (version > VERSION)
		log_warn("schema",
		         "the database is at version %d, newer than this program's %d",
		         version, VERSION);
	m->next = version + 1;
	if (version >= VERSION)
		end(m, true);
	else
		migrate(m);
}

static void read_version(struct migrating *m)
{
	struct pg_unit *unit = pg_unit_create();

	add_all(unit, ground);
	pg_add_once(unit, "SELECT coalesce(max(version), 0) FROM chromatid.migration");
	pg_submit(m->pg, unit, on_version, m, &m->pending);
}

void schema_migrate(struct pg *pg, void (*done)(void *arg, bool ok), void *arg,
                    struct op **slot)
{
	struct migrating *m = mem_new(struct migrating);

	m->op.deliver = deliver;
	m->op.release = release;
	m->op.abandon = abandon;
	m->pg = pg;
	m->done = done;
	m->arg = arg;
	op_begin(&m->op, slot);
	read_version(m);
}
