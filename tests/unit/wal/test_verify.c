/* Verification: what differs, what the log says of it, who is right, and what an index
 * finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/verify_private.h"

#define A 1u /* instances, by bit */
#define B 2u
#define C 4u

static struct blob *of(const char *text)
{
	return blob_create(text, strlen(text));
}

/* --- two answers ---------------------------------------------------------------------
 */

static bool same_windows(const char *a, const char *b)
{
	struct blob *x = of(a), *y = of(b);
	bool same = compare_windows(x, y);

	assert_true(compare_windows(y, x) == same);
	if (same)
		assert_true(compare_items(x, y));
	blob_unref(&x);
	blob_unref(&y);
	return same;
}

static bool same_items(const char *a, const char *b)
{
	struct blob *x = of(a), *y = of(b);
	bool same = compare_items(x, y);

	assert_true(compare_items(y, x) == same);
	blob_unref(&x);
	blob_unref(&y);
	return same;
}

#define ITEM(fields) "{\"ids\":[\"a\"]," fields "}"

static void what_is_written_otherwise_is_equal(void **state)
{
	(void)state;
	assert_true(
	        same_windows(ITEM("\"documents\":[\"x\"]"),
	                     "{\"documents\":[\"x\"],\"ids\":[\"a\"],\"uris\":null}"));
	assert_true(same_windows(ITEM("\"metadatas\":[{\"k\":1,\"l\":[true,\"x\"]}]"),
	                         ITEM("\"metadatas\":[{\"l\":[true,\"x\"],\"k\":1}]")));
	assert_true(same_windows(ITEM("\"documents\":[\"\\u0041\"]"),
	                         ITEM("\"documents\":[\"A\"]")));
	assert_true(same_windows(ITEM("\"uris\":[null]"), ITEM("\"uris\":null")));
	assert_true(same_windows(ITEM("\"embeddings\":[[1.0,-2,3e1]]"),
	                         ITEM("\"embeddings\":[[1,-2.00001,30]]")));
	assert_true(same_windows("{\"ids\":[]}", "{\"ids\":[],\"documents\":[]}"));
}

static void what_is_otherwise_is_not(void **state)
{
	(void)state;
	assert_false(
	        same_items(ITEM("\"documents\":[\"x\"]"), ITEM("\"documents\":[\"y\"]")));
	assert_false(
	        same_items(ITEM("\"documents\":[\"\"]"), ITEM("\"documents\":[null]")));
	assert_false(same_items(ITEM("\"uris\":[\"x\"]"), ITEM("\"uris\":[null]")));
	assert_false(same_items(ITEM("\"metadatas\":[{\"k\":1}]"),
	                        ITEM("\"metadatas\":[{\"k\":2}]")));
	assert_false(same_items(ITEM("\"metadatas\":[{\"k\":1}]"),
	                        ITEM("\"metadatas\":[{\"k\":1,\"l\":1}]")));
	assert_false(same_items(ITEM("\"metadatas\":[{\"k\":1}]"),
	                        ITEM("\"metadatas\":[{\"k\":true}]")));
	assert_false(
	        same_items(ITEM("\"embeddings\":[[1,2]]"), ITEM("\"embeddings\":[[1]]")));
	assert_false(
	        same_items(ITEM("\"embeddings\":[[1,2]]"), ITEM("\"embeddings\":null")));
	assert_false(same_items(ITEM("\"embeddings\":[[1,2]]"),
	                        ITEM("\"embeddings\":[[2,1]]")));
	assert_false(same_items(ITEM("\"embeddings\":[[1,2]]"),
	                        ITEM("\"embeddings\":[[1,2.00001]]")));
	assert_false(same_items("{\"ids\":[\"a\"]}", "{\"ids\":[\"b\"]}"));
	assert_false(same_items("{\"ids\":[\"a\"]}", "{\"ids\":[\"a\",\"b\"]}"));
	assert_false(same_items("{\"ids\":[\"a\"]}", "no answer"));
	assert_false(same_windows("{\"ids\":[\"a\"],\"documents\":[]}",
	                          "{\"ids\":[\"a\"],\"documents\":[ ]}"));
}

