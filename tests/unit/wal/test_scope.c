/* Whose turn it is: lanes, records that span several, runs, positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/default_catalogue.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"
#include "wal/record.h"
#include "wal/scope.h"

static struct database *home, *east;
static struct collection *docs, *notes, *far;
static struct record *records[16];
static unsigned n_records;

static int start(void **state)
{
	static char names[2][8] = {"a", "b"}, urls[2][8] = {"a:1", "b:1"};
	static struct conf conf;

	(void)state;
	conf = (struct conf){.n_instances = 2,
	                     .check_interval = 1000,
	                     .check_timeout = 1000,
	                     .failure_threshold = 1,
	                     .recovery_threshold = 1};
	for (unsigned i = 0; i < 2; i++)
		conf.instances[i] = (struct conf_instance){names[i], urls[i]};
	health_start(&conf);
	catalogue_start(scope_free);
	add_default();
	n_records = 0;
	home = catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT);
	east = catalogue_add_database(2, TENANT_DEFAULT, "east", LIFE_LIVE);
	docs = catalogue_add_collection(3, home, "docs", LIFE_LIVE);
	notes = catalogue_add_collection(4, home, "notes", LIFE_LIVE);
	far = catalogue_add_collection(5, east, "far", LIFE_LIVE);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (unsigned k = 0; k < n_records; k++) {
		scope_leave(records[k]);
		record_free(records[k]);
	}
	catalogue_stop();
	scope_free(scope_all());
	health_stop();
	pass_ms(0);
	return 0;
}

static struct record *enter(enum record_kind kind, struct collection *c,
                            struct database *db)
{
	struct wal_write w = {.kind = kind,
	                      .collection = c,
	                      .database = db,
	                      .name = "n",
	                      .tenant = "t"};
	struct record *r = record_create(100 + (wal_seq)n_records, &w);

	scope_enter(r);
	records[n_records++] = r;
	return r;
}

static void done(struct record *r, unsigned i)
{
	assert_true(scope_may_execute(r, i));
	scope_sent(r, i);
	scope_done(r, i);
}

static void durable(struct record *r, unsigned i)
{
	done(r, i);
	scope_durable(r, i);
}

static bool may(struct record *r)
{
	return scope_may_execute(r, 0);
}

static void one_collection_is_one_row_on_each_instance(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_UPDATE, docs, NULL);

	(void)state;
	assert_true(may(r1) && !may(r2));
	durable(r1, 0);
	assert_true(may(r2));
	assert_false(scope_may_execute(r2, 1));
	assert_true(scope_may_execute(r1, 1));
}

static void collections_do_not_wait_for_each_other(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_UPDATE, notes, NULL);

	(void)state;
	assert_true(may(r1) && may(r2));
}

static void another_kind_waits_until_the_position_is_durable(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_UPDATE, docs, NULL);

	(void)state;
	done(r1, 0);
	assert_false(may(r2));
	scope_durable(r1, 0);
	assert_true(may(r2));
}

static void a_run_of_one_kind_does_not_wait_but_ends_with_another(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_ADD, docs, NULL);
	struct record *r3 = enter(RECORD_UPSERT, docs, NULL);
	struct record *r4 = enter(RECORD_UPSERT, docs, NULL);

	(void)state;
	done(r1, 0);
	done(r2, 0);
	assert_false(may(r3));
	scope_durable(r1, 0);
	assert_false(may(r3));
	scope_durable(r2, 0);
	done(r3, 0);
	assert_true(may(r4));
}

static void filters_and_catalogue_writes_are_no_runs(void **state)
{
	struct record *r1 = enter(RECORD_DELETE_WHERE, docs, NULL);
	struct record *r2 = enter(RECORD_DELETE_WHERE, docs, NULL);
	struct record *r3 = enter(RECORD_MODIFY_COLLECTION, notes, NULL);
	struct record *r4 = enter(RECORD_MODIFY_COLLECTION, notes, NULL);

	(void)state;
	done(r1, 0);
	assert_false(may(r2));
	done(r3, 0);
	assert_false(may(r4));
}

static void a_delete_of_a_collection_stands_in_its_row_and_in_its_databases(void **state)
{
	struct record *item = enter(RECORD_ADD, docs, NULL);
	struct record *gone = enter(RECORD_DELETE_COLLECTION, docs, NULL);
	struct record *other = enter(RECORD_MODIFY_COLLECTION, notes, NULL);
	struct record *apart = enter(RECORD_MODIFY_COLLECTION, far, NULL);

	(void)state;
	assert_false(may(gone));
	assert_false(may(other)); /* the names of a database change in order */
	assert_true(may(apart));
	durable(item, 0);
	durable(gone, 0);
	assert_true(may(other));
}

static void a_delete_of_a_database_waits_for_every_collection_in_it(void **state)
{
	struct record *item = enter(RECORD_ADD, far, NULL);
	struct record *elsewhere = enter(RECORD_ADD, docs, NULL);
	struct record *gone = enter(RECORD_DELETE_DATABASE, NULL, east);
	struct record *behind = enter(RECORD_ADD, far, NULL);

	(void)state;
	assert_false(may(gone));
	durable(item, 0);
	assert_false(may(behind));
	durable(gone, 0);
	assert_true(may(behind) && may(elsewhere));
}

