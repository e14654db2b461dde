#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cli/cli_private.h"

#define MOST 12

/* Splits at blanks; the words live until the next call. */
static bool parse(struct cli *c, const char *line, char **wrong)
{
	static char text[200], program[] = "chromatid";
	static char *words[MOST + 1];
	int n = 1;

	assert_true(strlen(line) < sizeof(text));
	memcpy(text, line, strlen(line) + 1);
	words[0] = program;
	for (char *at = strtok(text, " "); at != NULL && n < MOST; at = strtok(NULL, " "))
		words[n++] = at;
	words[n] = NULL;
	*wrong = NULL;
	return cli_parse(c, n, words, wrong);
}

static struct cli good(const char *line)
{
	struct cli c;
	char *wrong;

	if (!parse(&c, line, &wrong))
		fail_msg("%s: %s", line, wrong);
	return c;
}

static void assert_wrong(const char *line, const char *says)
{
	struct cli c;
	char *wrong;

	assert_false(parse(&c, line, &wrong));
	if (strstr(wrong, says) == NULL)
		fail_msg("%s: %s", line, wrong);
	free(wrong);
}

static void commands_of_one_and_two_words(void **state)
{
	struct cli c = good("wal skip 17 --reason because");

	(void)state;
	assert_string_equal(c.command->name, "wal skip");
	assert_int_equal(c.n_words, 1);
	assert_string_equal(c.words[0], "17");
	assert_string_equal(cli_value(&c, "reason"), "because");
	c = good("resync replica");
	assert_string_equal(c.command->name, "resync");
	assert_string_equal(c.words[0], "replica");
	c = good("serve --port 80 whatever"); /* not ours to judge */
	assert_null(c.command->run);
	assert_wrong("wal", "not a command");
	assert_wrong("wall retry 1", "not a command");
	assert_wrong("statu", "not a command");
}

static void options_stand_anywhere(void **state)
{
	struct cli c = good("export --url=http://x:1 file --json --timeout 5");

	(void)state;
	assert_string_equal(cli_value(&c, "url"), "http://x:1");
	assert_string_equal(cli_value(&c, "timeout"), "5");
	assert_string_equal(c.words[0], "file");
	assert_true(cli_json(&c) && !cli_flag(&c, "hold-writes"));
	c = good("export -- --odd");
	assert_string_equal(c.words[0], "--odd");
	c = good("export -");
	assert_string_equal(c.words[0], "-");
	c = good("export f --collection a --collection=b");
	assert_string_equal(cli_value(&c, "collection"), "b");
	assert_int_equal(c.n_given, 2);
	c = good("status --url= ");
	assert_string_equal(cli_value(&c, "url"), "");
}

static void what_is_not_understood(void **state)
{
	(void)state;
	assert_wrong("status --colour", "--colour is not an option of `status`");
	assert_wrong("status --reason x", "not an option");
	assert_wrong("status --json=yes", "takes no value");
	assert_wrong("status --url", "needs a value");
	assert_wrong("status now", "too much");
	assert_wrong("export", "needs FILE");
	assert_wrong("export a b", "too much");
	assert_true(good("export --help").help);
}

/* A manual page has its dashes escaped. */
static bool names(const char *document, const char *name)
{
	char word[32];

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "-"), name);
	return strstr(document, word) != NULL;
}

/* Everything in the table is in each of the documents. */
static void the_table_is_all_there_is(void **state)
{
	void (*const documents[])(struct text *) = {cli_document, cli_man, cli_completion,
	                                            cli_help};

	(void)state;
	for (size_t d = 0; d < sizeof(documents) / sizeof(documents[0]); d++) {
		struct text out = {0};

		documents[d](&out);
		for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
			assert_true(names(text_string(&out), k->name));
			assert_true(k->what[strlen(k->what) - 1] != '.');
			assert_true(k->least <= k->most && k->most <= CLI_WORDS);
			assert_int_equal(k->most > 0, k->arguments[0] != '\0');
		}
		text_clear(&out);
	}
}

static void the_usage_names_all_options(void **state)
{
	(void)state;
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		struct text out = {0};

		cli_usage(&out, k);
		for (const struct cli_option *o = k->options;
		     o != NULL && o->name != NULL; o++)
			assert_non_null(strstr(text_string(&out), o->name));
		assert_int_equal(k->run != NULL,
		                 strstr(text_string(&out), "--json") != NULL);
		text_clear(&out);
	}
}

/* --- print.c ----------------------------------------------------------------------- */

static void a_terminal_obeys_nothing_of_a_name(void **state)
{
	struct text out = {0};

	(void)state;
	print_clean(&out, "a\033[2Jb\nc\177d\302\233e\342\200\256f\377g\303\244");
	assert_string_equal(text_string(&out), "a?[2Jb?c?d?e?f?g\303\244");
	text_clear(&out);
}

static void columns_are_as_wide_as_they_need_be(void **state)
{
	struct columns t = {.per_row = 2};
	struct text out = {0};

	(void)state;
	columns_add(&t, "A");
	columns_add(&t, "B");
	columns_add(&t, "\303\244\303\244\303\244");
	columns_addf(&t, "%d", 7);
	columns_add(&t, "");
	columns_add(&t, "last");
	columns_print(&t, &out);
	assert_string_equal(text_string(&out),
	                    "A    B\n\303\244\303\244\303\244  7\n     last\n");
	text_clear(&out);
}

static void bars(void **state)
{
	struct text out = {0};

	(void)state;
	print_bar(&out, 0.5);
	assert_string_equal(text_string(&out), "[===============>              ]  50 %");
	text_reset(&out);
	print_bar(&out, 1);
	assert_string_equal(text_string(&out), "[==============================] 100 %");
	text_reset(&out);
	print_bar(&out, -1);
	assert_int_equal(text_string(&out)[1], '>');
	text_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(commands_of_one_and_two_words),
	        cmocka_unit_test(options_stand_anywhere),
	        cmocka_unit_test(what_is_not_understood),
	        cmocka_unit_test(the_table_is_all_there_is),
	        cmocka_unit_test(the_usage_names_all_options),
	        cmocka_unit_test(a_terminal_obeys_nothing_of_a_name),
	        cmocka_unit_test(columns_are_as_wide_as_they_need_be),
	        cmocka_unit_test(bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
