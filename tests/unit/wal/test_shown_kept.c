#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wal/shown.h"

#define NOW 100000u /* of our clock */

/* What the leader of epoch 7 has told, half a second ago. */
static struct shown_found found(void)
{
	return (struct shown_found){.is = true,
	                            .epoch = 7,
	                            .leader = 7,
	                            .version = 3,
	                            .at = 1000,
	                            .age = 500,
	                            .comes = true,
	                            .text = "{}"};
}

static void assert_age(const struct shown_kept *kept, msec now, msec wanted)
{
	msec age;

	assert_true(shown_is_current(kept, now, &age));
	assert_int_equal(age, wanted);
}

static void assert_unknown(const struct shown_kept *kept, msec now)
{
	msec age;

	assert_false(shown_is_current(kept, now, &age));
}

static void what_the_leader_tells_is_shown_with_its_age(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found();

	(void)state;
	assert_unknown(&kept, NOW);
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NEW);
	assert_age(&kept, NOW + 20, 520);
	f.comes = false; /* it is known here */
	f.at = 2000;
	f.age = 100;
	assert_int_equal(shown_keep(&kept, &f, NOW + 1000), SHOWN_SAME);
	assert_age(&kept, NOW + 1000, 100);
	f.version++;
	f.comes = true;
	assert_int_equal(shown_keep(&kept, &f, NOW + 2000), SHOWN_NEW);
}

static void what_is_old_is_not_shown(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found();

	(void)state;
	shown_keep(&kept, &f, NOW);
	assert_age(&kept, NOW + 9499, 9999);
	assert_unknown(&kept, NOW + 9500);
	f.comes = false;
	f.at = 9000; /* it was still so, later */
	shown_keep(&kept, &f, NOW + 9500);
	assert_age(&kept, NOW + 9500, 500);
	f = found();
	f.age = 3600000; /* longer than this machine is up */
	f.version++;
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NEW);
	assert_unknown(&kept, NOW);
}

/* It is found again and again, and was true at the same time as before. */
static void a_clock_set_back_makes_nothing_young(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found();

	(void)state;
	shown_keep(&kept, &f, NOW);
	f.comes = false;
	for (msec after = 1000; after < 20000; after += 1000) {
		f.age = 0;
		assert_int_equal(shown_keep(&kept, &f, NOW + after), SHOWN_SAME);
	}
	assert_unknown(&kept, NOW + 9500);
}

static void nobody_is_believed_but_the_leader(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found();

	(void)state;
	f.epoch = 6; /* of the one before */
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NONE);
	assert_unknown(&kept, NOW);
	f = found();
	shown_keep(&kept, &f, NOW);
	f.comes = false;
	f.leader = 8; /* another leads now, and has told nothing yet */
	assert_int_equal(shown_keep(&kept, &f, NOW + 100), SHOWN_NONE);
	assert_unknown(&kept, NOW + 100);
	f = found();
	f.epoch = 9; /* nobody can write that */
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NONE);
}

static void what_is_not_there_or_too_long_is_nothing(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found(), none = {.is = false};

	(void)state;
	f.comes = false; /* too long to be sent */
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NONE);
	f.comes = true;
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NEW);
	assert_int_equal(shown_keep(&kept, &none, NOW), SHOWN_NONE);
	assert_unknown(&kept, NOW);
}

/* The next leader counts from the beginning. */
static void a_version_is_another_under_another_epoch(void **state)
{
	struct shown_kept kept = {.is = false};
	struct shown_found f = found();

	(void)state;
	shown_keep(&kept, &f, NOW);
	f.epoch = f.leader = 8;
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NEW);
	f.epoch = f.leader = 9;
	f.comes = false;
	assert_int_equal(shown_keep(&kept, &f, NOW), SHOWN_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_the_leader_tells_is_shown_with_its_age),
	        cmocka_unit_test(what_is_old_is_not_shown),
	        cmocka_unit_test(a_clock_set_back_makes_nothing_young),
	        cmocka_unit_test(nobody_is_believed_but_the_leader),
	        cmocka_unit_test(what_is_not_there_or_too_long_is_nothing),
	        cmocka_unit_test(a_version_is_another_under_another_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
