/* Stories of mappings that are taken away, by a request and by SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static struct {
	struct op *pending;
	enum status status;
	const struct instance *where;
	bool told;
} asked;

static struct conf conf;

static void on_unmapped(void *arg, enum status s, const struct instance *where)
{
	(void)arg;
	asked.status = s;
	asked.where = where;
	asked.told = true;
}

static void unmap(const char *name, bool force, enum status expected)
{
	asked.told = false;
	wal_unmap(named(name), force, on_unmapped, NULL, &asked.pending);
	for (unsigned k = 0; k < 3000 && !asked.told; k++)
		pass_ms(10);
	assert_true(asked.told);
	assert_int_equal(asked.status, expected);
}

static bool is_there(const char *name)
{
	return named(name) != NULL;
}

static void drop_everywhere(const char *name)
{
	model_drop_behind_our_back(world_model(A), name);
	model_drop_behind_our_back(world_model(B), name);
}

static void begin(void)
{
	world_start();
	made("docs");
	made("notes");
}

static int tear_down(void **state)
{
	op_cancel(&asked.pending);
	wal_wish_stop();
	return world_tear_down(state);
}
#define story(f) cmocka_unit_test_teardown(f, tear_down)

static void what_nobody_has_any_more_is_forgotten(void **state)
{
	(void)state;
	begin();
	drop_everywhere("docs");
	unmap("docs", false, STATUS_OK);
	assert_false(is_there("docs"));
	made("docs"); /* the name is free */
	world_finish();
}

static void what_somebody_has_is_not(void **state)
{
	(void)state;
	begin();
	model_drop_behind_our_back(world_model(A), "docs");
	unmap("docs", false, STATUS_CONFLICT);
	assert_ptr_equal(asked.where, health_instance(B));
	assert_true(is_there("docs"));
	unmap("notes", false, STATUS_CONFLICT);
	assert_ptr_equal(asked.where, health_instance(A));
	unmap("docs", true, STATUS_OK);
	assert_false(is_there("docs"));
	world_finish();
}

static void who_is_down_cannot_be_asked(void **state)
{
	(void)state;
	begin();
	drop_everywhere("docs");
	world_down(B);
	unmap("docs", false, STATUS_NO_INSTANCE);
	assert_ptr_equal(asked.where, health_instance(B));
	assert_true(is_there("docs"));
	world_up(B);
	unmap("docs", false, STATUS_OK);
	world_finish();
}

/* Not the same as having it. */
static void no_clear_answer_is_none(void **state)
{
	static const enum fault faults[] = {FAULT_500_BEFORE, FAULT_503_BEFORE,
	                                    FAULT_LOST_BEFORE};

	(void)state;
	begin();
	drop_everywhere("docs");
	for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
		model_fault(world_model(A), faults[k], 1);
		unmap("docs", false, STATUS_NO_INSTANCE);
		assert_ptr_equal(asked.where, health_instance(A));
		assert_true(is_there("docs"));
		world_settle();
	}
	unmap("docs", false, STATUS_OK);
	world_finish();
}

static void forced_it_goes_everywhere(void **state)
{
	(void)state;
	begin();
	add("docs", "a");
	world_settle();
	unmap("docs", true, STATUS_OK);
	assert_false(is_there("docs"));
	world_finish();
}

/* --- by SQL ------------------------------------------------------------------------ */

static char protected_ones[] = "kept, notes";

static void begin_with_wishes(void)
{
	begin();
	conf.protected_collections = protected_ones;
	wal_wish_start(&conf);
}

static void wait_until_over(void)
{
	for (unsigned k = 0; k < 1000 && fake_pg_wishes() > 0; k++)
		pass_ms(10);
	assert_int_equal(fake_pg_wishes(), 0);
}

static void finish_with_wishes(void)
{
	wal_wish_stop();
	world_finish();
}

static void a_wish_is_done_within_a_second_or_so(void **state)
{
	int64_t docs;

	(void)state;
	begin_with_wishes();
	docs = named("docs")->id;
	drop_everywhere("docs");
	fake_pg_wish(docs, "sql");
	pass_ms(2000);
	assert_int_equal(fake_pg_wishes(), 0);
	assert_false(is_there("docs"));
	fake_pg_wish(docs, "sql"); /* it has gone already */
	fake_pg_wish(4711, "sql"); /* it never was */
	wait_until_over();
	finish_with_wishes();
}

static void a_wish_that_may_not_be_is_over_without_effect(void **state)
{
	(void)state;
	begin_with_wishes();
	fake_pg_wish(named("docs")->id, "sql"); /* it is still there */
	drop_everywhere("notes");
	fake_pg_wish(named("notes")->id, "sql"); /* it is protected */
	wait_until_over();
	assert_true(is_there("docs"));
	assert_true(is_there("notes"));
	unmap("notes", false, STATUS_OK);
	finish_with_wishes();
}

static void who_cannot_be_asked_is_not_asked_for_ever(void **state)
{
	(void)state;
	begin_with_wishes();
	drop_everywhere("docs");
	world_down(B);
	fake_pg_wish(named("docs")->id, "sql");
	wait_until_over();
	assert_true(is_there("docs"));
	world_up(B);
	fake_pg_wish(named("docs")->id, "sql");
	wait_until_over();
	assert_false(is_there("docs"));
	finish_with_wishes();
}

static void a_wish_waits_for_the_log(void **state)
{
	(void)state;
	begin_with_wishes();
	drop_everywhere("docs");
	fake_pg_refuse("wish_over", 1); /* done, and not known to be: once more */
	fake_pg_wish(named("docs")->id, "sql");
	wait_until_over();
	assert_false(is_there("docs"));
	finish_with_wishes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(what_nobody_has_any_more_is_forgotten),
	        story(what_somebody_has_is_not),
	        story(who_is_down_cannot_be_asked),
	        story(no_clear_answer_is_none),
	        story(forced_it_goes_everywhere),
	        story(a_wish_is_done_within_a_second_or_so),
	        story(a_wish_that_may_not_be_is_over_without_effect),
	        story(who_cannot_be_asked_is_not_asked_for_ever),
	        story(a_wish_waits_for_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
