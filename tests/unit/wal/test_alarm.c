/* Pure: which changes are worth a message. */
#include "wal/alarm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START ((msec)1000000)

static void a_change_is_told_at_once_and_once(void **state)
{
	struct alarm a = {0};

	(void)state;
	assert_int_equal(alarm_see(&a, 0, 0, START), 0);
	assert_int_equal(alarm_see(&a, 2, 0, START + 1), 1);
	for (msec t = 2; t < 3600000; t += 1000)
		assert_int_equal(alarm_see(&a, 2, 0, START + t), 0);
	assert_int_equal(alarm_see(&a, 0, 0, START + 3600000), 1);
}

static void what_is_over_before_it_counts_is_not_told(void **state)
{
	struct alarm a = {0};

	(void)state;
	assert_int_equal(alarm_see(&a, 1, 2000, START), 0);
	assert_int_equal(alarm_see(&a, 1, 2000, START + 1999), 0);
	assert_int_equal(alarm_see(&a, 0, 0, START + 2000), 0);
	assert_int_equal(alarm_see(&a, 1, 2000, START + 3000), 0);
	assert_int_equal(alarm_see(&a, 1, 2000, START + 4999), 0);
	assert_int_equal(alarm_see(&a, 1, 2000, START + 5000), 3);
}

/* A message for each of the first four, then one in five minutes. */
static void what_flaps_is_told_seldom(void **state)
{
	struct alarm a = {0};
	unsigned told = 0, changes = 0, n;

	(void)state;
	for (unsigned k = 1; k <= 3600; k++) {
		n = alarm_see(&a, k % 2, 0, START + k * (msec)1000);
		told += n > 0 ? 1 : 0;
		changes += n;
	}
	assert_int_equal(told,
	                 ALARM_BURST + 11);   /* the twelfth comes back with the last */
	assert_in_range(changes, 3300, 3600); /* and each says how many it stands for */
}

static void what_is_told_last_is_so(void **state)
{
	struct alarm a = {0};
	msec t = START;

	(void)state;
	for (unsigned k = 1; k <= ALARM_BURST; k++)
		assert_int_equal(alarm_see(&a, k % 2, 0, ++t), 1);
	assert_int_equal(alarm_see(&a, 1, 0, ++t), 0); /* must wait */
	assert_int_equal(alarm_see(&a, 1, 0, START + ALARM_REFILL_MS - 1000), 0);
	assert_int_equal(alarm_see(&a, 1, 0, START + ALARM_REFILL_MS + 1000), 1);
	/* had it been over by then there was nothing to tell */
	assert_int_equal(alarm_see(&a, 0, 0, START + ALARM_REFILL_MS + 2000), 0);
	assert_int_equal(alarm_see(&a, 1, 0, START + ALARM_REFILL_MS + 3000), 0);
	assert_int_equal(alarm_see(&a, 1, 0, START + 20 * ALARM_REFILL_MS), 0);
}

static void after_a_quiet_time_all_four_are_there_again(void **state)
{
	struct alarm a = {0};
	msec t = START;

	(void)state;
	for (unsigned k = 1; k <= ALARM_BURST; k++)
		alarm_see(&a, k, 0, t);
	t += 10 * ALARM_REFILL_MS;
	for (unsigned k = 1; k <= ALARM_BURST; k++)
		assert_int_equal(alarm_see(&a, 100 + k, 0, t), 1);
	assert_int_equal(alarm_see(&a, 0, 0, t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_change_is_told_at_once_and_once),
	        cmocka_unit_test(what_is_over_before_it_counts_is_not_told),
	        cmocka_unit_test(what_flaps_is_told_seldom),
	        cmocka_unit_test(what_is_told_last_is_so),
	        cmocka_unit_test(after_a_quiet_time_all_four_are_there_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
