/* Stories of instances that come back as somebody else: wal/identity.c, wal/resync.c,
 * wal/survey.c, health/marker.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/heal.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

/* --- the verdict, pure -------------------------------------------------------------- */

static struct uuid uuid_of(const char *digit)
{
	char text[UUID_LEN + 1];
	struct uuid u;

	snprintf(text, sizeof(text), "%s0000000-0000-4000-8000-000000000000", digit);
	assert_true(uuid_parse(text, UUID_LEN, &u));
	return u;
}

static enum identity verdict(const char *cluster, const char *instance, int64_t beat,
                             bool marked, bool adopted)
{
	struct uuid ours = uuid_of("a"), own = uuid_of("1"), adopts = {{0}};
	struct marker found = {0};
	struct identity_facts f = {.found = &found,
	                           .cluster = &ours,
	                           .instance = &own,
	                           .adopted = &adopts,
	                           .beat = 7,
	                           .marked = marked};

	if (cluster != NULL)
		found = (struct marker){true, uuid_of(cluster), uuid_of(instance), beat};
	if (adopted)
		adopts = uuid_of("f");
	return identity_verdict(&f);
}

static void what_each_marker_means(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		bool marked = k & 1, adopts = k & 2;

		assert_int_equal(verdict(NULL, NULL, 0, marked, adopts),
		                 marked ? IDENTITY_BLANK : IDENTITY_NEW);
		for (int64_t beat = 0; beat < 20; beat++) {
			assert_int_equal(verdict("a", "1", beat, marked, adopts),
			                 beat >= 7 ? IDENTITY_OURS : IDENTITY_OLD);
			assert_int_equal(verdict("a", "2", beat, marked, adopts),
			                 IDENTITY_ANOTHER);
			assert_int_equal(verdict("e", "1", beat, marked, adopts),
			                 IDENTITY_FOREIGN);
			assert_int_equal(verdict("f", "1", beat, marked, adopts),
			                 !adopts  ? IDENTITY_FOREIGN
			                 : marked ? IDENTITY_OLD
			                          : IDENTITY_NEW);
		}
	}
}

/* --- helpers ------------------------------------------------------------------------ */

static unsigned parked(unsigned i)
{
	return quarantine_count(i);
}

static void until_up(unsigned i)
{
	msec until = clock_ms() + 20000;

	while (!instance_up(health_instance(i))) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
}

static void until_down(unsigned i)
{
	msec until = clock_ms() + 20000;

	while (instance_up(health_instance(i))) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
}

static void until_writable(unsigned i)
{
	msec until = clock_ms() + 20000;

	while (!instance_writable(health_instance(i))) {
		assert_true(clock_ms() < until);
		pass_ms(1);
	}
}

/* It answers again, with whatever it has now. */
static void returns(unsigned i)
{
	model_up(world_model(i));
	until_up(i);
	until_writable(i);
}

static const char *identity(unsigned i)
{
	return instance_figures(health_instance(i)).identity;
}

static int64_t beat_of(unsigned i)
{
	bool marked;
	int64_t beat = fake_pg_beat(instance_name(health_instance(i)), &marked);

	return marked ? beat : -1;
}

static int64_t beat_on(unsigned i)
{
	const char *beat = strrchr(model_marker(world_model(i)), ' ');

	return beat != NULL ? strtoll(beat, NULL, 10) : -1;
}

static void assert_refused(unsigned i, const char *as, const char *why)
{
	struct instance_figures f = instance_figures(health_instance(i));

	assert_int_equal(instance_health(health_instance(i)), HEALTH_DOWN);
	assert_string_equal(f.identity, as);
	if (strstr(f.reason, why) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", why, f.reason);
}

static void start_with_two_collections(void)
{
	world_start();
	made("docs");
	made("notes");
	add("docs", "a,b");
	world_settle();
	pass_ms(11000); /* and marked */
}

static void exchange(struct model *a, struct model *b)
{
	struct model *t = model_create("between");

	model_become(t, a);
	model_become(a, b);
	model_become(b, t);
	model_destroy(&t);
}

/* --- well --------------------------------------------------------------------------- */

static void each_is_marked_once_it_is_there(void **state)
{
	(void)state;
	world_start();
	pass_ms(100);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(identity(i), "new");
		assert_true(beat_on(i) > 0);
		assert_int_equal(beat_of(i), beat_on(i));
	}
	assert_string_not_equal(model_marker(PRIMARY), model_marker(REPLICA));
	world_finish();
}

