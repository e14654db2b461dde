/* The rows of an answer that Chroma gives in columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/columns.h"
#include "core/text.h"

/* One line a row, a column that is not there as `-`; in the end what is wrong. From a
 * copy of exactly that length, so that reading beyond it is noticed. */
static char *rows_of(const char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len > 0 ? len : 1);
	struct text told = {0};
	struct columns c;

	memcpy(exact, text, len);
	c = columns_of(exact, len);
	while (columns_next(&c)) {
		for (int k = 0; k < COLUMNS; k++) {
			text_addc(&told, k > 0 ? ' ' : '<');
			if (c.row[k].at != NULL)
				text_add(&told, c.row[k].at, c.row[k].len);
			else
				text_addc(&told, '-');
		}
		text_addc(&told, '>');
	}
	if (c.row[COLUMN_IDS].at != NULL || columns_next(&c))
		fail_msg("a row behind the last: %s", text);
	text_adds(&told, c.wrong != NULL ? c.wrong : "");
	free(exact);
	return told.s != NULL ? text_detach(&told) : strdup("");
}

static void expect(const char *text, const char *rows)
{
	char *told = rows_of(text);

	assert_string_equal(told, rows);
	free(told);
}

static void a_get(void **state)
{
	(void)state;
	expect("{\"ids\":[\"a\",\"b\"],\"embeddings\":null,\"documents\":[\"A]\",null],"
	       "\"uris\":null,\"metadatas\":[{\"n\":[1,2]},null],"
	       "\"include\":[\"documents\",\"metadatas\"]}",
	       "<\"a\" - \"A]\" - {\"n\":[1,2]} -><\"b\" - null - null ->");
	expect(" { \"ids\" : [ \"a\" , \"b\" ] , \"embeddings\" : [ [1, 2] , [3] ] } ",
	       "<\"a\" [1, 2] - - - -><\"b\" [3] - - - ->");
	expect("{\"ids\":[],\"embeddings\":null,\"documents\":[],\"include\":[]}", "");
	expect("{\"distances\":null,\"ids\":[\"a\"],\"uris\":[\"u\"]}",
	       "<\"a\" - - \"u\" - ->");
}

static void a_query(void **state)
{
	(void)state;
	expect("{\"ids\":[[\"a\",\"b\"],[]],\"embeddings\":null,"
	       "\"documents\":[[null,\"B\"],[]],\"uris\":null,\"metadatas\":[[{},{}],[]],"
	       "\"distances\":[[0.0,1.5],[]],\"include\":[\"distances\"]}",
	       "<[\"a\",\"b\"] - [null,\"B\"] - [{},{}] [0.0,1.5]><[] - [] - [] []>");
}

/* What is shorter than the ids as well as what is longer, wherever it stands. */
static void lengths_differ(void **state)
{
	static const char wrong[] = "columns of different lengths";

	(void)state;
	expect("{\"ids\":[\"a\"],\"documents\":[]}", wrong);
	expect("{\"ids\":[],\"documents\":[\"A\"]}", wrong);
	expect("{\"uris\":[1],\"ids\":[]}", wrong);
	expect("{\"ids\":[\"a\",\"b\"],\"uris\":[1,2],\"distances\":[3]}",
	       "<\"a\" - - 1 - 3>columns of different lengths");
	expect("{\"ids\":[\"a\"],\"uris\":[1],\"distances\":[3,4]}",
	       "<\"a\" - - 1 - 3>columns of different lengths");
}

static void no_such_answer(void **state)
{
	(void)state;
	expect("", "not an object");
	expect("[\"ids\"]", "not an object");
	expect("{\"ids\":[\"a\"]", "not an object");
	expect("{\"ids\":[\"a\"]}x", "not an object");
	expect("{}", "no ids");
	expect("{\"ids\":null}", "no ids");
	expect("{\"\\u0069ds\":null}", "no ids");
	expect("{\"ids\":{\"a\":1}}", "a column is not a list");
	expect("{\"ids\":[],\"uris\":\"u\"}", "a column is not a list");
	expect("{\"ids\":[],\"ids\":[\"a\"]}", "a column for the second time");
	expect("{\"ids\":[],\"uris\":null,\"uris\":[]}", "a column for the second time");
	expect("{\"ids\":[],\"include\":[],\"include\":[]}",
	       "a column for the second time");
	expect("{\"ids\":[],\"scores\":[]}", "a column that is not known");
}

/* A later Chroma may have more columns; those that were not asked for are null. */
static void unknown_and_null(void **state)
{
	(void)state;
	expect("{\"ids\":[\"a\"],\"scores\":null,\"other\":null}", "<\"a\" - - - - ->");
}

static void include_is_no_column(void **state)
{
	const char *text = "{\"ids\":[\"a\"],\"include\":[\"x\",\"y\",\"z\"]}";
	struct columns c = columns_of(text, strlen(text));

	(void)state;
	assert_true(columns_next(&c));
	assert_int_equal(c.include.len, strlen("[\"x\",\"y\",\"z\"]"));
	assert_false(columns_next(&c));
	assert_null(c.wrong);
	assert_int_equal(c.rows, 1);
}

/* Far too slow if a row were looked for from the start of its column. */
static void many_rows(void **state)
{
	struct text text = {0};
	struct columns c;
	size_t n = 200000;

	(void)state;
	text_adds(&text, "{\"ids\":[\"0\"");
	for (size_t k = 1; k < n; k++)
		text_addf(&text, ",\"%zu\"", k);
	text_adds(&text, "],\"documents\":[null");
	for (size_t k = 1; k < n; k++)
		text_adds(&text, ",\"[\\\"\"");
	text_adds(&text, "]}");
	c = columns_of(text.s, text.len);
	while (columns_next(&c))
		assert_non_null(c.row[COLUMN_DOCUMENTS].at);
	assert_null(c.wrong);
	assert_int_equal(c.rows, n);
	text_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_get),
	        cmocka_unit_test(a_query),
	        cmocka_unit_test(lengths_differ),
	        cmocka_unit_test(no_such_answer),
	        cmocka_unit_test(unknown_and_null),
	        cmocka_unit_test(include_is_no_column),
	        cmocka_unit_test(many_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