/* What matters in a vector is its direction: its smallest numbers need not be exact. */
static void a_vector_may_differ_by_a_millionth_of_its_largest_component(void **state)
{
	(void)state;
	assert_true(same_items(ITEM("\"embeddings\":[[1,0.0000001]]"),
	                       ITEM("\"embeddings\":[[1,0.0000002]]")));
	assert_false(same_items(ITEM("\"embeddings\":[[1e-9,1e-10]]"),
	                        ITEM("\"embeddings\":[[1e-9,2e-10]]")));
}

static void order_counts_in_windows_only(void **state)
{
	static const char one[] = "{\"ids\":[\"a\",\"b\"],\"documents\":[\"x\",\"y\"]}";
	static const char other[] = "{\"ids\":[\"b\",\"a\"],\"documents\":[\"y\",\"x\"]}";

	(void)state;
	assert_true(same_items(one, other));
	assert_false(same_windows(one, other));
}

static void rows_are_found_by_id(void **state)
{
	struct text text = {0};
	struct blob *answer;
	struct rows rows;

	(void)state;
	text_adds(&text, "{\"ids\":[");
	for (int k = 0; k < 1000; k++)
		text_addf(&text, "%s\"%d\"", k > 0 ? "," : "", k);
	text_adds(&text, "]}");
	answer = of(text.s);
	rows = rows_of(answer);
	assert_int_equal(rows.n, 1000);
	for (size_t k = 0; k < 1000; k++)
		assert_ptr_equal(rows_find(&rows, rows.at[k].field[COLUMN_IDS]),
		                 &rows.at[k]);
	assert_null(rows_find(&rows, (struct json_slice){"\"1000\"", 6}));
	rows_clear(&rows);
	rows_clear(&rows);
	blob_unref(&answer);
	text_clear(&text);
}

/* --- what differs --------------------------------------------------------------------
 */

static struct blob *answers[CONF_MAX_INSTANCES];

static unsigned answer_with(const char *a, const char *b, const char *c)
{
	answers[0] = of(a);
	answers[1] = of(b);
	answers[2] = c != NULL ? of(c) : NULL;
	return c != NULL ? A | B | C : A | B;
}

static void forget_answers(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		blob_unref(&answers[i]);
}

static void expect_suspects(const char *a, const char *b, const char *ids, bool moves)
{
	unsigned who = answer_with(a, b, NULL);
	bool moved;
	struct blob *question = look_question(answers, who, 10, &moved);
	char *expected =
	        mem_format("{\"ids\":[%s],\"include\":[\"documents\",\"metadatas\","
	                   "\"uris\",\"embeddings\"]}",
	                   ids);

	assert_int_equal(moved, moves);
	if (ids[0] == '\0')
		assert_null(question);
	else
		assert_string_equal(blob_bytes(question), expected);
	free(expected);
	blob_unref(&question);
	forget_answers();
}

static void windows_tell_what_to_ask_for(void **state)
{
	(void)state;
	expect_suspects("{\"ids\":[\"a\",\"b\",\"c\"]}", "{\"ids\":[\"a\",\"c\",\"d\"]}",
	                "\"b\",\"d\"", false);
	expect_suspects("{\"ids\":[\"a\",\"b\"],\"documents\":[\"x\",\"y\"]}",
	                "{\"ids\":[\"a\",\"b\"],\"documents\":[\"x\",\"z\"]}", "\"b\"",
	                false);
	expect_suspects("{\"ids\":[\"a\",\"b\"]}", "{\"ids\":[\"b\",\"a\"]}", "", true);
	expect_suspects("{\"ids\":[]}", "{\"ids\":[\"b\",\"a\"]}", "\"b\",\"a\"", false);
}

