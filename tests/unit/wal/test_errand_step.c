/* What the proxy that was asked for an errand does next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wal/errand.h"

/* Noted a second ago, seen just now, taken by nobody; 7 leads. */
static struct errand_facts noted(void)
{
	return (struct errand_facts){.there = true, .epoch = 7, .waited = 1000};
}

static void taken_in_time_it_waits_for_the_answer(void **state)
{
	struct errand_facts f = noted();

	(void)state;
	assert_int_equal(errand_step(&f), ERRAND_WAIT);
	f.waited = ERRAND_TAKE_MS - 1;
	assert_int_equal(errand_step(&f), ERRAND_WAIT);
	f.taken = 7;
	f.waited = 100 * ERRAND_TAKE_MS;
	assert_int_equal(errand_step(&f), ERRAND_WAIT);
	f.answered = true;
	assert_int_equal(errand_step(&f), ERRAND_FETCH);
}

static void taken_by_nobody_it_is_withdrawn(void **state)
{
	struct errand_facts f = noted();

	(void)state;
	f.waited = ERRAND_TAKE_MS;
	assert_int_equal(errand_step(&f), ERRAND_WITHDRAW);
	f.waited = 1;
	f.impatient = true;
	assert_int_equal(errand_step(&f), ERRAND_WITHDRAW);
}

static void what_is_taken_is_never_withdrawn(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 64; k++) {
		struct errand_facts f = {.there = true,
		                         .taken = 7,
		                         .epoch = k & 1 ? 7 : 8,
		                         .answered = (k & 2) != 0,
		                         .impatient = (k & 4) != 0,
		                         .waited = k & 8 ? 10 * ERRAND_TAKE_MS : 1,
		                         .silent = k & 16 ? 1 : 0};

		f.silent *= k & 32 ? 2 * ERRAND_SILENT_MS : 1;
		assert_int_not_equal(errand_step(&f), ERRAND_WITHDRAW);
	}
}

static void who_leads_no_more_answers_no_more(void **state)
{
	struct errand_facts f = noted();

	(void)state;
	f.taken = 6;
	assert_int_equal(errand_step(&f), ERRAND_GIVE_UP);
	f.answered = true; /* but it has, before */
	assert_int_equal(errand_step(&f), ERRAND_FETCH);
}

static void without_time_left_it_is_told_that_it_goes_on(void **state)
{
	struct errand_facts f = noted();

	(void)state;
	f.taken = 7;
	f.impatient = true;
	assert_int_equal(errand_step(&f), ERRAND_TOO_LATE);
	f.answered = true;
	assert_int_equal(errand_step(&f), ERRAND_FETCH);
}

static void a_row_that_has_gone_says_nothing(void **state)
{
	struct errand_facts f = noted();

	(void)state;
	f.there = false;
	assert_int_equal(errand_step(&f), ERRAND_GIVE_UP);
}

/* What is known is of another time: nothing is concluded from it but that it is old. */
static void when_postgresql_is_silent_nothing_is_known(void **state)
{
	struct errand_facts f = {.silent = 1, .waited = 100 * ERRAND_TAKE_MS};

	(void)state;
	assert_int_equal(errand_step(&f), ERRAND_WAIT);
	f.silent = ERRAND_SILENT_MS;
	assert_int_equal(errand_step(&f), ERRAND_GIVE_UP);
	f.silent = 1;
	f.impatient = true;
	assert_int_equal(errand_step(&f), ERRAND_GIVE_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(taken_in_time_it_waits_for_the_answer),
	        cmocka_unit_test(taken_by_nobody_it_is_withdrawn),
	        cmocka_unit_test(what_is_taken_is_never_withdrawn),
	        cmocka_unit_test(who_leads_no_more_answers_no_more),
	        cmocka_unit_test(without_time_left_it_is_told_that_it_goes_on),
	        cmocka_unit_test(a_row_that_has_gone_says_nothing),
	        cmocka_unit_test(when_postgresql_is_silent_nothing_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
