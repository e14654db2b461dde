/* What of the log is kept, and for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wal/retain.h"

#define HOUR 3600000LL
#define MB (1ull << 20)

static struct retain_partition partitions[16];
static struct retain_instance instances[4];
static struct retain_facts f;

/* Three closed partitions of 60 MB, 30, 20 and 10 hours old; one that is open; three
 * ahead. Two instances, both up, all is well. */
static int set_up(void **state)
{
	(void)state;
	memset(partitions, 0, sizeof(partitions));
	for (unsigned k = 0; k < 7; k++)
		partitions[k] = (struct retain_partition){
		        .lo = k * 1000, .hi = (k + 1) * 1000, .bytes = 60 * MB};
	for (unsigned k = 0; k < 3; k++) {
		partitions[k].newest_ms = (3 - k) * 10 * HOUR;
		partitions[k].oldest_ms = partitions[k].newest_ms + HOUR;
	}
	partitions[3].oldest_ms = HOUR;
	for (unsigned k = 4; k < 7; k++) {
		partitions[k].bytes = MB / 10;
		partitions[k].oldest_ms = partitions[k].newest_ms = -1;
	}
	memset(instances, 0, sizeof(instances));
	for (unsigned i = 0; i < 2; i++)
		instances[i] = (struct retain_instance){
		        .floor = 3500, .configured = true, .up = true, .whole = true};
	f = (struct retain_facts){
	        .partitions = partitions,
	        .n_partitions = 7,
	        .instances = instances,
	        .n_instances = 2,
	        .clock = 3500,
	        .retention_ms = 24 * HOUR,
	        .keep_ms = 24 * HOUR,
	        .leads = true,
	};
	return 0;
}

static void assert_range(enum retain_step step, wal_seq lo, wal_seq hi)
{
	struct retain_decision d = retain_decide(&f);

	assert_int_equal(d.step, step);
	assert_int_equal(d.lo, lo);
	assert_int_equal(d.hi, hi);
}

static void assert_rest(bool stuck)
{
	struct retain_decision d = retain_decide(&f);

	assert_int_equal(d.step, RETAIN_REST);
	assert_int_equal(d.stuck, stuck);
}

static void assert_detach(size_t instance)
{
	struct retain_decision d = retain_decide(&f);

	assert_int_equal(d.step, RETAIN_DETACH);
	assert_int_equal(d.instance, instance);
}

/* As if the oldest had gone, and so on. */
static void without(size_t n)
{
	f.partitions += n;
	f.n_partitions -= n;
}

/* --- add --------------------------------------------------------------------------- */

static void three_are_there_ahead(void **state)
{
	(void)state;
	f.n_partitions = 6;
	assert_range(RETAIN_ADD, 6000, 206000);
	f.leads = false; /* the leader may not know of partitions */
	assert_range(RETAIN_ADD, 6000, 206000);
}

static void one_is_there_even_if_places_were_given_beyond_the_last(void **state)
{
	(void)state;
	f.clock = 9000;
	assert_range(RETAIN_ADD, 9001, 209001);
	f.n_partitions = 0;
	assert_range(RETAIN_ADD, 9001, 209001);
}

static void the_open_one_is_not_ahead(void **state)
{
	(void)state;
	f.clock = 4000; /* the first of the next has been given */
	assert_range(RETAIN_ADD, 7000, 207000);
}

/* --- close ------------------------------------------------------------------------- */

static void what_is_large_is_closed(void **state)
{
	(void)state;
	without(1);
	assert_rest(false);
	partitions[3].bytes = 64 * MB;
	assert_range(RETAIN_CLOSE, 3000, 4000);
	f.clock = 3999; /* it is */
	f.n_partitions++;
	partitions[7] = partitions[6];
	partitions[7].lo = 7000;
	partitions[7].hi = 8000;
	assert_rest(false);
}

static void a_low_limit_makes_them_small(void **state)
{
	(void)state;
	without(1);
	f.limit = 640 * MB;
	partitions[3].bytes = 40 * MB - 1;
	assert_rest(false);
	partitions[3].bytes = 40 * MB;
	assert_range(RETAIN_CLOSE, 3000, 4000);
}

static void a_long_log_makes_them_large(void **state)
{
	(void)state;
	without(1);
	partitions[1].bytes = 128 * 64 * MB;
	partitions[3].bytes = 120 * MB;
	assert_rest(false);
}