static void expect_group(const struct look_item *item, const char *id, unsigned kind,
                         int a, int b, int c)
{
	assert_string_equal(item->id, id);
	assert_int_equal(item->kind, kind);
	assert_int_equal(item->group[0], a);
	assert_int_equal(item->group[1], b);
	assert_int_equal(item->group[2], c);
}

static void items_are_grouped_by_who_has_them_alike(void **state)
{
	struct look look = {.n = 0};
	unsigned who = answer_with(
	        "{\"ids\":[\"a\",\"b\",\"e\",\"s\"],\"documents\":[\"x\",\"y\",null,null]"
	        ","
	        "\"embeddings\":[[1],[1],[1],[1]]}",
	        "{\"ids\":[\"a\",\"b\",\"e\",\"s\"],\"documents\":[\"x\",\"z\",null,null]"
	        ","
	        "\"embeddings\":[[1],[1],[2],[1]]}",
	        "{\"ids\":[\"b\",\"e\",\"s\"],\"documents\":[\"y\",null,null],"
	        "\"embeddings\":[[1],[1],[1]]}");

	(void)state;
	assert_int_equal(look_add(&look, answers, who), 3);
	assert_int_equal(look_add(&look, answers, who), 3); /* not counted again */
	assert_int_equal(look.n, 3);
	assert_int_equal(look_total(&look), 3);
	expect_group(&look.items[0], "\"a\"", LOOK_MISSING, 1, 1, 0);
	expect_group(&look.items[1], "\"b\"", LOOK_CONTENT, 1, 2, 1);
	expect_group(&look.items[2], "\"e\"", LOOK_EMBEDDING, 1, 2, 1);
	look_clear(&look);
	forget_answers();
}

static void shapes(const char *a, const char *b, bool differ, unsigned right_is)
{
	unsigned char group[CONF_MAX_INSTANCES];
	unsigned who = answer_with(a, b, NULL), right;

	assert_int_equal(look_shapes(answers, who, "docs", group, &right), differ);
	assert_int_equal(group[0] != group[1], differ);
	assert_int_equal(right, right_is);
	forget_answers();
}

static void a_collection_is_more_than_its_items(void **state)
{
	(void)state;
	shapes("{\"id\":\"1\",\"name\":\"docs\",\"metadata\":null,\"dimension\":3}",
	       "{\"id\":\"2\",\"name\":\"docs\",\"metadata\":null,\"dimension\":null}",
	       false, 0);
	shapes("{\"name\":\"docs\",\"dimension\":3}",
	       "{\"name\":\"docs\",\"dimension\":2}", true, 0);
	shapes("{\"name\":\"docs\"}", "{\"name\":\"doc\"}", true, A);
	shapes("{\"name\":\"docs\",\"metadata\":{\"a\":1}}",
	       "{\"name\":\"docs\",\"metadata\":null}", true, 0);
	shapes("{\"name\":\"docs\",\"metadata\":{}}",
	       "{\"name\":\"docs\",\"metadata\":null}", false, 0);
	shapes("{\"name\":\"docs\",\"configuration_json\":{\"hnsw\":{\"space\":\"l2\"}}}",
	       "{\"name\":\"docs\",\"configuration_json\":{\"hnsw\":{\"space\":\"ip\"}}}",
	       true, 0);
}

/* --- what the log says ---------------------------------------------------------------
 */

struct told {
	enum record_kind kind;
	const char *body;
};

/* The latest record first. */
static unsigned log_says(const char *a, const char *b, const struct told *records)
{
	struct look look = {.n = 0};
	unsigned who = answer_with(a, b, NULL), right;
	struct evidence *e;

	assert_int_equal(look_add(&look, answers, who), 1);
	e = evidence_create(&look, answers, who);
	while (records->kind != RECORD_NONE &&
	       evidence_take(e, records->kind, records->body, strlen(records->body)))
		records++;
	right = look.items[0].right;
	evidence_destroy(&e);
	look_clear(&look);
	forget_answers();
	return right;
}

#define THERE "{\"ids\":[\"a\"]}"
#define NOT_THERE "{\"ids\":[]}"
#define SAYS(...) ((const struct told[]){__VA_ARGS__, {RECORD_NONE, NULL}})

