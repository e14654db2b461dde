/* A failpoint ends the process at the nth passage, and is nothing in other builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef CHROMATID_FAILPOINTS
#define KILLING
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/failpoint.h"

/* Passes "here" five times, and others in between. Survived: 5; otherwise -signal. */
static int passages(const char *wish)
{
	int status, n = 0;
	pid_t child = fork();

	if (child == 0) {
		setenv("CHROMATID_FAILPOINT", wish, 1);
		for (; n < 5; n++) {
			failpoint("elsewhere");
			failpoint("here");
			failpoint("here_and_there");
		}
		_exit(n);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void dies_at_the_first_passage(void **state)
{
	(void)state;
	assert_int_equal(passages("here"), -SIGKILL);
	assert_int_equal(passages("here:1"), -SIGKILL);
}

static void dies_at_the_nth_passage(void **state)
{
	(void)state;
	assert_int_equal(passages("here:5"), -SIGKILL);
	assert_int_equal(passages("here:6"), 5);
}

static void another_name_is_passed(void **state)
{
	(void)state;
	assert_int_equal(passages("her"), 5);
	assert_int_equal(passages("here_"), 5);
	assert_int_equal(passages(""), 5);
}
#endif

/* As every other build sees it. */
#undef CORE_FAILPOINT_H
#undef FAILPOINT
#undef CHROMATID_FAILPOINTS
#include "core/failpoint.h"

#define TEXT(x) #x
#define EXPANDED(x) TEXT(x)

static void is_nothing_elsewhere(void **state)
{
	(void)state;
	assert_string_equal(EXPANDED(FAILPOINT("here")), "((void)0)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_nothing_elsewhere),
#ifdef KILLING
	        cmocka_unit_test(dies_at_the_first_passage),
	        cmocka_unit_test(dies_at_the_nth_passage),
	        cmocka_unit_test(another_name_is_passed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
