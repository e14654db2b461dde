#include "core/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/lib/fake_time.h"

static void run(struct job *job, void *arg)
{
	msec *takes = arg;

	pass_ms(*takes);
	job_rest(job, 1000);
}

static void one_that_has_not_run_has_taken_no_time(void **state)
{
	msec takes = 7;
	struct job *job = job_create("job", run, &takes);

	(void)state;
	job_rest(job, 1000);
	assert_int_equal(job_figures(job).runs, 0);
	assert_int_equal(job_figures(job).last_run_wall_ms, 0);
	assert_int_equal(job_figures(job).last_duration, 0);
	pass_ms(2000);
	assert_true(job_figures(job).runs >= 1);
	assert_int_equal(job_figures(job).last_duration, 7);
	job_destroy(&job);
	assert_int_equal(timers_running(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_that_has_not_run_has_taken_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