static void the_log_says_who_should_have_it(void **state)
{
	(void)state;
	assert_int_equal(log_says(THERE, NOT_THERE, SAYS({RECORD_ADD, THERE})), A);
	assert_int_equal(log_says(NOT_THERE, THERE, SAYS({RECORD_UPSERT, THERE})), B);
	assert_int_equal(log_says(THERE, NOT_THERE, SAYS({RECORD_DELETE, THERE})), B);
	assert_int_equal(log_says(THERE, NOT_THERE, SAYS({RECORD_DELETE_WHERE, THERE})),
	                 B);
	assert_int_equal(log_says(THERE, NOT_THERE,
	                          SAYS({RECORD_ADD, "{\"ids\":[\"b\",\"c\"]}"},
	                               {RECORD_DELETE, "{\"ids\":[\"b\",\"\\u0061\"]}"},
	                               {RECORD_ADD, THERE})),
	                 B);
	/* nothing of it; or what does nothing to what is not there */
	assert_int_equal(log_says(THERE, NOT_THERE, SAYS({RECORD_ADD, NOT_THERE})), 0);
	assert_int_equal(log_says(THERE, NOT_THERE, SAYS({RECORD_UPDATE, THERE})), 0);
	assert_int_equal(log_says(THERE, NOT_THERE,
	                          SAYS({RECORD_UPDATE, THERE}, {RECORD_ADD, THERE})),
	                 A);
}

#define HAS(fields) "{\"ids\":[\"a\"]," fields "}"

static void the_log_says_what_was_written(void **state)
{
	static const char x[] = HAS("\"documents\":[\"x\"]"),
	                  y[] = HAS("\"documents\":[\"y\"]");

	(void)state;
	assert_int_equal(log_says(x, y, SAYS({RECORD_UPSERT, x})), A);
	assert_int_equal(log_says(x, y, SAYS({RECORD_UPDATE, y})), B);
	assert_int_equal(log_says(x, y, SAYS({RECORD_ADD, y})), B);
	assert_int_equal(
	        log_says(x, y, SAYS({RECORD_UPSERT, HAS("\"documents\":[\"z\"]")})), 0);
	/* what an older record wrote may have been written over by what we cannot tell */
	assert_int_equal(log_says(x, y, SAYS({RECORD_UPSERT, THERE}, {RECORD_UPSERT, x})),
	                 0);
	assert_int_equal(log_says(x, y, SAYS({RECORD_UPDATE, x}, {RECORD_UPSERT, y})), A);
	assert_int_equal(
	        log_says(HAS("\"metadatas\":[{\"k\":1,\"l\":2}]"),
	                 HAS("\"metadatas\":[{\"k\":2,\"l\":2}]"),
	                 SAYS({RECORD_UPSERT, HAS("\"metadatas\":[{\"k\":2}]")})),
	        B);
	assert_int_equal(
	        log_says(HAS("\"metadatas\":[{\"k\":1,\"l\":2}]"),
	                 HAS("\"metadatas\":[{\"l\":2}]"),
	                 SAYS({RECORD_UPDATE, HAS("\"metadatas\":[{\"k\":null}]")})),
	        B);
	assert_int_equal(log_says(HAS("\"uris\":[\"u\"]"), HAS("\"uris\":[null]"),
	                          SAYS({RECORD_UPSERT, HAS("\"uris\":[\"u\"]")})),
	                 A);
}

/* An older vector may be what a killed Chroma comes back with. 1, -2.5 as 32 bit floats
 */