static void beats_grow_and_are_noted(void **state)
{
	int64_t before;

	(void)state;
	world_start();
	pass_ms(1000);
	before = beat_of(A);
	pass_ms(60000);
	assert_in_range(beat_of(A), before + 5, before + 7);
	assert_int_equal(beat_of(A), beat_on(A));
	world_crash();
	world_boot();
	world_lead(10000);
	pass_ms(100);
	assert_string_equal(identity(A), "ours");
	assert_true(beat_of(A) > before + 5);
	world_finish();
}

static void a_short_absence_and_a_long_one_change_nothing(void **state)
{
	static const msec absences[] = {0, 60000};

	(void)state;
	start_with_two_collections();
	for (unsigned k = 0; k < 2; k++) {
		world_down(B);
		pass_ms(absences[k]);
		add("docs", k == 0 ? "c" : "d");
		returns(B);
		assert_string_equal(identity(B), "ours");
		world_settle();
	}
	world_finish();
}

static void one_that_does_not_lead_writes_no_beats(void **state)
{
	int64_t before;

	(void)state;
	start_with_two_collections();
	fake_pg_take_lease(50000);
	pass_ms(5000);
	assert_false(wal_leads());
	before = beat_on(A);
	pass_ms(40000);
	assert_int_equal(beat_on(A), before);
	assert_true(instance_up(health_instance(A)));
	world_lead(30000);
	pass_ms(100);
	assert_string_equal(identity(A), "ours");
	assert_true(beat_on(A) > before);
	world_finish();
}

/* --- without its data --------------------------------------------------------------- */

static void one_that_has_lost_its_disk_is_not_read(void **state)
{
	struct write *w, *born;

	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	returns(B);
	assert_string_equal(identity(B), "blank");
	assert_int_equal(parked(B), 2);
	assert_int_equal(parked(A), 0);
	assert_int_equal(fake_pg_quarantines("replica"), 2);
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_false(wal_readable(health_instance(B), named("docs")));
	assert_true(wal_current(health_instance(A), named("docs")));
	w = add("docs", "c");
	born = create("mail");
	pass_ms(200);
	assert_decided(w, 201);
	assert_decided(born, 200);
	assert_non_null(model_collection_id(REPLICA, "mail"));
	assert_true(wal_current(health_instance(B), named("mail")));
	assert_null(model_collection_id(REPLICA, "docs"));
	assert_int_equal(wal_retry(w->seq), STATUS_NOT_FOUND);
	pass_ms(3600000); /* nothing tries it again */
	assert_int_equal(parked(B), 2);
	assert_false(wal_readable(health_instance(B), named("docs")));
	assert_false(wal_readable(health_instance(B), named("notes")));
	assert_int_equal(beat_of(B), beat_on(B));
	world_stop();
}

static void nor_at_any_moment_while_it_comes_up(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	model_up(REPLICA);
	for (unsigned ms = 0; ms < 5000; ms++) {
		if (instance_up(health_instance(B)))
			assert_int_equal(parked(B), 2);
		else
			assert_string_equal(model_items(PRIMARY, "docs"), "a,b");
		pass_ms(1);
	}
	assert_true(instance_up(health_instance(B)));
	world_stop();
}

static void it_is_known_after_a_restart_and_is_over_when_they_are_deleted(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	returns(B);
	add("docs", "c");
	rename_to("docs", "papers");
	pass_ms(200);
	world_crash();
	world_boot();
	world_lead(10000);
	assert_string_equal(identity(B), "ours");
	assert_int_equal(parked(B), 2);
	drop("papers");
	drop("notes");
	create("docs");
	world_finish();
}

static void what_was_owed_is_owed(void **state)
{
	struct database *db;

	(void)state;
	start_with_two_collections();
	create_tenant("us");
	create_database("archive");
	world_settle();
	db = catalogue_database(TENANT_DEFAULT, "archive");
	world_down(B);
	create("later");
	create_in(db, "olds");
	drop("notes");
	create("notes");
	pass_ms(100);
	add("later", "x");
	add("docs", "c");
	model_wipe(REPLICA);
	returns(B);
	pass_ms(2000);
	assert_int_equal(parked(B), 1); /* docs */
	assert_string_equal(model_items(REPLICA, "later"), "x");
	assert_string_equal(model_items(REPLICA, "notes"), "");
	assert_true(model_has_database(REPLICA, TENANT_DEFAULT, "archive"));
	assert_true(model_has_database(REPLICA, "us", ""));
	drop("docs");
	world_finish();
}

static void one_wiped_under_our_eyes_is_found_out(void **state)
{
	(void)state;
	start_with_two_collections();
	model_wipe(PRIMARY);
	until_down(A);
	until_up(A);
	assert_string_equal(identity(A), "blank");
	assert_int_equal(parked(A), 2);
	world_stop();
}

