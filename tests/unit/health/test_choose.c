#include "health/health_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define RATIO 0.8
#define TO_REPLICA 0.1 /* a chance below the ratio */
#define TO_FIRST 0.9

static unsigned by_share(const struct candidate *list, unsigned n, double chance,
                         unsigned turn)
{
	return choose(list, n, STRATEGY_OPTIMIZED_READ_REPLICA, RATIO, chance, turn);
}

static void the_share_of_the_replica_goes_to_the_replica(void **state)
{
	struct candidate list[] = {{true, 0}, {true, 50}};

	(void)state;
	assert_int_equal(by_share(list, 2, TO_REPLICA, 0), 1);
	assert_int_equal(by_share(list, 2, 0.7999, 0), 1);
	assert_int_equal(by_share(list, 2, 0.8, 0), 0);
	assert_int_equal(by_share(list, 2, TO_FIRST, 0), 0);
}

static void a_ratio_of_none_or_all_leaves_no_chance(void **state)
{
	struct candidate list[] = {{true, 0}, {true, 0}};
	enum conf_strategy s = STRATEGY_OPTIMIZED_READ_REPLICA;

	(void)state;
	assert_int_equal(choose(list, 2, s, 0.0, 0.0, 0), 0);
	assert_int_equal(choose(list, 2, s, 1.0, 0.999999, 0), 1);
}

static void among_replicas_the_least_loaded_is_asked(void **state)
{
	struct candidate list[] = {{true, 0}, {true, 7}, {true, 3}, {true, 9}};

	(void)state;
	for (unsigned turn = 0; turn < 6; turn++)
		assert_int_equal(by_share(list, 4, TO_REPLICA, turn), 2);
}

static void equally_loaded_replicas_take_turns(void **state)
{
	struct candidate list[] = {{true, 0}, {true, 3}, {true, 3}};

	(void)state;
	assert_int_equal(by_share(list, 3, TO_REPLICA, 0), 1);
	assert_int_equal(by_share(list, 3, TO_REPLICA, 1), 2);
	assert_int_equal(by_share(list, 3, TO_REPLICA, 2), 1);
}

static void without_a_replica_the_first_serves_its_share_too(void **state)
{
	struct candidate list[] = {{true, 0}, {false, 0}};

	(void)state;
	assert_int_equal(by_share(list, 2, TO_REPLICA, 0), 0);
	assert_int_equal(by_share(list, 1, TO_REPLICA, 0), 0);
}

static void without_the_first_the_least_loaded_replica_serves_its_share_too(void **state)
{
	struct candidate list[] = {{false, 0}, {true, 9}, {true, 2}};

	(void)state;
	assert_int_equal(by_share(list, 3, TO_FIRST, 0), 2);
}

static void round_robin_goes_round_those_that_may_serve(void **state)
{
	struct candidate list[] = {{true, 0}, {false, 0}, {true, 9}};
	static const unsigned expected[] = {0, 2, 0, 2};

	(void)state;
	for (unsigned turn = 0; turn < 4; turn++)
		assert_int_equal(choose(list, 3, STRATEGY_ROUND_ROBIN, RATIO, 0, turn),
		                 expected[turn]);
}

static void primary_only_leaves_the_primary_only_when_it_must(void **state)
{
	struct candidate list[] = {{true, 99}, {true, 0}, {true, 0}};

	(void)state;
	assert_int_equal(choose(list, 3, STRATEGY_PRIMARY_ONLY, 1.0, 0, 0), 0);
	list[0].may_serve = false;
	assert_int_equal(choose(list, 3, STRATEGY_PRIMARY_ONLY, 1.0, 0, 1), 1);
}

static void none_is_chosen_when_none_may_serve(void **state)
{
	struct candidate list[] = {{false, 0}, {false, 0}};

	(void)state;
	for (int s = STRATEGY_OPTIMIZED_READ_REPLICA; s <= STRATEGY_PRIMARY_ONLY; s++) {
		assert_int_equal(choose(list, 2, (enum conf_strategy)s, RATIO, 0, 0),
		                 CHOOSE_NONE);
		assert_int_equal(choose(list, 0, (enum conf_strategy)s, RATIO, 0, 0),
		                 CHOOSE_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_share_of_the_replica_goes_to_the_replica),
	        cmocka_unit_test(a_ratio_of_none_or_all_leaves_no_chance),
	        cmocka_unit_test(among_replicas_the_least_loaded_is_asked),
	        cmocka_unit_test(equally_loaded_replicas_take_turns),
	        cmocka_unit_test(without_a_replica_the_first_serves_its_share_too),
	        cmocka_unit_test(
	                without_the_first_the_least_loaded_replica_serves_its_share_too),
	        cmocka_unit_test(round_robin_goes_round_those_that_may_serve),
	        cmocka_unit_test(primary_only_leaves_the_primary_only_when_it_must),
	        cmocka_unit_test(none_is_chosen_when_none_may_serve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
