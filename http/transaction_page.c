/* http/transaction_page.c - the log in the words of older scripts, for which each write
 * was a "transaction", guarded by a service of its own. Here the log is that record, and
 * the engine that recovery, so all of it is only told:
 *
 *	ATTEMPTING  in the log, not decided     COMPLETED  an instance has executed it
 *	FAILED      refused, or given up        RECOVERED  executed after its client had
 *	                                                   been told 503, or had left
 * A "timing gap failure" is a write that was given up: no instance gave a clear answer.
 */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "http/admin.h"
#include "http/shown.h"
#include "http/status.h"

#define DAYS_USUAL 7
#define DAYS_MOST 4000.0
#define DAY_MS 86400000.0

static void on_counted(void *arg, enum status s, const char *json, int64_t given_up)
{
	struct exchange *ex = arg;
	json_t *o, *undecided;
	uint64_t n = 0;
	bool known = shown_undecided(&n); /* so somebody leads */

	if (s != STATUS_OK) {
		admin_no_answer(ex, s);
		return;
	}
	o = json_object();
	status_set(o, "transaction_safety_service",
	           json_pack("{s:b, s:b, s:b}", "available", wal_connected() ? 1 : 0,
	                     "running", known ? 1 : 0, "table_exists", 1));
	status_set(o, "recent_transactions", json_loads(json, 0, NULL));
	status_set(o, "timing_gap_failures_24h", json_integer(given_up));
	undecided = known ? status_count(n) : json_null();
	status_set(o, "pending_recovery", json_incref(undecided));
	status_set(o, "pending_recovery_operations", json_incref(undecided));
	status_set(o, "pending_recovery_transactions", undecided);
	status_send(ex, o);
}

void transactions_page(struct exchange *ex)
{
	wal_ask(&(struct wal_question){.page = WAL_PAGE_TRANSACTIONS}, on_counted, ex,
	        &ex->pending);
}

static void on_found(void *arg, enum status s, const char *json, int64_t n)
{
	struct exchange *ex = arg;

	if (s != STATUS_OK)
		admin_no_answer(ex, s);
	else if (n == 0)
		exchange_error(ex, 404, "NotFoundError", "There is no transaction %.200s",
		               ex->route.item);
	else /* a list of one */
		exchange_json(ex, 200, "%.*s", (int)strlen(json) - 2, json + 1);
}

void transaction_page(struct exchange *ex)
{
	wal_ask(&(struct wal_question){.page = WAL_PAGE_TRANSACTION,
	                               .text = ex->route.item},
	        on_found, ex, &ex->pending);
}

static void on_probed(void *arg)
{
	struct exchange *ex = arg;
	uint64_t undecided = wal_hurry();

	admin_event(ex, "recovery triggered");
	exchange_json(ex, 200,
	              "{\"success\":true,\"pending_recovery\":%llu,\"message\":\"The "
	              "instances were asked, and what can be executed is\"}",
	              (unsigned long long)undecided);
}

/* It never rests; but an instance that has just come back is seen at once. */
void transaction_trigger(struct exchange *ex)
{
	health_probe_now(on_probed, ex, &ex->pending);
}

static void on_cleaned(void *arg, enum status s, uint64_t deleted, bool blocked)
{
	struct exchange *ex = arg;

	(void)blocked;
	if (s == STATUS_OK)
		exchange_json(
		        ex, 200,
		        "{\"success\":true,\"status\":\"success\","
		        "\"deleted_entries\":%llu,\"deleted_transactions\":%llu,"
		        "\"message\":\"What every instance has executed and is older "
		        "has gone\"}",
		        (unsigned long long)deleted, (unsigned long long)deleted);
	else
		admin_no_answer(ex, STATUS_LOG_UNAVAILABLE);
}

void transaction_cleanup(struct exchange *ex)
{
	double days = DAYS_USUAL;

	if (!admin_number(ex, "days_old", DAYS_MOST, &days)) {
		admin_bad(ex, "days_old is a number, not negative");
		return;
	}
	admin_event(ex, "cleanup of what is older than %g days", days);
	if (!wal_cleanup((int64_t)(days * DAY_MS), on_cleaned, ex, &ex->pending))
		admin_no_answer(ex, STATUS_LOG_UNAVAILABLE);
}
