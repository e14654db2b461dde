/* Stories of errands, with one proxy that asks for them and carries them out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/errand.h"
#include "wal/lead.h"

#define MOST (ERRANDS_ASKED_MOST + 1)

/* Those that were asked for. */
static struct asked {
	struct op *pending;
	bool ended;
	enum wal_errand_end end;
	int code;
	char body[16], headers[32];
} asked[MOST];

/* Those that are carried out, in order. */
static struct {
	struct wal_taken *taken;
	char target[32];
} begun[MOST];
static unsigned n_begun;

static void on_end(void *arg, enum wal_errand_end end,
                   const struct wal_errand_answer *answer)
{
	struct asked *a = arg;

	assert_false(a->ended);
	a->ended = true;
	a->end = end;
	if (end != ERRAND_ANSWERED)
		return;
	a->code = answer->code;
	snprintf(a->headers, sizeof(a->headers), "%s", answer->headers);
	snprintf(a->body, sizeof(a->body), "%.*s", (int)blob_len(answer->body),
	         blob_bytes(answer->body));
}

static void on_carry_out(const struct wal_errand *e, struct wal_taken *taken)
{
	assert_true(n_begun < MOST);
	snprintf(begun[n_begun].target, sizeof(begun[n_begun].target), "%s", e->target);
	begun[n_begun++].taken = taken;
}

static struct asked *ask_for(const char *target, msec patience)
{
	struct wal_errand e = {.method = "POST",
	                       .target = target,
	                       .headers = "",
	                       .address = "1.2.3.4",
	                       .who = "somebody"};

	for (unsigned k = 0; k < MOST; k++)
		if (asked[k].pending == NULL && !asked[k].ended) {
			wal_errand_ask(&e, patience, on_end, &asked[k],
			               &asked[k].pending);
			return &asked[k];
		}
	return NULL;
}

static void answer(unsigned k)
{
	wal_errand_answer(begun[k].taken, 202, "a: b\n", NULL);
	begun[k].taken = NULL;
}

static void assert_end(const struct asked *a, enum wal_errand_end end)
{
	assert_true(a->ended);
	assert_int_equal(a->end, end);
}

static void begin(void)
{
	memset(asked, 0, sizeof(asked));
	memset(begun, 0, sizeof(begun));
	n_begun = 0;
	world_start();
	wal_errand_start(on_carry_out);
}

static void stop(void)
{
	for (unsigned k = 0; k < MOST; k++)
		op_cancel(&asked[k].pending);
	wal_errand_stop();
}

static void finish(void)
{
	stop();
	world_lead(30000);
	world_finish();
}

static int tear_down(void **state)
{
	stop();
	return world_tear_down(state);
}
#define story(f) cmocka_unit_test_teardown(f, tear_down)

static void it_is_done_and_answered(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	a = ask_for("/x", 60000);
	fake_pg_notify(WAL_ERRAND);
	pass_ms(200);
	assert_int_equal(n_begun, 1);
	assert_string_equal(begun[0].target, "/x");
	assert_false(a->ended);
	pass_ms(20000); /* it takes its time */
	assert_false(a->ended);
	answer(0);
	pass_ms(500);
	assert_end(a, ERRAND_ANSWERED);
	assert_int_equal(a->code, 202);
	assert_string_equal(a->headers, "a: b\n");
	assert_string_equal(a->body, "done");
	pass_ms(2000);
	assert_int_equal(n_begun, 1);
	assert_int_equal(fake_pg_errands(NULL), 0);
	finish();
}

static void they_are_taken_in_order_and_each_once(void **state)
{
	static const char *const targets[] = {"/1", "/2", "/3"};

	(void)state;
	begin();
	for (unsigned k = 0; k < 3; k++)
		ask_for(targets[k], 60000);
	pass_ms(5000);
	assert_int_equal(n_begun, 3);
	for (unsigned k = 0; k < 3; k++)
		assert_string_equal(begun[k].target, targets[k]);
	for (unsigned k = 0; k < 3; k++)
		answer(k);
	pass_ms(2000);
	assert_int_equal(n_begun, 3);
	for (unsigned k = 0; k < 3; k++)
		assert_end(&asked[k], ERRAND_ANSWERED);
	finish();
}

