/* http/retention_page.c - what the log takes, for whom it is kept, and an operator's word
 * to shorten it.
 *
 *	GET  /status        "write_ahead_log": log_bytes, ...; "removed_instances"
 *	POST /wal/cleanup   {"max_age_hours": 24}: what is older goes, as far as every
 *	                    instance has it */
#include <stdlib.h>

#include "core/json_scan.h"
#include "core/log.h"
#include "core/mem.h"
#include "http/admin.h"
#include "http/status.h"

#define HOURS_USUAL 24
#define HOURS_MOST 100000.0
#define HOUR_MS 3600000.0

/* --- what is known ----------------------------------------------------------------- */

void status_set_log(json_t *o)
{
	struct wal_log_figures f;

	wal_log_figures(&f);
	status_set(o, "log_bytes", f.known ? status_count(f.bytes) : json_null());
	status_set(o, "log_limit_bytes",
	           f.limit > 0 ? status_count(f.limit) : json_null());
	status_set(o, "log_partitions",
	           f.known ? status_count(f.partitions) : json_null());
	status_set(o, "oldest_entry", status_time(f.oldest_wall_ms));
}

static void add_removed(void *arg, const struct wal_removed *r)
{
	json_t *list = arg, *o = json_object();

	status_set(o, "name", status_text_value(r->name));
	status_set(o, "last_configured", status_time(r->seen_wall_ms));
	status_set(o, "detached", json_boolean(r->detached));
	json_array_append_new(list, o);
}

json_t *status_removed(void)
{
	json_t *list = json_array();

	wal_each_removed(add_removed, list);
	return list;
}

/* --- an operator's word ------------------------------------------------------------ */

static void on_cleaned(void *arg, enum status s, uint64_t deleted, bool blocked)
{
	struct exchange *ex = arg;

	if (s != STATUS_OK)
		exchange_error(ex, 503, "InternalError",
		               "PostgreSQL did not answer, or this proxy leads no more; "
		               "%llu entries were deleted before that",
		               (unsigned long long)deleted);
	else
		exchange_json(
		        ex, 200,
		        "{\"status\":\"success\",\"deleted_entries\":%llu,"
		        "\"reset_entries\":0,\"message\":\"%s\"}",
		        (unsigned long long)deleted,
		        blocked ? "Somebody reads the log: some of what is old is still "
		                  "there, and goes when it can"
		                : "What every instance has executed and is older has "
		                  "gone, "
		                  "in whole partitions");
}

void cleanup(struct exchange *ex)
{
	double hours = HOURS_USUAL;

	if (!admin_number(ex, "max_age_hours", HOURS_MOST, &hours)) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "max_age_hours is a number, not negative");
		return;
	}
	admin_event(ex, "cleanup of what is older than %g h", hours);
	if (!wal_cleanup((int64_t)(hours * HOUR_MS), on_cleaned, ex, &ex->pending))
		exchange_error(
		        ex, 503, "InternalError",
		        "Not now: this proxy does not lead, PostgreSQL is away, or "
		        "another cleanup is under way");
}
