/* Stories of the log and the engine: see tests/lib/world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/record.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

/* --- the happy path
 * ----------------------------------------------------------------------- */

static void a_write_is_in_the_log_before_it_is_executed(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_forget_trace(PRIMARY);
	fake_pg_stall(true);
	w = add("docs", "a");
	pass_ms(1000);
	assert_false(w->appended);
	assert_string_equal(model_trace(PRIMARY), "");
	fake_pg_stall(false);
	world_finish();
}

static void writes_are_executed_on_both_in_the_order_of_the_log(void **state)
{
	struct write *w1, *w2, *w3;

	(void)state;
	world_start();
	made("docs");
	w1 = add("docs", "a,b");
	w2 = update("docs", "b");
	w3 = take_out("docs", "a");
	world_settle();
	assert_decided(w1, 201);
	assert_decided(w2, 200);
	assert_decided(w3, 200);
	assert_true(w1->seq < w2->seq && w2->seq < w3->seq);
	assert_string_equal(model_trace(PRIMARY),
	                    "create docs; add docs a,b; update docs b; remove docs a; ");
	assert_string_equal(model_trace(REPLICA), model_trace(PRIMARY));
	world_finish();
}

static void the_first_answer_decides_and_is_not_waited_for_twice(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_latency(REPLICA, 1);
	model_fault(REPLICA, FAULT_HANG_AFTER, 1);
	w = add("docs", "a");
	pass_ms(50);
	assert_decided(w, 201);
	assert_string_equal(model_items(PRIMARY, "docs"), "a");
	world_finish();
}

static void a_collection_has_one_id_for_clients_and_one_on_each_instance(void **state)
{
	struct collection *c;

	(void)state;
	world_start();
	c = made("docs");
	assert_string_equal(c->public_id.text, model_collection_id(PRIMARY, "docs"));
	assert_string_equal(c->local[B].text, model_collection_id(REPLICA, "docs"));
	assert_int_not_equal(uuid_compare(&c->local[A], &c->local[B]), 0);
	assert_ptr_equal(catalogue_by_uuid(&c->local[B]), c);
	assert_string_equal(fake_pg_binding(c->id, "replica"), c->local[B].text);
	world_finish();
}

static void a_create_is_durable_before_its_client_hears_of_it(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = create("docs");
	pass_ms(2);
	assert_true(w->appended);
	fake_pg_stall(true);
	pass_ms(1000);
	assert_non_null(model_collection_id(PRIMARY, "docs"));
	assert_false(w->ended);
	fake_pg_stall(false);
	world_settle();
	assert_decided(w, 200);
	world_finish();
}

/* What it has taken away is gone from the tables with its decision: for another proxy,
 * and for who leads next. */
static void a_reset_is_durable_before_its_client_hears_of_it(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = reset();
	pass_ms(2);
	assert_true(w->appended);
	fake_pg_stall(true);
	pass_ms(1000);
	assert_null(model_collection_id(PRIMARY, "docs"));
	assert_false(w->ended);
	fake_pg_stall(false);
	world_settle();
	assert_decided(w, 200);
	world_finish();
}

/* --- position before next
 * ------------------------------------------------------------------ */

static void the_next_of_another_kind_waits_for_the_position(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_forget_trace(PRIMARY);
	add("docs", "a");
	w = update("docs", "a");
	pass_ms(4);
	assert_true(w->appended);
	fake_pg_stall(true);
	pass_ms(1000);
	assert_string_equal(model_trace(PRIMARY), "add docs a; ");
	fake_pg_stall(false);
	world_settle();
	assert_string_equal(model_trace(PRIMARY), "add docs a; update docs a; ");
	world_finish();
}

static void a_run_of_one_kind_does_not_wait(void **state)
{
	(void)state;
	world_start();
	made("docs");
	model_forget_trace(PRIMARY);
	add("docs", "a");
	add("docs", "b");
	add("docs", "c");
	pass_ms(4);
	fake_pg_stall(true);
	pass_ms(1000);
	assert_string_equal(model_trace(PRIMARY), "add docs a; add docs b; add docs c; ");
	fake_pg_stall(false);
	world_finish();
}

