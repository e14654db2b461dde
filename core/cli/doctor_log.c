/* core/cli/doctor_log.c - PostgreSQL, as the proxy would use it: two sessions, as the
 * proxy has several, and questions in transactions that may not write. It is a process of
 * its own, so it may block.
 *
 *   connect           two sessions
 *   look_at_server    version, standby, durability, clock
 *   look_at_pooler    who serves the two?
 *   look_at_rights    may tables be made, or used?
 *   look_at_schema    which version of the tables; what the instances bear */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/doctor.h"
#include "core/mem.h"
#include "core/version.h"

#define ABOUT "PostgreSQL"
#define OLDEST 130000
#define CLOCK_MOST_SECONDS 5.0

struct sessions {
	struct doctor *d;
	PGconn *one, *two;
};

/* --- asking ------------------------------------------------------------------------ */

static void find_refusal(struct doctor *d, const char *what, const char *message)
{
	doctor_find(d, FINDING_WRONG, ABOUT, "See what PostgreSQL's own log says",
	            "%s: %.*s", what, (int)strcspn(message, "\n"), message);
}

/* One row; NULL after having said why not. */
static PGresult *ask_row(struct sessions *s, PGconn *pq, const char *sql)
{
	PGresult *r = PQexec(pq, sql);

	if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0)
		return r;
	find_refusal(s->d, "it does not answer a question", PQerrorMessage(pq));
	PQclear(r);
	return NULL;
}

static bool is_true(const PGresult *r, int column)
{
	return PQgetvalue(r, 0, column)[0] == 't';
}

static int64_t ask_number(struct sessions *s, PGconn *pq, const char *sql)
{
	PGresult *r = ask_row(s, pq, sql);
	int64_t n = r != NULL ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;

	PQclear(r);
	return n;
}

static PGconn *connect_one(const char *url)
{
	const char *const names[] = {"connect_timeout", "fallback_application_name",
	                             "dbname", NULL};
	const char *const values[] = {"5", "chromatid-doctor", url, NULL};

	return PQconnectdbParams(names, values, 1);
}

static void execute(PGconn *pq, const char *sql)
{
	PQclear(PQexec(pq, sql));
}

/* --- the server -------------------------------------------------------------------- */

static void look_at_version(struct doctor *d, const PGconn *pq)
{
	int version = PQserverVersion(pq);

	if (version < OLDEST)
		doctor_find(d, FINDING_WRONG, ABOUT, "Use version 13 or later",
		            "version %d.%d is too old", version / 10000, version % 10000);
	else
		doctor_find(d, FINDING_GOOD, ABOUT, NULL, "it answers, version %d.%d",
		            version / 10000, version % 10000);
}

static void look_at_clock(struct doctor *d, double theirs, double ours)
{
	double ahead = ours - theirs;

	if (ahead > CLOCK_MOST_SECONDS || ahead < -CLOCK_MOST_SECONDS)
		doctor_find(d, FINDING_WRONG, ABOUT,
		            "Let both machines set their clocks by NTP",
		            "its clock and that of this machine are %.0f s apart",
		            ahead < 0 ? -ahead : ahead);
	else
		doctor_find(d, FINDING_GOOD, ABOUT, NULL,
		            "its clock and that of this machine agree");
}

static void look_at_server(struct sessions *s)
{
	PGresult *r =
	        ask_row(s, s->one,
	                "SELECT pg_is_in_recovery(), current_setting('fsync') = 'off',"
	                " current_setting('default_transaction_read_only') = 'on',"
	                " extract(epoch FROM clock_timestamp())");

	look_at_version(s->d, s->one);
	if (r == NULL)
		return;
	if (is_true(r, 0))
		doctor_find(s->d, FINDING_WRONG, ABOUT,
		            "Let DATABASE_URL name the server that takes writes",
		            "it is a standby, nothing can be written");
	if (is_true(r, 1))
		doctor_find(
		        s->d, FINDING_WRONG, ABOUT, "Set fsync = on",
		        "fsync is off: a crash of its machine loses acknowledged writes");
	if (is_true(r, 2))
		doctor_find(s->d, FINDING_WRONG, ABOUT,
		            "ALTER ROLE ... RESET default_transaction_read_only",
		            "this role's transactions are read-only");
	look_at_clock(s->d, strtod(PQgetvalue(r, 0, 3), NULL),
	              (double)clock_wall_ms() / 1000);
	PQclear(r);
}

/* --- a pooler between? ------------------------------------------------------------- */

enum pooler doctor_pooler(int64_t told, int64_t first, int64_t second, int64_t again)
{
	if (first == second || first != again)
		return POOLER_OF_TRANSACTIONS;
	return told != first ? POOLER_OF_SESSIONS : POOLER_NONE;
}

#define TIMES 4
#define WHO "SELECT pg_backend_pid()"

/* Several times one after the other: of processes that are free a pooler may take each in
 * turn. If the first one's serves the second, the first may have to wait for it. */
static void look_at_pooler(struct sessions *s)
{
	int64_t first = ask_number(s, s->one, WHO), second = 0, again = first;

	for (int k = 0; k < TIMES && again == first; k++)
		again = ask_number(s, s->one, WHO);
	execute(s->two, "BEGIN READ ONLY");
	second = ask_number(s, s->two, WHO);
	if (again == first && second != first)
		again = ask_number(s, s->one, WHO);
	execute(s->two, "ROLLBACK");
	if (first == 0 || second == 0 || again == 0)
		return;
	switch (doctor_pooler(PQbackendPID(s->one), first, second, again)) {
	case POOLER_OF_TRANSACTIONS:
		doctor_find(
		        s->d, FINDING_WRONG, ABOUT,
		        "Let DATABASE_URL name the server itself, or a pooler in session "
		        "mode",
		        "a pooler in transaction mode is between: sessions are not ours");
		break;
	case POOLER_OF_SESSIONS:
		doctor_find(s->d, FINDING_NOTE, ABOUT, NULL,
		            "a pooler is between, in session mode as it seems; a direct "
		            "connection is better");
		break;
	case POOLER_NONE:
		doctor_find(s->d, FINDING_GOOD, ABOUT, NULL, "no pooler is between");
		break;
	}
}