static void one_set_back_under_our_eyes_is_found_out(void **state)
{
	(void)state;
	start_with_two_collections();
	model_save(PRIMARY);
	pass_ms(30000);
	model_restore(PRIMARY);
	until_down(A);
	until_up(A);
	assert_string_equal(identity(A), "old");
	assert_int_equal(parked(A), 2);
	world_stop();
}

/* A canary is sent at once, to see whether it takes writes. */
static void also_if_a_call_breaks_before_anybody_has_looked(void **state)
{
	(void)state;
	start_with_two_collections();
	model_save(PRIMARY);
	pass_ms(30000);
	model_restore(PRIMARY);
	model_fault(PRIMARY, FAULT_LOST_BEFORE, 1);
	upsert("docs", "a");
	until_down(A);
	until_up(A);
	assert_string_equal(identity(A), "old");
	assert_int_equal(parked(A), 2);
	world_stop();
}

/* --- with an older copy ------------------------------------------------------------- */

static void an_older_copy_is_not_read_and_holds_no_names(void **state)
{
	struct write *again;

	(void)state;
	start_with_two_collections();
	made("gone");
	world_down(B);
	model_save(REPLICA);
	returns(B);
	world_settle();
	add("docs", "c");
	drop("gone");
	world_settle();
	world_down(B);
	model_restore(REPLICA);
	assert_non_null(model_collection_id(REPLICA, "gone"));
	returns(B);
	assert_string_equal(identity(B), "old");
	assert_int_equal(parked(B), 2);
	assert_false(wal_readable(health_instance(B), named("docs")));
	assert_null(model_collection_id(REPLICA, "gone"));
	assert_int_equal(model_lost(REPLICA), 1);
	again = create("gone");
	pass_ms(100);
	assert_decided(again, 200);
	assert_true(wal_current(health_instance(B), named("gone")));
	assert_int_equal(parked(B), 2);
	world_down(B);
	returns(B);
	assert_string_equal(identity(B), "ours");
	assert_int_equal(model_lost(REPLICA), 1);
	world_stop();
}

static void make_there(struct model *m, const char *name)
{
	char *body = mem_format("{\"name\":\"%s\"}", name);

	assert_int_equal(
	        model_execute(m, "POST",
	                      "/api/v2/tenants/default_tenant/databases/default_database/"
	                      "collections",
	                      body, strlen(body), NULL),
	        200);
	free(body);
}

/* A delete was half done, or a copy, when the copy of the disk was made. */
static void what_has_a_name_of_ours_on_an_older_disk_is_set_aside(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	make_there(REPLICA, "ctd-del.2.of-an-old-delete");
	make_there(REPLICA, "ctd-new.1.1");
	make_there(REPLICA, "ctd-lost.before");
	model_save(REPLICA);
	model_drop_behind_our_back(REPLICA, "ctd-del.2.of-an-old-delete");
	model_drop_behind_our_back(REPLICA, "ctd-new.1.1");
	returns(B);
	pass_ms(11000);
	assert_int_equal(model_aside(REPLICA), 1);
	world_down(B);
	model_restore(REPLICA);
	assert_int_equal(model_aside(REPLICA), 3);
	returns(B);
	assert_string_equal(identity(B), "old");
	assert_int_equal(model_lost(REPLICA), 3);
	assert_int_equal(model_aside(REPLICA), 3);
	assert_non_null(model_collection_id(REPLICA, "ctd-lost.before"));
	world_stop();
}

/* The catalogue does not list it: for a client it does not exist, and is made. */
static void a_database_that_an_older_disk_has_still_is_made_again(void **state)
{
	struct write *again;

	(void)state;
	start_with_two_collections();
	create_database("east");
	world_settle();
	world_down(B);
	model_save(REPLICA);
	returns(B);
	drop_database("east");
	world_settle();
	pass_ms(11000);
	world_down(A);
	world_down(B);
	model_restore(REPLICA);
	returns(B);
	assert_string_equal(identity(B), "old");
	assert_true(model_has_database(REPLICA, "default_tenant", "east"));
	again = create_database("east");
	pass_ms(2000);
	assert_decided(again, 200);
	model_up(PRIMARY);
	world_settle();
	assert_true(model_has_database(PRIMARY, "default_tenant", "east"));
	world_stop();
}

/* What waits in front of the delete is executed no more where all is decided; what is not
 * is decided by who has the collection as it was. */
