/* Reads that one call can answer together: which are, and what each hears of the answer.
 */
#include "http/alike.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/text.h"

#define READS 34

static struct {
	struct blob *bodies[READS];
	struct alike reads[READS];
	const struct alike *list[READS];
	size_t n;
} t;

static int tear_down(void **state)
{
	(void)state;
	for (size_t k = 0; k < t.n; k++)
		blob_unref(&t.bodies[k]);
	t.n = 0;
	assert_int_equal(blob_total(), 0);
	return 0;
}

/* Of exactly that length, so that reading beyond it is noticed. */
static struct blob *exact(const char *text)
{
	size_t len = strlen(text);
	char *bytes = malloc(len > 0 ? len : 1);

	memcpy(bytes, text, len);
	return blob_adopt(bytes, len);
}

static bool take(enum route_verb verb, const char *body)
{
	bool taken;

	assert_true(t.n < READS);
	t.bodies[t.n] = body != NULL ? exact(body) : NULL;
	taken = alike_take(&t.reads[t.n], verb, t.bodies[t.n]);
	t.list[t.n] = &t.reads[t.n];
	t.n++;
	return taken;
}

static bool get(const char *body)
{
	return take(VERB_GET, body);
}

static bool query(const char *body)
{
	return take(VERB_QUERY, body);
}

static bool are_alike(void)
{
	return alike_same(t.list[t.n - 2], t.list[t.n - 1]);
}

static void assert_body(const char *wanted)
{
	struct blob *body = alike_body(t.list, t.n);

	assert_int_equal(blob_len(body), strlen(wanted));
	assert_memory_equal(blob_bytes(body), wanted, strlen(wanted));
	blob_unref(&body);
}

/* The parts, a line each; NULL: it is not taken apart. */
static char *split(const char *answer)
{
	struct blob *parts[READS] = {0}, *whole = exact(answer);
	struct text all = {0};
	bool done = alike_split(t.list, t.n, whole, parts);

	for (size_t k = 0; k < t.n; k++) {
		if (!done)
			assert_null(parts[k]);
		else
			text_add(&all, blob_bytes(parts[k]), blob_len(parts[k]));
		text_addc(&all, '\n');
		blob_unref(&parts[k]);
	}
	blob_unref(&whole);
	if (!done)
		text_clear(&all);
	return done ? text_detach(&all) : NULL;
}

static void assert_split(const char *answer, const char *wanted)
{
	char *parts = split(answer);

	assert_non_null(parts);
	assert_string_equal(parts, wanted);
	free(parts);
}

static void assert_no_split(const char *answer)
{
	char *parts = split(answer);

	if (parts != NULL)
		fail_msg("taken apart: %s", answer);
}

/* --- what goes together ---------------------------------------------------------- */

static void queries_are_joined(void **state)
{
	(void)state;
	assert_true(query(
	        "{\"n_results\":2,\"query_embeddings\":[[1,2.50]],\"where\":null}"));
	assert_true(query("{\"n_results\":2,\"query_embeddings\":[[3e0,4],[-5,6]],"
	                  "\"where\":null}"));
	assert_true(are_alike());
	assert_body("{\"n_results\":2,\"query_embeddings\":[[1,2.50],[3e0,4],[-5,6]],"
	            "\"where\":null}");
}

static void gets_are_joined(void **state)
{
	(void)state;
	assert_true(
	        get(" {\"ids\": [\"a\", \"b\"], \"limit\":null,\"offset\":null,"
	            "\"where\":{\"ids\":1,\"n\":{\"$gt\":[]}},\"include\":[\"uris\"]}"));
	assert_true(
	        get(" {\"ids\": [ \"c\" ], \"limit\":null,\"offset\":null,"
	            "\"where\":{\"ids\":1,\"n\":{\"$gt\":[]}},\"include\":[\"uris\"]}"));
	assert_true(are_alike());
	assert_body(" {\"ids\": [\"a\", \"b\", \"c\" ], \"limit\":null,\"offset\":null,"
	            "\"where\":{\"ids\":1,\"n\":{\"$gt\":[]}},\"include\":[\"uris\"]}");
}