static void the_log_says_which_vector_is_the_last(void **state)
{
	static const char old[] = HAS("\"embeddings\":[[1,2]]"),
	                  new[] = HAS("\"embeddings\":[[1,-2.5]]");

	(void)state;
	assert_int_equal(log_says(old, new, SAYS({RECORD_UPSERT, new})), B);
	assert_int_equal(
	        log_says(new, old,
	                 SAYS({RECORD_UPSERT, HAS("\"embeddings\":[\"AACAPwAAIMA=\"]")})),
	        A);
	assert_int_equal(
	        log_says(new, old,
	                 SAYS({RECORD_UPSERT, HAS("\"embeddings\":[\"AACAPwAAI\"]")})),
	        0);
	assert_int_equal(
	        log_says(new, old,
	                 SAYS({RECORD_UPSERT, HAS("\"embeddings\":[\"~~~~\"]")})),
	        0);
}

/* --- who is right --------------------------------------------------------------------
 */

static struct look_item item(int a, int b, int c, unsigned right)
{
	struct look_item i = {
	        .right = right,
	        .group = {(unsigned char)a, (unsigned char)b, (unsigned char)c}};

	return i;
}

static void expect_rule(struct look_item i, unsigned who, unsigned troubled,
                        enum decide_rule rule, unsigned right_is)
{
	const struct decide_facts facts = {who, troubled};
	unsigned right;

	assert_int_equal(decide_item(&i, &facts, &right), rule);
	assert_int_equal(right, right_is);
}

static void each_rule_in_its_turn(void **state)
{
	(void)state;
	expect_rule(item(1, 1, 2, 0), A | B | C, A | B, RULE_MAJORITY, A | B);
	expect_rule(item(1, 0, 0, 0), A | B | C, 0, RULE_MAJORITY, B | C);
	expect_rule(item(1, 2, 0, B), A | B, B, RULE_LOG, B);
	expect_rule(item(1, 0, 0, B), A | B, B, RULE_LOG, B);
	expect_rule(item(1, 2, 0, 0), A | B, A, RULE_TROUBLED, B);
	expect_rule(item(1, 0, 0, 0), A | B, A, RULE_TROUBLED, B);
	expect_rule(item(1, 2, 3, 0), A | B | C, A, RULE_PREFERRED, A);
	expect_rule(item(1, 2, 3, 0), A | B | C, A | C, RULE_TROUBLED, B);
	expect_rule(item(0, 1, 0, 0), A | B, 0, RULE_KEEP, B);
	expect_rule(item(0, 1, 0, 0), A | B, A | B, RULE_KEEP, B);
	expect_rule(item(1, 2, 0, 0), A | B, 0, RULE_PREFERRED, A);
	expect_rule(item(0, 1, 2, 0), B | C, 0, RULE_PREFERRED, B);
	expect_rule(item(1, 2, 0, 0), A | B, A | B, RULE_PREFERRED, A);
}

static struct decided decided(const struct look_item *items, size_t n, unsigned who,
                              unsigned troubled)
{
	const struct decide_facts facts = {who, troubled};
	struct look look = {.n = n};

	memcpy(look.items, items, n * sizeof(*items));
	return decide(&look, &facts);
}

static void who_is_wrong_least_often_wins(void **state)
{
	struct look_item items[] = {item(0, 1, 0, 0), item(0, 1, 0, 0), item(1, 0, 0, 0)};
	struct decided d = decided(items, 3, A | B, 0);

	(void)state;
	assert_int_equal(d.winner, 1);
	assert_int_equal(d.losers, A);
	assert_int_equal(d.wrong[0], 2);
	assert_int_equal(d.wrong[1], 1);
	assert_int_equal(d.by[RULE_KEEP], 3);
	d = decided(&items[1], 2, A | B, 0);
	assert_int_equal(d.winner, 0);
	assert_int_equal(d.losers, B);
	d = decided(&items[1], 2, A | B, A | B);
	assert_int_equal(d.winner, 0);
	d = decided(items, 0, A | B, 0);
	assert_int_equal(d.losers, 0);
	items[0] = item(1, 1, 2, 0);
	items[1] = item(1, 2, 1, 0);
	d = decided(items, 2, A | B | C, 0);
	assert_int_equal(d.winner, 0);
	assert_int_equal(d.losers, B | C);
}

/* --- the index -----------------------------------------------------------------------
 */

