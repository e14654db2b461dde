/* http/dispatch.c - who answers which route, and what it needs to be there first. What
 * takes no more than a line is answered here. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "http/admin.h"
#include "http/errand.h"
#include "http/exchange.h"

/* Chroma has no words for these two; an operator is told what is wrong. */
static void no_such_path(struct exchange *ex)
{
	if (ex->route.ours)
		exchange_error(ex, 404, "NotFoundError",
		               "There is no such path; `chromatid --document-api` lists "
		               "what there is");
	else
		exchange_reply(ex, 404, NULL, NULL);
}

static void wrong_method(struct exchange *ex)
{
	if (ex->route.ours)
		exchange_error(ex, 405, "ChromaError", "This path takes %s, not %.20s",
		               ex->route.allow, ex->head->method);
	else
		exchange_reply(ex, 405, NULL, NULL);
}

static void heartbeat(struct exchange *ex)
{
	if (!wal_serves() && !health_known())
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	else if (health_known() && health_up_count() == 0)
		exchange_fail(ex, STATUS_NO_INSTANCE, "none");
	else
		exchange_json(ex, 200, "{\"nanosecond heartbeat\":%lld}",
		              (long long)clock_wall_ms() * 1000000);
}

static void healthcheck(struct exchange *ex)
{
	bool up = health_up_count() > 0;

	exchange_json(ex, up ? 200 : 503,
	              "{\"is_executor_ready\":%s,\"is_log_client_ready\":%s}",
	              up ? "true" : "false", up ? "true" : "false");
}

static void v1_gone(struct exchange *ex)
{
	exchange_error(ex, 410, "Unimplemented",
	               "The v1 API is deprecated. Please use /v2 apis");
}

/* A well-formed CRN makes Chroma drop the connection; a malformed one it refuses. */
static void crn(struct exchange *ex)
{
	const char *first = strchr(ex->route.item, ':');

	if (first != NULL && strchr(first + 1, ':') != NULL)
		exchange_error(ex, 501, "ChromaError",
		               "Collection resource names are not supported");
	else
		read_any_instance(ex);
}

static void not_supported(struct exchange *ex)
{
	bool fork = strcmp(ex->route.op, "fork") == 0;

	exchange_error(ex, 501, "ChromaError",
	               fork ? "Collection forking is unsupported for local chroma"
	                    : "Not supported for local chroma");
}

/* No single Chroma does it. One that did would do it behind the log's back: so it is
 * asked where it cannot. */
static void unsupported(struct exchange *ex)
{
	refusal_ask(ex, not_supported);
}

typedef void(answer_fn)(struct exchange *ex);

/* Where another proxy leads. */
enum following {
	HERE,      /* answered as ever */
	PASSED_ON, /* only the leader can: it is asked (errand.c) */
	REFUSED,   /* ... and it can only be asked itself */
};