/* --- failover
 * ------------------------------------------------------------------------------ */

static void the_replica_executes_what_the_primary_does_not_take(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_REFUSE, 1);
	model_down(PRIMARY, false);
	w = add("docs", "a");
	pass_ms(200);
	assert_decided(w, 201);
	assert_string_equal(model_items(REPLICA, "docs"), "a");
	world_up(A);
	world_finish();
}

static void the_replica_first_drains_what_it_owes(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(B);
	add("docs", "a");
	update("docs", "a");
	pass_ms(500);
	model_forget_trace(REPLICA);
	world_down(A);
	w = take_out("docs", "a");
	pass_ms(500);
	assert_false(w->ended);
	world_up(B);
	pass_ms(500);
	assert_decided(w, 200);
	assert_string_equal(model_trace(REPLICA),
	                    "add docs a; update docs a; remove docs a; ");
	world_up(A);
	world_finish();
}

static void a_primary_that_comes_back_catches_up_in_order(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(A);
	model_forget_trace(PRIMARY);
	add("docs", "a");
	upsert("docs", "a,b");
	w = take_out("docs", "a");
	pass_ms(500);
	assert_decided(w, 200);
	world_up(A);
	world_settle();
	assert_string_equal(model_trace(PRIMARY),
	                    "add docs a; upsert docs a,b; remove docs a; ");
	world_finish();
}

static void one_answered_elsewhere_is_executed_again_where_it_is_in_doubt(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_HANG_AFTER, 1);
	w = add("docs", "a");
	pass_ms(30000);
	assert_decided(w, 201);
	world_finish();
}

static void with_both_down_a_write_waits_and_is_executed_once_in_order(void **state)
{
	struct write *w1, *w2;

	(void)state;
	world_start();
	made("docs");
	world_down(A);
	world_down(B);
	w1 = add("docs", "a");
	w2 = update("docs", "a");
	pass_ms(60000);
	assert_true(w1->appended && !w1->ended && w2->appended && !w2->ended);
	world_up(B);
	pass_ms(1000);
	assert_decided(w1, 201);
	assert_decided(w2, 200);
	model_forget_trace(PRIMARY);
	world_up(A);
	world_settle();
	assert_string_equal(model_trace(PRIMARY), "add docs a; update docs a; ");
	world_finish();
}

/* --- refusals
 * ------------------------------------------------------------------------------ */

static void a_refusal_is_durable_before_its_client_hears_and_skipped_elsewhere(
        void **state)
{
	struct write *w;
	unsigned calls;

	(void)state;
	world_start();
	made("docs");
	calls = model_calls(REPLICA);
	model_refuse_ids(PRIMARY, true);
	w = add("docs", "a");
	pass_ms(2);
	fake_pg_stall(true);
	pass_ms(1000);
	assert_false(w->ended);
	fake_pg_stall(false);
	world_settle();
	assert_decided(w, 400);
	assert_int_equal(model_calls(REPLICA), calls);
	assert_int_equal(fake_pg_log_seq(w->seq)->decision, DECISION_REJECTED);
	model_refuse_ids(PRIMARY, false);
	world_finish();
}

static void a_refused_write_that_set_the_dimension_is_refused_everywhere(void **state)
{
	struct write *bad, *w;

	(void)state;
	world_start();
	made("docs");
	bad = add_embedded("docs", "a", 3, true);
	world_settle();
	assert_decided(bad, 400);
	assert_int_equal(fake_pg_log_seq(bad->seq)->decision,
	                 DECISION_REJECTED_EVERYWHERE);
	w = add_embedded("docs", "a", 2, false);
	world_settle();
	assert_decided(w, 400); /* by either of them */
	w = add_embedded("docs", "a", 3, false);
	world_settle();
	assert_decided(w, 201);
	assert_true(named("docs")->dimension_known);
	world_finish();
}

