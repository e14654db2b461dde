/* Stories of what was made anew and is not compared yet: it is written to, and nobody
 * reads it while another can answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/unproven.h"
#include "wal/verify_private.h"

/* --- helpers -------------------------------------------------------------------------
 */

static uint64_t n_equal(void)
{
	return wal_verify_figures().results[VERIFIED_EQUAL];
}

static uint64_t n_rebuilt(void)
{
	uint64_t collections, items;

	wal_rebuilt(&collections, &items);
	return collections;
}

static bool is_read(unsigned i)
{
	return wal_current(health_instance(i), named("docs"));
}

static bool is_open(unsigned i)
{
	return wal_readable(health_instance(i), named("docs"));
}

/* Of "docs" at that instance nothing is left. */
static void lose_at(unsigned i)
{
	world_repairs();
	world_start();
	made("docs");
	add_embedded("docs", "a,b,c", 2, false);
	add_embedded("docs", "d,e", 2, false);
	world_settle();
	pass_ms(11000); /* and marked */
	model_drop_behind_our_back(world_model(i), "docs");
	upsert("docs", "a");
	while (is_open(i))
		pass_ms(1);
}

/* Its lane moves again, and it was not compared. */
static void until_unproven(unsigned i)
{
	msec until = clock_ms() + 60000;

	while (!is_open(i) || !unproven_is(named("docs"), i)) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
	assert_int_equal(fake_pg_unproven(), 1);
	assert_int_equal(n_equal(), 0);
}

static void behind_our_back(unsigned i, const char *verb, const char *body)
{
	char *target = mem_format("/api/v2/tenants/default_tenant/databases/"
	                          "default_database/collections/%s/%s",
	                          model_collection_id(world_model(i), "docs"), verb);

	assert_in_range(
	        model_execute(world_model(i), "POST", target, body, strlen(body), NULL),
	        200, 201);
	free(target);
}

/* Whoever reads it before so many comparisons have found it equal reads too early. */
static void until_proven(unsigned i)
{
	msec until = clock_ms() + 120000;

	while (!is_read(i)) {
		assert_true(clock_ms() < until);
		assert_int_equal(n_equal(), 0);
		pass_ms(1);
	}
	assert_true(n_equal() > 0);
	while (fake_pg_unproven() > 0) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
}

/* --- read once it is compared --------------------------------------------------------
 */

static void it_is_not_read_before_it_is_compared(void **state)
{
	(void)state;
	for (unsigned i = A; i <= B; i++) {
		struct write *w;

		lose_at(i);
		until_unproven(i);
		assert_false(is_read(i));
		assert_true(is_read(1 - i));
		assert_int_equal(wal_unproven(health_instance(i)), 1);
		w = add("docs", "z");
		until_proven(i);
		assert_decided(w, 201);
		assert_int_equal(wal_unproven(health_instance(i)), 0);
		assert_non_null(strstr(model_items(world_model(i), "docs"), "z"));
		world_finish();
	}
}

static void what_differs_in_it_is_made_anew_again(void **state)
{
	(void)state;
	for (unsigned i = A; i <= B; i++) {
		uint64_t before = n_rebuilt();

		lose_at(i);
		until_unproven(i);
		assert_int_equal(n_rebuilt(), before + 1);
		behind_our_back(i, "update",
		                "{\"ids\":[\"c\"],\"documents\":[\"other\"]}");
		until_proven(i);
		assert_int_equal(n_rebuilt(), before + 2);
		world_finish();
	}
}

/* A comparison that only somebody asked for proves it, too; one of ids does not. */
static void without_repair_what_differs_stays_unread(void **state)
{
	(void)state;
	world_start();
	made("docs");
	add_embedded("docs", "a,b,c", 2, false);
	world_settle();
	assert_int_equal(wal_rebuild(named("docs"), health_instance(B), "says the test"),
	                 STATUS_OK);
	until_unproven(B);
	behind_our_back(B, "update", "{\"ids\":[\"c\"],\"documents\":[\"other\"]}");
	for (unsigned second = 0; second < 600; second++) {
		pass_ms(1000);
		assert_false(is_read(B));
	}
	assert_int_equal(n_equal(), 0);
	assert_true(wal_verify_figures().results[VERIFIED_DIFFERS] > 0);
	assert_int_equal(wal_rebuild(named("docs"), health_instance(A), "says the test"),
	                 STATUS_CONFLICT);
	world_stop();
}

