/* Stories of an instance that is away for long: what it is owed is kept in a few bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/append.h"
#include "wal/engine.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

static struct write *last;

static void begin(void)
{
	world_start();
	world_merges(true);
	made("docs");
	made("notes");
	world_down(B);
	model_forget_trace(REPLICA);
}

static void some(struct write *(*write)(const char *name, const char *ids),
                 const char *name, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k);
		last = write(name, id);
	}
	pass_ms(5000);
	assert_true(last->ended && last->http < 300);
}

static struct wal_figures figures(void)
{
	struct wal_figures now;

	wal_figures(&now);
	return now;
}

static void assert_cold(wal_seq first, wal_seq end)
{
	for (wal_seq seq = first; seq <= end; seq++)
		assert_null(engine_find(seq));
}

static void it_is_no_object_but_it_is_owed(void **state)
{
	wal_seq first;
	int64_t then;

	(void)state;
	begin();
	first = append_last_seq() + 1;
	then = clock_wall_ms();
	some(add, "docs", 300);
	some(upsert, "docs", 300);
	assert_cold(first, append_last_seq());
	assert_int_equal(figures().instances[B].owed, 600);
	assert_int_equal(wal_owed(), 600);
	assert_int_equal(wal_behind(health_instance(B), named("docs")), 600);
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_int_equal(engine_floor(B), first - 1);
	assert_in_range(figures().oldest_wall_ms, then, then + 1000);
	world_up(B);
	world_settle();
	assert_int_equal(engine_floor(B), append_last_seq());
	world_finish();
}

static void it_comes_back_in_front_of_what_is_newer(void **state)
{
	(void)state;
	begin();
	some(add, "docs", 2);
	some(upsert, "docs", 2);
	world_up(B);
	take_out("docs", "i0");
	world_settle();
	assert_non_null(strstr(model_trace(REPLICA), "add docs i0,i1; upsert docs i0,i1; "
	                                             "remove docs i0"));
	world_finish();
}

/* An odd one stays as it is; the cold ones around it keep their places. */
static void what_is_not_plain_stands_between(void **state)
{
	(void)state;
	begin();
	some(add, "docs", 3);
	take_out_where("docs", "{\"a\":\"x\"}");
	rename_to("docs", "other");
	pass_ms(1000);
	some(add, "other", 5);
	some(add, "notes", 5);
	world_up(B);
	world_finish();
}

static void clients_go_on_while_it_catches_up(void **state)
{
	(void)state;
	begin();
	some(add, "docs", 1000);
	world_up(B);
	for (unsigned k = 0; k < 200; k++) {
		last = upsert("docs", "i7");
		add("notes", "x");
		pass_ms(3);
	}
	world_finish();
}

static void it_goes_away_again_in_the_middle(void **state)
{
	(void)state;
	begin();
	model_latency(REPLICA, 20);
	some(add, "docs", 900);
	for (unsigned k = 0; k < 5; k++) {
		world_up(B);
		pass_ms(30);
		world_down(B);
		some(upsert, "docs", 50);
	}
	world_up(B);
	world_finish();
}

static void the_one_ahead_dies_and_its_clients_wait_for_all_of_it(void **state)
{
	struct write *w;

	(void)state;
	begin();
	some(add, "docs", 700);
	world_down(A);
	w = take_out("docs", "i5,i6");
	pass_ms(500);
	assert_false(w->ended);
	world_up(B);
	pass_ms(3000);
	assert_decided(w, 200);
	world_up(A);
	world_finish();
}

static void a_new_process_has_them_cold_too(void **state)
{
	wal_seq end;

	(void)state;
	begin();
	some(add, "docs", 900);
	end = append_last_seq();
	world_restart(20000);
	assert_int_equal(figures().instances[B].owed, 900);
	assert_cold(end - 100, end); /* the first ones may have been sent */
	world_up(B);
	world_finish();
}

static void of_a_collection_that_is_deleted_nothing_is_executed(void **state)
{
	(void)state;
	begin();
	some(add, "docs", 300);
	drop("docs");
	pass_ms(1000);
	world_up(B);
	world_settle();
	assert_null(strstr(model_trace(REPLICA), "add docs"));
	made("docs");
	world_finish();
}

/* But while a client waits for an answer that depends on it, it is. */
static void what_an_answer_depends_on_is_executed(void **state)
{
	struct write *w;

	(void)state;
	begin();
	some(add, "docs", 7);
	world_down(A);
	w = take_out_where("docs", "{\"a\":\"x\"}");
	drop("docs");
	pass_ms(100);
	world_up(B);
	pass_ms(3000);
	assert_decided(w, 200);
	assert_string_not_equal(w->body, "{\"deleted\":0}");
	world_up(A);
	world_finish();
}

/* With every instance away what clients send has no answer, and cannot be cold. */
static void without_any_instance_there_is_an_end(void **state)
{
	(void)state;
	begin();
	world_down(A);
	for (unsigned k = 0; k < 1000; k++)
		add("notes", "x");
	pass_ms(1000);
	assert_int_equal(wal_owed(), 1000);
	last = add("notes", "x");
	pass_ms(1000);
	assert_ended(last, STATUS_BUSY);
	world_up(A);
	pass_ms(5000);
	last = add("notes", "y");
	pass_ms(1000);
	assert_decided(last, 201);
	world_up(B);
	world_finish();
}

/* What was brought back for one is no record of the other's. */
static void two_come_back_at_once(void **state)
{
	(void)state;
	world_start_with(3);
	world_merges(true);
	made("docs");
	world_down(B);
	world_down(C);
	some(add, "docs", 900);
	model_latency(REPLICA, 2000);
	model_up(REPLICA);
	pass_ms(1000);
	model_up(world_model(C));
	world_finish();
}

