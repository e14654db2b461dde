/* http/route.c - pure: the API as one table.
 *
 * Chroma reads by POST, so the method alone decides nothing. {t} {d} {c} are tenant,
 * database and collection; {*} is the rest of the path, {} one segment. */
#include "http/route.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

#define V2 "/api/v2"
#define DB V2 "/tenants/{t}/databases/{d}"
#define COLLECTION DB "/collections/{c}"

static const struct row {
	const char *method, *path;
	enum route_kind kind;
	enum route_verb verb;
	const char *op;
} table[] = {
        {"GET", V2, ROUTE_HEARTBEAT, VERB_NONE, "heartbeat"},
        {"GET", V2 "/heartbeat", ROUTE_HEARTBEAT, VERB_NONE, "heartbeat"},
        {"GET", V2 "/healthcheck", ROUTE_HEALTHCHECK, VERB_NONE, "healthcheck"},
        {"GET", V2 "/version", ROUTE_ANY_INSTANCE, VERB_NONE, "version"},
        {"GET", V2 "/pre-flight-checks", ROUTE_ANY_INSTANCE, VERB_NONE,
         "pre_flight_checks"},
        {"GET", V2 "/auth/identity", ROUTE_IDENTITY, VERB_NONE, "identity"},
        {"GET", V2 "/collections/{c}", ROUTE_CRN, VERB_NONE, "get_collection_crn"},
        {"POST", V2 "/reset", ROUTE_RESET, VERB_NONE, "reset"},
        {"POST", V2 "/tenants", ROUTE_CREATE_TENANT, VERB_NONE, "create_tenant"},
        {"GET", V2 "/tenants/{c}", ROUTE_GET_TENANT, VERB_NONE, "get_tenant"},
        {"PATCH", V2 "/tenants/{c}", ROUTE_PATCH_TENANT, VERB_NONE, "patch_tenant"},
        {"GET", V2 "/tenants/{t}/databases", ROUTE_LIST_DATABASES, VERB_NONE,
         "list_databases"},
        {"POST", V2 "/tenants/{t}/databases", ROUTE_CREATE_DATABASE, VERB_NONE,
         "create_database"},
        {"GET", DB, ROUTE_GET_DATABASE, VERB_NONE, "get_database"},
        {"DELETE", DB, ROUTE_DELETE_DATABASE, VERB_NONE, "delete_database"},
        {"POST", DB "/collections", ROUTE_CREATE_COLLECTION, VERB_NONE,
         "create_collection"},
        {"GET", DB "/collections", ROUTE_LIST_COLLECTIONS, VERB_NONE, "list_collections"},
        {"GET", DB "/collections_count", ROUTE_COUNT_COLLECTIONS, VERB_NONE,
         "count_collections"},
        {"GET", DB "/collections/by-id/{c}", ROUTE_GET_COLLECTION_ID, VERB_NONE,
         "get_collection_by_id"},
        {"GET", COLLECTION, ROUTE_GET_COLLECTION, VERB_NONE, "get_collection"},
        {"PUT", COLLECTION, ROUTE_MODIFY_COLLECTION, VERB_NONE, "modify_collection"},
        {"DELETE", COLLECTION, ROUTE_DELETE_COLLECTION, VERB_NONE, "delete_collection"},
        {"POST", COLLECTION "/add", ROUTE_WRITE_ITEMS, VERB_ADD, "add"},
        {"POST", COLLECTION "/upsert", ROUTE_WRITE_ITEMS, VERB_UPSERT, "upsert"},
        {"POST", COLLECTION "/update", ROUTE_WRITE_ITEMS, VERB_UPDATE, "update"},
        {"POST", COLLECTION "/delete", ROUTE_WRITE_ITEMS, VERB_DELETE, "delete"},
        {"POST", COLLECTION "/get", ROUTE_READ_ITEMS, VERB_GET, "get"},
        {"POST", COLLECTION "/query", ROUTE_READ_ITEMS, VERB_QUERY, "query"},
        {"POST", COLLECTION "/search", ROUTE_READ_ITEMS, VERB_OTHER, "search"},
        {"GET", COLLECTION "/count", ROUTE_READ_ITEMS, VERB_COUNT, "count"},
        {"GET", COLLECTION "/fork_count", ROUTE_READ_ITEMS, VERB_OTHER, "fork_count"},
        {"GET", COLLECTION "/indexing_status", ROUTE_READ_ITEMS, VERB_OTHER,
         "indexing_status"},
        {"GET", COLLECTION "/functions/{}", ROUTE_READ_ITEMS, VERB_OTHER, "get_function"},
        {"POST", COLLECTION "/fork", ROUTE_UNSUPPORTED, VERB_OTHER, "fork"},
        {"POST", COLLECTION "/functions/attach", ROUTE_UNSUPPORTED, VERB_OTHER,
         "attach_function"},
        {"POST", COLLECTION "/attached_functions/{}/detach", ROUTE_UNSUPPORTED,
         VERB_OTHER, "detach_function"},
        {"GET", "/openapi.json", ROUTE_ANY_INSTANCE, VERB_NONE, "openapi"},
        {"GET", "/docs", ROUTE_ANY_INSTANCE, VERB_NONE, "docs"},
        {"GET", "/docs/{*}", ROUTE_ANY_INSTANCE, VERB_NONE, "docs"},
        {"GET", "/api/v1/heartbeat", ROUTE_V1_HEARTBEAT, VERB_NONE, "v1_heartbeat"},
        {"GET", "/api/v1/{*}", ROUTE_V1, VERB_NONE, "v1"},
        {"PUT", "/api/v1/{*}", ROUTE_V1, VERB_NONE, "v1"},
        {"PATCH", "/api/v1/{*}", ROUTE_V1, VERB_NONE, "v1"},
        {"DELETE", "/api/v1/{*}", ROUTE_V1, VERB_NONE, "v1"},
        {"OPTIONS", "/api/v1/{*}", ROUTE_V1, VERB_NONE, "v1"},
        {"GET", "/health", ROUTE_HEALTH, VERB_NONE, "health"},
        {"GET", "/healthz", ROUTE_HEALTH, VERB_NONE, "health"},
        {"GET", "/livez", ROUTE_HEALTH, VERB_NONE, "health"},
        {"GET", "/ready", ROUTE_READY, VERB_NONE, "ready"},
        {"GET", "/readyz", ROUTE_READY, VERB_NONE, "ready"},
        {"GET", "/status", ROUTE_STATUS, VERB_NONE, "status"},
        {"GET", "/wal/status", ROUTE_WAL_STATUS, VERB_NONE, "wal_status"},
        {"GET", "/status/timeline", ROUTE_TIMELINE, VERB_NONE, "timeline"},
        {"GET", "/status/collections", ROUTE_STATUS_COLLECTIONS, VERB_NONE,
         "status_collections"},
        {"GET", "/ui", ROUTE_UI, VERB_NONE, "ui"},
        {"GET", "/collection/mappings", ROUTE_MAPPINGS, VERB_NONE, "mappings"},
        {"GET", "/admin/collection_mappings", ROUTE_MAPPINGS, VERB_NONE, "mappings"},
        {"POST", "/admin/wal/{c}/retry", ROUTE_WAL_RETRY, VERB_NONE, "wal_retry"},
        {"POST", "/admin/wal/{c}/skip", ROUTE_WAL_SKIP, VERB_NONE, "wal_skip"},
        {"POST", "/admin/adopt", ROUTE_ADOPT, VERB_NONE, "adopt"},
        {"POST", "/admin/verify", ROUTE_VERIFY, VERB_NONE, "verify"},
        {"GET", "/admin/verify", ROUTE_VERIFICATION, VERB_NONE, "verification"},
        {"POST", "/admin/wal/records", ROUTE_HISTORY, VERB_NONE, "wal_records"},
        {"POST", "/admin/resync", ROUTE_RESYNC, VERB_NONE, "resync"},
        {"GET", "/admin/resync", ROUTE_RESYNCS, VERB_NONE, "resyncs"},
        {"POST", "/admin/sync_collections", ROUTE_RESYNC, VERB_NONE, "sync_collections"},
        {"POST", "/admin/export", ROUTE_EXPORT_BEGIN, VERB_NONE, "export"},
        {"GET", "/admin/export/{c}", ROUTE_EXPORT_LOOK, VERB_NONE, "export_look"},
        {"DELETE", "/admin/export/{c}", ROUTE_EXPORT_END, VERB_NONE, "export_end"},
        {"POST", "/admin/export/{c}/collection", ROUTE_EXPORT_COLLECTION, VERB_NONE,
         "export_collection"},
        {"POST", "/admin/export/{c}/items", ROUTE_EXPORT_ITEMS, VERB_NONE,
         "export_items"},
        {"POST", "/admin/import/tenants/{t}/databases/{d}/collections/{c}",
         ROUTE_IMPORT_COLLECTION, VERB_NONE, "import_collection"},
        {"POST", "/wal/cleanup", ROUTE_WAL_CLEANUP, VERB_NONE, "wal_cleanup"},
        {"GET", "/metrics", ROUTE_METRICS, VERB_NONE, "metrics"},
        {"GET", "/admin/instances", ROUTE_INSTANCES, VERB_NONE, "instances"},
        {"POST", "/admin/instances/{c}/health", ROUTE_OVERRIDE, VERB_NONE,
         "instance_health"},
        {"GET", "/admin/wal", ROUTE_WAL_LIST, VERB_NONE, "wal_list"},
        {"GET", "/admin/wal/{c}", ROUTE_WAL_ENTRY, VERB_NONE, "wal_entry"},
        {"GET", "/admin/wal_count", ROUTE_WAL_COUNT, VERB_NONE, "wal_count"},
        {"GET", "/admin/wal_errors", ROUTE_WAL_ERRORS, VERB_NONE, "wal_errors"},
        {"GET", "/admin/wal_debug", ROUTE_WAL_DEBUG, VERB_NONE, "wal_debug"},
        {"GET", "/admin/transaction_safety_status", ROUTE_TRANSACTIONS, VERB_NONE,
         "transactions"},
        {"GET", "/transaction/safety/status", ROUTE_TRANSACTIONS, VERB_NONE,
         "transactions"},
        {"GET", "/transaction/safety/transaction/{c}", ROUTE_TRANSACTION, VERB_NONE,
         "transaction"},
        {"POST", "/transaction/safety/recovery/trigger", ROUTE_TRANSACTION_TRIGGER,
         VERB_NONE, "transaction_trigger"},
        {"POST", "/transaction/safety/cleanup", ROUTE_TRANSACTION_CLEANUP, VERB_NONE,
         "transaction_cleanup"},
        {"GET", "/admin/scalability_status", ROUTE_SCALABILITY, VERB_NONE, "scalability"},
        {"GET", "/admin/config", ROUTE_CONFIG, VERB_NONE, "config"},
        {"DELETE", "/collection/mappings/{c}", ROUTE_MAPPING_DELETE, VERB_NONE,
         "mapping_delete"},
        {"POST", "/admin/create_mapping", ROUTE_MAPPING_CREATE, VERB_NONE,
         "mapping_create"},
        {"POST", "/admin/complete_mappings", ROUTE_MAPPINGS_COMPLETE, VERB_NONE,
         "mappings_complete"},
};
#define ROWS (sizeof(table) / sizeof(table[0]))