static void what_is_old_is_closed(void **state)
{
	(void)state;
	without(1);
	partitions[3].oldest_ms = 6 * HOUR - 1;
	assert_rest(false);
	partitions[3].oldest_ms = 6 * HOUR;
	assert_range(RETAIN_CLOSE, 3000, 4000);
	f.leads = false;
	assert_rest(false);
}

static void what_is_empty_is_not_closed(void **state)
{
	(void)state;
	without(1);
	partitions[3].oldest_ms = partitions[3].newest_ms = -1;
	partitions[3].bytes = 100 * MB;
	assert_rest(false);
}

static void with_no_retention_it_stays_open_for_a_minute(void **state)
{
	(void)state;
	without(3);
	f.keep_ms = f.retention_ms = 0;
	partitions[3].oldest_ms = 59999;
	assert_rest(false);
	partitions[3].oldest_ms = 60000;
	assert_range(RETAIN_CLOSE, 3000, 4000);
}

/* --- drop -------------------------------------------------------------------------- */

static void the_oldest_goes_when_it_is_older_than_the_retention(void **state)
{
	(void)state;
	assert_range(RETAIN_DROP, 0, 1000);
	assert_false(retain_decide(&f).early);
	partitions[0].newest_ms = 24 * HOUR - 1;
	assert_rest(false);
}

static void a_follower_drops_nothing(void **state)
{
	(void)state;
	f.leads = false;
	assert_rest(false);
}

static void what_one_instance_owes_stays(void **state)
{
	(void)state;
	instances[1].floor = 998;
	assert_rest(false);
	instances[1].floor = 999;
	assert_range(RETAIN_DROP, 0, 1000);
}

static void for_one_that_is_detached_nothing_stays(void **state)
{
	(void)state;
	instances[1].floor = 10;
	instances[1].detached = true;
	assert_range(RETAIN_DROP, 0, 1000);
}

static void one_that_is_not_configured_counts(void **state)
{
	(void)state;
	instances[2] = (struct retain_instance){.floor = 10, .unseen_ms = HOUR};
	f.n_instances = 3;
	assert_rest(false);
	instances[2].unseen_ms = 24 * HOUR;
	assert_detach(2);
	assert_false(retain_decide(&f).early);
	instances[2].detached = true;
	assert_range(RETAIN_DROP, 0, 1000);
}

static void what_is_empty_and_closed_goes(void **state)
{
	(void)state;
	partitions[0].oldest_ms = partitions[0].newest_ms = -1;
	assert_range(RETAIN_DROP, 0, 1000);
}

/* --- an operator's word ------------------------------------------------------------ */

static void a_cleanup_takes_what_is_older_than_it_says(void **state)
{
	(void)state;
	without(1);
	f.asked = true;
	f.keep_ms = 15 * HOUR;
	assert_range(RETAIN_DROP, 1000, 2000);
	without(1);
	assert_rest(false);
	f.keep_ms = 0; /* of all */
	assert_range(RETAIN_CLOSE, 3000, 4000);
	instances[0].floor = 1500;
	partitions[3].oldest_ms = partitions[3].newest_ms = -1;
	assert_rest(false);
}

/* --- the limit --------------------------------------------------------------------- */

static void at_the_limit_the_retention_gives_way(void **state)
{
	(void)state;
	without(1);
	f.limit = 181 * MB; /* they are 180.3 MB */
	partitions[3].bytes = 11 * MB;
	partitions[1].bytes = 109 * MB;
	assert_rest(false);
	f.other_bytes = MB;
	assert_range(RETAIN_DROP, 1000, 2000);
	assert_true(retain_decide(&f).early);
}

static void without_a_limit_it_does_not(void **state)
{
	(void)state;
	without(1);
	partitions[1].bytes = 1ull << 50;
	assert_rest(false);
}

/* The replica is down since the oldest partition. */
static void dead_replica(void)
{
	without(1);
	f.limit = 100 * MB;
	partitions[3].bytes = 1;
	instances[1].up = false;
	instances[1].dead = true;
	instances[1].floor = 1500;
}

static void then_the_instance_that_is_down_is_given_up(void **state)
{
	(void)state;
	dead_replica();
	assert_detach(1);
	assert_true(retain_decide(&f).early);
	instances[1].busy = true; /* something is under way there still */
	assert_rest(true);
}

