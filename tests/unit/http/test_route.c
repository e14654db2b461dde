#include "http/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DB "/api/v2/tenants/t/databases/d"
#define C DB "/collections/c"

static struct route r;

static enum route_kind route(const char *method, const char *target)
{
	route_clear(&r);
	route_parse(&r, method, target);
	return r.kind;
}

static int stop(void **state)
{
	(void)state;
	route_clear(&r);
	return 0;
}

#define assert_route(method, target, kind) assert_int_equal(route(method, target), (kind))

/* {t} -> t, {d} -> d, {c} -> c, {} -> one, {*} -> any/thing */
static void fill(const char *pattern, char *out)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '{') {
			*out++ = *pattern;
			continue;
		}
		out += sprintf(out, "%s",
		               pattern[1] == '}'   ? "one"
		               : pattern[1] == '*' ? "any/thing"
		                                   : (char[]){pattern[1], '\0'});
		pattern = strchr(pattern, '}');
	}
	*out = '\0';
}

static void assert_segment(const char *got, const char *pattern, const char *mark,
                           const char *expected)
{
	if (strstr(pattern, mark) != NULL)
		assert_string_equal(got, expected);
	else
		assert_null(got);
}

static void every_row_is_found_with_its_segments(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char target[256];
	size_t i;

	(void)state;
	for (i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, target);
		assert_route(method, target, kind);
		assert_string_equal(r.op, op);
		assert_segment(r.tenant, path, "{t}", "t");
		assert_segment(r.database, path, "{d}", "d");
		assert_segment(r.item, path, "{c}", "c");
		assert_null(r.query);
	}
	assert_in_range(i, 50, 200);
}

/* No row stands in the way of another: the same method and shape come once. */
static void no_row_is_hidden_by_an_earlier_one(void **state)
{
	const char *m1, *p1, *m2, *p2, *op;
	enum route_kind kind;
	char a[256], b[256];

	(void)state;
	for (size_t i = 0; route_row(i, &m1, &p1, &kind, &op) != 0; i++)
		for (size_t k = 0; k < i; k++) {
			route_row(k, &m2, &p2, &kind, &op);
			fill(p1, a);
			fill(p2, b);
			assert_false(strcmp(m1, m2) == 0 && strcmp(a, b) == 0);
		}
}

static void every_kind_of_the_table_has_words(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++)
		assert_true(strlen(route_kind_text(kind)) > 3);
}

static void the_method_decides_between_rows_of_one_path(void **state)
{
	(void)state;
	assert_route("GET", C, ROUTE_GET_COLLECTION);
	assert_route("PUT", C, ROUTE_MODIFY_COLLECTION);
	assert_route("DELETE", C, ROUTE_DELETE_COLLECTION);
	assert_route("POST", DB "/collections", ROUTE_CREATE_COLLECTION);
	assert_route("GET", DB "/collections", ROUTE_LIST_COLLECTIONS);
	assert_route("GET", DB, ROUTE_GET_DATABASE);
	assert_route("DELETE", DB, ROUTE_DELETE_DATABASE);
}

