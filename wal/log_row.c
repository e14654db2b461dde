/* wal/log_row.c - a row of the log becomes a record. */
#include "wal/log_row.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/record.h"

static void fill_digest(struct record *r, const struct pg_results *results, int at,
                        int row)
{
	const void *digest;
	size_t len;

	if (pg_is_null(results, at, row, LOG_DIGEST))
		return;
	digest = pg_get_bytes(results, at, row, LOG_DIGEST, &len);
	r->digested = len == DIGEST_LEN;
	if (r->digested)
		memcpy(r->digest.bytes, digest, len);
}

void log_row_fill(struct record *r, const struct pg_results *results, int at, int row)
{
	const char *old = pg_get_text(results, at, row, LOG_OLD_NAME), *trace;

	if (r->kind == RECORD_ADOPT_COLLECTION)
		r->origin = record_origin_from(old);
	if (!pg_is_null(results, at, row, LOG_OLD_NAME)) {
		free(r->old_name);
		r->old_name = mem_string(old);
	}
	r->body_len = (size_t)pg_get_int8(results, at, row, LOG_BODY_LEN);
	r->appended_wall_ms = pg_get_int8(results, at, row, LOG_AT);
	trace = pg_get_text(results, at, row, LOG_TRACE);
	trace_parse(&r->trace, trace, strlen(trace));
	fill_digest(r, results, at, row);
}
