/* Stories of many collections whose writes wait for one instance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/engine.h"

#define PRIMARY world_model(A)
#define LANES 8
#define CLIENTS 24

static const char *const names[LANES] = {"docs", "notes", "mail", "news",
                                         "logs", "old",   "more", "tags"};
static struct write *clients[CLIENTS];

static void begin(void)
{
	world_workers(8);
	world_start();
	world_merges(true);
	for (unsigned k = 0; k < LANES; k++)
		made(names[k]);
	world_settle();
	world_down(B); /* it would take some of them */
	memset(clients, 0, sizeof(clients));
}

/* Each client writes again and again, to another collection than its neighbour. */
static void write_for(unsigned ms, unsigned *most_in_flight)
{
	for (unsigned at = 0; at < ms; at++) {
		for (unsigned k = 0; k < CLIENTS; k++)
			if (clients[k] == NULL || clients[k]->ended)
				clients[k] = upsert(names[k % LANES], "x");
		pass_ms(1);
		if (slots_in_flight(A) > *most_in_flight)
			*most_in_flight = slots_in_flight(A);
	}
}

static void while_calls_end_there_are_few_of_them(void **state)
{
	unsigned most = 0;

	(void)state;
	begin();
	model_latency(PRIMARY, 60);
	write_for(2000, &most);
	assert_int_equal(most, 2);
	world_up(B);
	world_finish();
}

static void those_that_hang_do_not_hold_up_the_others(void **state)
{
	struct write *hang[2], *w;

	(void)state;
	begin();
	model_latency(PRIMARY, 3);
	model_fault(PRIMARY, FAULT_HANG_BEFORE, 2);
	hang[0] = upsert("docs", "x");
	hang[1] = upsert("notes", "x");
	pass_ms(5);
	w = upsert("mail", "x");
	pass_ms(50);
	assert_false(w->ended);
	pass_ms(250);
	assert_decided(w, 200);
	assert_false(hang[0]->ended || hang[1]->ended);
	w = upsert("news", "x"); /* since then something has moved again */
	pass_ms(250);
	assert_decided(w, 200);
	world_up(B);
	world_finish();
}

/* Of those that wait every other one is the one with the most behind it. */
static void the_longest_lane_goes_before_an_older_one(void **state)
{
	const char *trace;

	(void)state;
	begin();
	model_latency(PRIMARY, 60);
	upsert("docs", "x");
	upsert("notes", "x");
	pass_ms(2);
	upsert("mail", "x");
	upsert("news", "x");
	upsert("logs", "x");
	upsert("more", "a");
	upsert("more", "b");
	pass_ms(2000);
	trace = model_trace(PRIMARY);
	assert_non_null(strstr(trace, "upsert more a,b; "));
	assert_true(strstr(trace, "upsert mail") < strstr(trace, "upsert logs"));
	assert_true(strstr(trace, "upsert more") < strstr(trace, "upsert logs"));
	world_up(B);
	world_finish();
}

static void some_wait(void)
{
	model_latency(PRIMARY, 60);
	for (unsigned k = 0; k < LANES; k++)
		upsert(names[k], "x");
	upsert("tags", "y");
	pass_ms(2000);
}

/* Whoever leads begins like any other. */
static void what_a_former_leader_did_decides_nothing(void **state)
{
	char *once;

	(void)state;
	fake_random_seed(1);
	begin();
	some_wait();
	once = mem_string(model_trace(PRIMARY));
	for (unsigned k = 0; k < 3; k++) {
		world_up(B);
		world_finish();
		fake_random_seed(1);
		fake_time_reset();
		begin();
		some_wait();
		assert_string_equal(model_trace(PRIMARY), once);
		upsert("docs", "z"); /* an odd number of them has waited */
		upsert("notes", "z");
		upsert("mail", "z");
		pass_ms(500);
	}
	free(once);
	world_up(B);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(while_calls_end_there_are_few_of_them),
	        world_story(those_that_hang_do_not_hold_up_the_others),
	        world_story(the_longest_lane_goes_before_an_older_one),
	        world_story(what_a_former_leader_did_decides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
