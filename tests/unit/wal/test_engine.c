/* Stories of the log and the engine: see tests/lib/world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static void a_write_is_executed_on_both_in_order(void **state)
{
	struct write *w1, *w2, *w3;

	(void)state;
	world_start();
	made("docs");
	w1 = add("docs", "a,b");
	w2 = update("docs", "b");
	w3 = take_out("docs", "a");
	world_settle();
	assert_decided(w1, 201);
	assert_decided(w2, 200);
	assert_decided(w3, 200);
	assert_string_equal(model_trace(world_model(A)),
	                    "create docs; add docs a,b; update docs b; remove docs a; ");
	assert_string_equal(model_trace(world_model(B)), model_trace(world_model(A)));
	world_check();
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_write_is_executed_on_both_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