static void a_write_behind_the_delete_of_its_collection_is_not_found(void **state)
{
	struct collection *c;
	struct write *gone, *w1, *w2;

	(void)state;
	world_start();
	c = collection_hold(made("docs"));
	gone = drop_of(c);
	w1 = items(RECORD_ADD, c, "a", 2, false);
	w2 = items_where(c, "{\"a\":\"x\"}");
	world_settle();
	assert_decided(gone, 200);
	assert_int_equal(w1->status, STATUS_NOT_FOUND);
	assert_int_equal(w2->status, STATUS_NOT_FOUND);
	assert_int_equal(fake_pg_log_count(), 2);
	collection_release(&c);
	world_finish();
}

static void a_record_that_every_instance_answers_500_is_given_up(void **state)
{
	struct write *w, *next;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_500_BEFORE, 100);
	model_fault(REPLICA, FAULT_500_BEFORE, 100);
	w = add("docs", "a");
	next = add("docs", "b");
	for (unsigned k = 0; k < 1000 && !w->ended; k++)
		pass_ms(10);
	model_fault(PRIMARY, FAULT_NONE, 0);
	model_fault(REPLICA, FAULT_NONE, 0);
	world_settle();
	assert_decided(w, 500);
	assert_decided(next, 201);
	assert_string_equal(model_items(REPLICA, "docs"), "b");
	world_finish();
}

static void a_500_after_the_commit_is_executed_again(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_500_AFTER, 1);
	w = add("docs", "a");
	world_settle();
	assert_decided(w, 201);
	world_finish();
}

/* --- collections
 * --------------------------------------------------------------------------- */

static void create_meets(enum fault f)
{
	struct write *w;

	world_start();
	model_fault(PRIMARY, f, 1);
	world_down(B);
	w = create("docs");
	world_up(B);
	world_settle();
	assert_decided(w, 200);
	assert_string_equal(named("docs")->public_id.text,
	                    model_collection_id(PRIMARY, "docs"));
	world_finish();
}

static void a_create_whose_answer_was_lost_is_found_by_its_name(void **state)
{
	(void)state;
	create_meets(FAULT_LOST_AFTER);
	create_meets(FAULT_LOST_BEFORE);
	create_meets(FAULT_503_AFTER);
	create_meets(FAULT_500_AFTER);
}

static void a_refused_create_gives_its_name_back(void **state)
{
	struct write *bad;

	(void)state;
	world_start();
	bad = create_bad("docs");
	world_settle();
	assert_decided(bad, 400);
	assert_null(named("docs"));
	made("docs");
	world_finish();
}

static void a_name_that_is_taken_is_a_conflict_and_not_logged(void **state)
{
	unsigned count;
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	count = fake_pg_log_count();
	w = create("docs");
	world_settle();
	assert_ended(w, STATUS_CONFLICT);
	assert_int_equal(fake_pg_log_count(), count);
	world_finish();
}

static void a_delete_sets_aside_first_so_that_no_other_can_be_meant(void **state)
{
	struct write *gone, *again;

	(void)state;
	world_start();
	made("docs");
	model_forget_trace(PRIMARY);
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	gone = drop("docs");
	pass_ms(3); /* its name is free from the moment it is in the log */
	again = create("docs");
	world_settle();
	assert_decided(gone, 200);
	assert_decided(again, 200);
	assert_string_equal(model_trace(PRIMARY),
	                    "modify docs to aside; modify aside to aside; "
	                    "delete aside; create docs; ");
	world_finish();
}

static void a_rename_holds_both_names_until_it_is_decided(void **state)
{
	struct collection *c;
	struct write *w, *other;

	(void)state;
	world_start();
	c = made("docs");
	w = rename_to("docs", "notes");
	while (!w->appended)
		pass_ms(1);
	assert_ptr_equal(named("docs"), c);
	assert_ptr_equal(named("notes"), c);
	other = create("notes");
	world_settle();
	assert_decided(w, 200);
	assert_ended(other, STATUS_CONFLICT);
	assert_null(named("docs"));
	assert_string_equal(c->name, "notes");
	made("docs");
	world_finish();
}