static void nor_has_it_a_say_in_what_is_being_deleted(void **state)
{
	const struct fake_log *l;
	struct write *w;

	(void)state;
	start_with_two_collections();
	world_down(B);
	model_save(REPLICA);
	returns(B);
	add("docs", "c");
	world_settle();
	pass_ms(11000);
	world_down(B);
	world_down(A);
	model_restore(REPLICA);
	w = take_out_where("docs", "{}");
	drop("docs");
	pass_ms(50);
	assert_false(w->ended);
	world_crash();
	world_boot();
	world_lead(20000);
	returns(B);
	assert_string_equal(identity(B), "old");
	pass_ms(3000);
	l = fake_pg_log_seq(w->seq);
	assert_int_equal(l->decision, 0);
	world_restart(20000); /* it bears its marker by now */
	until_up(B);
	pass_ms(3000);
	assert_int_equal(fake_pg_log_seq(w->seq)->decision, 0);
	model_up(PRIMARY);
	world_settle();
	assert_string_equal(fake_pg_log_seq(w->seq)->ids,
	                    "{\"ids\":[\"a\",\"b\",\"c\"]}");
	world_stop();
}

/* Nobody else can say: it had no effect. */
static void it_says_no_when_nobody_else_is_there(void **state)
{
	struct write *w, *gone;

	(void)state;
	start_with_two_collections();
	world_down(B);
	model_save(REPLICA);
	returns(B);
	add("docs", "c");
	world_settle();
	pass_ms(11000);
	world_down(B);
	world_down(A);
	model_restore(REPLICA);
	w = take_out_where("docs", "{}");
	gone = drop("docs");
	pass_ms(50);
	model_forget_trace(REPLICA);
	returns(B);
	pass_ms(5000);
	assert_decided(w, 404);
	assert_decided(gone, 200);
	model_up(PRIMARY);
	world_settle();
	assert_null(model_collection_id(PRIMARY, "docs"));
	assert_int_equal(fake_pg_quarantines("replica"), 1); /* the notes */
	world_stop();
}

/* Its disk goes and nobody has seen it: it does not know the database, and has no say
 * while another may have made the collection. */
static void nor_in_what_another_may_have_made_in_a_database_it_has_lost(void **state)
{
	struct write *w;

	(void)state;
	start_with_two_collections();
	create_database("archive");
	world_settle();
	model_wipe(REPLICA);
	model_fault(PRIMARY, FAULT_500_AFTER, 4);
	w = create_in(catalogue_database(TENANT_DEFAULT, "archive"), "olds");
	until_down(B);
	until_up(B);
	assert_string_equal(identity(B), "blank");
	pass_ms(5000);
	assert_decided(w, 200);
	assert_true(model_has_database(REPLICA, TENANT_DEFAULT, "archive"));
	world_stop();
}

/* Where nobody else can have it there is no sense in waiting. */
static void a_database_that_nobody_has_is_told_of(void **state)
{
	struct write *w;

	(void)state;
	start_with_two_collections();
	create_database("archive");
	world_settle();
	model_wipe(PRIMARY);
	model_wipe(REPLICA);
	w = create_in(catalogue_database(TENANT_DEFAULT, "archive"), "olds");
	pass_ms(2000);
	assert_decided(w, 400);
	world_stop();
}

static void what_is_there_in_a_database_that_is_gone_is_set_aside(void **state)
{
	(void)state;
	start_with_two_collections();
	create_database("archive");
	world_settle();
	create_in(catalogue_database(TENANT_DEFAULT, "archive"), "olds");
	world_settle();
	world_down(B);
	model_save(REPLICA);
	returns(B);
	drop_database("archive");
	world_settle();
	world_down(B);
	model_restore(REPLICA);
	returns(B);
	assert_int_equal(model_lost(REPLICA), 1);
	world_stop();
}

/* --- somebody else's ---------------------------------------------------------------- */

static void swapped_urls_are_refused_until_they_are_right(void **state)
{
	struct write *w;

	(void)state;
	start_with_two_collections();
	world_crash();
	exchange(PRIMARY, REPLICA);
	world_boot();
	world_lead(10000);
	assert_refused(A, "another", "this is the server of 'replica'");
	assert_refused(B, "another", "this is the server of 'primary'");
	w = add("docs", "c");
	pass_ms(20000);
	assert_false(w->ended);
	assert_refused(A, "another", "are the URLs swapped");
	exchange(PRIMARY, REPLICA);
	until_up(A);
	until_up(B);
	assert_string_equal(identity(A), "ours");
	world_finish();
}

static void one_server_twice_is_found_out(void **state)
{
	struct write *w;

	(void)state;
	start_with_two_collections();
	world_crash();
	world_boot();
	model_serve(PRIMARY, world_upstream(B));
	world_lead(10000);
	assert_refused(B, "another", "one server configured twice");
	assert_string_equal(identity(A), "ours");
	w = add("docs", "c");
	pass_ms(100);
	assert_decided(w, 201);
	assert_string_equal(model_items(PRIMARY, "docs"), "a,b,c");
	model_serve(REPLICA, world_upstream(B));
	until_up(B);
	world_finish();
}

