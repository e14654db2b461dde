/* What other proxies append while we lead: each record has its place among our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/lib/world.h"
#include "wal/record.h"

static int decision_of(int64_t seq)
{
	return fake_pg_log_seq(seq)->decision;
}

static void assert_all_decided(void)
{
	for (unsigned k = 0; k < fake_pg_log_count(); k++)
		assert_int_not_equal(fake_pg_log(k)->decision, DECISION_OPEN);
}

static int64_t elsewhere_adds(const struct collection *c, const char *body)
{
	int64_t seq = fake_pg_append_elsewhere(RECORD_ADD, c->id, c->db->id, NULL, body);

	assert_true(seq > 0);
	return seq;
}

#define ITEM(id) "{\"ids\":[\"" id "\"],\"embeddings\":[[1,2]]}"

static void what_another_appends_is_executed(void **state)
{
	struct collection *docs;
	int64_t seq;

	(void)state;
	world_start();
	docs = made("docs");
	seq = elsewhere_adds(docs, ITEM("a"));
	fake_pg_notify("appended");
	pass_ms(100);
	world_settle();
	assert_int_equal(decision_of(seq), DECISION_ACCEPTED);
	assert_string_equal(model_items(world_model(A), "docs"), "a");
	assert_string_equal(model_items(world_model(B), "docs"), "a");
	world_stop();
}

static void it_is_found_without_being_told_of(void **state)
{
	int64_t seq;

	(void)state;
	world_start();
	seq = elsewhere_adds(made("docs"), ITEM("a"));
	pass_ms(1500);
	assert_int_equal(decision_of(seq), DECISION_ACCEPTED);
	world_stop();
}

static void our_own_wait_for_what_stands_before_them(void **state)
{
	struct collection *docs;
	struct write *w;

	(void)state;
	world_start();
	docs = made("docs");
	elsewhere_adds(docs, ITEM("a"));
	w = take_out("docs", "a");
	world_settle();
	assert_decided(w, 200);
	assert_string_equal(model_items(world_model(A), "docs"), "");
	assert_string_equal(model_items(world_model(B), "docs"), "");
	world_stop();
}

static void many_of_both_keep_their_order(void **state)
{
	struct collection *docs;
	struct write *last = NULL;

	(void)state;
	world_start();
	docs = made("docs");
	for (unsigned k = 0; k < 40; k++) {
		elsewhere_adds(docs, ITEM("a"));
		last = take_out("docs", "a");
		pass_ms(k % 3);
	}
	world_settle();
	assert_all_decided();
	assert_decided(last, 200);
	assert_string_equal(model_items(world_model(A), "docs"), "");
	assert_string_equal(model_items(world_model(B), "docs"), "");
	world_stop();
}

static void a_collection_made_elsewhere_takes_its_name(void **state)
{
	struct write *w;
	int64_t seq;

	(void)state;
	world_start();
	seq = fake_pg_append_elsewhere(RECORD_CREATE_COLLECTION, 0, DATABASE_DEFAULT_ID,
	                               "docs", "{\"name\":\"docs\"}");
	w = create("docs");
	world_settle();
	assert_int_equal(w->status, STATUS_CONFLICT);
	assert_non_null(named("docs")); /* known when the client was told so */
	assert_int_equal(decision_of(seq), DECISION_ACCEPTED);
	w = add("docs", "a");
	world_settle();
	assert_decided(w, 201);
	world_stop();
}

static void a_collection_deleted_elsewhere_is_gone(void **state)
{
	struct collection *docs;
	struct write *w;

	(void)state;
	world_start();
	docs = made("docs");
	add("docs", "a");
	world_settle();
	assert_true(fake_pg_append_elsewhere(RECORD_DELETE_COLLECTION, docs->id,
	                                     docs->db->id, NULL, NULL) > 0);
	fake_pg_notify("appended");
	pass_ms(20);
	assert_null(named("docs"));
	world_settle();
	w = create("docs");
	world_settle();
	assert_decided(w, 200);
	world_stop();
}

static void it_outlives_the_leader(void **state)
{
	struct collection *docs;
	int64_t seq;

	(void)state;
	world_start();
	docs = collection_hold(made("docs"));
	world_down(A);
	world_down(B);
	seq = elsewhere_adds(docs, ITEM("a"));
	fake_pg_notify("appended");
	pass_ms(100);
	assert_int_equal(decision_of(seq), DECISION_OPEN);
	elsewhere_adds(docs, ITEM("b"));
	collection_release(&docs);
	world_crash();
	world_boot();
	world_lead(20000);
	world_up(A);
	world_up(B);
	world_settle();
	assert_int_equal(decision_of(seq), DECISION_ACCEPTED);
	assert_string_equal(model_items(world_model(A), "docs"), "a,b");
	world_stop();
}

static void a_lost_connection_confuses_nobody(void **state)
{
	struct collection *docs;
	struct write *w;

	(void)state;
	world_start();
	docs = made("docs");
	elsewhere_adds(docs, ITEM("a"));
	w = take_out("docs", "a");
	fake_pg_cut("log", 1, false, 0); /* it has committed, and we do not hear of it */
	elsewhere_adds(docs, ITEM("b"));
	world_settle();
	assert_decided(w, 200);
	pass_ms(1500);
	world_settle();
	assert_string_equal(model_items(world_model(A), "docs"), "b");
	assert_string_equal(model_items(world_model(B), "docs"), "b");
	world_stop();
}

/* Closed, a partition's last places are left out: but not those that others have taken.
 */
static void nothing_is_passed_when_a_partition_is_closed(void **state)
{
	struct collection *docs;
	int64_t seq[60];

	(void)state;
	world_log_limit(40 * FAKE_RECORD_BYTES);
	world_repairs();
	world_start();
	docs = made("docs");
	for (unsigned k = 0; k < 60; k++) {
		seq[k] = elsewhere_adds(docs, ITEM("a"));
		pass_ms(977);
	}
	pass_ms(2000);
	for (unsigned k = 0; k < 60; k++)
		if (fake_pg_log_seq(seq[k]) != NULL)
			assert_int_equal(decision_of(seq[k]), DECISION_ACCEPTED);
	assert_true(seq[59] > 100000); /* one was */
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_another_appends_is_executed),
	        world_story(it_is_found_without_being_told_of),
	        world_story(our_own_wait_for_what_stands_before_them),
	        world_story(many_of_both_keep_their_order),
	        world_story(a_collection_made_elsewhere_takes_its_name),
	        world_story(a_collection_deleted_elsewhere_is_gone),
	        world_story(it_outlives_the_leader),
	        world_story(a_lost_connection_confuses_nobody),
	        world_story(nothing_is_passed_when_a_partition_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
