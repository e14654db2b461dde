/* Lines as they come out of standard error, read back with a JSON parser, in virtual
 * time. */
#include "core/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/fake_time.h"

static int out[2], real;
static char said[1 << 20];

static int begin(void **state)
{
	(void)state;
	pass_ms(10000); /* nothing folds with the test before */
	real = dup(2);
	if (pipe(out) != 0)
		return -1;
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	dup2(out[1], 2);
	log_start(LOG_DEBUG, LOG_FORMAT_JSON, "p1");
	return 0;
}

static int end(void **state)
{
	(void)state;
	dup2(real, 2);
	close(real);
	close(out[0]);
	close(out[1]);
	return 0;
}

/* What was written since the last time. */
static const char *read_said(void)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	return said;
}

static unsigned count_lines(const char *s)
{
	unsigned n = 0;

	for (; *s != '\0'; s++)
		n += *s == '\n' ? 1 : 0;
	return n;
}

static json_t *read_line(void)
{
	json_t *line;

	assert_int_equal(count_lines(read_said()), 1);
	line = json_loads(said, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(line);
	return line;
}

static void assert_text(const json_t *line, const char *key, const char *expected)
{
	const char *text = json_string_value(json_object_get(line, key));

	assert_non_null(text);
	assert_string_equal(text, expected);
}

static void a_line_says_when_who_and_what(void **state)
{
	struct log_field fields[] = {{"op", "add", 0}, {"status", NULL, 201}, {0}};
	json_t *line;

	(void)state;
	log_line(LOG_INFO, "access", fields, "%s %d", "POST", 7);
	line = read_line();
	assert_int_equal(json_object_size(line), 7);
	assert_text(line, "level", "info");
	assert_text(line, "event", "access");
	assert_text(line, "msg", "POST 7");
	assert_text(line, "proxy", "p1");
	assert_text(line, "op", "add");
	assert_int_equal(json_integer_value(json_object_get(line, "status")), 201);
	assert_memory_equal(said, "{\"ts\":\"2026-01-01T", 18);
	json_decref(line);
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
	struct log_field fields[] = {{"op", "add", 0},
	                             {"none", "", 0},
	                             {"not", LOG_ABSENT, 1},
	                             {"n", NULL, -1},
	                             {"dur_ms", LOG_THOUSANDTHS, 12034},
	                             {0}};

	(void)state;
	log_start(LOG_INFO, LOG_FORMAT_LOGFMT, "p1");
	log_line(LOG_WARN, "wal", fields, "two words, a \"quote\" and =");
	assert_non_null(strstr(read_said(),
	                       " level=warn event=wal msg=\"two words, a \\\"quote\\\" "
	                       "and =\" proxy=p1 op=add none=\"\" n=-1 "
	                       "dur_ms=12.034\n"));
	assert_memory_equal(said, "ts=2026-", 8);
}

static void lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	log_start(LOG_WARN, LOG_FORMAT_JSON, "");
	assert_false(log_wants(LOG_INFO));
	assert_true(log_wants(LOG_WARN));
	log_debug("x", "no");
	log_info("x", "no");
	assert_string_equal(read_said(), "");
	log_error("x", "yes");
	assert_null(strstr(read_said(), "proxy"));
	assert_int_equal(count_lines(said), 1);
}

static void whatever_is_said_stays_one_line_of_json(void **state)
{
	char bytes[256];
	json_t *line;

	(void)state;
	for (unsigned i = 0; i < 255; i++)
		bytes[i] = (char)(i + 1);
	bytes[255] = '\0';
	log_info("x", "%s", bytes);
	line = read_line();
	assert_memory_equal(json_string_value(json_object_get(line, "msg")), bytes, 127);
	assert_null(strchr(said, '\x1b'));
	json_decref(line);
}

static void broken_utf8_is_replaced_and_good_is_kept(void **state)
{
	json_t *line;

	(void)state;
	log_info("x", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80 \xff\xc3");
	line = read_line();
	assert_text(line, "msg",
	            "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd");
	json_decref(line);
}

static void control_characters_do_not_reach_a_terminal(void **state)
{
	(void)state;
	log_start(LOG_INFO, LOG_FORMAT_LOGFMT, "");
	log_info("x", "\x1b[2J \x7f \xc2\x9b"
	              "31m \n level=error");
	assert_non_null(
	        strstr(read_said(), "\\u001b[2J \\u007f \\u009b31m \\n level=error"));
	assert_int_equal(count_lines(said), 1);
}

static void long_text_is_cut_and_the_line_stays_whole(void **state)
{
	static char big[100001];
	struct log_field fields[] = {{"a", big, 0}, {"b", big, 0},  {"c", big, 0},
	                             {"d", big, 0}, {"e", big, 0},  {"f", big, 0},
	                             {"g", big, 0}, {"n", NULL, 1}, {0}};
	static const char fillers[] = "x\x01\xff\"";
	json_t *line;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(fillers); i++) {
		memset(big, fillers[i], sizeof(big) - 1);
		log_line(LOG_INFO, "x", fields, "%s", big);
		line = read_line();
		assert_true(strlen(said) <= 4096);
		assert_true(strlen(json_string_value(json_object_get(line, "msg"))) >
		            300);
		assert_non_null(json_object_get(line, "a"));
		json_decref(line);
	}
}

