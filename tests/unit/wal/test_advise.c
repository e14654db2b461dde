/* Pure: which samples ask for a larger machine, and how often that is said. */
#include "wal/advise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE ((msec)60000)

static struct advisor advisor;
static struct advice out[ADVICE_KINDS];
static msec now;

static const struct sample idle = {.memory_mb = 40,
                                   .memory_limit_mb = 400,
                                   .cpu_percent = 3,
                                   .lag_ms = 2,
                                   .log_bytes = 1e6,
                                   .log_limit_bytes = 2e9};

static int forget(void **state)
{
	(void)state;
	memset(&advisor, 0, sizeof(advisor));
	now = 1000;
	return 0;
}

/* How often something was said in that many samples. */
static unsigned said(struct sample s, unsigned samples)
{
	unsigned n = 0;

	for (unsigned i = 0; i < samples; i++) {
		now += MINUTE;
		n += advise(&advisor, &s, now, out);
	}
	return n;
}

static void nothing_is_said_while_all_is_well(void **state)
{
	(void)state;
	assert_int_equal(said(idle, 5000), 0);
}

static void what_is_not_known_is_not_short(void **state)
{
	struct sample s = {.memory_limit_mb = 400,
	                   .cpu_percent = -1,
	                   .pending = -1,
	                   .behind_s = -1,
	                   .log_bytes = -1,
	                   .log_limit_bytes = 0};

	(void)state;
	assert_int_equal(said(s, 10), 0);
	s.log_bytes = 1e12; /* and there is no limit */
	assert_int_equal(said(s, 10), 0);
}

static void a_peak_is_not_sustained(void **state)
{
	struct sample s = idle;

	(void)state;
	s.cpu_percent = 100;
	for (int k = 0; k < 20; k++) {
		assert_int_equal(said(s, ADVISE_SAMPLES - 1), 0);
		assert_int_equal(said(idle, 1), 0);
	}
}

static void it_is_said_once_and_again_after_a_day(void **state)
{
	struct sample s = idle;

	(void)state;
	s.memory_mb = 330;
	assert_int_equal(said(s, ADVISE_SAMPLES - 1), 0);
	assert_int_equal(said(s, 1), 1);
	assert_int_equal(out[0].kind, ADVICE_MEMORY);
	assert_string_equal(out[0].type, "memory");
	assert_string_equal(out[0].urgency, "high");
	assert_string_equal(out[0].component, "proxy");
	assert_true(out[0].usage > 82 && out[0].usage < 83);
	assert_non_null(strstr(out[0].reason, "at least 80 %"));
	assert_int_equal(said(s, 24 * 60 - 1), 0);
	assert_int_equal(said(s, 1), 1);
}

static void it_is_said_again_when_it_gets_worse_or_comes_back(void **state)
{
	struct sample high = idle, critical = idle;

	(void)state;
	high.cpu_percent = 85;
	critical.cpu_percent = 99;
	assert_int_equal(said(high, 10), 1);
	assert_int_equal(said(critical, ADVISE_SAMPLES - 1), 0);
	assert_int_equal(said(critical, 1), 1);
	assert_string_equal(out[0].urgency, "critical");
	assert_int_equal(said(high, 10), 0); /* better, and known */
	assert_int_equal(said(idle, ADVISE_SAMPLES - 1), 0);
	assert_int_equal(said(high, 10), 0); /* it was not over yet */
	assert_int_equal(said(idle, ADVISE_SAMPLES), 0);
	assert_int_equal(said(high, 10), 1);
}

static void each_thing_has_its_own_limit(void **state)
{
	static const struct {
		struct sample below, at;
		const char *type, *component;
	} cases[] = {
	        {{.cpu_percent = 79.9}, {.cpu_percent = 80}, "cpu", "proxy"},
	        {{.lag_ms = 249}, {.lag_ms = 250}, "event_loop_lag", "proxy"},
	        {{.behind_s = 599}, {.behind_s = 600}, "backlog", "chroma"},
	        {{.log_bytes = 69, .log_limit_bytes = 100},
	         {.log_bytes = 70, .log_limit_bytes = 100},
	         "log_room",
	         "postgres"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget(state);
		assert_int_equal(said(cases[i].below, 10), 0);
		assert_int_equal(said(cases[i].at, ADVISE_SAMPLES), 1);
		assert_string_equal(out[0].type, cases[i].type);
		assert_string_equal(out[0].component, cases[i].component);
	}
}

static void everything_at_once_fits(void **state)
{
	struct sample s = {1e9, 400, 1e9, 1e9, 1e9, 1e9, 1e18, 1};

	(void)state;
	assert_int_equal(said(s, ADVISE_SAMPLES), ADVICE_KINDS);
	for (unsigned i = 0; i < ADVICE_KINDS; i++)
		assert_string_equal(out[i].urgency, "critical");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(nothing_is_said_while_all_is_well, forget),
	        cmocka_unit_test_setup(what_is_not_known_is_not_short, forget),
	        cmocka_unit_test_setup(a_peak_is_not_sustained, forget),
	        cmocka_unit_test_setup(it_is_said_once_and_again_after_a_day, forget),
	        cmocka_unit_test_setup(it_is_said_again_when_it_gets_worse_or_comes_back,
	                               forget),
	        cmocka_unit_test_setup(each_thing_has_its_own_limit, forget),
	        cmocka_unit_test_setup(everything_at_once_fits, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