int route_row(size_t i, const char **method, const char **path, enum route_kind *kind,
              const char **op)
{
	if (i >= ROWS)
		return 0;
	*method = table[i].method;
	*path = table[i].path;
	*kind = table[i].kind;
	*op = table[i].op;
	return 1;
}

bool route_is_ours(enum route_kind kind)
{
	switch (kind) {
	case ROUTE_HEALTH:
	case ROUTE_READY:
	case ROUTE_STATUS:
	case ROUTE_WAL_STATUS:
	case ROUTE_TIMELINE:
	case ROUTE_STATUS_COLLECTIONS:
	case ROUTE_UI:
	case ROUTE_MAPPINGS:
	case ROUTE_METRICS:
	case ROUTE_WAL_RETRY:
	case ROUTE_WAL_SKIP:
	case ROUTE_ADOPT:
	case ROUTE_VERIFY:
	case ROUTE_VERIFICATION:
	case ROUTE_RESYNC:
	case ROUTE_RESYNCS:
	case ROUTE_HISTORY:
	case ROUTE_EXPORT_BEGIN:
	case ROUTE_EXPORT_LOOK:
	case ROUTE_EXPORT_COLLECTION:
	case ROUTE_EXPORT_ITEMS:
	case ROUTE_EXPORT_END:
	case ROUTE_IMPORT_COLLECTION:
	case ROUTE_WAL_CLEANUP:
	case ROUTE_INSTANCES:
	case ROUTE_OVERRIDE:
	case ROUTE_WAL_COUNT:
	case ROUTE_WAL_ERRORS:
	case ROUTE_WAL_DEBUG:
	case ROUTE_WAL_LIST:
	case ROUTE_WAL_ENTRY:
	case ROUTE_TRANSACTIONS:
	case ROUTE_TRANSACTION:
	case ROUTE_TRANSACTION_TRIGGER:
	case ROUTE_TRANSACTION_CLEANUP:
	case ROUTE_SCALABILITY:
	case ROUTE_CONFIG:
	case ROUTE_MAPPING_DELETE:
	case ROUTE_MAPPING_CREATE:
	case ROUTE_MAPPINGS_COMPLETE:
		return true;
	default:
		return false;
	}
}