/* A late look compares what was in doubt with the others: not with one that may be wrong
 * itself. */
static void it_is_no_witness(void **state)
{
	(void)state;
	world_start();
	made("docs");
	add_embedded("docs", "a,b,c", 2, false);
	world_settle();
	model_fault(world_model(A), FAULT_LOST_AFTER, 1);
	upsert("docs", "c");
	world_settle();
	assert_int_equal(wal_rebuild(named("docs"), health_instance(B), "says the test"),
	                 STATUS_OK);
	until_unproven(B);
	behind_our_back(B, "update", "{\"ids\":[\"c\"],\"documents\":[\"other\"]}");
	pass_ms(120000);
	assert_true(is_read(A));
	assert_int_equal(wal_quarantined(), 0);
	world_stop();
}

/* The index of the other has got worse by all that was written: that is no reason to make
 * that one anew, too, and then this one, and so on. */
static void the_better_index_is_not_asked_for(void **state)
{
	uint64_t before = n_rebuilt();

	(void)state;
	lose_at(B);
	/* the only one with its vector */
	behind_our_back(A, "update", "{\"ids\":[\"e\"],\"embeddings\":[[9,8]]}");
	model_lose_vector(world_model(A), "docs", "e");
	until_proven(B);
	pass_ms(10000);
	assert_int_equal(n_rebuilt(), before + 1);
	world_stop();
}

/* --- items that are large ------------------------------------------------------------
 */

/* A document of so many bytes. */
static void enlarge(unsigned i, const char *id, size_t bytes, char letter)
{
	char *text = mem_alloc(bytes + 1), *body;

	memset(text, letter, bytes);
	text[bytes] = '\0';
	body = mem_format("{\"ids\":[\"%s\"],\"documents\":[\"%s\"]}", id, text);
	behind_our_back(i, "update", body);
	free(body);
	free(text);
}

/* What B has lost, it learns from A again; two such items do not fit in an answer. */
static void lose_large(void)
{
	static const char *const ids[] = {"a", "b", "c", "d", "e"};

	lose_at(B);
	for (size_t k = 0; k < 5; k++)
		enlarge(A, ids[k], 3000, 'x');
	verify_sizes = (struct verify_sizes){.window = 4000, .alone = 4000};
}

static int usual_sizes(void **state)
{
	verify_sizes = (struct verify_sizes){.window = (size_t)32 * 1024 * 1024,
	                                     .alone = (size_t)64 * 1024 * 1024};
	return world_tear_down(state);
}

/* The log does not know of what was enlarged. */
static void stop_equal(void)
{
	const char *name = "docs";
	char *a, *b;

	world_settle();
	a = model_dump_collection(world_model(A),
	                          model_collection_id(world_model(A), name));
	b = model_dump_collection(world_model(B),
	                          model_collection_id(world_model(B), name));
	assert_string_equal(a, b);
	free(a);
	free(b);
	world_stop();
}

static void of_large_items_each_is_compared_alone(void **state)
{
	uint64_t before = n_rebuilt();

	(void)state;
	lose_large();
	until_unproven(B);
	until_proven(B);
	assert_int_equal(n_rebuilt(), before + 1);
	stop_equal();
}

static struct wal_verification found;

static void keep_found(void *arg, const struct wal_verification *v)
{
	(void)arg;
	found = *v;
}

static void until_verified_as(enum wal_verified result)
{
	msec until = clock_ms() + 60000;

	memset(&found, 0, sizeof(found));
	while (found.collection == NULL || found.result != result) {
		assert_true(clock_ms() < until);
		pass_ms(1);
		wal_each_verification(keep_found, NULL);
	}
}