/* And does not wait for the other, which goes away with it. */
static void one_of_two_goes_away_again(void **state)
{
	(void)state;
	world_start_with(3);
	world_merges(true);
	made("docs");
	world_down(B);
	world_down(C);
	some(add, "docs", 300);
	world_up(B);
	world_down(B);
	world_up(C);
	pass_ms(5000);
	assert_int_equal(figures().instances[C].owed, 0);
	assert_true(wal_current(health_instance(C), named("docs")));
	world_up(B);
	world_finish();
}

/* Its lane at the replica is parked, and nothing waits there. */
static wal_seq differs(const char *name)
{
	struct write *w;

	model_refuse_ids(PRIMARY, true);
	w = add_embedded(name, "a", 2, false);
	pass_ms(100);
	model_refuse_ids(PRIMARY, false);
	return w->seq;
}

static void what_is_parked_is_not_woken_until_it_is_free(void **state)
{
	wal_seq seq;

	(void)state;
	world_start();
	world_merges(true);
	made("docs");
	seq = differs("docs");
	assert_int_equal(wal_quarantined(), 1);
	world_down(B);
	some(add, "docs", 3);
	world_up(B);
	pass_ms(5000);
	assert_int_equal(figures().instances[B].owed, 3);
	assert_int_equal(wal_retry(seq), STATUS_OK);
	world_settle();
	assert_string_equal(model_items(REPLICA, "docs"), "a,i0,i1,i2");
	world_stop();
}

static void a_delete_frees_what_is_parked(void **state)
{
	(void)state;
	world_start();
	world_merges(true);
	made("docs");
	differs("docs");
	world_down(B);
	some(add, "docs", 3);
	world_up(B);
	pass_ms(5000);
	drop("docs");
	world_settle();
	made("docs");
	assert_int_equal(wal_quarantined(), 0);
	world_stop();
}

#define PARKED 80

/* They do not stand before others that have their turn. */
static void parked_lanes_do_not_stand_before_others(void **state)
{
	wal_seq seqs[PARKED];
	char name[16];

	(void)state;
	world_start();
	world_merges(true);
	for (unsigned k = 0; k < PARKED; k++) {
		snprintf(name, sizeof(name), "docs%u", k);
		made(name);
		seqs[k] = differs(name);
	}
	assert_int_equal(wal_quarantined(), PARKED);
	made("notes");
	world_down(B);
	for (unsigned k = 0; k < PARKED; k++) {
		snprintf(name, sizeof(name), "docs%u", k);
		add(name, "b");
	}
	pass_ms(1000);
	some(add, "notes", 3);
	world_up(B);
	pass_ms(5000);
	assert_true(wal_current(health_instance(B), named("notes")));
	for (unsigned k = 0; k < PARKED; k++)
		assert_int_equal(wal_retry(seqs[k]), STATUS_OK);
	world_settle();
	assert_string_equal(model_items(REPLICA, "docs7"), "a,b");
	world_stop();
}

/* --- beside the busy ---------------------------------------------------------------- */

#define BUSY 4
#define CLIENTS 3

/* Clients of as many collections as there are workers write, each without a pause, until
 * that is so. */
static bool busy_until(bool (*is_so)(void), msec most)
{
	static const char *const names[BUSY] = {"docs", "notes", "mail", "news"};
	struct write *clients[BUSY * CLIENTS] = {0};
	msec until = clock_ms() + most;

	while (!is_so() && clock_ms() < until) {
		for (unsigned k = 0; k < BUSY * CLIENTS; k++)
			if (clients[k] == NULL || clients[k]->ended)
				clients[k] = upsert(names[k % BUSY], "x");
		pass_ms(1);
	}
	return is_so();
}

static void begin_busy(void)
{
	world_start();
	world_merges(true);
	made("docs");
	made("notes");
	made("mail");
	made("news");
	made("old");
}

static bool old_is_current(void)
{
	return wal_current(health_instance(B), named("old"));
}

/* What is cold has its turn, however busy the others keep the instance. */
static void the_busy_leave_room_for_what_is_cold(void **state)
{
	(void)state;
	begin_busy();
	world_down(B);
	some(add, "old", 300);
	model_latency(PRIMARY, 10);
	model_latency(REPLICA, 60);
	model_up(REPLICA);
	assert_true(busy_until(old_is_current, 20000));
	world_finish();
}

static bool last_has_ended(void)
{
	return last->ended;
}

static bool never(void)
{
	return false;
}

static void the_busy_leave_room_for_a_client(void **state)
{
	(void)state;
	begin_busy();
	model_latency(PRIMARY, 60);
	busy_until(never, 1000);
	last = add("old", "y");
	assert_true(busy_until(last_has_ended, 5000));
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(it_is_no_object_but_it_is_owed),
	        world_story(it_comes_back_in_front_of_what_is_newer),
	        world_story(what_is_not_plain_stands_between),
	        world_story(clients_go_on_while_it_catches_up),
	        world_story(it_goes_away_again_in_the_middle),
	        world_story(the_one_ahead_dies_and_its_clients_wait_for_all_of_it),
	        world_story(a_new_process_has_them_cold_too),
	        world_story(of_a_collection_that_is_deleted_nothing_is_executed),
	        world_story(what_an_answer_depends_on_is_executed),
	        world_story(without_any_instance_there_is_an_end),
	        world_story(two_come_back_at_once),
	        world_story(one_of_two_goes_away_again),
	        world_story(what_is_parked_is_not_woken_until_it_is_free),
	        world_story(a_delete_frees_what_is_parked),
	        world_story(parked_lanes_do_not_stand_before_others),
	        world_story(the_busy_leave_room_for_what_is_cold),
	        world_story(the_busy_leave_room_for_a_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
