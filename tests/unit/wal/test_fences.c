/* What must not happen any more when somebody else leads, and when the log's session has
 * been lost: stories where nothing ends wrong by itself if a fence is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/wal.h"

#define PRIMARY world_model(A)

static void finish(void)
{
	world_lead(30000);
	world_settle();
	world_check();
	world_stop();
}

static void what_a_former_leader_has_executed_is_not_written_by_it(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = add("docs", "a");
	pass_ms(2);
	fake_pg_stall(true);
	pass_ms(50);
	assert_decided(w, 201);
	fake_pg_take_lease(3000);
	fake_pg_stall(false);
	pass_ms(200);
	assert_false(wal_leads());
	assert_int_not_equal(fake_pg_position("primary", w->collection), w->seq);
	assert_int_equal(fake_pg_log_seq(w->seq)->decision, 0);
	finish();
}

static void nothing_is_under_way_when_another_may_lead(void **state)
{
	(void)state;
	world_start();
	made("docs");
	pass_ms(900);
	model_fault(PRIMARY, FAULT_HANG_BEFORE, 1);
	add("docs", "a");
	pass_ms(100);
	fake_pg_reachable(false); /* the lease was renewed a second ago, or just now */
	fake_pg_cut("control", 0, false, 0);
	fake_pg_cut("log", 0, false, 0);
	pass_ms(3000);
	assert_int_equal(fake_open(world_upstream(A)), 1);
	pass_ms(1550); /* its own time limit would be later */
	assert_int_equal(fake_open(world_upstream(A)), 0);
	fake_pg_reachable(true);
	finish();
}

static void a_session_that_is_ended_may_still_commit(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	fake_pg_session_finishes(true);
	fake_pg_delay(20);
	w = add("docs", "a");
	pass_ms(10);
	fake_pg_cut("log", 0, true, 5000);
	world_settle();
	assert_decided(w, 201);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_a_former_leader_has_executed_is_not_written_by_it),
	        world_story(nothing_is_under_way_when_another_may_lead),
	        world_story(a_session_that_is_ended_may_still_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
