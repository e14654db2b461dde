/* Stories of verification: what was changed behind our back is found and heals; nothing
 * is found where nothing is wrong, whatever clients do meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/wal.h"

#define DAY 86400000u

/* --- helpers -------------------------------------------------------------------------
 */

static struct wal_verification found;

static void keep(void *arg, const struct wal_verification *v)
{
	if (v->collection == arg)
		found = *v;
}

static void begin_to_verify(const char *name, enum wal_verify_repair repair)
{
	int64_t job;

	assert_int_equal(wal_verify(named(name), repair, &job), STATUS_OK);
	assert_true(wal_verify_figures().running && wal_verify_figures().job == job);
	assert_int_equal(wal_verify(NULL, repair, &job), STATUS_BUSY);
}

static void until_verified(void)
{
	msec until = clock_ms() + 120000;

	while (wal_verify_figures().running) {
		assert_true(clock_ms() < until);
		pass_ms(5);
	}
}

static enum wal_verified verify(const char *name, enum wal_verify_repair repair)
{
	memset(&found, 0, sizeof(found));
	begin_to_verify(name, repair);
	until_verified();
	wal_each_verification(keep, named(name));
	assert_non_null(found.collection);
	return found.result;
}

static void behind_our_back(unsigned i, const char *verb, const char *body)
{
	char *target = mem_format("/api/v2/tenants/default_tenant/databases/"
	                          "default_database/collections/%s/%s",
	                          model_collection_id(world_model(i), "docs"), verb);
	struct text answer = {0};
	int http = model_execute(world_model(i), "POST", target, body, strlen(body),
	                         &answer);

	assert_in_range(http, 200, 201);
	text_clear(&answer);
	free(target);
}

static void filled(void)
{
	made("docs");
	add_embedded("docs", "a,b,c", 2, false);
	add_embedded("docs", "d", 2, false);
	take_out("docs", "b");
	world_settle();
}

/* --- what is found -------------------------------------------------------------------
 */

static void what_is_equal_is_equal(void **state)
{
	(void)state;
	world_start();
	filled();
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	assert_int_equal(found.items, 3);
	assert_string_equal(found.level, "content");
	assert_true(found.recall[A] >= 1 && found.recall[B] >= 1 && found.wrong == 0);
	pass_ms(100);
	assert_string_equal(fake_pg_verified(named("docs")->id), "equal");
	world_finish();
}

static const struct {
	const char *verb, *body;
	unsigned kind;
} harms[] = {
        {"delete", "{\"ids\":[\"a\"]}", 0},
        {"delete", "{\"ids\":[\"a\",\"d\"]}", 0},
        {"add", "{\"ids\":[\"b\"],\"embeddings\":[[5,6]]}", 0},
        {"update", "{\"ids\":[\"c\"],\"documents\":[\"other\"]}", 1},
        {"update", "{\"ids\":[\"c\"],\"metadatas\":[{\"a\":\"o\",\"b\":\"o\"}]}", 1},
        {"update", "{\"ids\":[\"c\"],\"embeddings\":[[7,8]]}", 2},
};
#define HARMS (sizeof(harms) / sizeof(harms[0]))

static void the_log_knows_who_is_wrong_and_it_heals(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2 * HARMS; k++) {
		unsigned victim = k % 2;

		world_start();
		filled();
		behind_our_back(victim, harms[k / 2].verb, harms[k / 2].body);
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_DIFFERS);
		assert_true(found.found[harms[k / 2].kind] > 0);
		assert_int_equal(found.wrong, 1u << victim);
		assert_false(found.guessed || found.healing);
		assert_int_equal(wal_quarantined(), 0);
		assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_DIFFERS);
		assert_true(found.healing);
		assert_int_equal(wal_quarantined(), 1);
		pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
		world_finish();
	}
}

static void a_lost_collection_is_found_and_comes_back(void **state)
{
	(void)state;
	for (unsigned victim = A; victim <= B; victim++) {
		world_start();
		filled();
		model_drop_behind_our_back(world_model(victim), "docs");
		assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_LOST);
		assert_int_equal(found.wrong, 1u << victim);
		pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
		world_finish();
	}
}

static void what_only_the_loser_has_is_logged_again(void **state)
{
	(void)state;
	world_start();
	filled();
	behind_our_back(A, "delete", "{\"ids\":[\"a\"]}");
	behind_our_back(B, "delete", "{\"ids\":[\"c\",\"d\"]}");
	assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_DIFFERS);
	assert_int_equal(found.rescued, 1);
	pass_ms(10000);
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	assert_int_equal(found.items, 3);
	assert_string_equal(model_items(world_model(A), "docs"), "c,d,a");
	world_stop(); /* not what the log says: its order is another one */
}

