/* core/pg_error.c - what an error means for the session that brought it.
 *
 * Most errors are about one statement. Some say that the session is over, although
 * PQstatus() is still good; some that it is of no use any more: the statement would fare
 * better in a new one. */
#include <string.h>

#include "core/pg_private.h"

const char *pg_error_field(const PGresult *r, int code)
{
	const char *value = PQresultErrorField(r, code);

	return value != NULL ? value : "";
}

/* What libpq itself complains of has no severity. 08P01 as an ERROR is only about
 * parameters that do not fit their statement. */
bool pg_error_fatal(const PGresult *r)
{
	const char *severity = pg_error_field(r, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *code = pg_error_field(r, PG_DIAG_SQLSTATE);

	if (strcmp(severity, "ERROR") != 0 || strncmp(code, "57P", 3) == 0)
		return true;
	return strncmp(code, "08", 2) == 0 && strcmp(code, "08P01") != 0;
}

const char *pg_error_useless(const PGresult *r)
{
	const char *code = pg_error_field(r, PG_DIAG_SQLSTATE);

	if (strcmp(code, "25006") == 0)
		return "the server has become read-only";
	if (strcmp(code, "26000") == 0)
		return "prepared statements are gone (a pooler between?)";
	if (strcmp(code, "0A000") == 0 &&
	    strcmp(pg_error_field(r, PG_DIAG_SOURCE_FUNCTION), "RevalidateCachedQuery") ==
	            0)
		return "the schema has changed under prepared statements";
	return NULL;
}
