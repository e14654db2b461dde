/* Stories of requests that we have given up, and that something in front of an instance
 * hands over seconds later, behind what came next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

#define PRIMARY world_model(A)
#define LATE_BY 9000u

static unsigned before;

static enum fault hangs_once(void *arg)
{
	(void)arg;
	return before-- == 0 ? FAULT_HANG_BEFORE : FAULT_NONE;
}

/* Of the calls from now on, the one behind so many is handed over late. */
static void late_behind(unsigned calls)
{
	static const struct model_closed how = {.late = 100,
	                                        .kinds = LATE_ALL,
	                                        .late_least = LATE_BY,
	                                        .late_most = LATE_BY};

	before = calls;
	model_closes(PRIMARY, &how);
	model_faults(PRIMARY, hangs_once, NULL);
}

static void it_comes(void)
{
	pass_ms(LATE_BY + 100);
	assert_int_equal(model_late(PRIMARY), 1);
}

static void a_late_delete_does_not_hit_the_next_of_that_name(void **state)
{
	(void)state;
	for (unsigned step = 0; step < 2; step++) {
		world_start();
		made("docs");
		late_behind(step);
		drop("docs");
		pass_ms(6000);
		made("docs");
		add("docs", "a");
		it_comes();
		assert_string_equal(model_items(PRIMARY, "docs"), "a");
		world_finish();
	}
}

static void a_late_write_does_not_hit_the_next_of_that_name(void **state)
{
	(void)state;
	world_start();
	made("docs");
	late_behind(0);
	add("docs", "a");
	pass_ms(6000);
	drop("docs");
	made("docs");
	it_comes();
	assert_string_equal(model_items(PRIMARY, "docs"), "");
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(a_late_delete_does_not_hit_the_next_of_that_name),
	        world_story(a_late_write_does_not_hit_the_next_of_that_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