/* Between the look at what only the loser has and the write that brings it back. */
static void what_a_client_deletes_is_not_logged_again(void **state)
{
	unsigned rescued = 0;

	(void)state;
	for (msec after = 1; after < 400; after += 3) {
		world_start();
		filled();
		behind_our_back(A, "delete", "{\"ids\":[\"a\"]}");
		behind_our_back(B, "delete", "{\"ids\":[\"c\",\"d\"]}");
		model_latency(world_model(A), 10); /* also while they are at rest */
		begin_to_verify("docs", VERIFY_REPAIR);
		pass_ms(after);
		take_out("docs", "a");
		until_verified();
		wal_each_verification(keep, named("docs"));
		rescued += found.rescued > 0;
		pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		assert_string_equal(model_items(world_model(A), "docs"), "c,d");
		assert_string_equal(model_items(world_model(B), "docs"), "c,d");
		world_stop();
	}
	assert_true(rescued > 0);
}

static void an_index_that_has_lost_a_vector_is_made_anew(void **state)
{
	(void)state;
	for (unsigned victim = A; victim <= B; victim++) {
		world_start();
		made("docs");
		add_embedded("docs", "a", 2, false);
		world_settle();
		model_lose_vector(world_model(victim), "docs", "a");
		assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_INDEX);
		assert_int_equal(found.wrong, 1u << victim);
		assert_true(found.recall[victim] < 1 && found.recall[1 - victim] >= 1);
		pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
		world_finish();
	}
}

/* A new index would be no better for long. */
static void what_is_only_hard_to_find_is_well(void **state)
{
	(void)state;
	world_start();
	made("docs");
	add_embedded("docs", "a", 2, false);
	world_settle();
	model_hide_vector(world_model(B), "docs", "a");
	assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_EQUAL);
	assert_true(found.recall[B] >= 1);
	world_finish();
}

/* One is left to learn from; when the other has been made anew, its turn comes. */
static void two_damaged_indexes_heal_one_after_the_other(void **state)
{
	(void)state;
	world_start();
	made("docs");
	add_embedded("docs", "a", 2, false);
	world_settle();
	model_lose_vector(world_model(A), "docs", "a");
	model_lose_vector(world_model(B), "docs", "a");
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_int_equal(verify("docs", VERIFY_REPAIR), VERIFIED_INDEX);
		assert_int_equal(wal_quarantined(), 1);
		pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
	}
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	world_finish();
}

/* --- when it does not go well ---------------------------------------------------------
 */

static void alone_nothing_can_be_compared(void **state)
{
	(void)state;
	world_start();
	filled();
	world_down(B);
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_UNFINISHED);
	assert_string_equal(found.why, "no two instances are well, and have it");
	world_up(B);
	world_settle();
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	world_finish();
}

static void an_instance_dies_on_the_way(void **state)
{
	(void)state;
	for (msec after = 1; after < 60; after += 4) {
		world_start();
		filled();
		behind_our_back(B, "delete", "{\"ids\":[\"a\"]}");
		begin_to_verify("docs", VERIFY_REPORT);
		pass_ms(after);
		world_down(A);
		until_verified();
		world_up(A);
		world_settle();
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_DIFFERS);
		assert_int_equal(found.wrong, 1u << B);
		world_stop();
	}
}

static void the_proxy_dies_on_the_way(void **state)
{
	(void)state;
	for (msec after = 1; after < 120; after += 3) {
		world_start();
		filled();
		behind_our_back(after % 2, "update",
		                "{\"ids\":[\"c\"],\"documents\":[\"x\"]}");
		begin_to_verify("docs", VERIFY_REPAIR);
		pass_ms(after);
		world_verifies(0, true);
		world_crash();
		world_boot();
		world_lead(10000);
		world_settle();
		pass_ms(10000);
		if (verify("docs", VERIFY_REPAIR) == VERIFIED_DIFFERS)
			pass_ms(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
		world_finish();
	}
}

static void the_collection_is_deleted_on_the_way(void **state)
{
	(void)state;
	for (msec after = 1; after < 60; after += 4) {
		world_start();
		filled();
		begin_to_verify("docs", VERIFY_REPORT);
		pass_ms(after);
		drop("docs");
		until_verified();
		world_finish();
	}
}

/* --- while clients write --------------------------------------------------------------
 */

static void write_something(void)
{
	char ids[40];
	unsigned n = (unsigned)chance_below(30);

	snprintf(ids, sizeof(ids), "i%u,i%u", n, (unsigned)chance_below(30));
	switch (chance_below(5)) {
	case 0:
		take_out("docs", ids);
		break;
	case 1:
		update("docs", ids);
		break;
	case 2:
		upsert("docs", ids);
		break;
	default:
		add_embedded("docs", ids, 2, false);
	}
}

/* `wrong`: something is, and must be found nevertheless. */
static void verify_in_a_storm(uint64_t seed, bool wrong)
{
	bool differed = false;

	world_seed(seed);
	world_start();
	filled();
	model_latency(world_model(B), 1 + (msec)chance_below(40));
	if (wrong)
		behind_our_back(B, "update", "{\"ids\":[\"c\"],\"documents\":[\"x\"]}");
	for (unsigned round = 0; round < 3; round++) {
		begin_to_verify("docs", VERIFY_REPORT);
		while (wal_verify_figures().running) {
			if (chance_of(40))
				write_something();
			pass_ms(1 + (msec)chance_below(15));
		}
		wal_each_verification(keep, named("docs"));
		if (!wrong && found.result == VERIFIED_DIFFERS)
			fail_msg("seed %llu: something is found where nothing is wrong",
			         (unsigned long long)seed);
		differed = differed || found.result == VERIFIED_DIFFERS;
	}
	world_settle();
	assert_int_equal(verify("docs", VERIFY_REPORT),
	                 wrong ? VERIFIED_DIFFERS : VERIFIED_EQUAL);
	assert_int_equal(differed, wrong);
	if (wrong)
		world_stop();
	else
		world_finish();
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++)
		verify_in_a_storm(seed, false);
}