static void a_rename_to_a_name_that_was_taken_meanwhile_is_a_conflict(void **state)
{
	struct write *first, *second;

	(void)state;
	world_start();
	made("docs");
	first = create("notes");
	second = rename_to("docs", "notes");
	world_settle();
	assert_decided(first, 200);
	assert_ended(second, STATUS_CONFLICT);
	assert_string_equal(named("docs")->name, "docs");
	world_finish();
}

static void the_ids_of_a_filter_are_found_once_and_deleted_everywhere(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	add("docs", "a,b");
	world_settle();
	world_down(B);
	w = take_out_where("docs", "{\"a\":\"z\"}"); /* as the second write has it */
	pass_ms(200);
	assert_decided(w, 200);
	assert_string_equal(fake_pg_log_seq(w->seq)->ids, "{\"ids\":[\"a\",\"b\"]}");
	add("docs", "a,c");
	world_up(B);
	world_settle();
	assert_string_equal(model_trace(REPLICA),
	                    "create docs; add docs a,b; remove docs a,b; add docs a,c; ");
	world_finish();
}

static void a_filter_that_is_not_understood_is_refused(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = take_out_where("docs", "{\"$no\":1}");
	world_settle();
	assert_decided(w, 400);
	world_finish();
}

/* --- databases, tenants, everything
 * -------------------------------------------------------- */

static void a_database_goes_with_its_collections(void **state)
{
	struct database *east;
	struct write *w, *gone, *again;

	(void)state;
	world_start();
	create_database("east");
	world_settle();
	east = catalogue_database(TENANT_DEFAULT, "east");
	create_in(east, "docs");
	world_settle();
	w = items(RECORD_ADD, catalogue_named(east, "docs"), "a", 0, false);
	gone = drop_database("east");
	pass_ms(3);
	again = create_database("east");
	world_settle();
	assert_true(w->ended && gone->ended);
	assert_decided(gone, 200);
	assert_decided(again, 200);
	assert_null(catalogue_named(catalogue_database(TENANT_DEFAULT, "east"), "docs"));
	world_finish();
}

static void what_waits_in_a_deleted_database_does_not_come_into_its_successor(
        void **state)
{
	struct database *east;

	(void)state;
	world_start();
	create_database("east");
	world_settle();
	world_down(B);
	east = catalogue_database(TENANT_DEFAULT, "east");
	create_in(east, "docs");
	pass_ms(300);
	drop_database("east");
	pass_ms(300);
	create_database("east");
	pass_ms(300);
	world_crash(); /* the next leader knows of the old one only by its records */
	world_boot();
	world_lead(10000);
	world_up(B);
	world_finish();
}

static void a_create_behind_the_delete_of_its_database_is_not_logged(void **state)
{
	struct database *east;
	struct write *gone, *w;

	(void)state;
	world_start();
	create_database("east");
	world_settle();
	east = catalogue_database(TENANT_DEFAULT, "east");
	gone = drop_database("east");
	w = create_in(east, "docs");
	world_settle();
	assert_decided(gone, 200);
	assert_ended(w, STATUS_CONFLICT);
	world_finish();
}

static void a_reset_takes_what_was_before_it_and_leaves_what_came_behind(void **state)
{
	struct write *all, *w, *tenant, *database;

	(void)state;
	world_start();
	made("docs");
	create_database("east");
	create_tenant("acme");
	world_settle();
	add("docs", "a");
	all = reset();
	w = create("notes");
	tenant = create_tenant("umbrella");
	database = create_database("west");
	world_settle();
	assert_decided(all, 200);
	assert_decided(w, 200);
	assert_decided(tenant, 200);
	assert_decided(database, 200);
	assert_null(named("docs"));
	assert_non_null(named("notes"));
	assert_false(catalogue_tenant("acme"));
	assert_true(catalogue_tenant("umbrella"));
	assert_null(catalogue_database(TENANT_DEFAULT, "east"));
	assert_non_null(catalogue_database(TENANT_DEFAULT, "west"));
	world_finish();
}