static void what_is_asked_otherwise_is_another_question(void **state)
{
	(void)state;
	assert_true(get("{\"ids\":[\"a\"],\"where\":{\"n\":1}}"));
	assert_true(get("{\"ids\":[\"a\"],\"where\":{\"n\":2}}"));
	assert_false(are_alike());
	assert_true(get("{\"where\":{\"n\":2},\"ids\":[\"a\"]}"));
	assert_false(are_alike());
	assert_true(get("{\"ids\":[\"a\"]}"));
	assert_true(get("{\"ids\":[\"a\"] }"));
	assert_false(are_alike());
	assert_true(query("{\"query_embeddings\":[[1,2]]}"));
	assert_true(query("{\"query_embeddings\":[[1,2]],\"n_results\":1}"));
	assert_false(are_alike());
	assert_true(take(VERB_COUNT, NULL));
	assert_false(are_alike());
	assert_true(take(VERB_COUNT, NULL));
	assert_true(are_alike());
}

/* One of another length would spoil the call for all. */
static void embeddings_of_another_length_stay_apart(void **state)
{
	(void)state;
	assert_true(query("{\"query_embeddings\":[[1,2]]}"));
	assert_true(query("{\"query_embeddings\":[[1,2,3]]}"));
	assert_false(are_alike());
	assert_false(query("{\"query_embeddings\":[[1,2],[1,2,3]]}"));
}

static void queries_that_go_alone(void **state)
{
	(void)state;
	assert_false(query("{\"query_embeddings\":[]}"));
	assert_false(query("{\"query_embeddings\":[[]]}"));
	assert_false(query("{\"query_embeddings\":[null]}"));
	assert_false(query("{\"query_embeddings\":[\"AACAPwAAAEA=\"]}"));
	assert_false(query("{\"query_embeddings\":\"AACAPwAAAEA=\"}"));
	assert_false(query("{\"query_embeddings\":[[1],2]}"));
	assert_false(query("{\"query_embeddings\":[[NaN]]}"));
	assert_false(query("{\"query_embeddings\":[[1]],\"query_embeddings\":[[1]]}"));
	assert_false(query("{\"query\\u005fembeddings\":[[1]]}"));
	assert_false(
	        query("{\"query_embeddings\":[[1]],\"query\\u005fembeddings\":[[1]]}"));
	assert_false(query("{\"query_embeddings\":[[1]],\"limit\":null}"));
	assert_false(query("{\"query_embeddings\":[[1]],\"unknown\":null}"));
	assert_false(query("{\"query_embeddings\":[[1]]}}"));
	assert_false(query("[[[1]],10]"));
	assert_false(query("{\"n_results\":1}"));
	assert_false(query("{\"ids\":[\"a\"]}"));
	assert_false(query(""));
	assert_false(query(NULL));
	assert_true(query("{\"ids\":[\"a\"],\"query_embeddings\":[[1]]}"));
}

static void gets_that_go_alone(void **state)
{
	(void)state;
	assert_false(get("{\"ids\":[]}"));
	assert_false(get("{\"ids\":null}"));
	assert_false(get("{\"ids\":\"a\"}"));
	assert_false(get("{\"ids\":[1]}"));
	assert_false(get("{\"ids\":[\"a\",null]}"));
	assert_false(get("{\"ids\":[\"\\ud800\"]}"));
	assert_false(get("{\"ids\":[\"a\"],\"limit\":1}"));
	assert_false(get("{\"ids\":[\"a\"],\"offset\":0}"));
	assert_false(get("{\"ids\":[\"a\"],\"ids\":[\"b\"]}"));
	assert_false(get("{\"ids\":[\"a\"],\"i\\u0064s\":[\"b\"]}"));
	assert_false(get("{\"ids\":[\"a\"],\"limi\\u0074\":1}"));
	assert_false(get("{\"ids\":[\"a\"],\"sort\":\"x\"}"));
	assert_false(get("{\"where\":{\"ids\":[\"a\"]}}"));
	assert_false(get("{\"ids\":[\"a\"]"));
	assert_false(get("{}"));
	assert_true(get("{\"ids\":[\"a\"],\"limit\":null,\"offset\":null}"));
}

static void others_go_alone(void **state)
{
	(void)state;
	assert_false(take(VERB_COUNT, "{}"));
	assert_false(take(VERB_OTHER, NULL));
	assert_false(take(VERB_DELETE, "{\"ids\":[\"a\"]}"));
}