/* --- rights, tables ---------------------------------------------------------------- */

/* False: there is no more to ask for. */
static bool look_at_rights(struct sessions *s, bool schema)
{
	PGresult *r = ask_row(
	        s, s->one,
	        schema ? "SELECT has_schema_privilege('chromatid', 'CREATE, USAGE')"
	                 " AND coalesce((SELECT bool_and(pg_has_role(c.relowner, "
	                 "'USAGE'))"
	                 " FROM pg_class c WHERE c.relnamespace = "
	                 "'chromatid'::regnamespace"
	                 " AND c.relkind IN ('r', 'p')), true), current_user"
	               : "SELECT has_database_privilege(current_database(), 'CREATE'),"
	                 " current_user");

	bool good = r != NULL && is_true(r, 0);

	if (r == NULL)
		return false;
	if (good)
		doctor_find(s->d, FINDING_GOOD, ABOUT, NULL, "the role %s has its rights",
		            PQgetvalue(r, 0, 1));
	else if (schema)
		doctor_find(s->d, FINDING_WRONG, ABOUT,
		            "Connect as the role that owns the schema chromatid, or make "
		            "this "
		            "one its member",
		            "the role %s does not own the tables", PQgetvalue(r, 0, 1));
	else
		doctor_find(s->d, FINDING_WRONG, ABOUT,
		            "GRANT CREATE ON DATABASE ... TO the role",
		            "the role %s may not make a schema", PQgetvalue(r, 0, 1));
	PQclear(r);
	return good;
}

static void look_at_schema_version(struct sessions *s)
{
	int64_t version = ask_number(
	        s, s->one, "SELECT coalesce(max(version), 0) FROM chromatid.migration");

	if (version < CHROMATID_SCHEMA)
		doctor_find(
		        s->d, FINDING_NOTE, ABOUT, NULL,
		        "its tables are of version %d, this program's of %d: the next "
		        "start brings them there",
		        (int)version, CHROMATID_SCHEMA);
	else if (version > CHROMATID_SCHEMA)
		doctor_find(s->d, FINDING_WRONG, ABOUT,
		            "Use the newer program everywhere",
		            "its tables are of version %d, newer than this program's %d",
		            (int)version, CHROMATID_SCHEMA);
	else
		doctor_find(s->d, FINDING_GOOD, ABOUT, NULL,
		            "its tables are of version %d", (int)version);
}

static void take_uuid(struct uuid *out, const char *text)
{
	if (!uuid_parse(text, strlen(text), out))
		*out = (struct uuid){0};
}

/* Of a version that has no such tables yet it is not known. */
static void read_markers(struct sessions *s)
{
	PGresult *r =
	        PQexec(s->one, "SELECT c.id, i.name, i.marker, i.marked"
	                       " FROM chromatid.cluster c LEFT JOIN chromatid.instance i"
	                       " ON NOT i.detached");

	if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0)
		take_uuid(&s->d->cluster, PQgetvalue(r, 0, 0));
	for (int k = 0; k < PQntuples(r) && s->d->n_markers < CONF_MAX_INSTANCES; k++) {
		struct doctor_marker *m = &s->d->markers[s->d->n_markers];

		if (PQgetisnull(r, k, 1))
			continue;
		m->name = mem_string(PQgetvalue(r, k, 1));
		take_uuid(&m->id, PQgetvalue(r, k, 2));
		m->marked = PQgetvalue(r, k, 3)[0] == 't';
		s->d->n_markers++;
	}
	PQclear(r);
}

static void look_at_schema(struct sessions *s)
{
	static const char has_tables[] =
	        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid ="
	        " c.relnamespace WHERE n.nspname = 'chromatid' AND c.relname = "
	        "'migration'";
	bool schema = ask_number(s, s->one, has_tables) == 1;
	bool rights = look_at_rights(s, schema);

	if (!schema)
		doctor_find(s->d, FINDING_NOTE, ABOUT, NULL,
		            "it has no tables of ours yet; the first start makes them");
	if (!schema || !rights)
		return;
	look_at_schema_version(s);
	read_markers(s);
}

/* --- all of it --------------------------------------------------------------------- */

static void look(struct sessions *s)
{
	execute(s->one, "SET statement_timeout = '8s'");
	look_at_server(s);
	look_at_pooler(s);
	look_at_schema(s);
}

void doctor_log(struct doctor *d)
{
	struct sessions s = {d, connect_one(d->conf.database_url), NULL};

	if (PQstatus(s.one) == CONNECTION_OK)
		s.two = connect_one(d->conf.database_url);
	if (s.two != NULL && PQstatus(s.two) == CONNECTION_OK)
		look(&s);
	else
		doctor_find(d, FINDING_WRONG, ABOUT,
		            "Is it running, does DATABASE_URL say where, and does it let "
		            "this "
		            "machine and role in (pg_hba.conf)?",
		            "no connection: %s",
		            PQerrorMessage(s.two != NULL ? s.two : s.one));
	PQfinish(s.two);
	PQfinish(s.one);
}