static void a_post_is_a_read_or_a_write_by_its_path(void **state)
{
	static const struct {
		const char *target;
		enum route_kind kind;
		enum route_verb verb;
	} rows[] = {
	        {C "/add", ROUTE_WRITE_ITEMS, VERB_ADD},
	        {C "/upsert", ROUTE_WRITE_ITEMS, VERB_UPSERT},
	        {C "/update", ROUTE_WRITE_ITEMS, VERB_UPDATE},
	        {C "/delete", ROUTE_WRITE_ITEMS, VERB_DELETE},
	        {C "/get", ROUTE_READ_ITEMS, VERB_GET},
	        {C "/query", ROUTE_READ_ITEMS, VERB_QUERY},
	        {C "/search", ROUTE_READ_ITEMS, VERB_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_route("POST", rows[i].target, rows[i].kind);
		assert_int_equal(r.verb, rows[i].verb);
	}
}

static void head_is_answered_where_get_is(void **state)
{
	(void)state;
	assert_route("HEAD", "/api/v2/heartbeat", ROUTE_HEARTBEAT);
	assert_route("HEAD", C "/count", ROUTE_READ_ITEMS);
	assert_route("HEAD", "/health", ROUTE_HEALTH);
	assert_route("HEAD", C "/add", ROUTE_WRONG_METHOD);
	assert_string_equal(r.allow, "POST");
}

static void methods_are_compared_as_they_are(void **state)
{
	(void)state;
	assert_route("get", "/health", ROUTE_WRONG_METHOD);
	assert_route("GETS", "/health", ROUTE_WRONG_METHOD);
	assert_route("", "/health", ROUTE_WRONG_METHOD);
}

static void a_wrong_method_is_told_the_right_ones_in_the_order_of_chroma(void **state)
{
	static const struct {
		const char *method, *target, *allow;
	} rows[] = {
	        {"POST", "/api/v2/heartbeat", "GET,HEAD"},
	        {"GET", "/api/v2/reset", "POST"},
	        {"GET", "/api/v2/tenants", "POST"},
	        {"DELETE", "/api/v2/tenants/t", "GET,HEAD,PATCH"},
	        {"PUT", "/api/v2/tenants/t/databases", "GET,HEAD,POST"},
	        {"POST", DB, "GET,HEAD,DELETE"},
	        {"PUT", DB "/collections", "POST,GET,HEAD"},
	        {"POST", C, "GET,HEAD,PUT,DELETE"},
	        {"PATCH", C, "GET,HEAD,PUT,DELETE"},
	        {"GET", C "/query", "POST"},
	        {"POST", C "/count", "GET,HEAD"},
	        {"OPTIONS", C "/add", "POST"},
	        {"POST", "/metrics", "GET,HEAD"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_route(rows[i].method, rows[i].target, ROUTE_WRONG_METHOD);
		assert_string_equal(r.allow, rows[i].allow);
	}
}

static void a_wrong_method_has_the_name_of_its_path(void **state)
{
	(void)state;
	assert_route("PUT", "/admin/wal_count", ROUTE_WRONG_METHOD);
	assert_string_equal(r.op, "wal_count");
	assert_route("PUT", "/admin/verify", ROUTE_WRONG_METHOD);
	assert_string_equal(r.op, "verify");
	assert_route("GET", C "/add", ROUTE_WRONG_METHOD);
	assert_string_equal(r.op, "add");
}

static void what_begins_like_a_path_of_ours_is_ours(void **state)
{
	static const struct {
		const char *method, *target;
		bool ours;
	} rows[] = {
	        {"GET", "/admin/verify", true},
	        {"PUT", "/admin/verify", true},
	        {"GET", "/admin", true},
	        {"GET", "/admin/x/y/z", true},
	        {"GET", "/wal?x", true},
	        {"GET", "/health/", true},
	        {"PUT", "/transaction", true},
	        {"GET", "/", false},
	        {"GET", "", false},
	        {"GET", "/nothing", false},
	        {"GET", "/administer", false},
	        {"GET", "//admin/verify", false},
	        {"GET", "/api/v2/version", false},
	        {"PUT", "/api/v2/version", false},
	        {"GET", "/api/admin", false},
	        {"POST", "/docs/x", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		route(rows[i].method, rows[i].target);
		assert_int_equal(r.ours, rows[i].ours);
	}
}

static void all_methods_of_a_path_fit_the_allow_header(void **state)
{
	(void)state;
	assert_route("POST", "/api/v1/collections", ROUTE_WRONG_METHOD);
	assert_true(strlen(r.allow) < ROUTE_ALLOW_BYTES - 1);
	assert_non_null(strstr(r.allow, "GET,HEAD"));
	assert_non_null(strstr(r.allow, "OPTIONS"));
}

static void what_is_not_in_the_table_is_not_there(void **state)
{
	static const char *const targets[] = {
	        "/",
	        "/api",
	        "/api/v1",
	        "/api/v3/heartbeat",
	        "/api/v2/heartbeats",
	        "/api/v2/heart",
	        "/API/v2/heartbeat",
	        "/Health",
	        "/healthy",
	        "/status/x",
	        DB "/collection",
	        C "/adds",
	        C "/add/more",
	        "/wal",
	        "/docs2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		assert_route("GET", targets[i], ROUTE_NONE);
		assert_string_equal(r.op, "unknown");
		assert_string_equal(r.allow, "");
	}
}

static void slashes_too_many_are_not_forgiven(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2/heartbeat/", ROUTE_NONE);
	assert_route("GET", "//api/v2/heartbeat", ROUTE_NONE);
	assert_route("GET", "/api//v2/heartbeat", ROUTE_NONE);
	assert_route("GET", "/health/", ROUTE_NONE);
	assert_route("GET", DB "/collections/", ROUTE_NONE);
	assert_route("POST", C "/add/", ROUTE_NONE);
	assert_route("GET", "/api/v2/tenants//databases", ROUTE_NONE);
	assert_route("GET", "/api/v2/tenants/t/databases//collections", ROUTE_NONE);
}

static void the_pages_of_docs_are_all_passed_on(void **state)
{
	(void)state;
	assert_route("GET", "/docs", ROUTE_ANY_INSTANCE);
	assert_route("GET", "/docs/", ROUTE_ANY_INSTANCE);
	assert_route("GET", "/docs/swagger-ui.css", ROUTE_ANY_INSTANCE);
	assert_route("GET", "/docs/a/b/c", ROUTE_ANY_INSTANCE);
	assert_route("POST", "/docs/", ROUTE_WRONG_METHOD);
}

static void a_path_may_be_longer_than_any_row(void **state)
{
	(void)state;
	assert_route("GET", "/docs/2/3/4/5/6/7/8/9/10/11/12/13/14", ROUTE_ANY_INSTANCE);
	assert_string_equal(r.tail, "");
	assert_route("GET", C "/functions/f/11/12/13/14", ROUTE_NONE);
	assert_route("POST", C "/attached_functions/f/detach/12/13/14", ROUTE_NONE);
	assert_route("POST", C "/attached_functions/f/detach", ROUTE_UNSUPPORTED);
}

static void everything_of_v1_is_gone_but_its_heartbeat(void **state)
{
	(void)state;
	assert_route("GET", "/api/v1/heartbeat", ROUTE_V1_HEARTBEAT);
	assert_route("HEAD", "/api/v1/heartbeat", ROUTE_V1_HEARTBEAT);
	assert_route("PUT", "/api/v1/heartbeat", ROUTE_V1);
	assert_route("GET", "/api/v1/collections/x/y", ROUTE_V1);
	assert_route("DELETE", "/api/v1/collections/x", ROUTE_V1);
	assert_route("POST", "/api/v1/collections", ROUTE_WRONG_METHOD);
}

static void a_collection_is_asked_for_by_name_or_by_id(void **state)
{
	(void)state;
	assert_route("GET", DB "/collections/by-id/abc", ROUTE_GET_COLLECTION_ID);
	assert_string_equal(r.item, "abc");
	assert_string_equal(r.tail, "");
	assert_route("GET", DB "/collections/by-id", ROUTE_GET_COLLECTION);
	assert_string_equal(r.item, "by-id");
	assert_route("GET", DB "/collections/by-id/count", ROUTE_GET_COLLECTION_ID);
	assert_string_equal(r.item, "count");
}

static void the_tail_is_what_follows_the_collection_with_its_query(void **state)
{
	(void)state;
	assert_route("POST", C "/get?limit=1&x=%20", ROUTE_READ_ITEMS);
	assert_string_equal(r.tail, "/get?limit=1&x=%20");
	assert_string_equal(r.query, "limit=1&x=%20");
	assert_string_equal(r.item, "c");
	assert_route("GET", C "/functions/my%2Ff", ROUTE_READ_ITEMS);
	assert_string_equal(r.tail, "/functions/my%2Ff");
	assert_route("GET", C "?", ROUTE_GET_COLLECTION);
	assert_string_equal(r.query, "");
}

static void a_query_is_never_part_of_the_path(void **state)
{
	(void)state;
	assert_route("GET", "/health?a=/b/c", ROUTE_HEALTH);
	assert_string_equal(r.query, "a=/b/c");
	assert_route("GET", "/status?realtime=true", ROUTE_STATUS);
	assert_string_equal(r.query, "realtime=true");
	assert_route("GET", "/heal?th", ROUTE_NONE);
	assert_route("GET", "/health?x?y", ROUTE_HEALTH);
	assert_string_equal(r.query, "x?y");
}

static void segments_are_percent_decoded_once(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2/tenants/a%2Fb%20%c3%A9", ROUTE_GET_TENANT);
	assert_string_equal(r.item, "a/b \xc3\xa9");
	assert_route("GET", "/api/v2/tenants/%2541", ROUTE_GET_TENANT);
	assert_string_equal(r.item, "%41");
	assert_route("GET", "/api/v2/tenants/a+b", ROUTE_GET_TENANT);
	assert_string_equal(r.item, "a+b");
	assert_route("GET", "/api/v2/tenants/%7Bx%7d/databases/..%2f/collections/%3f",
	             ROUTE_GET_COLLECTION);
	assert_string_equal(r.tenant, "{x}");
	assert_string_equal(r.database, "../");
	assert_string_equal(r.item, "?");
}

static void half_an_escape_stands_for_itself(void **state)
{
	static const char *const names[] = {"%", "%4", "a%", "%zz", "%4g", "%%", "x%2"};
	char target[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(target, sizeof(target), "/api/v2/tenants/%s", names[i]);
		assert_route("GET", target, ROUTE_GET_TENANT);
		assert_string_equal(r.item, names[i]);
	}
	assert_route("GET", "/api/v2/tenants/%%41", ROUTE_GET_TENANT);
	assert_string_equal(r.item, "%A");
}

/* Only whole escapes are decoded, and never across the end of a segment. */
static void an_escape_never_reaches_into_the_next_segment(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2/tenants/a%/databases", ROUTE_LIST_DATABASES);
	assert_string_equal(r.tenant, "a%");
	assert_route("GET", "/api/v2/tenants/a%2/databases", ROUTE_LIST_DATABASES);
	assert_string_equal(r.tenant, "a%2");
	assert_route("GET", "/api/v2/tenants/a%?x=41", ROUTE_GET_TENANT);
	assert_string_equal(r.item, "a%");
}

static void an_escaped_slash_is_no_slash(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2%2Fheartbeat", ROUTE_NONE);
	assert_route("GET", "%2Fhealth", ROUTE_NONE);
	assert_route("GET", DB "/collections/..%2F..%2Fheartbeat", ROUTE_GET_COLLECTION);
	assert_string_equal(r.item, "../../heartbeat");
	assert_route("POST", DB "/collections/c%2Fadd", ROUTE_WRONG_METHOD);
}

static void dots_are_names_and_lead_nowhere(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2/../health", ROUTE_NONE);
	assert_route("GET", "/./health", ROUTE_NONE);
	assert_route("GET", DB "/collections/..", ROUTE_GET_COLLECTION);
	assert_string_equal(r.item, "..");
}

static void fixed_parts_of_a_path_are_not_decoded(void **state)
{
	(void)state;
	assert_route("GET", "/%68ealth", ROUTE_NONE);
	assert_route("POST", C "/%61dd", ROUTE_NONE);
}

static void what_is_not_utf8_is_named_in_the_words_of_chroma(void **state)
{
	static const struct {
		const char *method, *target, *bad;
	} rows[] = {
	        {"GET", "/api/v2/tenants/%ff", "tenant_name"},
	        {"GET", "/api/v2/tenants/%ff/databases", "tenant"},
	        {"GET", "/api/v2/tenants/t/databases/%c3", "database"},
	        {"GET", "/api/v2/tenants/%ff/databases/%ff", "tenant"},
	        {"POST", DB "/collections/%ed%a0%80/add", "collection_id"},
	        {"POST", DB "/collections/%c0%af/add", "collection_id"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_route(rows[i].method, rows[i].target, ROUTE_BAD_PATH);
		assert_string_equal(r.bad, rows[i].bad);
	}
}

static void a_nul_in_a_name_does_not_shorten_it(void **state)
{
	(void)state;
	assert_route("GET", "/api/v2/tenants/abc%00def", ROUTE_BAD_PATH);
	assert_route("DELETE", DB "/collections/good%00", ROUTE_BAD_PATH);
	assert_null(r.item);
}

/* Under the address sanitizer: nothing is read beyond the end, whatever it is cut to. */
static void any_beginning_of_any_path_is_judged_safely(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char filled[256];

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, filled);
		for (size_t len = 0; len <= strlen(filled); len++) {
			char *cut = malloc(len + 1);

			memcpy(cut, filled, len);
			cut[len] = '\0';
			route(method, cut);
			route_clear(&r);
			free(cut);
		}
	}
	assert_route("GET", "", ROUTE_NONE);
}

static void long_and_deep_paths_are_only_long(void **state)
{
	char *path = malloc(30002);

	(void)state;
	memset(path, '/', 30000);
	path[30000] = '\0';
	assert_route("GET", path, ROUTE_NONE);
	memcpy(path, "/api/v2/tenants/", 16);
	memset(path + 16, 'a', 30000 - 16);
	assert_route("GET", path, ROUTE_GET_TENANT);
	assert_int_equal(strlen(r.item), 30000 - 16);
	free(path);
}

static void clearing_may_come_twice(void **state)
{
	(void)state;
	route("GET", C);
	route_clear(&r);
	route_clear(&r);
	assert_null(r.item);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(every_row_is_found_with_its_segments, stop),
	        cmocka_unit_test_teardown(no_row_is_hidden_by_an_earlier_one, stop),
	        cmocka_unit_test_teardown(every_kind_of_the_table_has_words, stop),
	        cmocka_unit_test_teardown(the_method_decides_between_rows_of_one_path,
	                                  stop),
	        cmocka_unit_test_teardown(a_post_is_a_read_or_a_write_by_its_path, stop),
	        cmocka_unit_test_teardown(head_is_answered_where_get_is, stop),
	        cmocka_unit_test_teardown(methods_are_compared_as_they_are, stop),
	        cmocka_unit_test_teardown(
	                a_wrong_method_is_told_the_right_ones_in_the_order_of_chroma,
	                stop),
	        cmocka_unit_test_teardown(a_wrong_method_has_the_name_of_its_path, stop),
	        cmocka_unit_test_teardown(what_begins_like_a_path_of_ours_is_ours, stop),
	        cmocka_unit_test_teardown(all_methods_of_a_path_fit_the_allow_header,
	                                  stop),
	        cmocka_unit_test_teardown(what_is_not_in_the_table_is_not_there, stop),
	        cmocka_unit_test_teardown(slashes_too_many_are_not_forgiven, stop),
	        cmocka_unit_test_teardown(the_pages_of_docs_are_all_passed_on, stop),
	        cmocka_unit_test_teardown(a_path_may_be_longer_than_any_row, stop),
	        cmocka_unit_test_teardown(everything_of_v1_is_gone_but_its_heartbeat,
	                                  stop),
	        cmocka_unit_test_teardown(a_collection_is_asked_for_by_name_or_by_id,
	                                  stop),
	        cmocka_unit_test_teardown(
	                the_tail_is_what_follows_the_collection_with_its_query, stop),
	        cmocka_unit_test_teardown(a_query_is_never_part_of_the_path, stop),
	        cmocka_unit_test_teardown(segments_are_percent_decoded_once, stop),
	        cmocka_unit_test_teardown(half_an_escape_stands_for_itself, stop),
	        cmocka_unit_test_teardown(an_escape_never_reaches_into_the_next_segment,
	                                  stop),
	        cmocka_unit_test_teardown(an_escaped_slash_is_no_slash, stop),
	        cmocka_unit_test_teardown(dots_are_names_and_lead_nowhere, stop),
	        cmocka_unit_test_teardown(fixed_parts_of_a_path_are_not_decoded, stop),
	        cmocka_unit_test_teardown(
	                what_is_not_utf8_is_named_in_the_words_of_chroma, stop),
	        cmocka_unit_test_teardown(a_nul_in_a_name_does_not_shorten_it, stop),
	        cmocka_unit_test_teardown(any_beginning_of_any_path_is_judged_safely,
	                                  stop),
	        cmocka_unit_test_teardown(long_and_deep_paths_are_only_long, stop),
	        cmocka_unit_test_teardown(clearing_may_come_twice, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
