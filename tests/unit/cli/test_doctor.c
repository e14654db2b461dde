#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/cli/doctor.h"

static void who_serves_two_sessions(void **state)
{
	(void)state;
	assert_int_equal(doctor_pooler(7, 7, 8, 7), POOLER_NONE);
	/* it tells its clients a number of its own */
	assert_int_equal(doctor_pooler(99, 7, 8, 7), POOLER_OF_SESSIONS);
	/* the process of the first one serves the second as well */
	assert_int_equal(doctor_pooler(99, 7, 7, 8), POOLER_OF_TRANSACTIONS);
	/* or the first one gets another */
	assert_int_equal(doctor_pooler(99, 7, 8, 9), POOLER_OF_TRANSACTIONS);
	assert_int_equal(doctor_pooler(7, 7, 7, 7), POOLER_OF_TRANSACTIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_serves_two_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