static void what_comes_behind_a_reset_into_a_database_it_took_is_not_sent(void **state)
{
	struct write *all, *w;

	(void)state;
	world_start();
	create_database("east");
	world_settle();
	all = reset();
	w = create_in(catalogue_database(TENANT_DEFAULT, "east"), "docs");
	world_settle();
	assert_decided(all, 200);
	assert_decided(w, 404); /* an instance would have said 400 */
	world_finish();
}

/* Its default database is another than the one that was deleted: what comes into it waits
 * for the reset all the same. */
static void what_comes_into_the_database_that_a_reset_brings_back_is_behind_it(
        void **state)
{
	struct write *all, *w;

	(void)state;
	world_start();
	made("docs");
	drop_database(DATABASE_DEFAULT);
	world_settle();
	model_fault(REPLICA, FAULT_500_AFTER, 1);
	all = reset();
	pass_ms(50);
	assert_decided(all, 200);
	w = create("docs");
	pass_ms(50);
	assert_decided(w, 200);
	assert_null(model_collection_id(REPLICA, "docs")); /* it is reset once more */
	add("docs", "a");
	world_finish();
}

static enum fault the_second(void *calls)
{
	return ++*(unsigned *)calls == 2 ? FAULT_500_AFTER : FAULT_NONE;
}

static void and_behind_those_that_waited_already(void **state)
{
	struct write *all, *again, *w;
	unsigned calls = 0;

	(void)state;
	world_start();
	drop_database(DATABASE_DEFAULT);
	world_settle();
	model_faults(REPLICA, the_second, &calls);
	all = reset();
	again = reset();
	pass_ms(50);
	assert_decided(all, 200);
	assert_decided(again, 200);
	w = create("docs");
	pass_ms(50);
	assert_decided(w, 200);
	assert_null(model_collection_id(REPLICA, "docs"));
	add("docs", "a");
	world_finish();
}

static void a_delete_of_the_default_database_behind_a_reset_stays(void **state)
{
	struct write *all, *gone, *w;

	(void)state;
	world_start();
	all = reset();
	pass_ms(2);
	assert_true(all->appended);
	assert_false(all->ended);
	gone = drop_database(DATABASE_DEFAULT);
	w = create_database(DATABASE_DEFAULT); /* the reset is about to do that */
	world_settle();
	assert_decided(all, 200);
	assert_decided(gone, 200);
	assert_ended(w, STATUS_CONFLICT);
	assert_null(catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT));
	w = create_database(DATABASE_DEFAULT);
	world_settle();
	assert_decided(w, 200);
	world_finish();
}

static void a_reset_that_is_not_allowed_changes_nothing(void **state)
{
	struct write *all;

	(void)state;
	world_start();
	made("docs");
	model_allow_reset(PRIMARY, false);
	model_allow_reset(REPLICA, false);
	all = reset();
	world_settle();
	assert_decided(all, 403);
	assert_non_null(named("docs"));
	world_finish();
}

/* --- PostgreSQL
 * ---------------------------------------------------------------------------- */

static void of_lost_appends_those_in_the_log_happen_once_and_the_others_never(
        void **state)
{
	struct write *w0, *w1, *w2, *w3;

	(void)state;
	world_start();
	made("docs");
	fake_pg_delay(50);
	fake_pg_reachable(false);
	w0 = add("docs", "z");
	w1 = add("docs", "a");
	w2 = add("docs", "b");
	pass_ms(70);
	assert_decided(w0, 201);
	assert_int_equal(fake_pg_sent("log"), 2);
	fake_pg_cut("log", 1, false, 0);
	pass_ms(3000);
	assert_false(w1->ended || w2->ended); /* nobody knows */
	w3 = add("docs", "c");
	pass_ms(10);
	assert_ended(w3, STATUS_LOG_UNAVAILABLE);
	fake_pg_reachable(true);
	world_settle();
	assert_decided(w1, 201);
	assert_ended(w2, STATUS_LOG_UNAVAILABLE);
	assert_string_equal(model_items(REPLICA, "docs"), "z,a");
	world_finish();
}

