/* Messages for people, in virtual time: sent in order, tried again, dropped at last. */
#include "core/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"

#define URL "https://hooks.test/services/T0/secret?x=1"

static struct webhook *hook;
static struct upstream *up;

static int begin(void **state)
{
	(void)state;
	fake_time_reset();
	hook = webhook_create(URL);
	up = fake_by_url("https://hooks.test");
	assert_non_null(up);
	return 0;
}

static int end(void **state)
{
	(void)state;
	webhook_destroy(&hook);
	pass_ms(0);
	assert_int_equal(timers_running(), 0);
	return 0;
}

static const char *last_body(void)
{
	return blob_bytes(fake_last(up)->body);
}

static void a_message_is_posted(void **state)
{
	(void)state;
	webhook_send(hook, "say \"hi\"\n");
	pass_ms(0);
	assert_int_equal(fake_open(up), 1);
	assert_string_equal(fake_last(up)->method, "POST");
	assert_string_equal(fake_last(up)->target, "/services/T0/secret?x=1");
	assert_string_equal(last_body(), "{\"text\":\"say \\\"hi\\\"\\n\"}");
	assert_true(fake_reply(up, 200, "ok"));
	pass_ms(100000);
	assert_int_equal(fake_calls(up), 1);
	assert_int_equal(webhook_figures(hook).sent, 1);
}

static void they_go_one_after_the_other(void **state)
{
	(void)state;
	webhook_send(hook, "1");
	webhook_send(hook, "2");
	pass_ms(0);
	assert_int_equal(fake_open(up), 1);
	assert_true(fake_reply(up, 200, "ok"));
	pass_ms(1);
	assert_string_equal(last_body(), "{\"text\":\"2\"}");
	assert_true(fake_reply(up, 204, ""));
	pass_ms(1);
	assert_int_equal(webhook_figures(hook).sent, 2);
}

static void it_is_tried_again_and_said_once(void **state)
{
	uint64_t warnings = log_count(LOG_WARN), told = log_count(LOG_INFO);

	(void)state;
	fake_fails(up, STATUS_REFUSED, "nobody there");
	webhook_send(hook, "1");
	pass_ms(500);
	assert_int_equal(fake_calls(up), 1);
	pass_ms(1000);
	assert_int_equal(fake_calls(up), 2);
	pass_ms(4000);
	assert_int_equal(fake_calls(up), 3);
	assert_int_equal(log_count(LOG_WARN), warnings + 1);
	fake_answers(up, 200, "ok");
	pass_ms(16000);
	assert_int_equal(webhook_figures(hook).sent, 1);
	assert_int_equal(webhook_figures(hook).failed, 3);
	assert_int_equal(log_count(LOG_WARN), warnings + 1);
	assert_int_equal(log_count(LOG_INFO), told + 1);
}

static void it_is_given_up_at_last(void **state)
{
	(void)state;
	fake_answers(up, 503, "");
	webhook_send(hook, "1");
	pass_ms(3600000);
	assert_int_equal(fake_calls(up), 5);
	assert_int_equal(webhook_figures(hook).dropped, 1);
}

static void what_is_not_wanted_is_not_sent_again(void **state)
{
	(void)state;
	fake_answers(up, 404, "no_team");
	webhook_send(hook, "1");
	webhook_send(hook, "2");
	pass_ms(3600000);
	assert_int_equal(fake_calls(up), 2);
	assert_int_equal(webhook_figures(hook).dropped, 2);
}

static void of_too_many_the_newest_are_kept(void **state)
{
	char text[16];

	(void)state;
	fake_hangs(up);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "%d", i);
		webhook_send(hook, text);
	}
	pass_ms(0);
	assert_string_equal(last_body(), "{\"text\":\"0\"}");
	assert_int_equal(webhook_figures(hook).dropped, 68);
	assert_true(fake_reply(up, 200, "ok"));
	pass_ms(1);
	assert_string_equal(last_body(), "{\"text\":\"69\"}");
}

static void it_may_end_while_a_message_is_under_way(void **state)
{
	(void)state;
	fake_hangs(up);
	webhook_send(hook, "1");
	webhook_send(hook, "2");
	pass_ms(0);
}

static void a_bad_url_is_refused(void **state)
{
	static const char *const bad[] = {
	        "hooks.test/x",     "ftp://hooks.test/x", "https://",
	        "http:///x",        "https://u:p@host/x", "https://host/a b",
	        "https://host:0/x", "https://host/a#b",   "https://host/\xc3\xa4",
	        "http://u@host/x",
	};
	static const char *const good[] = {
	        "https://hooks.slack.com/services/T/B/x",
	        "http://localhost/x",
	        "http://127.0.0.1:8080/hook?key=1",
	        "https://[::1]:8443",
	        "http://[::1]/x",
	        "https://host",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *wrong = webhook_check_url(bad[i]);

		assert_non_null(wrong);
		free(wrong);
	}
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(webhook_check_url(good[i]));
}

static void without_a_url_nothing_is_sent(void **state)
{
	(void)state;
	webhook_send(NULL, "1");
	assert_int_equal(webhook_figures(NULL).sent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_message_is_posted, begin, end),
	        cmocka_unit_test_setup_teardown(they_go_one_after_the_other, begin, end),
	        cmocka_unit_test_setup_teardown(it_is_tried_again_and_said_once, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(it_is_given_up_at_last, begin, end),
	        cmocka_unit_test_setup_teardown(what_is_not_wanted_is_not_sent_again,
	                                        begin, end),
	        cmocka_unit_test_setup_teardown(of_too_many_the_newest_are_kept, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(it_may_end_while_a_message_is_under_way,
	                                        begin, end),
	        cmocka_unit_test(a_bad_url_is_refused),
	        cmocka_unit_test(without_a_url_nothing_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
