/* What is sent to an instance for a record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "wal/calls.h"
#include "wal/record.h"

#define LOCAL "bbbbbbbb-0000-4000-8000-000000000001"
#define HOME "/api/v2/tenants/default_tenant/databases/a%2Fb/collections"

static struct database db = {.tenant = (char[]){TENANT_DEFAULT}, .name = (char[]){"a/b"}};
static struct collection docs = {
        .db = &db, .name = (char[]){"docs"}, .local = {{""}, {LOCAL}}};

/* A record by hand: nothing of the catalogue or of health is needed. */
static struct record record_of(enum record_kind kind, const char *body)
{
	struct record r = {.seq = 42, .kind = kind, .collection = &docs, .database = &db};

	if (body != NULL)
		r.body = blob_create(body, strlen(body));
	return r;
}

static void assert_bytes(const struct blob *b, const char *expected)
{
	char *have = mem_substring(blob_bytes(b), blob_len(b));

	assert_string_equal(have, expected);
	free(have);
}

static void assert_prepared(struct prepared *p, const char *method, const char *target,
                            const char *body)
{
	assert_string_equal(p->method, method);
	assert_string_equal(p->target.s, target);
	assert_bytes(p->body, body);
	prepared_clear(p);
}

static void items_go_to_the_id_the_collection_has_there(void **state)
{
	static const struct {
		enum record_kind kind;
		const char *target;
	} cases[] = {
	        {RECORD_ADD, HOME "/" LOCAL "/add"},
	        {RECORD_UPSERT, HOME "/" LOCAL "/upsert"},
	        {RECORD_UPDATE, HOME "/" LOCAL "/update"},
	        {RECORD_DELETE, HOME "/" LOCAL "/delete"},
	};
	struct prepared p;

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct record r = record_of(cases[k].kind, "{\"ids\":[\"a\"]}");

		prepare_item(&p, &r, 1, NULL);
		assert_false(p.repeatable);
		assert_prepared(&p, "POST", cases[k].target, "{\"ids\":[\"a\"]}");
		blob_unref(&r.body);
	}
}

static void a_delete_by_filter_sends_the_ids_it_was_resolved_to(void **state)
{
	struct record r = record_of(RECORD_DELETE_WHERE, "{\"where\":{\"a\":1}}");
	struct prepared p;

	(void)state;
	r.resolved = blob_create("{\"ids\":[]}", 10);
	prepare_item(&p, &r, 1, NULL);
	assert_prepared(&p, "POST", HOME "/" LOCAL "/delete", "{\"ids\":[]}");
	blob_unref(&r.body);
	blob_unref(&r.resolved);
}

static void assert_get(const char *filter, const char *expected)
{
	struct record r = record_of(RECORD_DELETE_WHERE, filter);
	struct prepared p;

	prepare_resolve(&p, &r, 1);
	assert_prepared(&p, "POST", HOME "/" LOCAL "/get", expected);
	blob_unref(&r.body);
}

static void a_filter_is_asked_for_as_a_get_of_nothing_but_ids(void **state)
{
	(void)state;
	assert_get("{\"where\":{\"a\":1}}", "{\"where\":{\"a\":1},\"include\":[]}");
	assert_get("{}", "{\"include\":[]}");
	assert_get(" { } \n", " { \"include\":[]}");
	assert_get("{\"where\":null,\"limit\":3}",
	           "{\"where\":null,\"limit\":3,\"include\":[]}");
}

static void a_clients_own_include_is_replaced_in_its_place(void **state)
{
	(void)state;
	assert_get("{\"include\":[\"documents\"],\"where\":{}}",
	           "{\"include\":[],\"where\":{}}");
	assert_get("{\"where\":{},\"include\":null}", "{\"where\":{},\"include\":[]}");
	assert_get("{\"where\":{},\"\\u0069nclude\":{\"a\":[1]}}",
	           "{\"where\":{},\"\\u0069nclude\":[]}");
	/* one deeper is somebody else's */
	assert_get("{\"where\":{\"include\":\"x\"}}",
	           "{\"where\":{\"include\":\"x\"},\"include\":[]}");
}

static void assert_resolved(const char *answer, const char *expected, size_t expected_n)
{
	struct blob *from = blob_create(answer, strlen(answer)), *ids;
	size_t n = 99;

	ids = resolved_from(from, &n);
	assert_bytes(ids, expected);
	assert_int_equal(n, expected_n);
	blob_unref(&ids);
	blob_unref(&from);
}