static void one_server_twice_is_found_out_at_the_first_start(void **state)
{
	(void)state;
	world_start();
	world_crash();
	fake_pg_another_cluster();
	model_wipe(PRIMARY);
	world_boot();
	model_serve(PRIMARY, world_upstream(B));
	world_lead(10000);
	pass_ms(1000);
	assert_int_equal(health_up_count(), 1);
	assert_refused(instance_up(health_instance(A)) ? B : A, "another", "twice");
	world_stop();
}

static void one_of_another_cluster_is_refused_unless_it_is_taken_over(void **state)
{
	char *cluster;

	(void)state;
	start_with_two_collections();
	cluster = mem_substring(model_marker(PRIMARY), UUID_LEN);
	world_crash();
	fake_pg_another_cluster();
	world_boot();
	world_lead(10000);
	assert_refused(A, "foreign", cluster);
	assert_refused(B, "foreign", "ADOPT_CLUSTER");
	world_crash();
	world_adopts(cluster);
	world_boot();
	world_lead(10000);
	until_up(A);
	until_up(B);
	assert_string_equal(identity(A), "new");
	assert_string_not_equal(cluster, model_marker(PRIMARY));
	world_crash();
	world_adopts(NULL);
	world_boot();
	world_lead(10000);
	until_up(A);
	assert_string_equal(identity(A), "ours");
	assert_int_equal(wal_quarantined(), 0);
	free(cluster);
	world_stop();
}

/* --- it cannot be known ------------------------------------------------------------- */

static void one_whose_marker_cannot_be_read_is_not_let_in(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_marker_answers(REPLICA, 500);
	model_up(REPLICA);
	pass_ms(30000);
	assert_refused(B, "unreadable", "its marker cannot be read");
	model_marker_answers(REPLICA, 0);
	until_up(B);
	assert_string_equal(identity(B), "ours");
	world_finish();
}

static void one_that_takes_no_writes_is_let_in_for_reads(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(A);
	world_down(B);
	model_wedged(REPLICA, true);
	model_up(REPLICA);
	until_up(B);
	pass_ms(5000);
	assert_true(instance_up(health_instance(B)));
	assert_false(instance_writable(health_instance(B)));
	assert_true(wal_current(health_instance(B), named("docs")));
	model_wedged(REPLICA, false);
	world_up(A);
	world_finish();
}

static void one_that_is_blank_and_takes_no_writes_is_not(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	model_wedged(REPLICA, true);
	model_up(REPLICA);
	pass_ms(30000);
	assert_false(instance_up(health_instance(B)));
	model_wedged(REPLICA, false);
	until_up(B);
	assert_int_equal(parked(B), 2);
	world_stop();
}

static void nor_one_that_does_not_take_the_marker(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	model_takes_no_marker(REPLICA, true);
	model_up(REPLICA);
	pass_ms(30000);
	assert_refused(B, "blank", "its marker cannot be written");
	assert_int_equal(parked(B), 2);
	model_takes_no_marker(REPLICA, false);
	until_up(B);
	pass_ms(100); /* what was written there has been noted */
	assert_true(beat_of(B) > 0 && beat_of(B) == beat_on(B));
	world_stop();
}

static void without_postgresql_a_blank_one_waits(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	fake_pg_stall(true);
	model_up(REPLICA);
	pass_ms(2000);
	assert_false(instance_up(health_instance(B)));
	fake_pg_stall(false);
	until_up(B);
	assert_int_equal(fake_pg_quarantines("replica"), 2);
	world_stop();
}

static void its_rows_are_written_again_if_postgresql_refuses_them(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_wipe(REPLICA);
	fake_pg_refuse("quarantine_all", 3);
	returns(B);
	assert_int_equal(fake_pg_quarantines("replica"), 2);
	world_stop();
}

static void is_switching(void *arg, const struct wal_rebuild *b)
{
	bool *switching = arg;

	*switching |= strcmp(b->step, "switching") == 0;
}

static void until_it_switches(void)
{
	msec until = clock_ms() + 60000;
	bool switching = false;

	while (!switching) {
		assert_true(clock_ms() < until);
		pass_ms(1);
		wal_each_rebuild(is_switching, &switching);
	}
}

/* The copy is there, too, but as it was when it had hardly begun. */
static void an_older_copy_is_not_gone_on_with(void **state)
{
	(void)state;
	start_with_two_collections();
	add("docs", "p,q,r,s");
	world_settle();
	world_repairs();
	world_restart(10000);
	model_drop_behind_our_back(REPLICA, "docs");
	upsert("docs", "p");
	while (model_aside(REPLICA) == 0)
		pass_ms(1);
	model_save(REPLICA);
	world_down(A);
	pass_ms(30000); /* beats */
	fake_pg_delay(20);
	model_up(PRIMARY);
	until_it_switches();
	world_down(B);
	model_restore(REPLICA);
	fake_pg_delay(2);
	returns(B);
	assert_string_equal(identity(B), "old");
	pass_ms(400000);
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	world_check_but(B);
	world_stop();
}

