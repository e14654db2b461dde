/* http/operator.c - is it alive, is it of use, and who answers the other questions of
 * operators.
 *
 *	/health  liveness: platforms restart on anything but 200, and a restart mends
 *	         neither an instance nor PostgreSQL. So it is 200 whatever is down, or has
 *	         never been there; for the first moments only it is not known yet.
 *	/ready   may traffic come here? A write must be possible, now.
 */
#include "http/operator.h"

#include <stdio.h>
#include <string.h>

#include "http/shown.h"

/* Over when every instance has had its first verdict, for good. Not: when PostgreSQL was
 * there, or when it leads; a new version waits for the old one to hand over, and
 * platforms stop the old one when the new one is healthy. */
static bool is_starting(void)
{
	static bool started;

	if (!started)
		started = health_known();
	return !started;
}

static bool all_is_well(void)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (!instance_writable(health_instance(i)))
			return false;
	return wal_takes_writes() && shown_is_well();
}

const char *operator_state(void)
{
	if (http_draining())
		return "draining";
	if (is_starting())
		return "starting";
	if (health_up_count() == 0)
		return "unavailable";
	return all_is_well() ? "healthy" : "degraded";
}

bool operator_ready(void)
{
	return wal_takes_writes() && !wal_adopting() && health_up_count() > 0 &&
	       !http_draining();
}

static const char *why_not_ready(void)
{
	if (http_draining())
		return "shutting down";
	if (!wal_connected())
		return "PostgreSQL is not connected";
	if (wal_pooler_refused())
		return "a pooler in transaction mode is between us and PostgreSQL: let "
		       "DATABASE_URL name the server itself, or a pooler in session mode";
	if (!wal_takes_writes())
		return wal_another_leads() ? "another proxy leads"
		                           : "the log is being loaded";
	if (health_up_count() == 0)
		return "no instance is up";
	if (wal_adopting())
		return "what the instances hold is being adopted";
	return "";
}

/* An unknown number is not 0. */
static void health_page(struct exchange *ex)
{
	const char *state = operator_state();
	char pending[24] = "null";
	uint64_t n;

	if (shown_pending(&n))
		snprintf(pending, sizeof(pending), "%llu", (unsigned long long)n);
	exchange_json(ex, strcmp(state, "starting") == 0 ? 503 : 200,
	              "{\"status\":\"%s\",\"healthy_instances\":\"%u/%u\","
	              "\"pending_writes\":%s,\"service\":\"" OPERATOR_SERVICE "\","
	              "\"architecture\":\"" OPERATOR_ARCHITECTURE "\"}",
	              state, health_up_count(), health_count(), pending);
}

static void ready_page(struct exchange *ex)
{
	bool ready = operator_ready();

	exchange_json(ex, ready ? 200 : 503,
	              "{\"ready\":%s,\"status\":\"%s\",\"reason\":\"%s\"}",
	              ready ? "true" : "false", operator_state(), why_not_ready());
}

/* --- the status, of now or after asking the instances ------------------------------ */

static bool wants_realtime(const struct exchange *ex)
{
	const char *at = ex->route.query;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, "&");

		if (len == 13 && memcmp(at, "realtime=true", len) == 0)
			return true;
		at += len + (at[len] == '&');
	}
	return false;
}

static void on_probed(void *arg)
{
	status_page(arg);
}

void operator_answer(struct exchange *ex)
{
	switch (ex->route.kind) {
	case ROUTE_HEALTH:
		health_page(ex);
		break;
	case ROUTE_READY:
		ready_page(ex);
		break;
	case ROUTE_STATUS:
		if (wants_realtime(ex))
			health_probe_now(on_probed, ex, &ex->pending);
		else
			status_page(ex);
		break;
	case ROUTE_WAL_STATUS:
		wal_status_page(ex);
		break;
	case ROUTE_MAPPINGS:
		mappings_page(ex);
		break;
	default:
		metrics_page(ex);
	}
}
