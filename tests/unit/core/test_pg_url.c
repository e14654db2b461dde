/* What a DATABASE_URL may say, and that its password never gets out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/pg_private.h"

static void expect_good(const char *url)
{
	char *wrong = pg_check_url(url);

	if (wrong != NULL)
		fail_msg("%s: %s", url, wrong);
}

static void expect_wrong(const char *url, const char *about)
{
	char *wrong = pg_check_url(url);

	if (wrong == NULL || strstr(wrong, about) == NULL)
		fail_msg("%s: %s", url, wrong != NULL ? wrong : "(good)");
	if (strstr(wrong, "hunter2") != NULL)
		fail_msg("shows the password: %s", wrong);
	free(wrong);
}

static void usual_urls_are_good(void **state)
{
	(void)state;
	expect_good("postgresql://chromatid@127.0.0.1:5432/chromatid");
	expect_good("postgres://u:hunter2@db.example.com/chromatid?sslmode=require");
	expect_good("postgresql://u:p%40ss%2F@h1:1,h2:65535/db");
	expect_good("postgresql://u@h1,h2,h3/db");
	expect_good("postgresql://u@[::1]:5432/db");
	expect_good("postgresql:///db?host=/var/run/postgresql&user=u");
	expect_good("postgresql://%2Fvar%2Frun/db");
	expect_good("postgresql://u:p@h/db?options=-c%20search_path%3Dx");
}

static void what_is_no_postgresql_url_is_told_so(void **state)
{
	(void)state;
	expect_wrong("", "begin with postgresql://");
	expect_wrong("mysql://u:hunter2@h/db", "begin with postgresql://");
	expect_wrong("host=h password=hunter2", "begin with postgresql://");
	expect_wrong("postgresql://u:hunter2@h/db?nonsense=1",
	             "invalid URI query parameter");
	expect_wrong("postgresql://u:hunter2@h/db?sslmode", "missing key/value");
	expect_wrong("postgresql://u:hunter2@[::1/db", "end of string");
	expect_wrong("postgresql://u:hunter2%zz@h/db", "percent-encoded");
	expect_wrong("postgresql://u:hunter2@h/db?service=x", "service=");
}

static void a_password_that_would_be_read_as_a_host_is_refused(void **state)
{
	(void)state;
	expect_wrong("postgresql://u:pa@hunter2@h/db", "%40");
	expect_wrong("postgresql://u:pa/hunter2@h/db", "%2F");
	expect_wrong("postgresql://u:pa@hunter2/x@h/db", "%2F");
	expect_good("postgresql://u:pa@h/db?application_name=a@b");
}

static void ports_and_hosts_are_counted(void **state)
{
	(void)state;
	expect_wrong("postgresql://u:hunter2@h:0/db", "port");
	expect_wrong("postgresql://u:hunter2@h:65536/db", "port");
	expect_wrong("postgresql://u:hunter2@h/db?port=hunter2", "port");
	expect_wrong("postgresql://u@h1,h2,h3/db?port=1,2", "one for each host");
	expect_wrong("postgresql://u@a,b,c,d,e,f,g,h,i/db", "more than 8 hosts");
	expect_good("postgresql://u@a,b,c,d,e,f,g,h/db");
}

static void every_host_has_its_port(void **state)
{
	struct pg_target t[PG_MAX_HOSTS];
	char *wrong;
	PQconninfoOption *o = pg_url_parse("postgresql://u@a:1,b,[::1]:3/db", &wrong);
	int n = pg_url_targets(o, t);

	(void)state;
	assert_int_equal(n, 3);
	assert_string_equal(t[0].host, "a");
	assert_string_equal(t[0].port, "1");
	assert_string_equal(t[1].host, "b");
	assert_string_equal(t[1].port, "");
	assert_string_equal(t[2].host, "::1");
	assert_string_equal(t[2].port, "3");
	for (int i = 0; i < n; i++) {
		assert_true(t[i].by_name);
		free(t[i].host);
		free(t[i].port);
	}
	PQconninfoFree(o);
}

static void one_port_serves_every_host_and_sockets_need_no_name(void **state)
{
	struct pg_target t[PG_MAX_HOSTS];
	char *wrong;
	PQconninfoOption *o =
	        pg_url_parse("postgresql:///db?host=/run/x,name&port=7", &wrong);
	int n = pg_url_targets(o, t);

	(void)state;
	assert_int_equal(n, 2);
	assert_false(t[0].by_name);
	assert_true(t[1].by_name);
	for (int i = 0; i < n; i++) {
		assert_string_equal(t[i].port, "7");
		free(t[i].host);
		free(t[i].port);
	}
	PQconninfoFree(o);
}

static void nothing_is_looked_up_when_the_url_has_addresses(void **state)
{
	struct pg_target t[PG_MAX_HOSTS];
	char *wrong;
	PQconninfoOption *o =
	        pg_url_parse("postgresql://u@name/db?hostaddr=127.0.0.1", &wrong);
	int n = pg_url_targets(o, t);

	(void)state;
	assert_int_equal(n, 1);
	assert_false(t[0].by_name);
	free(t[0].host);
	free(t[0].port);
	PQconninfoFree(o);
}

static void messages_are_one_line_without_the_password(void **state)
{
	char *wrong, *line;
	PQconninfoOption *o = pg_url_parse("postgresql://u:hunt%20er2@h/db", &wrong);
	char long_text[5000];

	(void)state;
	line = pg_url_redact(o, "  no\n\tentry for hunt er2, \"hunt er2\"\n");
	assert_string_equal(line, "no entry for ***, \"***\"");
	free(line);
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	line = pg_url_redact(o, long_text);
	assert_int_equal(strlen(line), 400);
	free(line);
	PQconninfoFree(o);
}

static void an_own_statement_timeout_is_noticed(void **state)
{
	char *wrong;
	PQconninfoOption *o = pg_url_parse(
	        "postgresql://u@h/db?options=-c%20statement_timeout%3D0", &wrong);

	(void)state;
	assert_true(pg_url_sets_timeout(o));
	PQconninfoFree(o);
	o = pg_url_parse("postgresql://u@h/db", &wrong);
	assert_false(pg_url_sets_timeout(o));
	PQconninfoFree(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(usual_urls_are_good),
	        cmocka_unit_test(what_is_no_postgresql_url_is_told_so),
	        cmocka_unit_test(a_password_that_would_be_read_as_a_host_is_refused),
	        cmocka_unit_test(ports_and_hosts_are_counted),
	        cmocka_unit_test(every_host_has_its_port),
	        cmocka_unit_test(one_port_serves_every_host_and_sockets_need_no_name),
	        cmocka_unit_test(nothing_is_looked_up_when_the_url_has_addresses),
	        cmocka_unit_test(messages_are_one_line_without_the_password),
	        cmocka_unit_test(an_own_statement_timeout_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