static void count_rebuild(void *arg, const struct wal_rebuild *b)
{
	unsigned *n = arg;

	(void)b;
	++*n;
}

static void until_none_is_made_anew(void)
{
	msec until = clock_ms() + 60000;
	unsigned n = 1;

	while (n > 0) {
		assert_true(clock_ms() < until);
		pass_ms(1);
		n = 0;
		wal_each_rebuild(count_rebuild, &n);
	}
}

/* Changed while its copy takes over, and we die when that is over. By then the position
 * of its database says that the change is done, too. */
static void a_change_beside_the_end_of_a_rebuild_is_not_lost(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 10; k++) {
		static const struct model_closed none = {.executed = 0};

		start_with_two_collections();
		world_repairs();
		world_restart(10000);
		model_closes(REPLICA, &none);
		model_drop_behind_our_back(REPLICA, "docs");
		fake_pg_delay(20);
		upsert("docs", "p");
		until_it_switches();
		model_latency(REPLICA, 90); /* it takes its time to install */
		rename_to("docs", "papers");
		drop("notes");
		fake_pg_refuse("quarantine", 1000);
		until_none_is_made_anew();
		world_crash();
		fake_pg_refuse("nothing", 0);
		fake_pg_delay(2);
		world_boot();
		world_lead(10000);
		world_settle();
		for (unsigned n = 0; wal_quarantined() > 0 && n < 600; n++)
			pass_ms(1000);
		pass_ms(130000); /* leftovers go */
		world_finish();
	}
}

/* However often it was looked at while PostgreSQL was away. */
static void it_is_copied_soon_after_postgresql_is_back(void **state)
{
	(void)state;
	start_with_two_collections();
	world_repairs();
	world_restart(10000);
	model_drop_behind_our_back(REPLICA, "docs");
	add("docs", "c");
	while (parked(B) == 0)
		pass_ms(1);
	model_latency(REPLICA, 3000);
	pass_ms(200);
	world_down(B);
	model_wipe(REPLICA);
	model_latency(REPLICA, 3);
	fake_pg_reachable(false);
	fake_pg_cut("log", 0, false, 0);
	model_up(REPLICA);
	pass_ms(4000);
	fake_pg_reachable(true);
	until_writable(B);
	for (unsigned k = 0; parked(B) > 0 && k < 30; k++)
		pass_ms(1000);
	assert_int_equal(parked(B), 0);
	pass_ms(130000); /* leftovers go */
	world_finish();
}

/* No donor was there before the collection was deleted. */
static void one_that_never_began_leaves_nothing_over(void **state)
{
	unsigned calls;

	(void)state;
	start_with_two_collections();
	world_repairs();
	world_restart(10000);
	drop("notes");
	world_settle();
	world_down(A);
	model_wipe(REPLICA);
	world_down(B);
	returns(B);
	pass_ms(3000);
	assert_int_equal(parked(B), 1);
	drop("docs");
	returns(A);
	world_settle();
	pass_ms(1000);
	calls = model_calls(REPLICA);
	pass_ms(9000); /* no beat of the canary counts */
	assert_int_equal(model_calls(REPLICA), calls);
	world_finish();
}

/* --- collections -------------------------------------------------------------------- */

static void a_collection_that_is_missing_is_found_out_before_it_is_read(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_drop_behind_our_back(REPLICA, "docs");
	pass_ms(4000);
	returns(B);
	assert_string_equal(identity(B), "ours");
	assert_int_equal(parked(B), 1);
	assert_false(wal_readable(health_instance(B), named("docs")));
	assert_true(wal_current(health_instance(B), named("notes")));
	world_stop();
}

static void also_at_a_start(void **state)
{
	(void)state;
	start_with_two_collections();
	world_crash();
	model_drop_behind_our_back(PRIMARY, "notes");
	world_boot();
	world_lead(10000);
	until_up(A);
	assert_int_equal(parked(A), 1);
	assert_int_equal(fake_pg_quarantines("primary"), 1);
	world_stop();
}

/* The second survey finds its lane parked already, though no row says so. */
static void and_when_postgresql_refuses_its_row_at_first(void **state)
{
	(void)state;
	start_with_two_collections();
	world_repairs();
	world_crash();
	model_drop_behind_our_back(PRIMARY, "notes");
	world_boot();
	fake_pg_refuse("quarantine_all", 1);
	world_lead(10000);
	until_up(A);
	assert_int_equal(parked(A), 1);
	assert_int_equal(fake_pg_quarantines("primary"), 1);
	pass_ms(30000);
	assert_int_equal(parked(A), 0); /* it was made anew */
	world_finish();
}