static bool long_list(enum route_verb verb, const char *start, const char *element,
                      size_t n)
{
	struct text body = {0};
	bool taken;

	text_adds(&body, start);
	for (size_t k = 0; k < n; k++)
		text_addf(&body, "%s%s", k > 0 ? "," : "", element);
	text_adds(&body, "]}");
	taken = take(verb, body.s);
	text_clear(&body);
	return taken;
}

static void long_lists_go_alone(void **state)
{
	(void)state;
	assert_true(long_list(VERB_GET, "{\"ids\":[", "\"a\"", 128));
	assert_false(long_list(VERB_GET, "{\"ids\":[", "\"a\"", 129));
	assert_true(long_list(VERB_QUERY, "{\"query_embeddings\":[", "[1]", 16));
	assert_false(long_list(VERB_QUERY, "{\"query_embeddings\":[", "[1]", 17));
}

/* --- the answer ------------------------------------------------------------------ */

static void three_queries(void)
{
	assert_true(query("{\"query_embeddings\":[[1,2]]}"));
	assert_true(query("{\"query_embeddings\":[[3,4],[5,6]]}"));
	assert_true(query("{\"query_embeddings\":[[7,8]]}"));
}

static void each_query_hears_as_many_as_it_sent(void **state)
{
	(void)state;
	three_queries();
	assert_split(
	        "{\"ids\":[[\"a\",\"b\"],[],[\"c\"],[\"]\"]],\"embeddings\":null,"
	        "\"documents\":[[null,\"B\"],[],[\"C\"],[\"D\"]],\"uris\":null,"
	        "\"distances\":[[0.0,1.50],[],[2.0],[null]],"
	        "\"include\":[\"documents\",\"distances\"]}",
	        "{\"ids\":[[\"a\",\"b\"]],\"embeddings\":null,"
	        "\"documents\":[[null,\"B\"]],\"uris\":null,\"distances\":[[0.0,1.50]],"
	        "\"include\":[\"documents\",\"distances\"]}\n"
	        "{\"ids\":[[],[\"c\"]],\"embeddings\":null,\"documents\":[[],[\"C\"]],"
	        "\"uris\":null,\"distances\":[[],[2.0]],"
	        "\"include\":[\"documents\",\"distances\"]}\n"
	        "{\"ids\":[[\"]\"]],\"embeddings\":null,\"documents\":[[\"D\"]],"
	        "\"uris\":null,\"distances\":[[null]],"
	        "\"include\":[\"documents\",\"distances\"]}\n");
}

/* The lists are taken as they stand there, in whatever order. */
static void the_order_of_the_columns_is_kept(void **state)
{
	(void)state;
	assert_true(query("{\"query_embeddings\":[[1]]}"));
	assert_true(query("{\"query_embeddings\":[[2]]}"));
	assert_split(
	        "{\"distances\":[[1],[2]],\"include\":[],\"uris\":[[3],[4]],"
	        "\"ids\":[[5],[6]]}",
	        "{\"distances\":[[1]],\"include\":[],\"uris\":[[3]],\"ids\":[[5]]}\n"
	        "{\"distances\":[[2]],\"include\":[],\"uris\":[[4]],\"ids\":[[6]]}\n");
}

static void an_answer_to_other_queries(void **state)
{
	(void)state;
	three_queries();
	assert_no_split("{\"ids\":[[],[],[]],\"distances\":[[],[],[]]}");
	assert_no_split("{\"ids\":[[],[],[],[],[]],\"distances\":[[],[],[],[],[]]}");
	assert_no_split("{\"ids\":[[],[],[],[]],\"distances\":[[],[],[]]}");
	assert_no_split("{\"ids\":[[],[],[],[]],\"distances\":[[],[],[],null]}");
	assert_no_split("{\"ids\":[\"a\",\"b\",\"c\",\"d\"]}");
	assert_no_split("{\"distances\":[[],[],[],[]]}");
	assert_no_split("{\"error\":\"InternalError\",\"message\":\"no\"}");
	assert_no_split("{\"ids\":[[],[],[],[]]");
	assert_no_split("");
}