static void the_ids_are_taken_over_as_they_are(void **state)
{
	(void)state;
	assert_resolved("{\"ids\":[\"a\",\"\\u00e9\\\"]\"],\"documents\":null}",
	                "{\"ids\":[\"a\",\"\\u00e9\\\"]\"]}", 2);
	assert_resolved("{\"ids\":[]}", "{\"ids\":[]}", 0);
}

static void an_answer_without_ids_is_not_understood(void **state)
{
	static const char *const answers[] = {
	        "", "{}", "[]", "null", "{\"ids\":\"a\"}", "{\"ids\":[\"a\""};
	size_t n;

	(void)state;
	for (size_t k = 0; k < sizeof(answers) / sizeof(answers[0]); k++) {
		struct blob *from = blob_create(answers[k], strlen(answers[k]));

		assert_null(resolved_from(from, &n));
		blob_unref(&from);
	}
}

static void creates_are_never_repeated_unasked(void **state)
{
	struct record r = record_of(RECORD_CREATE_COLLECTION, "{\"name\":\"docs\"}");
	struct prepared p;

	(void)state;
	prepare_create(&p, &r);
	assert_false(p.repeatable);
	assert_prepared(&p, "POST", HOME, "{\"name\":\"docs\"}");
	r.kind = RECORD_CREATE_DATABASE;
	prepare_create(&p, &r);
	assert_false(p.repeatable);
	assert_prepared(&p, "POST", "/api/v2/tenants/default_tenant/databases",
	                "{\"name\":\"docs\"}");
	r.kind = RECORD_CREATE_TENANT;
	prepare_create(&p, &r);
	assert_false(p.repeatable);
	assert_prepared(&p, "POST", "/api/v2/tenants", "{\"name\":\"docs\"}");
	blob_unref(&r.body);
}

static void a_create_is_found_by_the_name_it_was_created_with(void **state)
{
	struct record r = record_of(RECORD_CREATE_COLLECTION, NULL);
	struct prepared p;

	(void)state;
	r.name = (char[]){"my docs"};
	prepare_find_created(&p, &r);
	assert_prepared(&p, "GET", HOME "/my%20docs", "");
}

static void a_delete_means_one_collection_and_no_other(void **state)
{
	struct record r = record_of(RECORD_DELETE_COLLECTION, NULL);
	struct prepared p;

	(void)state;
	prepare_set_aside(&p, &r, 1);
	assert_prepared(&p, "PUT", HOME "/" LOCAL,
	                "{\"new_name\":\"ctd-del.42." LOCAL "\"}");
	prepare_delete(&p, &r, 1);
	assert_prepared(&p, "DELETE", HOME "/ctd-del.42." LOCAL, "");
}

static void the_rest_of_the_paths(void **state)
{
	struct record r = record_of(RECORD_MODIFY_COLLECTION, "{}");
	struct prepared p;

	(void)state;
	prepare_modify(&p, &r, 1);
	assert_prepared(&p, "PUT", HOME "/" LOCAL, "{}");
	blob_unref(&r.body);
	r.kind = RECORD_DELETE_DATABASE;
	r.collection = NULL;
	prepare_delete(&p, &r, 1);
	assert_prepared(&p, "DELETE", "/api/v2/tenants/default_tenant/databases/a%2Fb",
	                "");
	prepare_reset(&p);
	assert_prepared(&p, "POST", "/api/v2/reset", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(items_go_to_the_id_the_collection_has_there),
	        cmocka_unit_test(a_delete_by_filter_sends_the_ids_it_was_resolved_to),
	        cmocka_unit_test(a_filter_is_asked_for_as_a_get_of_nothing_but_ids),
	        cmocka_unit_test(a_clients_own_include_is_replaced_in_its_place),
	        cmocka_unit_test(the_ids_are_taken_over_as_they_are),
	        cmocka_unit_test(an_answer_without_ids_is_not_understood),
	        cmocka_unit_test(creates_are_never_repeated_unasked),
	        cmocka_unit_test(a_create_is_found_by_the_name_it_was_created_with),
	        cmocka_unit_test(a_delete_means_one_collection_and_no_other),
	        cmocka_unit_test(the_rest_of_the_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