/* The answer to the row is lost with the instance. */
static void and_when_it_goes_down_meanwhile(void **state)
{
	(void)state;
	start_with_two_collections();
	world_repairs();
	world_crash();
	model_drop_behind_our_back(PRIMARY, "notes");
	world_boot();
	while (parked(A) == 0)
		pass_ms(1);
	fake_pg_stall(true);
	world_down(A);
	fake_pg_stall(false);
	pass_ms(4000);
	returns(A);
	assert_int_equal(parked(A), 1);
	assert_int_equal(fake_pg_quarantines("primary"), 1);
	pass_ms(30000);
	world_finish();
}

static void one_that_lists_nothing_is_let_in_if_it_bears_its_marker(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	pass_ms(4000);
	model_hides(REPLICA, true);
	model_up(REPLICA);
	pass_ms(4000);
	assert_true(instance_writable(health_instance(B)));
	world_down(B);
	model_wipe(REPLICA);
	model_up(REPLICA);
	pass_ms(10000);
	assert_false(instance_up(health_instance(B)));
	model_hides(REPLICA, false);
	until_up(B);
	assert_int_equal(parked(B), 2);
	world_stop();
}

static void more_than_a_page_of_them_is_walked(void **state)
{
	char name[20];

	(void)state;
	world_start();
	for (unsigned k = 0; k < 450; k++) {
		snprintf(name, sizeof(name), "many%u", k);
		create(name);
		if (k % 50 == 49)
			world_settle();
	}
	world_settle();
	pass_ms(11000);
	world_down(B);
	pass_ms(4000);
	returns(B);
	assert_int_equal(parked(B), 0);
	world_down(B);
	model_wipe(REPLICA);
	returns(B);
	assert_int_equal(parked(B), 450);
	assert_int_equal(fake_pg_quarantines("replica"), 450);
	world_stop();
}

/* --- a reset of ours ---------------------------------------------------------------- */

static void after_a_reset_it_is_marked_anew(void **state)
{
	int64_t before;

	(void)state;
	start_with_two_collections();
	before = beat_of(A);
	assert_decided((reset(), world_settle(), TAILQ_LAST(world_writes(), write_list)),
	               200);
	assert_string_equal(model_marker(PRIMARY), "");
	pass_ms(11000);
	assert_true(beat_on(A) > before && beat_of(A) == beat_on(A));
	made("docs");
	world_finish();
}

static void whoever_dies_beside_a_reset_finds_no_hole(void **state)
{
	(void)state;
	for (unsigned ms = 0; ms < 60; ms++) {
		start_with_two_collections();
		if (ms % 2 == 1) /* beside the canary */
			pass_ms(9990);
		reset();
		pass_ms(ms / 2);
		world_crash();
		world_boot();
		world_lead(10000);
		world_settle();
		assert_int_equal(wal_quarantined(), 0);
		for (unsigned i = 0; i < 2; i++)
			assert_string_not_equal(identity(i), "blank");
		made("mail");
		pass_ms(11000);
		world_finish();
	}
}

/* What a lost session has begun commits behind what was sent again. */
/* It has no marker before its next beat: so it is looked at, however short it was away.
 */
static void one_that_loses_its_disk_behind_it_is_found_out(void **state)
{
	(void)state;
	start_with_two_collections();
	reset();
	world_settle();
	create_database("east");
	made("docs");
	model_down(REPLICA, false);
	model_wipe(REPLICA);
	until_down(B);
	returns(B);
	assert_int_equal(parked(B), 1);
	assert_true(model_has_database(REPLICA, "default_tenant", "east"));
	world_stop();
}

/* It stands behind something else: nobody has sent it there. */
static void one_that_waits_does_not_explain_a_lost_disk(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	add("docs", "c");
	reset();
	pass_ms(100);
	create("later");
	pass_ms(100);
	world_crash();
	world_boot();
	world_lead(20000);
	model_wipe(REPLICA);
	returns(B);
	assert_string_equal(identity(B), "blank");
	world_finish();
}

static void a_beat_that_is_noted_late_does_not_mark_what_was_reset(void **state)
{
	bool marked;

	(void)state;
	for (unsigned ms = 0; ms < 12; ms++) {
		start_with_two_collections();
		pass_ms(8900);
		for (int64_t before = beat_on(A); beat_on(A) == before;)
			pass_ms(1);
		pass_ms(ms % 4);
		fake_pg_cut("log", 0, true, 400); /* with the beat on its way */
		pass_ms(110 + ms);
		reset();
		world_settle();
		assert_string_equal(model_marker(PRIMARY), "");
		pass_ms(450);
		fake_pg_beat("primary", &marked);
		assert_false(marked);
		world_crash();
		world_boot();
		world_lead(10000);
		until_up(A);
		assert_string_not_equal(identity(A), "blank");
		world_finish();
	}
}