static void a_delete_of_a_database_waits_for_what_is_gone_in_it_too(void **state)
{
	struct collection *held = collection_hold(far);
	struct record *item = enter(RECORD_ADD, far, NULL), *gone;

	(void)state;
	collection_set_gone(far);
	gone = enter(RECORD_DELETE_DATABASE, NULL, east);
	assert_false(may(gone));
	durable(item, 0);
	assert_true(may(gone));
	collection_release(&held);
}

static void a_reset_waits_for_everything_and_everything_for_it(void **state)
{
	struct record *item = enter(RECORD_ADD, far, NULL);
	struct record *tenant = enter(RECORD_CREATE_TENANT, NULL, NULL);
	struct record *all = enter(RECORD_RESET, NULL, NULL);
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_MODIFY_COLLECTION, notes, NULL);
	struct record *r3 = enter(RECORD_CREATE_DATABASE, NULL, east);

	(void)state;
	assert_false(may(all));
	durable(item, 0);
	assert_false(may(all));
	durable(tenant, 0);
	assert_false(may(r1) || may(r2) || may(r3));
	done(all, 0);
	assert_false(may(r1) || may(r2) || may(r3));
	scope_durable(all, 0);
	assert_true(may(r1) && may(r2) && may(r3));
}

static void a_collection_may_go_while_a_wide_record_stands_in_its_row(void **state)
{
	struct record *gone = enter(RECORD_DELETE_DATABASE, NULL, east);
	struct record *all = enter(RECORD_RESET, NULL, NULL);

	(void)state;
	database_set_gone(east); /* nobody holds its collections */
	durable(gone, 0);
	durable(all, 0);
	assert_true(scope_may_execute(gone, 1));
}

static void leaving_lets_the_next_one_stand_first(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct record *r2 = enter(RECORD_UPDATE, docs, NULL);

	(void)state;
	scope_leave(r1);
	assert_true(may(r2) && scope_may_execute(r2, 1));
}

static void a_read_goes_where_nothing_is_missing_that_others_may_show(void **state)
{
	struct record *r1 = enter(RECORD_ADD, docs, NULL);
	struct scope *s = scope_of_collection(docs);

	(void)state;
	assert_true(scope_current(NULL, 0));
	assert_true(scope_current(s, 0) && scope_current(s, 1));
	scope_sent(r1, 0);
	assert_true(scope_current(s, 0)); /* it may show it or not; it keeps it */
	assert_false(scope_current(s, 1));
	scope_done(r1, 0);
	assert_false(scope_current(s, 1));
	durable(r1, 1);
	assert_true(scope_current(s, 0) && scope_current(s, 1));
}

/* It is asked about whenever one of its lanes moves; walking them all each time took
 * minutes. */
static void many_collections_do_not_make_a_wide_record_slow(void **state)
{
	enum { MANY = 20000 };
	struct record **items = mem_array(MANY, sizeof(*items)), *wide;
	struct wal_write w = {.kind = RECORD_RESET};
	clock_t begun;
	char name[16];

	(void)state;
	for (unsigned k = 0; k < MANY; k++) {
		struct wal_write add = {.kind = RECORD_ADD};

		snprintf(name, sizeof(name), "c%u", k);
		add.collection =
		        catalogue_add_collection(1000 + k, home, name, LIFE_LIVE);
		items[k] = record_create(100000 + k, &add);
		scope_enter(items[k]);
	}
	wide = record_create(200000, &w);
	scope_enter(wide);
	begun = clock();
	for (unsigned k = MANY; k-- > 0;) {
		assert_false(scope_may_execute(wide, 0));
		scope_done(items[k], 0);
		scope_durable(items[k], 0);
	}
	assert_true(scope_may_execute(wide, 0));
	assert_true(clock() - begun < 2 * CLOCKS_PER_SEC);
	for (unsigned k = 0; k < MANY; k++) {
		scope_leave(items[k]);
		record_free(items[k]);
	}
	scope_leave(wide);
	record_free(wide);
	free(items);
}

#define story(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(one_collection_is_one_row_on_each_instance),
	        story(collections_do_not_wait_for_each_other),
	        story(another_kind_waits_until_the_position_is_durable),
	        story(a_run_of_one_kind_does_not_wait_but_ends_with_another),
	        story(filters_and_catalogue_writes_are_no_runs),
	        story(a_delete_of_a_collection_stands_in_its_row_and_in_its_databases),
	        story(a_delete_of_a_database_waits_for_every_collection_in_it),
	        story(a_delete_of_a_database_waits_for_what_is_gone_in_it_too),
	        story(a_reset_waits_for_everything_and_everything_for_it),
	        story(a_collection_may_go_while_a_wide_record_stands_in_its_row),
	        story(leaving_lets_the_next_one_stand_first),
	        story(many_collections_do_not_make_a_wide_record_slow),
	        story(a_read_goes_where_nothing_is_missing_that_others_may_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
