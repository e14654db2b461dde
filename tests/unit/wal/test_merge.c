/* Several bodies as one: what is joined, and what must go alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wal/calls.h"
#include "wal/record.h"

#define BODIES 8

static struct {
	struct merge m;
	struct blob *bodies[BODIES];
	size_t n;
} t;

static bool joins(enum record_kind kind, const char *body)
{
	struct blob *b = blob_create(body, strlen(body));

	assert_true(t.n < BODIES);
	t.bodies[t.n++] = b;
	return merge_add(&t.m, kind, b);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	merge_begin(&t.m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	merge_clear(&t.m);
	for (size_t k = 0; k < t.n; k++)
		blob_unref(&t.bodies[k]);
	return 0;
}

static void assert_merged(const char *wanted)
{
	struct blob *body = merge_body(&t.m);

	assert_int_equal(blob_len(body), strlen(wanted));
	assert_memory_equal(blob_bytes(body), wanted, strlen(wanted));
	blob_unref(&body);
}

static void lists_are_joined_in_order_as_they_are_written(void **state)
{
	(void)state;
	assert_true(joins(RECORD_ADD, "{\"ids\":[\"a\",\"b\"],\"embeddings\":[[1, 2.50],"
	                              "[3,4e0]],\"metadatas\":[{\"k\":[1]},null]}"));
	assert_true(joins(RECORD_ADD, " { \"metadatas\" : [ {} ] , \"ids\" : [\"c\\\"\"],"
	                              "\"embeddings\":[[5,6]] }"));
	assert_merged("{\"ids\":[\"a\",\"b\",\"c\\\"\"],"
	              "\"embeddings\":[[1, 2.50],[3,4e0],[5,6]],"
	              "\"metadatas\":[{\"k\":[1]},null, {} ]}");
	assert_int_equal(t.m.parts[0].items, 2);
	assert_int_equal(t.m.parts[1].items, 1);
}

static void what_is_null_is_as_if_it_were_not_there(void **state)
{
	(void)state;
	assert_true(joins(RECORD_ADD, "{\"ids\":[\"a\"],\"embeddings\":[\"AAAA\"],"
	                              "\"documents\":null,\"uris\":null}"));
	assert_true(joins(RECORD_ADD, "{\"ids\":[\"b\"],\"embeddings\":[\"BBBB\"]}"));
	assert_merged("{\"ids\":[\"a\",\"b\"],\"embeddings\":[\"AAAA\",\"BBBB\"]}");
}

static void deletes_by_ids_are_joined(void **state)
{
	(void)state;
	assert_true(joins(RECORD_DELETE, "{\"ids\":[\"a\"],\"where\":null,"
	                                 "\"where_document\":null}"));
	assert_true(joins(RECORD_DELETE, "{\"ids\":[\"b\",\"c\"]}"));
	assert_merged("{\"ids\":[\"a\",\"b\",\"c\"]}");
}

static void what_chroma_might_see_otherwise_goes_alone(void **state)
{
	static const char *const bodies[] = {
	        "{\"ids\":[],\"embeddings\":[]}",
	        "{\"ids\":null,\"embeddings\":[[1]]}",
	        "{\"embeddings\":[[1]]}",
	        "{\"ids\":\"a\",\"embeddings\":[[1]]}",
	        "{\"ids\":[\"a\"],\"embeddings\":{\"0\":[1]}}",
	        "{\"ids\":[\"a\",\"b\"],\"embeddings\":[[1]]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"documents\":[]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"metadatas\":[{},{}]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"ids\":[\"b\"]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"uris\":[\"u\"],\"uris\":null}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"mode\":\"strict\"}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"mode\":null}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"where\":{\"a\":1}}",
	        "{\"ids\":null,\"ids\":[\"a\"],\"embeddings\":[[1]]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]],\"uris\":null,\"uris\":null}",
	        "{\"ids\":[\"a\"],\"where\":null,\"where\":null}",
	        "{\"\\u0069ds\":[\"a\"],\"embeddings\":[[1]]}",
	        "{\"ids\":[\"a\"],\"embeddings\":[[1]]",
	        "[\"ids\"]",
	        "",
	};

	(void)state;
	for (size_t k = 0; k < sizeof(bodies) / sizeof(bodies[0]); k++) {
		struct blob *b = blob_create(bodies[k], strlen(bodies[k]));

		if (merge_add(&t.m, RECORD_ADD, b))
			fail_msg("%s was taken", bodies[k]);
		blob_unref(&b);
	}
	assert_int_equal(t.m.n, 0);
}

static void only_what_looks_alike_is_joined(void **state)
{
	static const char *const others[] = {
	        "{\"ids\":[\"b\"],\"embeddings\":[\"AAAA\"]}",
	        "{\"ids\":[\"b\"],\"embeddings\":[null]}",
	        "{\"ids\":[\"b\"],\"embeddings\":[[1]],\"documents\":[\"d\"]}",
	        "{\"ids\":[\"b\"]}",
	};

	(void)state;
	assert_true(joins(RECORD_UPDATE, "{\"ids\":[\"a\"],\"embeddings\":[[1]]}"));
	for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
		assert_false(joins(RECORD_UPDATE, others[k]));
	assert_true(joins(RECORD_UPDATE, "{\"ids\":[\"b\"],\"embeddings\":[[2]]}"));
}

static void an_item_is_changed_once_in_a_call(void **state)
{
	(void)state;
	assert_true(joins(RECORD_UPSERT, "{\"ids\":[\"a\",\"\\u00e9\"]}"));
	assert_false(joins(RECORD_UPSERT, "{\"ids\":[\"b\",\"a\"]}"));
}

static void an_id_is_what_it_means(void **state)
{
	(void)state;
	assert_true(joins(RECORD_UPDATE, "{\"ids\":[\"a\\u0062\"]}"));
	assert_false(joins(RECORD_UPDATE, "{\"ids\":[\"ab\"]}"));
}

static void twice_in_one_body_is_twice(void **state)
{
	(void)state;
	assert_false(joins(RECORD_DELETE, "{\"ids\":[\"a\",\"a\"]}"));
}

static void the_first_of_two_adds_wins_in_one_call_too(void **state)
{
	(void)state;
	assert_true(joins(RECORD_ADD, "{\"ids\":[\"a\"]}"));
	assert_true(joins(RECORD_ADD, "{\"ids\":[\"a\"]}"));
	assert_merged("{\"ids\":[\"a\",\"a\"]}");
}

static void there_are_200_records_at_most(void **state)
{
	struct blob *bodies[MERGE_MOST + 1];

	(void)state;
	for (unsigned k = 0; k <= MERGE_MOST; k++) {
		char body[40];
		int len = snprintf(body, sizeof(body), "{\"ids\":[\"id%u\"]}", k);

		bodies[k] = blob_create(body, (size_t)len);
		assert_int_equal(merge_add(&t.m, RECORD_UPSERT, bodies[k]),
		                 k < MERGE_MOST);
	}
	assert_int_equal(t.m.n, MERGE_MOST);
	for (unsigned k = 0; k <= MERGE_MOST; k++)
		blob_unref(&bodies[k]);
}

#define merge_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        merge_test(lists_are_joined_in_order_as_they_are_written),
	        merge_test(what_is_null_is_as_if_it_were_not_there),
	        merge_test(deletes_by_ids_are_joined),
	        merge_test(what_chroma_might_see_otherwise_goes_alone),
	        merge_test(only_what_looks_alike_is_joined),
	        merge_test(an_item_is_changed_once_in_a_call),
	        merge_test(an_id_is_what_it_means),
	        merge_test(twice_in_one_body_is_twice),
	        merge_test(the_first_of_two_adds_wins_in_one_call_too),
	        merge_test(there_are_200_records_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