static void a_copy_from_before_a_reset_is_old(void **state)
{
	(void)state;
	start_with_two_collections();
	world_down(B);
	model_save(REPLICA);
	returns(B);
	pass_ms(100);
	reset();
	world_settle();
	world_down(B);
	model_restore(REPLICA);
	returns(B);
	assert_string_equal(identity(B), "old");
	assert_int_equal(model_lost(REPLICA), 2);
	world_stop();
}

/* --- crashes ------------------------------------------------------------------------ */

static void whoever_dies_beside_it_finds_it_again(void **state)
{
	(void)state;
	for (unsigned ms = 0; ms < 40; ms++) {
		start_with_two_collections();
		world_down(B);
		model_wipe(REPLICA);
		model_up(REPLICA);
		pass_ms(500 + ms * (ms < 20 ? 25 : 2));
		world_crash();
		world_boot();
		world_lead(10000);
		until_up(B);
		assert_int_equal(parked(B), 2);
		assert_int_equal(fake_pg_quarantines("replica"), 2);
		until_writable(B);
		drop("docs");
		drop("notes");
		world_finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_each_marker_means),
	        world_story(each_is_marked_once_it_is_there),
	        world_story(beats_grow_and_are_noted),
	        world_story(a_short_absence_and_a_long_one_change_nothing),
	        world_story(one_that_does_not_lead_writes_no_beats),
	        world_story(one_that_has_lost_its_disk_is_not_read),
	        world_story(nor_at_any_moment_while_it_comes_up),
	        world_story(
	                it_is_known_after_a_restart_and_is_over_when_they_are_deleted),
	        world_story(what_was_owed_is_owed),
	        world_story(one_wiped_under_our_eyes_is_found_out),
	        world_story(one_set_back_under_our_eyes_is_found_out),
	        world_story(also_if_a_call_breaks_before_anybody_has_looked),
	        world_story(an_older_copy_is_not_read_and_holds_no_names),
	        world_story(what_has_a_name_of_ours_on_an_older_disk_is_set_aside),
	        world_story(a_database_that_an_older_disk_has_still_is_made_again),
	        world_story(nor_has_it_a_say_in_what_is_being_deleted),
	        world_story(it_says_no_when_nobody_else_is_there),
	        world_story(nor_in_what_another_may_have_made_in_a_database_it_has_lost),
	        world_story(a_database_that_nobody_has_is_told_of),
	        world_story(what_is_there_in_a_database_that_is_gone_is_set_aside),
	        world_story(swapped_urls_are_refused_until_they_are_right),
	        world_story(one_server_twice_is_found_out),
	        world_story(one_server_twice_is_found_out_at_the_first_start),
	        world_story(one_of_another_cluster_is_refused_unless_it_is_taken_over),
	        world_story(one_whose_marker_cannot_be_read_is_not_let_in),
	        world_story(one_that_takes_no_writes_is_let_in_for_reads),
	        world_story(one_that_is_blank_and_takes_no_writes_is_not),
	        world_story(nor_one_that_does_not_take_the_marker),
	        world_story(without_postgresql_a_blank_one_waits),
	        world_story(its_rows_are_written_again_if_postgresql_refuses_them),
	        world_story(an_older_copy_is_not_gone_on_with),
	        world_story(a_change_beside_the_end_of_a_rebuild_is_not_lost),
	        world_story(it_is_copied_soon_after_postgresql_is_back),
	        world_story(one_that_never_began_leaves_nothing_over),
	        world_story(a_collection_that_is_missing_is_found_out_before_it_is_read),
	        world_story(also_at_a_start),
	        world_story(and_when_postgresql_refuses_its_row_at_first),
	        world_story(and_when_it_goes_down_meanwhile),
	        world_story(one_that_lists_nothing_is_let_in_if_it_bears_its_marker),
	        world_story(more_than_a_page_of_them_is_walked),
	        world_story(after_a_reset_it_is_marked_anew),
	        world_story(whoever_dies_beside_a_reset_finds_no_hole),
	        world_story(one_that_loses_its_disk_behind_it_is_found_out),
	        world_story(one_that_waits_does_not_explain_a_lost_disk),
	        world_story(a_beat_that_is_noted_late_does_not_mark_what_was_reset),
	        world_story(a_copy_from_before_a_reset_is_old),
	        world_story(whoever_dies_beside_it_finds_it_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