static void each_get_hears_the_rows_it_asked_for(void **state)
{
	(void)state;
	assert_true(get("{\"ids\":[\"c\",\"a\",\"a\"]}"));
	assert_true(get("{\"ids\":[\"none\"]}"));
	assert_true(get("{\"ids\":[\"b\",\"c\"]}"));
	assert_split(
	        "{\"ids\":[\"a\",\"b\",\"c\"],\"embeddings\":null,"
	        "\"metadatas\":[{\"n\":1},null,{\"n\":3}],\"include\":[\"metadatas\"]}",
	        "{\"ids\":[\"a\",\"c\"],\"embeddings\":null,"
	        "\"metadatas\":[{\"n\":1},{\"n\":3}],\"include\":[\"metadatas\"]}\n"
	        "{\"ids\":[],\"embeddings\":null,"
	        "\"metadatas\":[],\"include\":[\"metadatas\"]}\n"
	        "{\"ids\":[\"b\",\"c\"],\"embeddings\":null,"
	        "\"metadatas\":[null,{\"n\":3}],\"include\":[\"metadatas\"]}\n");
}

/* Chroma writes an id in its own way. */
static void ids_are_compared_by_what_they_mean(void **state)
{
	(void)state;
	assert_true(get("{\"ids\":[\"\\u0061\\/\\u00e9\"]}"));
	assert_true(get("{\"ids\":[\"\\\"q\"]}"));
	assert_split("{\"ids\":[\"a/\303\251\",\"\\u0022q\"]}",
	             "{\"ids\":[\"a/\303\251\"]}\n"
	             "{\"ids\":[\"\\u0022q\"]}\n");
}

static void an_answer_to_other_gets(void **state)
{
	(void)state;
	assert_true(get("{\"ids\":[\"a\"]}"));
	assert_true(get("{\"ids\":[\"b\"]}"));
	assert_no_split("{\"ids\":[\"a\",\"x\"]}");
	assert_no_split("{\"ids\":[1]}");
	assert_no_split("{\"ids\":[[\"a\"],[\"b\"]]}");
	assert_no_split("{\"ids\":[\"a\",\"b\",\"a\"]}");
	assert_no_split("{\"ids\":[\"a\"],\"uris\":[1,2]}");
	assert_no_split("{\"ids\":[],\"error\":\"x\"}");
	assert_no_split("[]");
	assert_split("{\"ids\":[\"b\"]}", "{\"ids\":[]}\n{\"ids\":[\"b\"]}\n");
}

static void one_count_is_for_all(void **state)
{
	(void)state;
	assert_true(take(VERB_COUNT, NULL));
	assert_true(take(VERB_COUNT, NULL));
	assert_null(alike_body(t.list, t.n));
	assert_split("17", "17\n17\n");
	assert_no_split("{}");
	assert_no_split("");
	assert_no_split("17 18");
}

/* What many ask for at once is not to be held many times over. */
static void parts_that_are_too_large(void **state)
{
	struct text answer = {0};
	char *parts;

	(void)state;
	for (int k = 0; k < 32; k++)
		assert_true(get("{\"ids\":[\"a\"]}"));
	text_adds(&answer, "{\"ids\":[\"a\"],\"documents\":[\"");
	for (int k = 0; k < 250000; k++)
		text_addc(&answer, 'x');
	text_adds(&answer, "\"]}");
	parts = split(answer.s);
	assert_non_null(parts);
	free(parts);
	answer.len -= 3;
	for (int k = 0; k < 50000; k++)
		text_addc(&answer, 'x');
	text_adds(&answer, "\"]}");
	assert_no_split(answer.s);
	text_clear(&answer);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(queries_are_joined),
	        TEST(gets_are_joined),
	        TEST(what_is_asked_otherwise_is_another_question),
	        TEST(embeddings_of_another_length_stay_apart),
	        TEST(queries_that_go_alone),
	        TEST(gets_that_go_alone),
	        TEST(others_go_alone),
	        TEST(long_lists_go_alone),
	        TEST(each_query_hears_as_many_as_it_sent),
	        TEST(the_order_of_the_columns_is_kept),
	        TEST(an_answer_to_other_queries),
	        TEST(each_get_hears_the_rows_it_asked_for),
	        TEST(ids_are_compared_by_what_they_mean),
	        TEST(an_answer_to_other_gets),
	        TEST(one_count_is_for_all),
	        TEST(parts_that_are_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