static void the_same_line_within_a_second_is_folded_with_a_count(void **state)
{
	json_t *line;

	(void)state;
	for (int i = 0; i < 10; i++)
		log_warn("pg", "no connection");
	json_decref(read_line());
	log_warn("pg", "other");
	assert_int_equal(count_lines(read_said()), 2);
	*strchr(said, '\n') = '\0';
	line = json_loads(said, 0, NULL);
	assert_text(line, "msg", "no connection");
	assert_int_equal(json_integer_value(json_object_get(line, "repeated")), 9);
	json_decref(line);
}

static void after_a_second_the_same_line_is_said_again(void **state)
{
	json_t *line;

	(void)state;
	log_warn("pg", "no connection");
	log_warn("pg", "no connection");
	log_warn("pg", "no connection");
	json_decref(read_line());
	pass_ms(1000);
	log_warn("pg", "no connection");
	line = read_line();
	assert_int_equal(json_integer_value(json_object_get(line, "repeated")), 3);
	json_decref(line);
	pass_ms(1000);
	log_warn("pg", "no connection"); /* one a second: nothing to fold */
	line = read_line();
	assert_null(json_object_get(line, "repeated"));
	json_decref(line);
}

static void the_tick_says_what_was_folded(void **state)
{
	json_t *line;

	(void)state;
	log_warn("pg", "no connection");
	log_warn("pg", "no connection");
	json_decref(read_line());
	log_flush();
	line = read_line();
	assert_int_equal(json_integer_value(json_object_get(line, "repeated")), 1);
	json_decref(line);
	log_flush();
	assert_string_equal(read_said(), "");
}

static void lines_that_differ_in_a_field_are_not_folded(void **state)
{
	struct log_field one[] = {{"request_id", "1", 0}, {0}};
	struct log_field two[] = {{"request_id", "2", 0}, {0}};

	(void)state;
	log_line(LOG_INFO, "access", one, "GET /");
	log_line(LOG_INFO, "access", two, "GET /");
	assert_int_equal(count_lines(read_said()), 2);
}

static void nobody_reading_costs_lines_but_never_time(void **state)
{
	uint64_t dropped = log_dropped(), written = log_count(LOG_INFO);
	unsigned lost;

	(void)state;
	alarm(20); /* a write that blocks would never come back */
	for (int i = 0; i < 5000; i++)
		log_info("x", "line %d", i);
	alarm(0);
	lost = (unsigned)(log_dropped() - dropped);
	assert_in_range(lost, 1, 4990);
	assert_int_equal(log_count(LOG_INFO) - written, 5000 - lost);
	assert_int_equal(count_lines(read_said()), 5000 - lost);
	log_info("x", "again");
	read_said();
	assert_int_equal(count_lines(said), 2);
	assert_non_null(strstr(said, "lines dropped"));
	assert_int_equal(atoi(strstr(said, "\"msg\":\"") + 7), lost);
	log_info("x", "and on");
	assert_int_equal(count_lines(read_said()), 1);
}

#define with_pipe(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        with_pipe(a_line_says_when_who_and_what),
	        with_pipe(logfmt_quotes_only_what_needs_it),
	        with_pipe(lines_below_the_level_are_not_written),
	        with_pipe(whatever_is_said_stays_one_line_of_json),
	        with_pipe(broken_utf8_is_replaced_and_good_is_kept),
	        with_pipe(control_characters_do_not_reach_a_terminal),
	        with_pipe(long_text_is_cut_and_the_line_stays_whole),
	        with_pipe(the_same_line_within_a_second_is_folded_with_a_count),
	        with_pipe(after_a_second_the_same_line_is_said_again),
	        with_pipe(the_tick_says_what_was_folded),
	        with_pipe(lines_that_differ_in_a_field_are_not_folded),
	        with_pipe(nobody_reading_costs_lines_but_never_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