static const struct {
	answer_fn *answer;
	bool catalogue; /* needs the catalogue */
	bool writes;    /* needs the log */
	enum following following;
} answers[] = {
        [ROUTE_NONE] = {no_such_path, false, false, HERE},
        [ROUTE_WRONG_METHOD] = {wrong_method, false, false, HERE},
        [ROUTE_HEARTBEAT] = {heartbeat, false, false, HERE},
        [ROUTE_HEALTHCHECK] = {healthcheck, false, false, HERE},
        [ROUTE_ANY_INSTANCE] = {read_any_instance, false, false, HERE},
        [ROUTE_CRN] = {crn, false, false, HERE},
        [ROUTE_V1] = {v1_gone, false, false, HERE},
        [ROUTE_V1_HEARTBEAT] = {heartbeat, false, false, HERE},
        [ROUTE_RESET] = {reset, true, true, HERE},
        [ROUTE_CREATE_TENANT] = {create_tenant, true, true, HERE},
        [ROUTE_GET_TENANT] = {get_tenant, true, false, HERE},
        [ROUTE_PATCH_TENANT] = {read_any_instance, false, false, HERE},
        [ROUTE_LIST_DATABASES] = {list_databases, true, false, HERE},
        [ROUTE_CREATE_DATABASE] = {create_database, true, true, HERE},
        [ROUTE_GET_DATABASE] = {get_database, true, false, HERE},
        [ROUTE_DELETE_DATABASE] = {delete_database, true, true, HERE},
        [ROUTE_LIST_COLLECTIONS] = {list_collections, true, false, HERE},
        [ROUTE_COUNT_COLLECTIONS] = {count_collections, true, false, HERE},
        [ROUTE_CREATE_COLLECTION] = {create_collection, true, true, HERE},
        [ROUTE_GET_COLLECTION] = {read_collection, true, false, HERE},
        [ROUTE_GET_COLLECTION_ID] = {read_collection, true, false, HERE},
        [ROUTE_MODIFY_COLLECTION] = {modify_collection, true, true, HERE},
        [ROUTE_DELETE_COLLECTION] = {delete_collection, true, true, HERE},
        [ROUTE_WRITE_ITEMS] = {write_items, true, true, HERE},
        [ROUTE_READ_ITEMS] = {read_items, true, false, HERE},
        [ROUTE_UNSUPPORTED] = {unsupported, true, false, HERE},
        [ROUTE_HEALTH] = {operator_answer, false, false, HERE},
        [ROUTE_READY] = {operator_answer, false, false, HERE},
        [ROUTE_STATUS] = {operator_answer, false, false, HERE},
        [ROUTE_WAL_STATUS] = {operator_answer, false, false, HERE},
        [ROUTE_TIMELINE] = {timeline_page, false, false, HERE},
        [ROUTE_STATUS_COLLECTIONS] = {collections_page, false, false, HERE},
        [ROUTE_UI] = {ui_page, false, false, HERE},
        [ROUTE_MAPPINGS] = {operator_answer, true, false, PASSED_ON},
        [ROUTE_METRICS] = {operator_answer, false, false, HERE},
        [ROUTE_WAL_RETRY] = {quarantine_retry, true, false, PASSED_ON},
        [ROUTE_WAL_SKIP] = {quarantine_skip, true, false, PASSED_ON},
        [ROUTE_ADOPT] = {adopt_page, true, false, PASSED_ON},
        [ROUTE_VERIFY] = {verify_begin, true, false, PASSED_ON},
        [ROUTE_VERIFICATION] = {verify_page, true, false, PASSED_ON},
        [ROUTE_HISTORY] = {history_page, false, false, HERE},
        [ROUTE_RESYNC] = {resync_page, true, false, PASSED_ON},
        [ROUTE_RESYNCS] = {resyncs_page, true, false, PASSED_ON},
        [ROUTE_EXPORT_BEGIN] = {export_begin_page, true, false, REFUSED},
        [ROUTE_EXPORT_LOOK] = {export_look_page, true, false, REFUSED},
        [ROUTE_EXPORT_COLLECTION] = {export_collection_page, true, false, REFUSED},
        [ROUTE_EXPORT_ITEMS] = {export_items_page, true, false, REFUSED},
        [ROUTE_EXPORT_END] = {export_end_page, true, false, REFUSED},
        [ROUTE_IMPORT_COLLECTION] = {import_collection, true, true, HERE},
        [ROUTE_WAL_CLEANUP] = {cleanup, true, false, PASSED_ON},
        [ROUTE_INSTANCES] = {instances_page, false, false, HERE},
        [ROUTE_OVERRIDE] = {override_page, false, false, HERE},
        [ROUTE_WAL_COUNT] = {wal_count_page, false, false, HERE},
        [ROUTE_WAL_ERRORS] = {wal_errors_page, false, false, HERE},
        [ROUTE_WAL_DEBUG] = {wal_debug_page, false, false, HERE},
        [ROUTE_WAL_LIST] = {wal_list_page, false, false, HERE},
        [ROUTE_WAL_ENTRY] = {wal_entry_page, false, false, HERE},
        [ROUTE_TRANSACTIONS] = {transactions_page, false, false, PASSED_ON},
        [ROUTE_TRANSACTION] = {transaction_page, false, false, HERE},
        [ROUTE_TRANSACTION_TRIGGER] = {transaction_trigger, false, false, PASSED_ON},
        [ROUTE_TRANSACTION_CLEANUP] = {transaction_cleanup, true, false, PASSED_ON},
        [ROUTE_SCALABILITY] = {scalability_page, false, false, HERE},
        [ROUTE_CONFIG] = {config_page, false, false, HERE},
        [ROUTE_MAPPING_DELETE] = {mapping_delete, true, true, PASSED_ON},
        [ROUTE_MAPPING_CREATE] = {mapping_create, true, true, PASSED_ON},
        [ROUTE_MAPPINGS_COMPLETE] = {mappings_complete, true, false, PASSED_ON},
};

bool dispatch_needs_catalogue(const struct exchange *ex)
{
	return answers[ex->route.kind].catalogue;
}

static void bad_path(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError",
	               "Invalid URL: Invalid UTF-8 in `%s`", ex->route.bad);
}

static void identity(struct exchange *ex)
{
	exchange_json(ex, 200,
	              "{\"user_id\":\"\",\"tenant\":\"" TENANT_DEFAULT
	              "\",\"databases\":[\"" DATABASE_DEFAULT "\"]}");
}

static void begin(struct exchange *ex)
{
	answer_fn *answer = answers[ex->route.kind].answer;

	if (answers[ex->route.kind].writes && repeat_named(ex))
		repeat_begin(ex, answer);
	else
		answer(ex);
}

/* With a key the word speaks of the write, which may have been logged before. */
static const char *outcome_unlogged(const struct exchange *ex)
{
	return answers[ex->route.kind].writes && repeat_named(ex) ? "unknown" : "none";
}

