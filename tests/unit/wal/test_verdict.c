/* What an instance's reply means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wal/verdict.h"

static enum verdict of_http(int http)
{
	struct reply reply = {
	        .status = STATUS_OK, .sent = true, .http = http, .detail = ""};

	return verdict_of(&reply);
}

static enum verdict of_failure(enum status s, bool sent)
{
	struct reply reply = {.status = s, .sent = sent, .detail = ""};

	return verdict_of(&reply);
}

static void only_a_clear_answer_is_a_verdict(void **state)
{
	(void)state;
	assert_int_equal(of_http(200), VERDICT_APPLIED);
	assert_int_equal(of_http(201), VERDICT_APPLIED);
	assert_int_equal(of_http(400), VERDICT_REFUSED);
	assert_int_equal(of_http(409), VERDICT_REFUSED);
	assert_int_equal(of_http(413), VERDICT_REFUSED);
	assert_int_equal(of_http(422), VERDICT_REFUSED);
	assert_int_equal(of_http(501), VERDICT_REFUSED);
}

static void an_error_of_the_server_may_have_had_its_effect(void **state)
{
	(void)state;
	assert_int_equal(of_http(500), VERDICT_UNKNOWN);
	assert_int_equal(of_http(502), VERDICT_UNKNOWN);
	assert_int_equal(of_http(504), VERDICT_UNKNOWN);
	assert_int_equal(of_http(302), VERDICT_UNKNOWN);
	assert_int_equal(of_http(0), VERDICT_UNKNOWN);
}

static void some_answers_are_about_the_moment_or_about_us(void **state)
{
	(void)state;
	assert_int_equal(of_http(408), VERDICT_BUSY);
	assert_int_equal(of_http(429), VERDICT_BUSY);
	assert_int_equal(of_http(503), VERDICT_BUSY);
	assert_int_equal(of_http(404), VERDICT_LOST);
	assert_int_equal(of_http(412), VERDICT_LOST); /* it is being deleted there */
	assert_int_equal(of_http(401), VERDICT_DENIED);
	assert_int_equal(of_http(403), VERDICT_DENIED);
	assert_int_equal(of_http(407), VERDICT_DENIED);
}

static enum verdict of_create(int http, const char *body)
{
	struct blob *said = blob_create(body, strlen(body));
	struct reply reply = {.status = STATUS_OK,
	                      .sent = true,
	                      .http = http,
	                      .body = said,
	                      .detail = ""};
	enum verdict v = verdict_of_create(&reply);

	blob_unref(&said);
	return v;
}

#define SAYS(text) "{\"error\":\"InvalidArgumentError\",\"message\":\"" text "\"}"

static void a_create_is_not_refused_where_its_database_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(of_create(400, SAYS("Database [x] does not exist")),
	                 VERDICT_LOST);
	assert_int_equal(of_create(400, SAYS("Name: Database [x] does not exist")),
	                 VERDICT_REFUSED);
	assert_int_equal(of_create(400, SAYS("Database [x] does not exist, or so")),
	                 VERDICT_REFUSED);
	assert_int_equal(of_create(400, "Database [x] does not exist"), VERDICT_REFUSED);
	assert_int_equal(of_create(400, ""), VERDICT_REFUSED);
	assert_int_equal(of_create(409, SAYS("Database [x] does not exist")),
	                 VERDICT_REFUSED);
	assert_int_equal(of_create(200, SAYS("Database [x] does not exist")),
	                 VERDICT_APPLIED);
}

static void without_an_answer_it_matters_whether_a_byte_was_sent(void **state)
{
	(void)state;
	assert_int_equal(of_failure(STATUS_REFUSED, false), VERDICT_NOT_SENT);
	assert_int_equal(of_failure(STATUS_BROKEN, false), VERDICT_NOT_SENT);
	assert_int_equal(of_failure(STATUS_BROKEN, true), VERDICT_UNKNOWN);
	assert_int_equal(of_failure(STATUS_TIMED_OUT, true), VERDICT_UNKNOWN);
	assert_int_equal(of_failure(STATUS_BAD_REPLY, true), VERDICT_UNKNOWN);
	assert_int_equal(of_failure(STATUS_TOO_LARGE, true), VERDICT_UNKNOWN);
	assert_int_equal(of_failure(STATUS_STOPPED, true), VERDICT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_a_clear_answer_is_a_verdict),
	        cmocka_unit_test(an_error_of_the_server_may_have_had_its_effect),
	        cmocka_unit_test(some_answers_are_about_the_moment_or_about_us),
	        cmocka_unit_test(a_create_is_not_refused_where_its_database_is_not_there),
	        cmocka_unit_test(without_an_answer_it_matters_whether_a_byte_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