bool route_is_answered_here(enum route_kind kind)
{
	switch (kind) {
	case ROUTE_HEARTBEAT:
	case ROUTE_IDENTITY:
	case ROUTE_HEALTHCHECK:
	case ROUTE_V1:
	case ROUTE_V1_HEARTBEAT:
		return true;
	default:
		return false;
	}
}

const char *route_kind_text(enum route_kind kind)
{
	if (route_is_ours(kind))
		return "ours";
	if (route_is_answered_here(kind))
		return "answered here";
	switch (kind) {
	case ROUTE_ANY_INSTANCE:
	case ROUTE_CRN:
	case ROUTE_PATCH_TENANT:
	case ROUTE_UNSUPPORTED:
		return "passed to an instance";
	case ROUTE_GET_TENANT:
	case ROUTE_LIST_DATABASES:
	case ROUTE_GET_DATABASE:
	case ROUTE_COUNT_COLLECTIONS:
		return "answered from the catalogue";
	case ROUTE_LIST_COLLECTIONS:
	case ROUTE_GET_COLLECTION:
	case ROUTE_GET_COLLECTION_ID:
	case ROUTE_READ_ITEMS:
		return "read from a current instance";
	default:
		return "logged, then executed on every instance";
	}
}

/* --- matching ---------------------------------------------------------------------- */

