/* Stories of a copy that is handed out: it is taken by us or by another proxy, which may
 * end, sleep, or lose it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/copy_private.h"
#include "wal/rebuild.h"
#include "wal/rebuild_private.h"

#define REPLICA world_model(B)
#define OTHER "another-proxy"

/* --- pure ----------------------------------------------------------------------------
 */

static enum task_verdict judged(enum task_state state, bool sound, bool silent,
                                bool ended)
{
	return task_judge(&(struct task_facts){state, sound, silent, ended});
}

static void what_follows_from_a_row(void **state)
{
	(void)state;
	assert_int_equal(judged(TASK_FREE, true, true, true), TASK_WAIT);
	assert_int_equal(judged(TASK_TAKEN, true, false, true), TASK_WAIT);
	assert_int_equal(judged(TASK_TAKEN, true, false, false), TASK_WAIT);
	assert_int_equal(judged(TASK_TAKEN, true, true, true), TASK_TAKE_OVER);
	assert_int_equal(judged(TASK_TAKEN, true, true, false), TASK_ANEW);
	assert_int_equal(judged(TASK_DONE, true, true, false), TASK_IS_DONE);
	assert_int_equal(judged(TASK_FAILED, true, true, false), TASK_AGAIN);
	assert_int_equal(judged(TASK_FAILED, false, false, true), TASK_ANEW);
}

static void one_freeze_at_a_time_for_each_target(void **state)
{
	struct rebuild x = {.target = B}, y = {.target = B}, z = {.target = A};

	(void)state;
	TAILQ_INSERT_TAIL(&rebuilds, &x, link);
	TAILQ_INSERT_TAIL(&rebuilds, &y, link);
	TAILQ_INSERT_TAIL(&rebuilds, &z, link);
	assert_true(rebuild_may_freeze(&x));
	y.frozen = true;
	assert_false(rebuild_may_freeze(&x));
	assert_true(rebuild_may_freeze(&y));
	assert_true(rebuild_may_freeze(&z));
	TAILQ_INIT(&rebuilds);
}

/* --- a copy that takes a while -------------------------------------------------------
 */

static struct copy_sizes sizes_before;

static int set_up(void **state)
{
	(void)state;
	sizes_before = copy_sizes;
	copy_sizes = (struct copy_sizes){.window = 8, .page = 2, .tail = 8, .deletes = 3};
	return 0;
}

static int tear_down(void **state)
{
	copy_sizes = sizes_before;
	return world_tear_down(state);
}

#define story(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void lose_a_collection(void)
{
	char ids[200] = "";

	for (char c = 'a'; c <= 'z'; c++)
		snprintf(ids + strlen(ids), 4, "%s%c", c > 'a' ? "," : "", c);
	world_repairs();
	world_start();
	made("docs");
	made("notes");
	add("docs", ids);
	world_settle();
	pass_ms(11000); /* and marked */
	model_latency(REPLICA, 700);
	model_drop_behind_our_back(REPLICA, "docs");
	upsert("docs", "a");
}

static const struct fake_task *the_task(void)
{
	return fake_pg_task(0);
}

static void until_copying(void)
{
	msec until = clock_ms() + 60000;

	while (the_task() == NULL || strcmp(the_task()->state, "taken") != 0 ||
	       strstr(model_trace(REPLICA), "add ctd-new") == NULL) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
}

static unsigned attempts;

static void look(void *arg, const struct wal_rebuild *b)
{
	(void)arg;
	attempts = b->attempt > attempts ? b->attempt : attempts;
}

/* All is well, after so many attempts. */
static void ends_after(unsigned n)
{
	msec until = clock_ms() + 120000;

	attempts = 0;
	while (wal_quarantined() > 0 || the_task() != NULL || model_aside(REPLICA) > 0) {
		assert_true(clock_ms() < until);
		wal_each_rebuild(look, NULL);
		pass_ms(10);
	}
	assert_int_equal(attempts, n);
	model_latency(REPLICA, 3);
	world_settle();
	world_finish();
}

/* For so long it is at it, though nothing comes of it. */
static void another_works_for(msec long_ms)
{
	for (; long_ms > 0; long_ms -= 1000) {
		fake_pg_worker(OTHER, false);
		pass_ms(1000);
	}
}

static bool copies(void)
{
	return strstr(model_trace(REPLICA), "add ctd-new") != NULL;
}

static void we_copy_it_ourselves(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	assert_string_equal(the_task()->worker, worker_name());
	ends_after(1);
}

static void one_that_has_ended_is_replaced(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	fake_pg_worker(OTHER, false);
	assert_true(fake_pg_take_task(OTHER));
	pass_ms(2500);
	assert_string_equal(the_task()->worker, OTHER);
	pass_ms(6000);
	assert_string_equal(the_task()->worker, worker_name());
	ends_after(1);
}

static void one_that_may_wake_up_is_left_with_what_it_has(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	fake_pg_worker(OTHER, true);
	assert_true(fake_pg_take_task(OTHER));
	ends_after(2);
}

