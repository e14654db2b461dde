/* Stories of clients that wait for an instance that catches up, or do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/world.h"

#define REPLICA world_model(B)

static void many(unsigned first)
{
	for (unsigned k = first; k < first + 40; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k);
		add("docs", id);
		pass_ms(10);
	}
}

static void while_an_instance_catches_up_clients_wait_a_little(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(B);
	many(0);
	model_latency(REPLICA, 100);
	world_up(B);
	pass_ms(100);
	w = add("docs", "late");
	pass_ms(20);
	assert_false(w->ended);
	pass_ms(300);
	assert_decided(w, 201);
	world_finish();
}

/* Before its records there stands a change that waits for a create that hangs. */
static void a_lane_that_cannot_go_on_is_not_waited_for_again_and_again(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_settle();
	model_fault(REPLICA, FAULT_HANG_BEFORE, 1);
	create("other");
	pass_ms(20);
	modify("docs");
	pass_ms(20);
	many(0);
	pass_ms(400);
	for (unsigned k = 0; k < 5; k++) {
		w = add("docs", "late");
		pass_ms(20);
		assert_decided(w, 201);
	}
	world_settle();
	many(40); /* it moves again */
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(while_an_instance_catches_up_clients_wait_a_little),
	        world_story(a_lane_that_cannot_go_on_is_not_waited_for_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