static void nobody_takes_it(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	wal_errand_rest();
	a = ask_for("/x", 60000);
	pass_ms(ERRAND_TAKE_MS - 100);
	assert_false(a->ended);
	pass_ms(600);
	assert_end(a, ERRAND_NOT_TAKEN);
	assert_int_equal(fake_pg_errands(NULL), 0);
	assert_int_equal(n_begun, 0);
	finish();
}

static void it_is_taken_when_it_is_withdrawn(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	wal_errand_rest();
	a = ask_for("/x", 60000);
	fake_pg_take_errands_at_last();
	pass_ms(ERRAND_TAKE_MS + 5000);
	assert_false(a->ended); /* somebody is at it */
	fake_pg_take_lease(3000);
	pass_ms(1000);
	assert_end(a, ERRAND_UNKNOWN);
	finish();
}

static void nobody_takes_what_is_too_old(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	wal_errand_rest();
	a = ask_for("/x", 60000);
	pass_ms(1000);
	assert_int_equal(fake_pg_errands(NULL), 1);
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	pass_ms(ERRAND_SILENT_MS + 1000);
	assert_end(a, ERRAND_UNKNOWN);
	wal_errand_stop();
	wal_errand_start(on_carry_out); /* it would take some now */
	fake_pg_reachable(true);
	pass_ms(5000);
	assert_int_equal(n_begun, 0);
	assert_int_equal(fake_pg_errands(NULL), 1);
	finish();
}

static void it_is_not_noted(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	a = ask_for("/x", 60000);
	pass_ms(100);
	assert_end(a, ERRAND_NOT_NOTED);
	fake_pg_reachable(true);
	finish();
}

/* The session is lost after it was noted, before we hear of it: found by looking. */
static void it_is_noted_and_nobody_says_so(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	pass_ms(2000);
	fake_pg_delay(50);
	a = ask_for("/x", 60000);
	pass_ms(10);
	fake_pg_cut("upkeep", 1, false, 0);
	fake_pg_delay(2);
	pass_ms(3000);
	assert_int_equal(n_begun, 1);
	answer(0);
	pass_ms(1000);
	assert_end(a, ERRAND_ANSWERED);
	finish();
}

/* The row says that we have it, and we never heard of it: it was not begun. */
static void the_session_is_lost_while_it_is_taken(void **state)
{
	const struct asked *a;
	unsigned taken = 0;

	(void)state;
	begin();
	a = ask_for("/x", 60000);
	pass_ms(20);
	assert_int_equal(n_begun, 0);
	fake_pg_delay(20);
	errand_kick();
	pass_ms(10);
	fake_pg_cut("upkeep", 1, false, 0);
	fake_pg_delay(2);
	fake_pg_errands(&taken);
	assert_int_equal(taken, 1);
	assert_int_equal(n_begun, 0);
	pass_ms(3000);
	assert_int_equal(n_begun, 1);
	answer(0);
	pass_ms(1000);
	assert_end(a, ERRAND_ANSWERED);
	finish();
}

static void who_is_deposed_while_it_is_taken_does_not_do_it(void **state)
{
	const struct asked *a;
	unsigned taken = 0;

	(void)state;
	begin();
	a = ask_for("/x", 60000);
	pass_ms(20);
	fake_pg_delay(20);
	errand_kick();
	pass_ms(5);
	wal_deposed("the test says so");
	pass_ms(30);
	fake_pg_delay(2);
	fake_pg_errands(&taken);
	assert_int_equal(taken, 1);
	pass_ms(8000); /* it leads again, with another epoch */
	assert_int_equal(n_begun, 0);
	assert_end(a, ERRAND_UNKNOWN);
	finish();
}