static void what_differs_in_a_large_item_is_found(void **state)
{
	static const char *const harms[][2] = {
	        {"update", "{\"ids\":[\"c\"],\"uris\":[\"other\"]}"},
	        {"update", "{\"ids\":[\"a\"],\"metadatas\":[{\"a\":\"o\"}]}"},
	        {"update", "{\"ids\":[\"e\"],\"embeddings\":[[7,7]]}"},
	        {"delete", "{\"ids\":[\"d\"]}"},
	        {"delete", "{\"ids\":[\"a\",\"e\"]}"},
	        {"add", "{\"ids\":[\"y\"],\"embeddings\":[[7,7]]}"},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(harms) / sizeof(harms[0]); k++) {
		uint64_t before = n_rebuilt();

		lose_large();
		until_unproven(B);
		behind_our_back(B, harms[k][0], harms[k][1]);
		until_verified_as(VERIFIED_DIFFERS);
		assert_int_equal(found.found[3], 0); /* no other order */
		until_proven(B);
		assert_int_equal(n_rebuilt(), before + 2);
		stop_equal();
	}
}

/* Nor are two documents of it equal that are only equally long. */
static void a_large_document_that_differs_is_found(void **state)
{
	uint64_t before = n_rebuilt();

	(void)state;
	lose_large();
	until_unproven(B);
	enlarge(B, "b", 3000, 'z');
	enlarge(B, "c", 3000, 'z');
	until_proven(B);
	assert_int_equal(n_rebuilt(), before + 2);
	stop_equal();
}

/* B is wrong more often, but has an item that A lacks, too large to be logged again with
 * the others that differ. */
static void what_only_one_has_is_not_lost_because_it_is_large(void **state)
{
	int64_t job;

	(void)state;
	lose_large();
	until_unproven(B);
	until_proven(B);
	behind_our_back(A, "delete", "{\"ids\":[\"c\"]}");
	behind_our_back(B, "delete", "{\"ids\":[\"a\",\"d\"]}");
	assert_int_equal(wal_verify(named("docs"), VERIFY_REPAIR, &job), STATUS_OK);
	until_verified_as(VERIFIED_UNFINISHED);
	assert_string_equal(found.why,
	                    "what only one has is too large to be logged again");
	pass_ms(10000);
	assert_non_null(strchr(model_items(world_model(B), "docs"), 'c'));
	verify_sizes.window = 20000;
	assert_int_equal(wal_verify(named("docs"), VERIFY_REPAIR, &job), STATUS_OK);
	until_verified_as(VERIFIED_DIFFERS);
	pass_ms(10000);
	assert_non_null(strchr(model_items(world_model(A), "docs"), 'c'));
	stop_equal();
}

static char told[200];

static void tell(void *arg, const struct wal_rebuild *b)
{
	(void)arg;
	snprintf(told, sizeof(told), "%s: %s", b->step, b->why);
}

/* It is said why, and goes on when somebody has changed the item. */
static void an_item_that_is_too_large_is_told_of(void **state)
{
	(void)state;
	lose_large();
	enlarge(A, "c", 5000, 'x');
	until_unproven(B);
	told[0] = '\0';
	pass_ms(30000);
	assert_int_equal(n_equal(), 0);
	assert_false(is_read(B));
	assert_true(is_read(A));
	wal_each_rebuild(tell, NULL);
	assert_string_equal(told, "comparing: an item is too large to be compared");
	take_out("docs", "c");
	until_proven(B);
	told[0] = '\0';
	wal_each_rebuild(tell, NULL);
	assert_string_equal(told, "");
	stop_equal();
}

/* --- a crash -------------------------------------------------------------------------
 */

static void whoever_leads_next_compares_it(void **state)
{
	(void)state;
	for (msec after = 0; after < 60; after += 4) {
		lose_at(B);
		until_unproven(B);
		pass_ms(after);
		if (n_equal() > 0) {
			world_finish();
			break;
		}
		world_crash();
		world_boot();
		while (!wal_leads())
			pass_ms(1);
		assert_false(is_read(B));
		until_proven(B);
		world_finish();
	}
}

