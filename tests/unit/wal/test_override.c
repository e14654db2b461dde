/* Stories of instances that an operator takes out, and puts back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static struct {
	struct op *pending;
	enum status status;
	bool told;
} asked;

static void on_noted(void *arg, enum status s)
{
	(void)arg;
	asked.status = s;
	asked.told = true;
}

static struct instance *replica(void)
{
	return health_instance(B);
}

static void drain(msec for_ms)
{
	asked.told = false;
	wal_take_out(replica(), for_ms, "somebody", on_noted, NULL, &asked.pending);
}

static void put_back(void)
{
	asked.told = false;
	wal_put_back(replica(), on_noted, NULL, &asked.pending);
}

static void assert_noted(enum status s)
{
	for (unsigned k = 0; k < 100 && !asked.told; k++)
		pass_ms(10);
	assert_true(asked.told);
	assert_int_equal(asked.status, s);
}

static bool is_out(void)
{
	return instance_out(replica()).is;
}

static void begin(void)
{
	world_start();
	wal_override_start();
	made("docs");
}

static void crash(void)
{
	op_cancel(&asked.pending);
	wal_override_stop();
	world_crash();
}

static void boot(void)
{
	world_boot();
	wal_override_start();
	world_lead(20000);
}

static void finish(void)
{
	for (unsigned k = 0; k < 300 && !instance_up(replica()); k++)
		pass_ms(100);
	assert_true(instance_up(replica()));
	world_settle();
	wal_override_stop();
	world_finish();
}

static int tear_down(void **state)
{
	op_cancel(&asked.pending);
	wal_override_stop();
	return world_tear_down(state);
}
#define story(f) cmocka_unit_test_teardown(f, tear_down)

static void it_is_out_when_that_is_durable_and_catches_up_when_it_is_back(void **state)
{
	struct write *w;

	(void)state;
	begin();
	fake_pg_delay(50);
	drain(0);
	pass_ms(20);
	assert_false(is_out());
	assert_noted(STATUS_OK);
	assert_true(is_out());
	assert_false(instance_up(replica()));
	assert_string_equal(instance_out(replica()).by, "somebody");
	fake_pg_delay(2);
	w = add("docs", "a,b");
	pass_ms(5000); /* probes find it well all the time */
	assert_decided(w, 201);
	assert_true(is_out());
	assert_true(wal_behind(replica(), named("docs")) > 0);
	put_back();
	assert_noted(STATUS_OK);
	assert_false(fake_pg_is_out("replica"));
	finish();
}

static void it_holds_over_a_crash(void **state)
{
	(void)state;
	begin();
	drain(0);
	assert_noted(STATUS_OK);
	crash();
	boot();
	pass_ms(3000);
	assert_true(is_out());
	assert_false(instance_up(replica()));
	assert_string_equal(instance_out(replica()).by, "somebody");
	put_back();
	assert_noted(STATUS_OK);
	finish();
}

static void it_ends_in_time_also_without_postgresql(void **state)
{
	(void)state;
	begin();
	drain(5000);
	assert_noted(STATUS_OK);
	pass_ms(4000);
	assert_true(is_out());
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	pass_ms(900);
	assert_true(is_out());
	pass_ms(200);
	assert_false(is_out());
	fake_pg_reachable(true);
	finish();
}

static void what_cannot_be_noted_is_not_done(void **state)
{
	(void)state;
	begin();
	fake_pg_refuse("override_take_out", 1);
	drain(0);
	assert_noted(STATUS_LOG_UNAVAILABLE);
	assert_false(is_out());
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	drain(0);
	assert_noted(STATUS_LOG_UNAVAILABLE);
	assert_false(is_out());
	assert_false(fake_pg_is_out("replica"));
	fake_pg_reachable(true);
	finish();
}

/* Nothing says that it is out, but what this proxy knew. */
static void a_word_is_not_undone_by_an_answer_that_could_not_be_had(void **state)
{
	(void)state;
	begin();
	drain(0);
	assert_noted(STATUS_OK);
	fake_pg_refuse("override_look", 3);
	pass_ms(3500);
	assert_true(is_out());
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	pass_ms(3000);
	assert_true(is_out());
	fake_pg_reachable(true);
	pass_ms(3000);
	assert_true(is_out());
	fake_pg_put_back("replica");
	finish();
}

static void what_another_proxy_notes_is_done_within_a_second(void **state)
{
	(void)state;
	begin();
	fake_pg_take_out("replica", 0, "another");
	pass_ms(1200);
	assert_true(is_out());
	assert_string_equal(instance_out(replica()).by, "another");
	fake_pg_put_back("replica");
	pass_ms(1200);
	assert_false(is_out());
	finish();
}

static void who_asks_and_leaves_is_heard_all_the_same(void **state)
{
	(void)state;
	begin();
	fake_pg_delay(50);
	drain(0);
	pass_ms(10);
	op_cancel(&asked.pending);
	pass_ms(1500);
	assert_false(asked.told);
	assert_true(fake_pg_is_out("replica"));
	assert_true(is_out());
	fake_pg_delay(2);
	put_back();
	assert_noted(STATUS_OK);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(it_is_out_when_that_is_durable_and_catches_up_when_it_is_back),
	        story(it_holds_over_a_crash),
	        story(it_ends_in_time_also_without_postgresql),
	        story(what_cannot_be_noted_is_not_done),
	        story(a_word_is_not_undone_by_an_answer_that_could_not_be_had),
	        story(what_another_proxy_notes_is_done_within_a_second),
	        story(who_asks_and_leaves_is_heard_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
