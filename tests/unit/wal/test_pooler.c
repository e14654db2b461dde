#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "wal/lead.h"

static void whose_sessions_are_they(void **state)
{
	(void)state;
	assert_true(pooler_keeps_sessions(7, 7, 8, 7));
	/* another process serves the log than the one that opened its session */
	assert_false(pooler_keeps_sessions(7, 9, 8, 7));
	assert_false(pooler_keeps_sessions(7, 7, 8, 9));
	/* its process was free for another session */
	assert_false(pooler_keeps_sessions(7, 7, 7, 7));
	assert_false(pooler_keeps_sessions(7, 7, 7, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whose_sessions_are_they),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