/* What instances hold at the very first start is only being looked through. */
static bool is_ready(enum route_kind kind)
{
	if (wal_adopting() && answers[kind].catalogue && !route_is_ours(kind))
		return false;
	if (answers[kind].writes)
		return wal_takes_writes();
	return !answers[kind].catalogue || wal_serves();
}

/* --- a tenant that the catalogue does not know -------------------------------------- */

static void on_looked(void *arg)
{
	dispatch(arg);
}

static bool is_known(const struct exchange *ex, const char *tenant)
{
	const char *database = ex->route.database;

	return tenant == NULL || catalogue_tenant(tenant) ||
	       (database != NULL && catalogue_database(tenant, database) != NULL);
}

static bool look_for(struct exchange *ex, const char *tenant)
{
	return !is_known(ex, tenant) && wal_look(tenant, on_looked, ex, &ex->pending);
}

static bool look_for_new(struct exchange *ex)
{
	char *tenant = write_takes_part(ex) ? write_text(ex, "name") : NULL;
	bool looks = look_for(ex, tenant);

	free(tenant);
	return looks;
}

/* True: an instance may know it, and is asked. */
static bool looks_for_tenant(struct exchange *ex)
{
	enum route_kind kind = ex->route.kind;

	if (!answers[kind].catalogue || route_is_ours(kind) || wal_follows())
		return false;
	if (kind == ROUTE_CREATE_TENANT)
		return look_for_new(ex);
	return look_for(ex, kind == ROUTE_GET_TENANT ? ex->route.item : ex->route.tenant);
}

/* --- what only the leader can do ---------------------------------------------------- */

static bool is_the_leaders(enum route_kind kind)
{
	return wal_follows() && answers[kind].following != HERE;
}

/* An errand that has come here is not sent on: this proxy led a moment ago. */
static void leave_to_leader(struct exchange *ex)
{
	if (ex->errand != NULL)
		exchange_fail(ex, STATUS_DEPOSED, "none");
	else if (answers[ex->route.kind].following == PASSED_ON)
		errand_pass_on(ex);
	else
		exchange_fail_saying(
		        ex, STATUS_DEPOSED, "none",
		        "another proxy leads, and an export is only to be had "
		        "from that one itself, which stands still for it");
}

/* Not a word of what other proxies pass on. */
static bool is_no_errand(const struct exchange *ex)
{
	return ex->errand != NULL && answers[ex->route.kind].following != PASSED_ON;
}

/* --- the catalogue of another proxy ------------------------------------------------- */

/* Whom it is about, as far as we know: so that one look tells that, too. */
static void guess(struct exchange *ex)
{
	switch (ex->route.kind) {
	case ROUTE_READ_ITEMS:
	case ROUTE_WRITE_ITEMS:
		find_by_id_or_name(ex);
		break;
	case ROUTE_GET_COLLECTION:
		find_by_name(ex);
		break;
	case ROUTE_GET_COLLECTION_ID:
		find_by_id(ex);
		break;
	case ROUTE_LIST_COLLECTIONS:
		find_database(ex);
		break;
	default:
		break;
	}
}

/* A write of items need not be: PostgreSQL says whether the collection is there still. */
static bool is_refreshed_first(struct exchange *ex)
{
	if (!wal_follows() || !answers[ex->route.kind].catalogue || ex->refreshed)
		return false;
	guess(ex);
	if (ex->route.kind == ROUTE_WRITE_ITEMS && ex->collection != NULL &&
	    ex->collection->life == LIFE_LIVE)
		return false;
	return exchange_refreshes(ex, begin);
}

/* The catalogue is loaded, and for a write the log can take it. While another proxy's
 * lease runs out the request is held, as long as PostgreSQL is there, or was a moment
 * ago. */
void dispatch(struct exchange *ex)
{
	enum route_kind kind = ex->route.kind;
	bool ready = is_ready(kind);
	const char *killer;

	if (is_no_errand(ex)) {
		no_such_path(ex);
	} else if (kind == ROUTE_BAD_PATH) {
		bad_path(ex);
	} else if (kind == ROUTE_IDENTITY) {
		identity(ex);
	} else if (is_the_leaders(kind)) {
		leave_to_leader(ex);
	} else if (ready && ex->body != NULL && (killer = killer_in(ex)) != NULL) {
		exchange_error(ex, 400, "InvalidArgumentError", "%s", killer);
	} else if (ready && looks_for_tenant(ex)) {
		return;
	} else if (ready) {
		ex->hold_until = 0;
		if (!is_refreshed_first(ex))
			begin(ex);
	} else if (wal_away() ||
	           !exchange_hold(ex, exchange_conf->write_wait, dispatch)) {
		exchange_fail(ex, STATUS_LOG_UNAVAILABLE, outcome_unlogged(ex));
	}
}