#define SEGMENTS_MOST 12u /* more than any row has */

struct segment {
	const char *at;
	size_t len;
};

/* A path split at its slashes; of a very long one only its beginning. */
struct segments {
	struct segment list[SEGMENTS_MOST];
	unsigned count;
};

static void split(const char *path, const char *end, struct segments *out)
{
	out->count = 0;
	while (path < end && *path == '/' && out->count < SEGMENTS_MOST) {
		const char *from = path + 1;
		const char *slash = memchr(from, '/', (size_t)(end - from));

		path = slash != NULL ? slash : end;
		out->list[out->count++] = (struct segment){from, (size_t)(path - from)};
	}
}

/* The table's paths, split when they are wanted first. */
static const struct segments *row_segments(size_t i)
{
	static struct segments rows[ROWS];

	if (rows[i].count == 0)
		split(table[i].path, table[i].path + strlen(table[i].path), &rows[i]);
	return &rows[i];
}

static bool match_one(const struct segment *pattern, const struct segment *s)
{
	if (pattern->at[0] == '{')
		return s->len > 0;
	return pattern->len == s->len &&
	       (s->len == 0 || memcmp(pattern->at, s->at, s->len) == 0);
}

static bool takes_the_rest(const struct segment *pattern)
{
	return pattern->len == 3 && memcmp(pattern->at, "{*}", 3) == 0;
}

/* From the last segment on: most rows begin alike. */
static bool match(const struct segments *row, const struct segments *path)
{
	unsigned n = row->count;

	if (n <= path->count && takes_the_rest(&row->list[n - 1]))
		n--;
	else if (n != path->count)
		return false;
	while (n > 0 && match_one(&row->list[n - 1], &path->list[n - 1]))
		n--;
	return n == 0;
}