static void an_append_that_goes_on_at_the_server_is_ended_before_it_is_asked_for(
        void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	fake_pg_delay(50);
	w = add("docs", "a");
	pass_ms(10);
	fake_pg_cut("log", 0, true, 5000);
	pass_ms(130); /* the next session is lost while it asks */
	fake_pg_cut("log", 0, false, 0);
	world_settle();
	assert_ended(w, STATUS_LOG_UNAVAILABLE);
	pass_ms(10000);
	world_finish();
}

/* The next session is lost before, while and after it asks; and is there again when the
 * loss is told. */
static void however_sessions_come_and_go_a_lost_append_is_found_out_about(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	for (msec k = 0; k < 10; k++) {
		w = add("docs", "a");
		pass_ms(1);
		fake_pg_cut("log", 0, true, 5000);
		pass_ms(97 + k);
		fake_pg_cut("log", 0, false, 0);
		world_settle();
		assert_ended(w, STATUS_LOG_UNAVAILABLE);
	}
	world_finish();
}

static void without_postgresql_nothing_is_executed_and_positions_are_written_later(
        void **state)
{
	struct write *before, *during;

	(void)state;
	world_start();
	made("docs");
	before = add("docs", "a");
	pass_ms(2);
	assert_true(before->appended);
	fake_pg_reachable(false);
	fake_pg_cut("log", 0, false, 0);
	fake_pg_cut("control", 0, false, 0);
	pass_ms(500);
	assert_decided(before, 201);
	during = add("docs", "b");
	pass_ms(2000);
	assert_ended(during, STATUS_LOG_UNAVAILABLE);
	assert_string_equal(model_items(PRIMARY, "docs"), "a");
	assert_int_not_equal(fake_pg_position("primary", before->collection),
	                     before->seq);
	fake_pg_reachable(true);
	world_settle();
	assert_int_equal(fake_pg_position("primary", before->collection), before->seq);
	world_finish();
}

static void a_full_disk_refuses_appends_and_is_tried_again_for_positions(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	fake_pg_refuse("append", 1);
	w = add("docs", "a");
	world_settle();
	assert_ended(w, STATUS_LOG_UNAVAILABLE);
	fake_pg_refuse("position", 3);
	w = add("docs", "b");
	world_settle();
	assert_decided(w, 201);
	world_finish();
}

/* --- the lease
 * ----------------------------------------------------------------------------- */

static void nothing_is_sent_when_the_lease_could_not_be_renewed_for_3500_ms(void **state)
{
	struct write *w;
	unsigned calls;

	(void)state;
	world_start();
	made("docs");
	world_down(A);
	world_down(B);
	w = add("docs", "a");
	pass_ms(10);
	fake_pg_reachable(false);
	fake_pg_cut("control", 0, false, 0);
	fake_pg_cut("log", 0, false, 0);
	pass_ms(3600);
	world_up(A);
	world_up(B);
	calls = model_calls(PRIMARY) + model_calls(REPLICA);
	pass_ms(20000);
	assert_int_equal(model_calls(PRIMARY) + model_calls(REPLICA), calls);
	assert_false(w->ended);
	fake_pg_reachable(true);
	world_settle();
	assert_decided(w, 201);
	world_finish();
}

static void a_second_step_is_not_taken_when_the_lease_has_run_out(void **state)
{
	static const char filter[] = "{\"a\":\"z\"}"; /* as the second write has it */
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	add("docs", "a");
	world_settle();
	w = take_out_where("docs", filter);
	pass_ms(2);
	assert_true(w->appended);
	fake_pg_reachable(false);
	fake_pg_cut("control", 0, false, 0); /* it is not renewed */
	fake_pg_delay(4000);                 /* the ids are found, and stored too late */
	pass_ms(5000);
	assert_non_null(fake_pg_log_seq(w->seq)->ids);
	assert_string_equal(model_items(PRIMARY, "docs"), "a");
	assert_false(w->ended);
	fake_pg_delay(2);
	fake_pg_reachable(true);
	world_settle();
	assert_decided(w, 200);
	assert_string_equal(model_items(PRIMARY, "docs"), "");
	world_finish();
}