static void what_is_wrong_is_found_in_a_storm(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		verify_in_a_storm(seed, true);
}

/* --- what stands ----------------------------------------------------------------------
 */

static void what_was_found_stands_until_as_much_is_compared(void **state)
{
	(void)state;
	world_start();
	world_crash();
	world_verifies(DAY, false);
	world_boot();
	world_lead(10000);
	filled();
	behind_our_back(B, "update", "{\"ids\":[\"c\"],\"documents\":[\"other\"]}");
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_DIFFERS);
	for (unsigned minute = 0; minute < 40; minute++)
		pass_ms(60000); /* their ids are equal */
	assert_true(wal_verify_figures().results[VERIFIED_EQUAL] > 0);
	assert_int_equal(wal_verify_figures().differences, 1);
	world_down(B);
	begin_to_verify("docs", VERIFY_REPORT);
	until_verified();
	assert_int_equal(wal_verify_figures().differences, 1);
	assert_int_equal(wal_verify_figures().differing, 0);
	world_up(B);
	world_settle();
	world_stop();
}

/* --- by itself ------------------------------------------------------------------------
 */

static void verifies_by_itself(void)
{
	world_start();
	world_crash();
	world_verifies(DAY, true);
	world_boot();
	world_lead(10000);
}

static void within_the_interval_all_is_compared(void **state)
{
	(void)state;
	verifies_by_itself();
	filled();
	behind_our_back(B, "delete", "{\"ids\":[\"a\"]}");
	for (unsigned minute = 0; minute < 35; minute++)
		pass_ms(60000); /* the ids come every quarter of an hour */
	assert_true(wal_verify_figures().results[VERIFIED_DIFFERS] > 0);
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	world_finish();
}

static void after_an_instance_was_away_its_index_is_looked_at(void **state)
{
	(void)state;
	verifies_by_itself();
	made("docs");
	add_embedded("docs", "a", 2, false);
	world_settle();
	pass_ms(10000);
	world_down(B);
	model_lose_vector(world_model(B), "docs", "a");
	world_up(B);
	pass_ms(20000);
	world_settle();
	assert_true(wal_verify_figures().results[VERIFIED_INDEX] > 0);
	pass_ms(10000);
	assert_int_equal(wal_quarantined(), 0);
	assert_int_equal(verify("docs", VERIFY_REPORT), VERIFIED_EQUAL);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_is_equal_is_equal),
	        world_story(the_log_knows_who_is_wrong_and_it_heals),
	        world_story(a_lost_collection_is_found_and_comes_back),
	        world_story(what_only_the_loser_has_is_logged_again),
	        world_story(what_a_client_deletes_is_not_logged_again),
	        world_story(an_index_that_has_lost_a_vector_is_made_anew),
	        world_story(what_is_only_hard_to_find_is_well),
	        world_story(two_damaged_indexes_heal_one_after_the_other),
	        world_story(alone_nothing_can_be_compared),
	        world_story(an_instance_dies_on_the_way),
	        world_story(the_proxy_dies_on_the_way),
	        world_story(the_collection_is_deleted_on_the_way),
	        world_story(nothing_is_found_where_nothing_is_wrong),
	        world_story(what_is_wrong_is_found_in_a_storm),
	        world_story(what_was_found_stands_until_as_much_is_compared),
	        world_story(within_the_interval_all_is_compared),
	        world_story(after_an_instance_was_away_its_index_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