static void the_log_is_away_when_it_is_proven(void **state)
{
	(void)state;
	lose_at(B);
	until_unproven(B);
	fake_pg_refuse("unproven_end", 2);
	until_proven(B);
	world_restart(10000);
	assert_true(is_read(B));
	world_finish();
}

/* --- nobody else ---------------------------------------------------------------------
 */

static void it_is_read_when_nobody_else_is_up(void **state)
{
	(void)state;
	lose_at(B);
	until_unproven(B);
	assert_false(is_read(B));
	world_down(A);
	assert_true(is_read(B));
	add("docs", "z");
	pass_ms(5000);
	assert_true(is_read(B));
	world_up(A);
	while (!is_read(A))
		pass_ms(1);
	assert_int_equal(n_equal(), 0);
	assert_false(is_read(B));
	until_proven(B);
	world_finish();
}

/* The only one that was proven is found wrong: it learns from the other, and both are
 * compared. */
static void the_only_proven_one_is_parked(void **state)
{
	(void)state;
	lose_at(B);
	until_unproven(B);
	assert_true(quarantine_begin(named("docs"), A, append_last_seq(),
	                             QUARANTINE_DIFFERS, 0, "says the test"));
	assert_true(is_read(B) && !is_read(A));
	while (!is_open(A))
		pass_ms(1);
	assert_int_equal(n_equal(), 0);
	assert_true(unproven_at(named("docs")) == 3);
	assert_true(is_read(B));
	pass_ms(10000);
	assert_int_equal(unproven_at(named("docs")), 0);
	assert_true(n_equal() > 0);
	world_finish();
}

/* --- while clients write -------------------------------------------------------------
 */

static void write_something(void)
{
	char ids[40];

	snprintf(ids, sizeof(ids), "i%u,i%u", (unsigned)chance_below(30),
	         (unsigned)chance_below(30));
	switch (chance_below(4)) {
	case 0:
		take_out("docs", ids);
		break;
	case 1:
		upsert("docs", ids);
		break;
	default:
		add_embedded("docs", ids, 2, false);
	}
}

/* Reads do not wait for it, and it is compared all the same. */
static void clients_write_all_the_time(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		unsigned i = seed % 2;
		msec until;

		world_seed(seed);
		lose_at(i);
		model_latency(world_model(1 - i), 1 + (msec)chance_below(30));
		until_unproven(i);
		until = clock_ms() + 60000;
		while (unproven_is(named("docs"), i)) {
			assert_true(clock_ms() < until);
			assert_true(is_read(1 - i));
			if (chance_of(50))
				write_something();
			pass_ms(1 + (msec)chance_below(5));
		}
		assert_true(n_equal() > 0);
		world_finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(it_is_not_read_before_it_is_compared),
	        world_story(what_differs_in_it_is_made_anew_again),
	        world_story(without_repair_what_differs_stays_unread),
	        world_story(it_is_no_witness),
	        world_story(the_better_index_is_not_asked_for),
	        cmocka_unit_test_teardown(of_large_items_each_is_compared_alone,
	                                  usual_sizes),
	        cmocka_unit_test_teardown(what_differs_in_a_large_item_is_found,
	                                  usual_sizes),
	        cmocka_unit_test_teardown(a_large_document_that_differs_is_found,
	                                  usual_sizes),
	        cmocka_unit_test_teardown(
	                what_only_one_has_is_not_lost_because_it_is_large, usual_sizes),
	        cmocka_unit_test_teardown(an_item_that_is_too_large_is_told_of,
	                                  usual_sizes),
	        world_story(whoever_leads_next_compares_it),
	        world_story(the_log_is_away_when_it_is_proven),
	        world_story(it_is_read_when_nobody_else_is_up),
	        world_story(the_only_proven_one_is_parked),
	        world_story(clients_write_all_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