static void below_the_limit_it_is_not(void **state)
{
	(void)state;
	dead_replica();
	f.limit = 1000 * MB;
	assert_rest(false);
	f.limit = 0;
	assert_rest(false);
}

static void one_that_is_up_is_not_given_up(void **state)
{
	(void)state;
	dead_replica();
	instances[1].dead = false; /* it is coming up */
	assert_rest(true);
	instances[1].up = true;
	assert_rest(true);
}

static void the_last_one_is_not_given_up(void **state)
{
	(void)state;
	dead_replica();
	instances[0].detached = true;
	assert_rest(true);
	instances[0].detached = false;
	instances[0].up = false; /* nobody knows which of them returns */
	instances[0].dead = true;
	assert_rest(true);
	f.n_instances = 1;
	f.instances = &instances[1];
	assert_rest(true);
}

/* It may be the only one that has what the other lacks. */
static void nobody_is_given_up_while_the_others_are_not_whole(void **state)
{
	(void)state;
	dead_replica();
	instances[0].whole = false;
	assert_rest(true);
}

static void nobody_is_given_up_for_nothing(void **state)
{
	(void)state;
	dead_replica();
	instances[0].floor = 1400; /* up, and even further behind */
	assert_rest(true);
	instances[0].floor = 3500;
	f.clock = 1500; /* the oldest is the one that is open */
	assert_int_not_equal(retain_decide(&f).step, RETAIN_DETACH);
}

static void of_two_the_one_that_is_further_behind(void **state)
{
	(void)state;
	dead_replica();
	instances[2] = instances[1];
	instances[2].floor = 1400;
	f.n_instances = 3;
	assert_detach(2);
	instances[2].detached = true;
	assert_detach(1);
}

static void one_that_was_removed_goes_at_once(void **state)
{
	(void)state;
	dead_replica();
	instances[1].floor = 3500;
	instances[2] = (struct retain_instance){.floor = 10, .unseen_ms = 1};
	f.n_instances = 3;
	assert_detach(2);
}

/* --- what is told ------------------------------------------------------------------ */

static void it_is_told_well_before(void **state)
{
	(void)state;
	assert_int_equal(retain_level(69, 100, 0), 0);
	assert_int_equal(retain_level(70, 100, 0), 70);
	assert_int_equal(retain_level(89, 100, 70), 70);
	assert_int_equal(retain_level(90, 100, 70), 90);
	assert_int_equal(retain_level(100, 100, 90), 100);
	assert_int_equal(retain_level(1000, 100, 0), 100);
	assert_int_equal(retain_level(1000, 0, 0), 0);
}

static void and_not_again_and_again(void **state)
{
	(void)state;
	assert_int_equal(retain_level(61, 100, 70), 70);
	assert_int_equal(retain_level(59, 100, 70), 0);
	assert_int_equal(retain_level(94, 100, 100), 100);
	assert_int_equal(retain_level(89, 100, 100), 90);
}

#define fact(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fact(three_are_there_ahead),
	        fact(one_is_there_even_if_places_were_given_beyond_the_last),
	        fact(the_open_one_is_not_ahead),
	        fact(what_is_large_is_closed),
	        fact(a_low_limit_makes_them_small),
	        fact(a_long_log_makes_them_large),
	        fact(what_is_old_is_closed),
	        fact(what_is_empty_is_not_closed),
	        fact(with_no_retention_it_stays_open_for_a_minute),
	        fact(the_oldest_goes_when_it_is_older_than_the_retention),
	        fact(a_follower_drops_nothing),
	        fact(what_one_instance_owes_stays),
	        fact(for_one_that_is_detached_nothing_stays),
	        fact(one_that_is_not_configured_counts),
	        fact(what_is_empty_and_closed_goes),
	        fact(a_cleanup_takes_what_is_older_than_it_says),
	        fact(at_the_limit_the_retention_gives_way),
	        fact(without_a_limit_it_does_not),
	        fact(then_the_instance_that_is_down_is_given_up),
	        fact(below_the_limit_it_is_not),
	        fact(one_that_is_up_is_not_given_up),
	        fact(the_last_one_is_not_given_up),
	        fact(nobody_is_given_up_while_the_others_are_not_whole),
	        fact(nobody_is_given_up_for_nothing),
	        fact(of_two_the_one_that_is_further_behind),
	        fact(one_that_was_removed_goes_at_once),
	        fact(it_is_told_well_before),
	        fact(and_not_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