static void a_leader_whose_epoch_is_over_is_deposed_and_leads_again_later(void **state)
{
	struct write *w, *later;

	(void)state;
	world_start();
	made("docs");
	create_tenant("acme");
	w = add("docs", "a");
	while (!w->appended)
		pass_ms(1);
	fake_pg_take_lease(3000); /* another executes it again, or we do */
	pass_ms(1500);
	assert_false(wal_leads());
	assert_null(named("docs"));
	world_lead(10000);
	pass_ms(500);
	assert_decided(w, 201);
	later = add("docs", "b");
	create_database("east");
	world_settle();
	assert_decided(later, 201);
	assert_non_null(catalogue_database(TENANT_DEFAULT, "east"));
	world_finish();
}

static void deposed(void)
{
	fake_pg_take_lease(3000);
	pass_ms(1500);
	assert_false(wal_leads());
}

/* Only a later position says that it was accepted: its outcome could not be stored. */
static void who_waits_for_an_outcome_that_was_lost_hears_what_follows_from_positions(
        void **state)
{
	struct write *w, *later;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_HANG_BEFORE, 1);
	w = add("docs", "a");
	pass_ms(10);
	assert_true(w->appended);
	deposed();
	fake_pg_refuse("outcome", 1);
	world_lead(10000);
	later = add("docs", "b");
	pass_ms(50);
	assert_decided(later, 201);
	assert_string_equal(model_items(PRIMARY, "docs"), "a,b");
	assert_false(w->ended); /* PostgreSQL would have to say so */
	deposed();
	world_lead(10000);
	world_settle();
	assert_decided(w, 201);
	world_finish();
}

static void an_append_left_behind_at_the_server_does_not_commit_under_the_next_leader(
        void **state)
{
	(void)state;
	world_start();
	made("docs");
	fake_pg_delay(50);
	add("docs", "a");
	pass_ms(10);
	fake_pg_at_death(0, true, 8000);
	world_restart(10000);
	pass_ms(10000);
	world_finish();
}

/* --- crashes
 * ------------------------------------------------------------------------------- */

static void a_crash_after_the_answer_before_the_position_loses_nothing(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = add("docs", "a");
	pass_ms(2);
	fake_pg_stall(true);
	pass_ms(100);
	assert_decided(w, 201);
	world_crash();
	fake_pg_stall(false);
	world_boot();
	world_lead(10000);
	world_settle();
	assert_string_equal(model_items(PRIMARY, "docs"), "a");
	assert_string_equal(model_items(REPLICA, "docs"), "a");
	world_finish();
}

static void after_a_restart_reads_go_only_where_everything_is(void **state)
{
	struct collection *c;
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(B);
	w = add("docs", "a");
	pass_ms(200);
	assert_decided(w, 201);
	world_crash();
	model_fault(REPLICA, FAULT_LOST_BEFORE, 3);
	model_up(REPLICA);
	world_boot();
	world_lead(10000);
	c = named("docs");
	assert_string_equal(model_items(REPLICA, "docs"), "");
	assert_true(wal_current(health_instance(A), c));
	assert_false(wal_current(health_instance(B), c));
	world_settle();
	assert_true(wal_current(health_instance(B), c));
	world_finish();
}

static void a_create_in_doubt_at_a_crash_is_found_again(void **state)
{
	(void)state;
	world_start();
	create("docs");
	pass_ms(2);
	fake_pg_stall(true);
	pass_ms(100);
	assert_non_null(model_collection_id(PRIMARY, "docs"));
	world_crash();
	fake_pg_stall(false);
	world_boot();
	world_lead(10000);
	world_settle();
	assert_non_null(named("docs"));
	world_finish();
}

static bool drained;

static void on_drained(void *arg)
{
	(void)arg;
	drained = true;
}