static const char sample[] = "{\"ids\":[\"a\",\"b\",\"z\"],"
                             "\"embeddings\":[[1,0],[0,1],[0,0.0]]}";

static void expect_missed(enum probe_space space, const char *of_a, const char *of_b,
                          size_t a, size_t b, const char *which)
{
	struct blob *s = of(sample), *question;
	struct probe *p = probe_create(s, space);
	struct text missed = {0};
	answer_with(of_a, of_b, NULL);
	question = probe_question(p, 3);
	assert_string_equal(blob_bytes(question),
	                    "{\"query_embeddings\":[[1,0],[0,1]],\"n_results\":3,"
	                    "\"include\":[\"distances\"]}");
	assert_int_equal(probe_asked(p), 2);
	assert_true(probe_take(p, 0, answers[0]) && probe_take(p, 1, answers[1]));
	assert_int_equal(probe_missed(p, 0, &missed), a);
	assert_int_equal(probe_missed(p, 1, &missed), b);
	assert_string_equal(text_string(&missed), which);
	text_clear(&missed);
	probe_destroy(&p);
	blob_unref(&question);
	blob_unref(&s);
	forget_answers();
}

static void an_item_is_found_by_its_own_vector(void **state)
{
	static const char good[] = "{\"ids\":[[\"x\",\"a\"],[\"b\"]],"
	                           "\"distances\":[[0.1,0.2],[0.0]]}";
	static const char bad[] = "{\"ids\":[[\"x\",\"y\"],[\"b\"]],"
	                          "\"distances\":[[0.1,0.2],[0.0]]}";
	static const char twin[] = "{\"ids\":[[\"x\"],[\"y\"]],"
	                           "\"distances\":[[0.0],[0.000001]]}";

	(void)state;
	expect_missed(SPACE_L2, good, bad, 0, 1, "\"a\"");
	expect_missed(SPACE_L2, twin, bad, 1, 1, "\"b\",\"a\"");
	expect_missed(SPACE_COSINE, twin, bad, 0, 1, "\"a\"");
	expect_missed(SPACE_L2, "{\"ids\":[[],[]],\"distances\":[[],[]]}", good, 2, 0,
	              "\"a\",\"b\"");
}

/* By inner product the nearest is whoever is longest. */
static void by_inner_product_the_others_tell_what_is_near(void **state)
{
	static const char far[] =
	        "{\"ids\":[[\"x\"],[\"y\"]],\"distances\":[[-3.0],[-5.0]]}";
	static const char near[] =
	        "{\"ids\":[[\"w\"],[\"y\"]],\"distances\":[[-4.0],[-5.0]]}";

	(void)state;
	expect_missed(SPACE_IP, far, near, 1, 0, "\"a\"");
	expect_missed(SPACE_IP, far, far, 0, 0, "");
}

static void an_answer_that_is_none_is_not_taken(void **state)
{
	struct blob *s = of(sample), *none = of("{\"ids\":[]}"),
	            *empty = of("{\"ids\":[\"z\"],\"embeddings\":[[0]]}"),
	            *few = of("{\"ids\":[[\"a\"]],\"distances\":[[0]]}");
	struct probe *p = probe_create(s, SPACE_L2);

	(void)state;
	assert_false(probe_take(p, 0, few));
	assert_null(probe_create(none, SPACE_L2));
	assert_null(probe_create(empty, SPACE_L2));
	probe_destroy(&p);
	probe_destroy(&p);
	blob_unref(&s);
	blob_unref(&none);
	blob_unref(&few);
	blob_unref(&empty);
}

static unsigned damaged(size_t a, size_t b, size_t of_so_many, enum probe_space space,
                        double was)
{
	struct probe_score scores[CONF_MAX_INSTANCES] = {
	        {.asked = of_so_many, .missed = a, .was = was},
	        {.asked = of_so_many, .missed = b, .was = 1}};

	return probe_damaged(scores, A | B, space);
}