static void who_leads_no_more_does_not_answer(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	a = ask_for("/x", 60000);
	pass_ms(2000);
	assert_int_equal(n_begun, 1);
	fake_pg_take_lease(3000);
	answer(0);
	pass_ms(1000);
	assert_end(a, ERRAND_UNKNOWN);
	finish();
}

static void an_answer_is_noted_again_until_it_is(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	a = ask_for("/x", 60000);
	pass_ms(2000);
	assert_int_equal(n_begun, 1);
	fake_pg_refuse("errand_done", 3);
	answer(0);
	pass_ms(1000);
	assert_false(a->ended);
	pass_ms(1500);
	assert_end(a, ERRAND_ANSWERED);
	finish();
}

static void who_asked_leaves(void **state)
{
	struct asked *a;
	unsigned taken = 0;

	(void)state;
	begin();
	wal_errand_rest();
	a = ask_for("/x", 60000);
	op_cancel(&a->pending); /* before it is noted */
	a = ask_for("/y", 60000);
	pass_ms(1000);
	assert_int_equal(fake_pg_errands(NULL), 1);
	op_cancel(&a->pending);
	pass_ms(100);
	assert_int_equal(fake_pg_errands(NULL), 0);
	wal_errand_stop();
	wal_errand_start(on_carry_out);
	a = ask_for("/z", 60000);
	pass_ms(2000);
	op_cancel(&a->pending);
	pass_ms(100);
	fake_pg_errands(&taken); /* what was begun goes on */
	assert_int_equal(taken, 1);
	assert_int_equal(n_begun, 1);
	answer(0);
	pass_ms(1000);
	assert_false(errand_is_busy());
	finish();
}

static void who_asked_has_no_time_left(void **state)
{
	const struct asked *a;

	(void)state;
	begin();
	a = ask_for("/x", 3000);
	pass_ms(2500);
	assert_int_equal(n_begun, 1);
	pass_ms(1000);
	assert_end(a, ERRAND_LATE);
	answer(0);
	finish();
}

static void one_too_many(void **state)
{
	(void)state;
	begin();
	wal_errand_rest();
	for (unsigned k = 0; k < MOST; k++)
		ask_for("/x", 60000);
	pass_ms(100);
	for (unsigned k = 0; k < MOST - 1; k++)
		assert_false(asked[k].ended);
	assert_end(&asked[MOST - 1], ERRAND_TOO_MANY);
	pass_ms(ERRAND_TAKE_MS + 500);
	assert_end(&asked[0], ERRAND_NOT_TAKEN);
	finish();
}

static void so_many_are_carried_out_at_a_time(void **state)
{
	(void)state;
	begin();
	for (unsigned k = 0; k < ERRANDS_TAKEN_MOST + 1; k++)
		ask_for("/x", 60000);
	pass_ms(3000);
	assert_int_equal(n_begun, ERRANDS_TAKEN_MOST);
	answer(0);
	pass_ms(100);
	assert_int_equal(n_begun, ERRANDS_TAKEN_MOST + 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(it_is_done_and_answered),
	        story(they_are_taken_in_order_and_each_once),
	        story(nobody_takes_it),
	        story(it_is_taken_when_it_is_withdrawn),
	        story(nobody_takes_what_is_too_old),
	        story(it_is_not_noted),
	        story(it_is_noted_and_nobody_says_so),
	        story(the_session_is_lost_while_it_is_taken),
	        story(who_is_deposed_while_it_is_taken_does_not_do_it),
	        story(who_leads_no_more_does_not_answer),
	        story(an_answer_is_noted_again_until_it_is),
	        story(who_asked_leaves),
	        story(who_asked_has_no_time_left),
	        story(one_too_many),
	        story(so_many_are_carried_out_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
