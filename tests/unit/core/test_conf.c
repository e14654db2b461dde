/* The settings: where they come from, what is refused, what is shown. */
#include "core/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/conf_parse.h"
#include "core/conf_table.h"
#include "core/mem.h"

#define DB "DATABASE_URL=postgresql://u:hunter2@db.test:5432/wal"
#define PAIR "PRIMARY_URL=a.test:8000", "REPLICA_URL=b.test:8000"

static struct conf conf;
static struct text errors, warnings;

static char **copy_list(const char *const *list, int *count)
{
	char **copy = mem_array(64, sizeof(char *));

	for (*count = 0; list[*count] != NULL; ++*count)
		copy[*count] = mem_string(list[*count]);
	return copy;
}

static void free_list(char **list)
{
	for (char **s = list; *s != NULL; s++)
		free(*s);
	free(list);
}

static int clear(void **state)
{
	(void)state;
	conf_clear(&conf);
	conf_clear(&conf); /* may come twice */
	text_clear(&errors);
	text_clear(&warnings);
	return 0;
}

static bool load_lists(const char *const *flags, const char *const *environment)
{
	int argc, n;
	char **argv = copy_list(flags, &argc), **envp = copy_list(environment, &n);
	bool good;

	clear(NULL);
	good = conf_load(&conf, argc, argv, envp, &errors, &warnings);
	free_list(argv);
	free_list(envp);
	return good;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define load(...) load_lists(LIST("chromatid"), LIST(__VA_ARGS__))
/* with flags, over an environment that is good */
#define load_flags(...) load_lists(LIST("chromatid", __VA_ARGS__), LIST(DB, PAIR))

static void assert_good(bool good)
{
	if (!good)
		fail_msg("%s", text_string(&errors));
	assert_string_equal(text_string(&errors), "");
}

static void assert_wrong(bool good, const char *line)
{
	assert_false(good);
	assert_string_equal(text_string(&errors), line);
}

static void assert_said(const struct text *text, const char *part)
{
	if (strstr(text_string(text), part) == NULL)
		fail_msg("not there: %s\nin: %s", part, text_string(text));
}

static void defaults_are_those_of_the_table(void **state)
{
	(void)state;
	assert_good(load(DB, PAIR));
	assert_int_equal(conf.port, 8000);
	assert_null(conf.listen);
	assert_int_equal(conf.check_interval, 1000);
	assert_int_equal(conf.failure_threshold, 2);
	assert_true(conf.read_replica_ratio > 0.79 && conf.read_replica_ratio < 0.81);
	assert_int_equal(conf.strategy, STRATEGY_OPTIMIZED_READ_REPLICA);
	assert_int_equal(conf.stale_reads, STALE_READS_ALLOW);
	assert_int_equal(conf.both_down, BOTH_DOWN_JOURNAL);
	assert_int_equal(conf.request_timeout, 120000);
	assert_int_equal(conf.idle_timeout, 75000);
	assert_int_equal(conf.max_body_size, 40 << 20);
	assert_int_equal(conf.max_memory_mb, 400);
	assert_int_equal(conf.wal_retention, 86400000);
	assert_true(conf.allow_reset);
	assert_true(conf.access_log);
	assert_true(conf.ui);
	assert_int_equal(conf.log_level, LOG_INFO);
	assert_int_equal(conf.log_format, LOG_FORMAT_AUTO);
	assert_null(conf.upstream_token);
	assert_string_equal(text_string(&warnings), "");
}

static void the_pair_becomes_two_instances_in_order(void **state)
{
	(void)state;
	assert_good(load(DB, "REPLICA_URL=https://b.test", "PRIMARY_URL=a.test:8000"));
	assert_int_equal(conf.n_instances, 2);
	assert_string_equal(conf.instances[0].name, "primary");
	assert_string_equal(conf.instances[0].url, "a.test:8000");
	assert_string_equal(conf.instances[1].name, "replica");
	assert_string_equal(conf.instances[1].url, "https://b.test");
}

static void a_list_of_instances_keeps_its_order(void **state)
{
	(void)state;
	assert_good(load(DB, "INSTANCES=x=h1:1, y=http://h2:2 ,z-3=https://h3"));
	assert_int_equal(conf.n_instances, 3);
	assert_string_equal(conf.instances[1].name, "y");
	assert_string_equal(conf.instances[1].url, "http://h2:2");
	assert_string_equal(conf.instances[2].name, "z-3");
}

static void every_way_to_name_no_pair_is_explained(void **state)
{
	(void)state;
	load(DB);
	assert_said(&errors, "PRIMARY_URL and REPLICA_URL, or INSTANCES, are required");
	load(DB, "PRIMARY_URL=a:1");
	assert_said(&errors, "REPLICA_URL is missing");
	load(DB, "REPLICA_URL=a:1");
	assert_said(&errors, "PRIMARY_URL is missing");
	load(DB, PAIR, "INSTANCES=x=h:1");
	assert_said(&errors, "are both set");
	load(DB, "PRIMARY_URL=h:8000", "REPLICA_URL=http://H:8000/");
	assert_said(&errors, "instances \"primary\" and \"replica\" are the same server");
	load(DB, "INSTANCES=a=h:1,a=h:2");
	assert_said(&errors, "\"a\" is there twice");
	load(DB, "INSTANCES=Big=h:1");
	assert_said(&errors, "\"Big\" is not a name");
	load(DB, "INSTANCES=h:1");
	assert_said(&errors, "\"h:1\" is not name=url");
	load(DB, "INSTANCES=a=h:1,b=nowhere");
	assert_said(&errors, "\"b\": \"nowhere\": no port");
	load(DB, "INSTANCES=a=h:1,b=h:2,c=h:3,d=h:4,e=h:5,f=h:6,g=h:7,h=h:8,i=h:9");
	assert_said(&errors, "no more than 8");
}

static void a_bad_url_is_not_called_missing(void **state)
{
	(void)state;
	assert_wrong(load(DB, "PRIMARY_URL=a.test:99999", "REPLICA_URL=b:1"),
	             "PRIMARY_URL: \"a.test:99999\": bad port (environment)\n");
}

static void the_database_is_required_and_checked(void **state)
{
	(void)state;
	load(PAIR);
	assert_said(&errors, "DATABASE_URL is required");
	load(PAIR, "DATABASE_URL=mysql://u:hunter2@h/db");
	assert_said(&errors, "DATABASE_URL: ");
	assert_null(strstr(text_string(&errors), "hunter2"));
	assert_null(strstr(text_string(&errors), "required"));
}

static void flags_win_over_the_environment_in_both_spellings(void **state)
{
	(void)state;
	assert_good(load_lists(LIST("chromatid", "--port", "1",
	                            "--read-replica-ratio=0.5", "--check-config"),
	                       LIST(DB, PAIR, "PORT=2", "READ_REPLICA_RATIO=0.1")));
	assert_int_equal(conf.port, 1);
	assert_true(conf.read_replica_ratio > 0.49 && conf.read_replica_ratio < 0.51);
}

static void flags_that_are_not_understood_are_told(void **state)
{
	(void)state;
	assert_wrong(load_flags("--prot", "1"),
	             "\"--prot\" is not a setting; did you mean PORT?\n");
	assert_wrong(load_flags("--port"), "\"--port\" needs a value\n");
	assert_wrong(load_flags("--port", "--access-log=off"),
	             "\"--port\" needs a value\n");
	assert_wrong(load_flags("start"),
	             "\"start\" is not understood; flags begin with --\n");
}

static void an_empty_value_counts_as_unset(void **state)
{
	(void)state;
	assert_good(
	        load(DB, PAIR, "PORT=", "UPSTREAM_TOKEN=", "INSTANCES=", "LISTEN=  "));
	assert_int_equal(conf.port, 8000);
	assert_null(conf.upstream_token);
	assert_null(conf.listen);
	assert_good(load_lists(LIST("chromatid", "--port="), LIST(DB, PAIR, "PORT=81")));
	assert_int_equal(conf.port, 81);
}

static void every_mistake_is_listed(void **state)
{
	(void)state;
	assert_wrong(
	        load("PORT=0", "READ_REPLICA_RATIO=1.5", "CHECK_INTERVAL=soon",
	             "MAX_BODY_SIZE=1GB5", "LOG_LEVEL=loud", "ALLOW_RESET=maybe",
	             "LISTEN=everywhere", "UPSTREAM_TOKEN=a b",
	             "UPSTREAM_AUTH_HEADER=X Y", "MAX_MEMORY_MB=1", PAIR, DB),
	        "PORT: \"0\" is not a port from 1 to 65535 (environment)\n"
	        "LISTEN: \"everywhere\" is not host:port or [v6]:port (environment)\n"
	        "UPSTREAM_TOKEN: the value is not one line of visible ASCII characters "
	        "(environment)\n"
	        "UPSTREAM_AUTH_HEADER: \"X Y\" is not the name of a header "
	        "(environment)\n"
	        "CHECK_INTERVAL: \"soon\" is not a duration (250ms, 5s, 2m, 1h; a bare "
	        "number is seconds) from 50ms to 1h (environment)\n"
	        "READ_REPLICA_RATIO: \"1.5\" is not a number from 0 to 1 (environment)\n"
	        "MAX_BODY_SIZE: \"1GB5\" is not a size (40MiB, 30MB, 512K; a bare number "
	        "is "
	        "bytes) from 1KiB to 1GiB (environment)\n"
	        "MAX_MEMORY_MB: \"1\" is not a size (400MB, 1GiB; a bare number is "
	        "megabytes) from 64 to 1000000 (environment)\n"
	        "ALLOW_RESET: \"maybe\" is not on or off (environment)\n"
	        "LOG_LEVEL: \"loud\" is not debug, info, warn or error (environment)\n");
}

static void a_hostile_value_stays_short_and_on_its_line(void **state)
{
	char *value = mem_format("PORT=a\nb%500s", "x");

	(void)state;
	load(DB, PAIR, value);
	assert_said(&errors, "PORT: \"a?b ");
	assert_said(&errors, "...\" is not a port");
	assert_true(errors.len < 300);
	free(value);
}

static char path[] = "/tmp/chromatid-test-XXXXXX";

static void write_file(const void *bytes, size_t len)
{
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void a_secret_may_be_in_a_file(void **state)
{
	char *setting;

	(void)state;
	write_file("t0ken\r\n\n", 8);
	setting = mem_format("UPSTREAM_TOKEN_FILE=%s", path);
	assert_good(load(DB, PAIR, setting));
	assert_string_equal(conf.upstream_token, "t0ken");
	assert_false(load(DB, PAIR, setting, "UPSTREAM_TOKEN=x"));
	assert_said(&errors, "UPSTREAM_TOKEN and UPSTREAM_TOKEN_FILE are both set");
	assert_good(load_lists(LIST("chromatid", "--upstream-token=x"),
	                       LIST(DB, PAIR, setting)));
	assert_string_equal(conf.upstream_token, "x");
	unlink(path);
	assert_false(load(DB, PAIR, setting));
	assert_said(&errors, "cannot be used: No such file");
	free(setting);
}

static void only_secrets_may_be_in_files(void **state)
{
	(void)state;
	assert_good(load(DB, PAIR, "PORT_FILE=/nonexistent"));
	assert_wrong(load_flags("--port-file=x"), "\"--port-file\" is not a setting\n");
}

static void a_file_that_is_no_text_or_too_large_is_refused(void **state)
{
	static char big[65537];
	char *setting;

	(void)state;
	memset(big, 'x', sizeof(big));
	write_file(big, sizeof(big));
	setting = mem_format("UPSTREAM_TOKEN_FILE=%s", path);
	load(DB, PAIR, setting);
	assert_said(&errors, "larger than 64 KiB");
	unlink(path);
	free(setting);
	write_file("a\0b", 3);
	setting = mem_format("UPSTREAM_TOKEN_FILE=%s", path);
	load(DB, PAIR, setting);
	assert_said(&errors, "NUL");
	unlink(path);
	free(setting);
	load(DB, PAIR, "UPSTREAM_TOKEN_FILE=/");
	assert_said(&errors, "cannot be used: Is a directory");
}

static void names_that_look_like_ours_are_warned_about(void **state)
{
	(void)state;
	assert_good(load(DB, PAIR, "CHROMATID_PORT=1", "CHROMATID_WAL_RETENTON=1",
	                 "CHROMATID_UTTERLY_OTHER=1", "PATH=/bin", "PORTS=1", "JUNK"));
	assert_string_equal(text_string(&warnings),
	                    "\"CHROMATID_PORT\" is not a setting; did you mean PORT?\n"
	                    "\"CHROMATID_WAL_RETENTON\" is not a setting; did you mean "
	                    "WAL_RETENTION?\n"
	                    "\"CHROMATID_UTTERLY_OTHER\" is not a setting\n");
	assert_int_equal(conf.port, 8000);
}

static void a_header_for_no_token_is_warned_about(void **state)
{
	(void)state;
	assert_good(load(DB, PAIR, "UPSTREAM_AUTH_HEADER=X-Chroma-Token"));
	assert_said(&warnings, "does nothing without UPSTREAM_TOKEN");
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *s;
		msec ms;
	} good[] = {{"250ms", 250},  {"5s", 5000},        {"2m", 120000},
	            {"1h", 3600000}, {"30d", 2592000000}, {"7", 7000},
	            {"1.5s", 1500},  {"0.25", 250},       {"0", 0},
	            {"2M", 120000}};
	static const char *const bad[] = {"",
	                                  "s",
	                                  "-1s",
	                                  "+1s",
	                                  " 1s",
	                                  "1 s",
	                                  "1.s",
	                                  ".5s",
	                                  "1e3",
	                                  "0x10",
	                                  "1w",
	                                  "1s1",
	                                  "inf",
	                                  "nan",
	                                  "9999999999999999999s",
	                                  "999999999999d"};
	msec ms;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(conf_parse_duration(good[i].s, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (conf_parse_duration(bad[i], &ms))
			fail_msg("%s was taken", bad[i]);
}

static void sizes_are_read_in_the_unit_asked_for(void **state)
{
	int64_t n;

	(void)state;
	assert_true(conf_parse_size("40MiB", 1, &n) && n == 41943040);
	assert_true(conf_parse_size("30MB", 1, &n) && n == 30000000);
	assert_true(conf_parse_size("512K", 1, &n) && n == 524288);
	assert_true(conf_parse_size("12", 1, &n) && n == 12);
	assert_true(conf_parse_size("1.5kib", 1, &n) && n == 1536);
	assert_true(conf_parse_size("400", 1000000, &n) && n == 400);
	assert_true(conf_parse_size("1GiB", 1000000, &n) && n == 1073);
	assert_false(conf_parse_size("1TB", 1, &n));
	assert_false(conf_parse_size("-1", 1, &n));
	assert_false(conf_parse_size("", 1, &n));
	assert_false(conf_parse_size("99999999999GB", 1, &n));
	assert_false(conf_parse_size("4 MB", 1, &n));
}

static void switches_and_counts_are_read(void **state)
{
	bool on;
	int64_t n;
	double share;

	(void)state;
	assert_true(conf_parse_switch("ON", &on) && on);
	assert_true(conf_parse_switch("false", &on) && !on);
	assert_true(conf_parse_switch("1", &on) && on);
	assert_false(conf_parse_switch("2", &on));
	assert_true(conf_parse_count("007", &n) && n == 7);
	assert_false(conf_parse_count("1.0", &n));
	assert_false(conf_parse_count("99999999999999999999", &n));
	assert_true(conf_parse_share("0.5", &share));
	assert_false(conf_parse_share("0,5", &share));
}

static void the_distance_between_names_counts_letters(void **state)
{
	(void)state;
	assert_int_equal(conf_distance("", ""), 0);
	assert_int_equal(conf_distance("PORT", "PORT"), 0);
	assert_int_equal(conf_distance("", "PORT"), 4);
	assert_int_equal(conf_distance("PROT", "PORT"), 2);
	assert_int_equal(conf_distance("PORTS", "PORT"), 1);
	assert_int_equal(conf_distance("ORT", "PORT"), 1);
	assert_int_equal(conf_distance("KITTEN", "SITTING"), 3);
	assert_int_equal(conf_distance("A_NAME_THAT_IS_LONGER_THAN_32_LETTERS", "A"), 32);
}

static void what_is_in_force_is_shown_without_secrets(void **state)
{
	struct text out = {0};

	(void)state;
	assert_good(load_lists(LIST("chromatid", "--check-interval=1500ms"),
	                       LIST(DB, PAIR, "UPSTREAM_TOKEN=hunter3", "PORT=81",
	                            "MAX_BODY_SIZE=1000001")));
	conf_print(&conf, &out);
	assert_said(&out, "PORT=81 (environment)\n");
	assert_said(&out, "LISTEN= (default)\n");
	assert_said(&out,
	            "DATABASE_URL=postgresql://u:***@db.test:5432/wal (environment)\n");
	assert_said(&out, "UPSTREAM_TOKEN=*** (environment)\n");
	assert_said(&out, "CHECK_INTERVAL=1500ms (flag)\n");
	assert_said(&out, "CHECK_TIMEOUT=1s (default)\n");
	assert_said(&out, "WAL_RETENTION=1d (default)\n");
	assert_said(&out, "READ_REPLICA_RATIO=0.8 (default)\n");
	assert_said(&out, "MAX_BODY_SIZE=1000001 (environment)\n");
	assert_said(&out, "LOAD_BALANCE_STRATEGY=optimized_read_replica (default)\n");
	assert_said(&out, "ACCESS_LOG=on (default)\n");
	assert_null(strstr(text_string(&out), "hunter"));
	text_clear(&out);
}

static void of_the_log_the_user_is_shown(void **state)
{
	static const char *const list[][2] = {
	        {"postgresql://h/db", "postgresql://h/db"},
	        {"postgresql://u@h/db", "postgresql://u@h/db"},
	        {"postgresql://u:hunter2@h/db", "postgresql://u:***@h/db"},
	        {"postgresql://u:@h/db", "postgresql://u:***@h/db"},
	        {"postgresql://u:hunter2@h:1,g:2/db?password=hunter2",
	         "postgresql://u:***@h:1,g:2/db"},
	        {"postgresql://u:hun%40ter2@h/db", "postgresql://u:***@h/db"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct text out = {0}, wanted = {0};
		char *set = mem_format("DATABASE_URL=%s", list[i][0]);

		load_lists(LIST("chromatid"), LIST(set, PAIR));
		conf_print(&conf, &out);
		text_addf(&wanted, "DATABASE_URL=%s (environment)\n", list[i][1]);
		assert_said(&out, text_string(&wanted));
		text_clear(&out);
		text_clear(&wanted);
		free(set);
		clear(state);
	}
}

static void what_is_refused_is_shown_without_secrets(void **state)
{
	(void)state;
	load_lists(LIST("chromatid", "DATABASE_URL=postgres://u:hunter2@db.test/wal"),
	           LIST(DB, PAIR));
	assert_said(&errors, "\"DATABASE_URL\" is not understood");
	assert_null(strstr(text_string(&errors), "hunter2"));
}

static void names_that_are_refused_are_shown_with_care(void **state)
{
	(void)state;
	load(DB, "INSTANCES=a\x01=http://x:1,a\x02=http://x:1");
	assert_null(strchr(text_string(&errors), 1));
	assert_null(strchr(text_string(&errors), 2));
}

static void what_is_shown_can_be_read_again(void **state)
{
	static const char *const values[] = {"0s", "250ms", "90s", "90m", "36h", "7d"};
	struct text out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *setting = mem_format("WAL_RETENTION=%s", values[i]);
		msec before, again;

		assert_good(load(DB, PAIR, setting));
		before = conf.wal_retention;
		for (size_t j = 0; j < conf_settings_count; j++)
			if (strcmp(conf_settings[j].name, "WAL_RETENTION") == 0)
				conf_show(&conf, &conf_settings[j], &out);
		assert_true(conf_parse_duration(text_string(&out), &again));
		assert_int_equal(again, before);
		text_clear(&out);
		free(setting);
	}
}

static void help_and_document_have_every_setting(void **state)
{
	struct text help = {0}, document = {0};

	(void)state;
	conf_help(&help);
	conf_document(&document);
	for (size_t i = 0; i < conf_settings_count; i++) {
		assert_said(&help, conf_settings[i].name);
		assert_said(&help, conf_settings[i].what);
		assert_said(&document, conf_settings[i].name);
	}
	assert_said(&help, "  --read-replica-ratio (READ_REPLICA_RATIO)\n");
	assert_said(&document, "| `CHECK_INTERVAL` | `--check-interval` | `1s` | ");
	text_clear(&help);
	text_clear(&document);
}

static void every_default_is_within_its_own_limits(void **state)
{
	(void)state;
	assert_good(load(DB, PAIR));
	for (size_t i = 0; i < conf_settings_count; i++) {
		const struct conf_setting *s = &conf_settings[i];

		assert_true(s->kind < CONF_CHOICE ? s->kind == CONF_SWITCH || s->most > 0
		                                  : true);
		assert_true(s->kind != CONF_CHOICE || s->choices != NULL);
	}
}

static void urls_are_redacted(void **state)
{
	static const char *const list[][2] = {
	        {"http://h:1", "http://h:1"},
	        {"h:1", "h:1"},
	        {"http://u:p@h:1/x", "http://h:1/x"},
	        {"u:p@h:1", "h:1"},
	        {"postgres://u:p@h/db?password=p&x=y", "postgres://h/db"},
	        {"postgres://u:p@h1:1,h2:2/db", "postgres://h1:1,h2:2/db"},
	        {"http://h:1/#frag", "http://h:1/"},
	        /* a password nobody encoded: where does it end? */
	        {"postgres://u:p@ss/p@h/db", "postgres://***"},
	        {"postgres://u:p/p@h/db", "postgres://***"},
	        {"postgres://u:p?p@h/db", "postgres://***"},
	        {"host=h password=p", "***"},
	        {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		char *shown = conf_redact_url(list[i][0]);

		assert_string_equal(shown, list[i][1]);
		free(shown);
	}
}

#define loaded(test) cmocka_unit_test_teardown(test, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        loaded(defaults_are_those_of_the_table),
	        loaded(the_pair_becomes_two_instances_in_order),
	        loaded(a_list_of_instances_keeps_its_order),
	        loaded(every_way_to_name_no_pair_is_explained),
	        loaded(a_bad_url_is_not_called_missing),
	        loaded(the_database_is_required_and_checked),
	        loaded(flags_win_over_the_environment_in_both_spellings),
	        loaded(flags_that_are_not_understood_are_told),
	        loaded(an_empty_value_counts_as_unset),
	        loaded(every_mistake_is_listed),
	        loaded(a_hostile_value_stays_short_and_on_its_line),
	        loaded(a_secret_may_be_in_a_file),
	        loaded(only_secrets_may_be_in_files),
	        loaded(a_file_that_is_no_text_or_too_large_is_refused),
	        loaded(names_that_look_like_ours_are_warned_about),
	        loaded(a_header_for_no_token_is_warned_about),
	        loaded(durations_are_read),
	        loaded(sizes_are_read_in_the_unit_asked_for),
	        loaded(switches_and_counts_are_read),
	        loaded(the_distance_between_names_counts_letters),
	        loaded(what_is_in_force_is_shown_without_secrets),
	        loaded(of_the_log_the_user_is_shown),
	        loaded(what_is_refused_is_shown_without_secrets),
	        loaded(names_that_are_refused_are_shown_with_care),
	        loaded(what_is_shown_can_be_read_again),
	        loaded(help_and_document_have_every_setting),
	        loaded(every_default_is_within_its_own_limits),
	        loaded(urls_are_redacted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