static void everything_is_given_back_by_a_drain(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = add("docs", "a");
	pass_ms(3);
	drained = false;
	wal_drain(on_drained, NULL);
	pass_ms(100);
	assert_true(drained);
	assert_decided(w, 201);
	world_restart(100); /* without waiting for the lease to run out */
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(a_write_is_in_the_log_before_it_is_executed),
	        world_story(writes_are_executed_on_both_in_the_order_of_the_log),
	        world_story(the_first_answer_decides_and_is_not_waited_for_twice),
	        world_story(a_collection_has_one_id_for_clients_and_one_on_each_instance),
	        world_story(a_create_is_durable_before_its_client_hears_of_it),
	        world_story(a_reset_is_durable_before_its_client_hears_of_it),
	        world_story(the_next_of_another_kind_waits_for_the_position),
	        world_story(a_run_of_one_kind_does_not_wait),
	        world_story(the_replica_executes_what_the_primary_does_not_take),
	        world_story(the_replica_first_drains_what_it_owes),
	        world_story(a_primary_that_comes_back_catches_up_in_order),
	        world_story(
	                one_answered_elsewhere_is_executed_again_where_it_is_in_doubt),
	        world_story(with_both_down_a_write_waits_and_is_executed_once_in_order),
	        world_story(
	                a_refusal_is_durable_before_its_client_hears_and_skipped_elsewhere),
	        world_story(a_refused_write_that_set_the_dimension_is_refused_everywhere),
	        world_story(a_write_behind_the_delete_of_its_collection_is_not_found),
	        world_story(a_record_that_every_instance_answers_500_is_given_up),
	        world_story(a_500_after_the_commit_is_executed_again),
	        world_story(a_create_whose_answer_was_lost_is_found_by_its_name),
	        world_story(a_refused_create_gives_its_name_back),
	        world_story(a_name_that_is_taken_is_a_conflict_and_not_logged),
	        world_story(a_delete_sets_aside_first_so_that_no_other_can_be_meant),
	        world_story(a_rename_holds_both_names_until_it_is_decided),
	        world_story(a_rename_to_a_name_that_was_taken_meanwhile_is_a_conflict),
	        world_story(the_ids_of_a_filter_are_found_once_and_deleted_everywhere),
	        world_story(a_filter_that_is_not_understood_is_refused),
	        world_story(a_database_goes_with_its_collections),
	        world_story(
	                what_waits_in_a_deleted_database_does_not_come_into_its_successor),
	        world_story(a_create_behind_the_delete_of_its_database_is_not_logged),
	        world_story(a_reset_takes_what_was_before_it_and_leaves_what_came_behind),
	        world_story(
	                what_comes_behind_a_reset_into_a_database_it_took_is_not_sent),
	        world_story(
	                what_comes_into_the_database_that_a_reset_brings_back_is_behind_it),
	        world_story(and_behind_those_that_waited_already),
	        world_story(a_delete_of_the_default_database_behind_a_reset_stays),
	        world_story(a_reset_that_is_not_allowed_changes_nothing),
	        world_story(
	                of_lost_appends_those_in_the_log_happen_once_and_the_others_never),
	        world_story(
	                an_append_that_goes_on_at_the_server_is_ended_before_it_is_asked_for),
	        world_story(
	                however_sessions_come_and_go_a_lost_append_is_found_out_about),
	        world_story(
	                without_postgresql_nothing_is_executed_and_positions_are_written_later),
	        world_story(a_full_disk_refuses_appends_and_is_tried_again_for_positions),
	        world_story(
	                nothing_is_sent_when_the_lease_could_not_be_renewed_for_3500_ms),
	        world_story(a_second_step_is_not_taken_when_the_lease_has_run_out),
	        world_story(
	                a_leader_whose_epoch_is_over_is_deposed_and_leads_again_later),
	        world_story(
	                who_waits_for_an_outcome_that_was_lost_hears_what_follows_from_positions),
	        world_story(
	                an_append_left_behind_at_the_server_does_not_commit_under_the_next_leader),
	        world_story(a_crash_after_the_answer_before_the_position_loses_nothing),
	        world_story(after_a_restart_reads_go_only_where_everything_is),
	        world_story(a_create_in_doubt_at_a_crash_is_found_again),
	        world_story(everything_is_given_back_by_a_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