static void an_index_is_damaged_if_it_finds_less_than_it_should(void **state)
{
	(void)state;
	assert_int_equal(damaged(0, 0, 200, SPACE_L2, 1), 0);
	assert_int_equal(damaged(2, 0, 200, SPACE_L2, 1), 0);
	assert_int_equal(damaged(3, 0, 200, SPACE_L2, 1), A);
	assert_int_equal(damaged(3, 3, 200, SPACE_L2, 1), A | B);
	assert_int_equal(damaged(0, 1, 1, SPACE_L2, 1), B);
	assert_int_equal(damaged(1, 0, 20, SPACE_COSINE, 1), A);
	assert_int_equal(damaged(0, 0, 0, SPACE_COSINE, 1), 0);
	/* made anew, it was no better */
	assert_int_equal(damaged(10, 0, 200, SPACE_L2, 0.95), 0);
	assert_int_equal(damaged(13, 0, 200, SPACE_L2, 0.95), A);
	/* two good ones differ by chance */
	assert_int_equal(damaged(6, 0, 200, SPACE_IP, 1), 0);
	assert_int_equal(damaged(30, 0, 200, SPACE_IP, 1), A);
	assert_int_equal(damaged(30, 30, 200, SPACE_IP, 1), 0);
}

static void of_a_few_items_each_must_be_found(void **state)
{
	struct probe_score scores[CONF_MAX_INSTANCES] = {
	        {.asked = 400, .missed = 2, .was = 1},
	        {.asked = 400, .missed = 1, .was = 1}};

	(void)state;
	assert_int_equal(probe_damaged(scores, A | B, SPACE_L2), 0);
	scores[0].all = scores[1].all = true;
	assert_int_equal(probe_damaged(scores, A | B, SPACE_L2), A | B);
	assert_int_equal(probe_damaged(scores, A | B, SPACE_IP), 0);
	scores[0].was = 0.99;
	scores[1].missed = 0;
	assert_int_equal(probe_damaged(scores, A | B, SPACE_L2), 0);
}

static void expect_space(const char *shape, enum probe_space space)
{
	struct blob *b = of(shape);

	assert_int_equal(probe_space_of(b), space);
	blob_unref(&b);
}

static void the_space_is_among_the_settings(void **state)
{
	(void)state;
	expect_space(
	        "{\"configuration_json\":{\"hnsw\":{\"space\":\"ip\"},\"spann\":null}}",
	        SPACE_IP);
	expect_space("{\"configuration_json\":{\"hnsw\":{\"space\":\"cosine\"}}}",
	             SPACE_COSINE);
	expect_space("{\"configuration_json\":{\"hnsw\":{\"space\":\"l2\"}}}", SPACE_L2);
	expect_space("{}", SPACE_L2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_written_otherwise_is_equal),
	        cmocka_unit_test(what_is_otherwise_is_not),
	        cmocka_unit_test(
	                a_vector_may_differ_by_a_millionth_of_its_largest_component),
	        cmocka_unit_test(order_counts_in_windows_only),
	        cmocka_unit_test(rows_are_found_by_id),
	        cmocka_unit_test(windows_tell_what_to_ask_for),
	        cmocka_unit_test(items_are_grouped_by_who_has_them_alike),
	        cmocka_unit_test(a_collection_is_more_than_its_items),
	        cmocka_unit_test(the_log_says_who_should_have_it),
	        cmocka_unit_test(the_log_says_what_was_written),
	        cmocka_unit_test(the_log_says_which_vector_is_the_last),
	        cmocka_unit_test(each_rule_in_its_turn),
	        cmocka_unit_test(who_is_wrong_least_often_wins),
	        cmocka_unit_test(an_item_is_found_by_its_own_vector),
	        cmocka_unit_test(by_inner_product_the_others_tell_what_is_near),
	        cmocka_unit_test(an_answer_that_is_none_is_not_taken),
	        cmocka_unit_test(an_index_is_damaged_if_it_finds_less_than_it_should),
	        cmocka_unit_test(of_a_few_items_each_must_be_found),
	        cmocka_unit_test(the_space_is_among_the_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