static void what_is_ours_no_more_is_not_written_to(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	fake_pg_worker(OTHER, false);
	assert_true(fake_pg_take_task(OTHER));
	another_works_for(2000);
	model_forget_trace(REPLICA);
	another_works_for(8000);
	assert_false(copies());
	ends_after(1);
}

/* PostgreSQL hears nothing of us, nor we of it: others may have it by now. */
static void who_is_not_heard_of_writes_nothing(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	fake_pg_stall(true);
	pass_ms(4600);
	model_forget_trace(REPLICA);
	pass_ms(8000);
	assert_false(copies());
	fake_pg_stall(false);
	ends_after(1);
}

/* What was on its way then may arrive whenever it likes. */
static void what_was_cut_off_is_not_gone_on_with(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	model_fault(REPLICA, FAULT_HANG_BEFORE, 1);
	for (unsigned ms = 0; ms < 1000; pass_ms(1))
		ms = copy_calls_under_way(B) > 0 ? ms + 1 : 0;
	fake_pg_stall(true);
	pass_ms(3400);
	assert_int_equal(copy_calls_under_way(B), 1);
	pass_ms(1200);
	assert_int_equal(copy_calls_under_way(B), 0);
	fake_pg_stall(false);
	ends_after(2);
}

static void what_has_failed_is_gone_on_with(void **state)
{
	struct fake_task *t;

	(void)state;
	lose_a_collection();
	until_copying();
	t = fake_pg_task(0);
	while (t->items < 4) {
		pass_ms(100);
		assert_non_null(the_task());
	}
	strcpy(t->state, "failed");
	strcpy(t->why, "the test wants it");
	ends_after(1);
}

static void what_is_unsound_is_begun_anew(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	strcpy(fake_pg_task(0)->state, "failed");
	fake_pg_task(0)->sound = false;
	ends_after(2);
}

static void whoever_leads_next_finds_it(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	world_crash();
	world_boot();
	world_lead(20000);
	ends_after(1);
}

static void whoever_leads_next_leaves_it_to_another(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	fake_pg_worker(OTHER, false);
	assert_true(fake_pg_take_task(OTHER));
	world_crash();
	world_boot();
	model_forget_trace(REPLICA);
	another_works_for(20000);
	assert_true(wal_leads());
	assert_string_equal(the_task()->worker, OTHER);
	assert_false(copies());
	ends_after(1);
}

static void a_deleted_collection_is_handed_out_no_more(void **state)
{
	(void)state;
	lose_a_collection();
	until_copying();
	drop("docs");
	ends_after(1);
}

static unsigned n_frozen(void)
{
	const struct rebuild *b;
	unsigned n = 0;

	TAILQ_FOREACH (b, &rebuilds, link)
		n += b->frozen;
	return n;
}

static unsigned n_under_way(void)
{
	const struct rebuild *b;
	unsigned n = 0;

	TAILQ_FOREACH (b, &rebuilds, link)
		n += b->step != STEP_WAITING;
	return n;
}

/* Of as many as there are proxies to copy them, one at a time is frozen. */
static void as_many_at_once_as_there_are_proxies(void **state)
{
	msec until;
	unsigned most = 0, frozen = 0;

	(void)state;
	lose_a_collection();
	fake_pg_worker(OTHER, true);
	pass_ms(1500);
	add("notes", "a,b,c,d,e,f");
	model_drop_behind_our_back(REPLICA, "notes");
	upsert("notes", "a");
	model_latency(world_model(A), 300);
	model_latency(REPLICA, 100);
	until = clock_ms() + 120000;
	while (wal_quarantined() > 0) {
		assert_true(clock_ms() < until);
		if (clock_ms() % 1000 == 0)
			fake_pg_worker(OTHER, true);
		if (clock_ms() % 700 == 0) { /* something to freeze for */
			upsert("docs", "b");
			upsert("notes", "b");
		}
		pass_ms(1);
		most = n_under_way() > most ? n_under_way() : most;
		frozen = n_frozen() > frozen ? n_frozen() : frozen;
	}
	assert_int_equal(most, 2);
	assert_int_equal(frozen, 1);
	model_latency(world_model(A), 3);
	ends_after(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_follows_from_a_row),
	        cmocka_unit_test(one_freeze_at_a_time_for_each_target),
	        story(we_copy_it_ourselves),
	        story(one_that_has_ended_is_replaced),
	        story(one_that_may_wake_up_is_left_with_what_it_has),
	        story(what_is_ours_no_more_is_not_written_to),
	        story(who_is_not_heard_of_writes_nothing),
	        story(what_was_cut_off_is_not_gone_on_with),
	        story(what_has_failed_is_gone_on_with),
	        story(what_is_unsound_is_begun_anew),
	        story(whoever_leads_next_finds_it),
	        story(whoever_leads_next_leaves_it_to_another),
	        story(as_many_at_once_as_there_are_proxies),
	        story(a_deleted_collection_is_handed_out_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