/* --- segments ---------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_utf8(const char *s, size_t len)
{
	uint32_t c;

	for (size_t n; len > 0; s += n, len -= n) {
		n = utf8_next(s, len, &c);
		if (c == UTF8_BROKEN)
			return false;
	}
	return true;
}

/* The byte that an escape stands for; -1: what stands there is none. */
static int escaped(const char *s, size_t len)
{
	int high = len > 2 && s[0] == '%' ? hex(s[1]) : -1;
	int low = high >= 0 ? hex(s[2]) : -1;

	return low >= 0 ? high * 16 + low : -1;
}

/* What is not a whole escape stays as it is, as in Chroma. NULL: not UTF-8, or a NUL. */
static char *decode(const char *s, size_t len)
{
	char *out = mem_substring(s, len);
	size_t n = 0;

	for (size_t k = 0; k < len; k++) {
		int byte = escaped(s + k, len - k);

		out[n++] = byte >= 0 ? (char)byte : s[k];
		k += byte >= 0 ? 2 : 0;
	}
	out[n] = '\0';
	if (memchr(out, '\0', n) != NULL || !is_utf8(out, n)) {
		free(out);
		return NULL;
	}
	return out;
}

/* Which of them a pattern's segment names; or 3. */
static unsigned named_by(const struct segment *pattern)
{
	static const char names[] = "tdc";
	const char *found;

	if (pattern->at[0] != '{' || pattern->len != 3)
		return 3;
	found = strchr(names, pattern->at[1]);
	return found != NULL ? (unsigned)(found - names) : 3;
}

static bool take_segments(struct route *r, const struct segments *row,
                          const struct segments *path)
{
	static const char *const names[] = {"tenant", "database", "collection_id"};
	char **to[] = {&r->tenant, &r->database, &r->item};

	for (unsigned i = 0; i < row->count; i++) {
		const struct segment *s = &path->list[i];
		unsigned k = named_by(&row->list[i]);

		if (k == 3)
			continue;
		*to[k] = decode(s->at, s->len);
		if (k == 2)
			r->tail = s->at + s->len;
		if (*to[k] == NULL) {
			r->bad = k == 2 && r->tenant == NULL ? "tenant_name" : names[k];
			return false;
		}
	}
	return true;
}

static void add_allowed(struct route *r, const char *method)
{
	size_t used = strlen(r->allow);
	const char *more = strcmp(method, "GET") == 0 ? "GET,HEAD" : method;

	snprintf(r->allow + used, sizeof(r->allow) - used, "%s%s", used > 0 ? "," : "",
	         more);
}

/* The path is known: its first row names it in the log. */
static void wrong_method(struct route *r, const struct row *row)
{
	if (r->kind == ROUTE_NONE)
		r->op = row->op;
	r->kind = ROUTE_WRONG_METHOD;
	add_allowed(r, row->method);
}

/* Under one of our first segments there is nothing of Chroma's. */
static bool begins_like_ours(const struct segments *path)
{
	for (size_t i = 0; path->count > 0 && i < ROWS; i++)
		if (route_is_ours(table[i].kind) &&
		    match_one(&row_segments(i)->list[0], &path->list[0]))
			return true;
	return false;
}

static bool method_is(const char *method, const char *row)
{
	return strcmp(method, row) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(row, "GET") == 0);
}

static void found_row(struct route *r, size_t i, const struct segments *path,
                      const char *end)
{
	r->kind = table[i].kind;
	r->verb = table[i].verb;
	r->op = table[i].op;
	r->tail = end;
	r->ours = route_is_ours(r->kind);
	if (!take_segments(r, row_segments(i), path))
		r->kind = ROUTE_BAD_PATH;
}

void route_parse(struct route *r, const char *method, const char *target)
{
	const char *query = strchr(target, '?');
	const char *end = query != NULL ? query : target + strlen(target);
	struct segments path = {.count = 0};

	*r = (struct route){.kind = ROUTE_NONE, .op = "unknown"};
	r->query = query != NULL ? query + 1 : NULL;
	split(target, end, &path);
	for (size_t i = 0; i < ROWS; i++) {
		if (!match(row_segments(i), &path))
			continue;
		if (method_is(method, table[i].method)) {
			found_row(r, i, &path, end);
			return;
		}
		wrong_method(r, &table[i]);
	}
	r->ours = begins_like_ours(&path);
}

void route_clear(struct route *r)
{
	free(r->tenant);
	free(r->database);
	free(r->item);
	r->tenant = r->database = r->item = NULL;
}
