/* Stories of a proxy that follows: which instances does it read? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static struct op *asking;
static enum status looked;

static void on_looked(void *arg, enum status s)
{
	(void)arg;
	looked = s;
}

/* As for a request: a look at PostgreSQL that begins now. */
static void look(void)
{
	msec until = clock_ms() + 5000;

	looked = STATUS_UNKNOWN;
	wal_refresh(named("docs"), NULL, on_looked, NULL, &asking);
	while (asking != NULL) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
	assert_int_equal(looked, STATUS_OK);
}

static bool is_read(unsigned i)
{
	return wal_current(health_instance(i), named("docs"));
}

/* B has lost "docs" and learned it again; then another leads, before it is compared. */
static void follow_unproven(void)
{
	msec until;

	world_repairs();
	world_start();
	made("docs");
	add_embedded("docs", "a,b,c", 2, false);
	world_settle();
	pass_ms(11000); /* and marked */
	model_drop_behind_our_back(world_model(B), "docs");
	upsert("docs", "a");
	until = clock_ms() + 60000;
	while (fake_pg_unproven() == 0) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
	fake_pg_is_followed(true);
	fake_pg_take_lease(600000);
	while (!wal_follows()) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
	assert_int_equal(fake_pg_unproven(), 1);
	look();
}

static int tear_down(void **state)
{
	op_cancel(&asking);
	fake_pg_is_followed(false);
	return world_tear_down(state);
}

static void what_is_not_compared_is_not_read_here_either(void **state)
{
	(void)state;
	follow_unproven();
	assert_true(is_read(A));
	assert_false(is_read(B));
	look();
	assert_true(is_read(A));
	assert_false(is_read(B));
}

static void it_is_read_once_it_is_proven(void **state)
{
	(void)state;
	follow_unproven();
	fake_pg_prove();
	look();
	assert_true(is_read(A));
	assert_true(is_read(B));
}

static void it_is_read_when_nobody_else_is_up(void **state)
{
	(void)state;
	follow_unproven();
	world_down(A);
	look();
	assert_true(is_read(B));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(what_is_not_compared_is_not_read_here_either,
	                                  tear_down),
	        cmocka_unit_test_teardown(it_is_read_once_it_is_proven, tear_down),
	        cmocka_unit_test_teardown(it_is_read_when_nobody_else_is_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
