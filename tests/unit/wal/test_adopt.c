/* Stories of what the instances held before us, or got behind our back: wal/scan.c,
 * adopt.c, strangers.c, look.c, claim.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

/* An empty log, and instances that are not new to the world. */
static void begin_without_us(void)
{
	world_start();
	world_crash();
	world_adoption(ADOPT_FIRST);
	world_repairs();
}

/* Until clients would be answered. */
static void boot(void)
{
	world_boot();
	world_lead(30000);
	for (unsigned n = 0; wal_adopting() && n < 500; n++)
		pass_ms(10);
	assert_false(wal_adopting());
}

static void heal(void)
{
	world_settle();
	for (unsigned n = 0; n < 3000 && wal_quarantined() > 0; n++)
		pass_ms(20);
	assert_int_equal(wal_quarantined(), 0);
	for (unsigned n = 0; n < 3000 && fake_pg_unproven() > 0; n++)
		pass_ms(20);
	assert_int_equal(fake_pg_unproven(), 0);
}

struct told {
	unsigned n;
	char last[200];
};

static void see(void *arg, const struct wal_stranger *x)
{
	struct told *told = arg;

	told->n++;
	snprintf(told->last, sizeof(told->last), "%s %s %s %lld %s", instance_name(x->in),
	         x->database != NULL ? x->database : "-", x->name != NULL ? x->name : "-",
	         (long long)x->items, x->outcome);
}

static struct told strangers(void)
{
	struct told told = {0};

	wal_each_stranger(NULL, see, &told);
	return told;
}

static struct told answered;
static bool was_answered;

static void on_adopted(void *arg, unsigned scanned, struct stranger_list *found)
{
	(void)arg;
	(void)scanned;
	was_answered = true;
	wal_each_stranger(found, see, &answered);
}

static struct told adopt(const char *name, bool dry)
{
	struct wal_adoption what = {.collection = name, .dry = dry};
	static struct op *pending;

	answered = (struct told){0};
	was_answered = false;
	wal_adopt(&what, on_adopted, NULL, &pending);
	for (unsigned n = 0; n < 500 && !was_answered; n++)
		pass_ms(10);
	assert_true(was_answered);
	return answered;
}

static void make_tenant(struct model *m, const char *tenant, const char *database)
{
	char *body = mem_format("{\"name\":\"%s\"}", tenant);
	char *target = mem_format("/api/v2/tenants/%s/databases", tenant);

	model_execute(m, "POST", "/api/v2/tenants", body, strlen(body), NULL);
	free(body);
	body = mem_format("{\"name\":\"%s\"}", database);
	model_execute(m, "POST", target, body, strlen(body), NULL);
	free(body);
	free(target);
}

/* --- the first start ---------------------------------------------------------------- */

static void what_one_had_is_adopted_and_copied_to_the_other(void **state)
{
	char *id;

	(void)state;
	begin_without_us();
	world_had(A, "docs", "a,b,c", "one");
	world_had(A, "notes", "x", "two");
	id = mem_string(model_collection_id(PRIMARY, "docs"));
	boot();
	assert_string_equal(named("docs")->public_id.text, id);
	assert_true(wal_current(health_instance(A), named("docs")));
	assert_false(wal_current(health_instance(B), named("docs")));
	heal();
	assert_string_equal(model_items(REPLICA, "docs"), "a,b,c");
	assert_true(wal_current(health_instance(B), named("docs")));
	assert_true(wal_current(health_instance(A), named("docs")));
	free(id);
	world_finish();
}

static void nobody_is_answered_before(void **state)
{
	bool held = false;

	(void)state;
	begin_without_us();
	for (unsigned k = 0; k < 20; k++) {
		char name[16];

		snprintf(name, sizeof(name), "docs%u", k);
		world_had(A, name, "a", "one");
	}
	world_boot();
	for (unsigned n = 0; n < 30000 && !wal_leads(); n++)
		pass_ms(1);
	while (wal_adopting()) {
		held = true;
		pass_ms(1);
	}
	assert_true(held);
	assert_int_equal(catalogue_count(NULL).live, 20);
	heal();
	world_finish();
}

static void what_only_the_second_had_is_adopted_from_there(void **state)
{
	(void)state;
	begin_without_us();
	world_had(B, "docs", "a,b,c", "one");
	boot();
	add("docs", "d");
	heal();
	assert_string_equal(model_items(PRIMARY, "docs"), "a,b,c,d");
	world_finish();
}

static void the_same_on_both_is_not_copied(void **state)
{
	char *id;

	(void)state;
	begin_without_us();
	world_had(A, "docs", "a,b,c", "one");
	world_had(B, "docs", "a,b,c", "one");
	id = mem_string(model_collection_id(REPLICA, "docs"));
	boot();
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	assert_string_equal(named("docs")->local[B].text, id);
	assert_ptr_equal(catalogue_by_uuid(&named("docs")->local[B]), named("docs"));
	free(id);
	world_finish();
}

static void what_differs_is_kept_aside(void **state)
{
	static const char *const differences[][2] = {
	        {"a,b,c", "two"}, {"a,b", "one"}, {"a,b,c,d", "one"}};

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct uuid id;
		char *aside, *target;
		struct text found = {0};

		begin_without_us();
		world_had(A, "docs", "a,b,c", "one");
		world_had(B, "docs", differences[k][0], differences[k][1]);
		strcpy(id.text, model_collection_id(REPLICA, "docs"));
		boot();
		heal();
		world_settle();
		assert_string_equal(model_items(REPLICA, "docs"), "a,b,c");
		aside = mem_format("ctd-lost.%s", id.text);
		assert_string_equal(model_items(REPLICA, aside), differences[k][0]);
		target = mem_format("/api/v2/tenants/default_tenant/databases/"
		                    "default_database/collections/%s",
		                    aside);
		assert_int_equal(
		        model_execute(REPLICA, "DELETE", target, NULL, 0, &found), 200);
		text_clear(&found);
		free(target);
		free(aside);
		world_finish();
	}
}

/* What is written in between would make them differ. */
static void clients_wait_until_both_were_compared(void **state)
{
	(void)state;
	begin_without_us();
	model_latency(REPLICA, 60);
	world_had(A, "docs", "a,b,c", "one");
	world_had(B, "docs", "a,b,c", "one");
	boot();
	assert_false(uuid_none(&named("docs")->local[B]));
	add("docs", "d");
	world_settle();
	assert_string_equal(model_items(REPLICA, "docs"), "a,b,c,d");
	world_finish();
}

static void what_was_written_to_is_copied(void **state)
{
	struct wal_adoption what = {.dry = false};
	struct op *pending = NULL;
	char *aside;

	(void)state;
	begin_without_us();
	boot();
	model_latency(REPLICA, 60);
	world_had(A, "docs", "a,b,c", "one");
	world_had(B, "docs", "a,b,c", "one");
	aside = mem_format("ctd-lost.%s", model_collection_id(REPLICA, "docs"));
	wal_adopt(&what, on_adopted, NULL, &pending);
	for (unsigned n = 0; n < 5000 && catalogue_count(NULL).live == 0; n++)
		pass_ms(1);
	assert_non_null(add("docs", "d"));
	world_settle();
	heal();
	assert_string_equal(model_items(REPLICA, "docs"), "a,b,c,d");
	assert_string_equal(model_items(REPLICA, aside), "a,b,c");
	free(aside);
	world_stop();
}

static void databases_are_found(void **state)
{
	(void)state;
	begin_without_us();
	make_tenant(PRIMARY, "default_tenant", "second");
	boot();
	assert_non_null(catalogue_database("default_tenant", "second"));
	assert_string_equal(
	        catalogue_database("default_tenant", "second")->public_id.text,
	        "00000000-0000-4000-8000-000000000006");
	world_finish();
}

static unsigned n_looked;

static void on_looked(void *arg)
{
	struct op **pending = arg;

	assert_null(*pending);
	n_looked++;
}

static void a_tenant_is_looked_for_once(void **state)
{
	struct op *first = NULL, *second = NULL, *third = NULL;
	unsigned calls;

	(void)state;
	begin_without_us();
	make_tenant(REPLICA, "acme", "sales");
	boot();
	world_settle();
	assert_false(catalogue_tenant("acme")); /* nobody has named it yet */
	n_looked = 0;
	assert_true(wal_look("acme", on_looked, &first, &first));
	assert_true(wal_look("acme", on_looked, &second, &second));
	assert_true(wal_look("nobody", on_looked, &third, &third));
	op_cancel(&second);
	pass_ms(500);
	assert_int_equal(n_looked, 2);
	assert_true(catalogue_tenant("acme"));
	assert_non_null(catalogue_database("acme", "sales"));
	assert_false(wal_look("acme", on_looked, &first, &first));
	calls = model_calls(PRIMARY);
	assert_false(wal_look("nobody", on_looked, &third, &third));
	assert_false(wal_look("ctd-chromatid", on_looked, &third, &third));
	assert_int_equal(model_calls(PRIMARY), calls);
	pass_ms(6000);
	assert_true(wal_look("nobody", on_looked, &third, &third));
	world_finish();
}

static void one_that_is_down_is_not_waited_for(void **state)
{
	(void)state;
	begin_without_us();
	world_had(B, "docs", "a", "one");
	model_down(REPLICA, false);
	boot();
	assert_null(named("docs"));
	world_up(B);
	for (unsigned n = 0; n < 500 && named("docs") == NULL; n++)
		pass_ms(10);
	assert_non_null(named("docs"));
	heal();
	world_finish();
}

/* What is to be copied yet holds nobody up. */
static void a_restart_does_not_wait_for_what_is_copied(void **state)
{
	(void)state;
	for (msec after = 5000; after < 5120; after += 7) {
		world_start();
		world_crash();
		world_adoption(ADOPT_FIRST); /* and nothing is made anew */
		for (unsigned k = 0; k < 8; k++) {
			char name[16];

			snprintf(name, sizeof(name), "docs%u", k);
			world_had(k % 2 == 0 ? A : B, name, "a,b", "one");
		}
		world_boot();
		pass_ms(after);
		world_crash();
		boot();
		assert_int_equal(catalogue_count(NULL).live, 8);
		world_stop();
	}
}

static void a_restart_in_the_middle_goes_on(void **state)
{
	(void)state;
	for (msec after = 5000; after < 5120; after += 7) {
		begin_without_us();
		for (unsigned k = 0; k < 8; k++) {
			char name[16];

			snprintf(name, sizeof(name), "docs%u", k);
			world_had(k % 2 == 0 ? A : B, name, "a,b", "one");
		}
		world_boot();
		pass_ms(after);
		world_crash();
		boot();
		assert_int_equal(catalogue_count(NULL).live, 8);
		heal();
		world_finish();
	}
}

/* --- who has it cannot be asked ------------------------------------------------------
 */

/* Others must not wait behind what cannot be decided. */
static void who_has_it_dies(void **state)
{
	struct write *w;

	(void)state;
	begin_without_us();
	boot();
	world_had(A, "docs", "a", "one");
	model_latency(PRIMARY, 400);
	adopt(NULL, true);
	{
		struct wal_adoption what = {.dry = false};
		static struct op *pending;

		was_answered = false;
		wal_adopt(&what, on_adopted, NULL, &pending);
		for (unsigned n = 0; n < 900 && catalogue_count(NULL).creating == 0; n++)
			pass_ms(5);
		assert_int_equal(catalogue_count(NULL).creating, 1);
		world_down(A);
		w = create("other");
		for (unsigned n = 0; n < 900 && !was_answered; n++)
			pass_ms(10);
	}
	assert_decided(w, 200);
	assert_true(was_answered);
	assert_null(named("docs"));
	world_up(A);
	model_latency(PRIMARY, 3);
	assert_int_equal(adopt("docs", false).n, 1);
	heal();
	world_finish();
}

static void what_is_gone_meanwhile_is_not_adopted(void **state)
{
	(void)state;
	begin_without_us();
	boot();
	world_had(A, "docs", "a", "one");
	adopt(NULL, true);
	model_drop_behind_our_back(PRIMARY, "docs");
	assert_int_equal(adopt(NULL, false).n, 0);
	assert_null(named("docs"));
	world_finish();
}

/* --- later ---------------------------------------------------------------------------
 */

static void a_stranger_is_told_of_and_adopted_on_request(void **state)
{
	struct told told;

	(void)state;
	begin_without_us();
	boot();
	made("ours");
	world_had(B, "stray", "a,b", "one");
	pass_ms(2000);
	told = strangers();
	assert_int_equal(told.n, 1);
	assert_string_equal(told.last, "replica default_database stray 2 ");
	assert_int_equal(wal_strangers(B), 1);
	assert_int_equal(wal_strangers(A), 0);
	assert_null(named("stray"));
	assert_int_equal(adopt("other", false).n, 0);
	told = adopt("stray", true);
	assert_string_equal(told.last, "replica default_database stray 2 ");
	assert_null(named("stray"));
	told = adopt("stray", false);
	assert_string_equal(told.last, "replica default_database stray 2 adopted");
	assert_non_null(named("stray"));
	heal();
	pass_ms(2000);
	assert_int_equal(strangers().n, 0);
	world_finish();
}

static void what_we_do_ourselves_is_no_stranger(void **state)
{
	(void)state;
	begin_without_us();
	world_adoption(ADOPT_ALWAYS);
	boot();
	made("docs");
	made("notes");
	model_latency(PRIMARY, 60);
	model_latency(REPLICA, 150);
	for (unsigned k = 0; k < 6; k++) {
		char name[16];

		snprintf(name, sizeof(name), "docs%u", k);
		create(name);
		if (k == 2)
			drop("docs");
		if (k == 4)
			rename_to("notes", "papers");
		assert_int_equal(adopt(NULL, true).n, 0);
	}
	world_finish();
}

static void what_was_deleted_is_not_adopted(void **state)
{
	(void)state;
	begin_without_us();
	world_adoption(ADOPT_ALWAYS);
	boot();
	made("docs");
	add("docs", "a");
	world_settle();
	world_down(B);
	drop("docs");
	pass_ms(100);
	world_up(B);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(adopt(NULL, false).n, 0);
	assert_null(named("docs"));
	world_finish();
}

static void a_restart_does_not_make_it_a_first_start_again(void **state)
{
	(void)state;
	begin_without_us();
	boot();
	pass_ms(500);
	world_had(A, "docs", "a", "one");
	world_crash();
	boot();
	pass_ms(500);
	assert_null(named("docs"));
	assert_int_equal(strangers().n, 1);
	world_stop();
}

static void never_means_never(void **state)
{
	(void)state;
	begin_without_us();
	world_adoption(ADOPT_NEVER);
	world_had(A, "docs", "a", "one");
	boot();
	pass_ms(1000);
	assert_null(named("docs"));
	assert_int_equal(strangers().n, 1);
	world_crash();
	world_adoption(ADOPT_FIRST);
	boot();
	pass_ms(1000);
	assert_null(named("docs"));
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_one_had_is_adopted_and_copied_to_the_other),
	        world_story(nobody_is_answered_before),
	        world_story(what_only_the_second_had_is_adopted_from_there),
	        world_story(the_same_on_both_is_not_copied),
	        world_story(what_differs_is_kept_aside),
	        world_story(clients_wait_until_both_were_compared),
	        world_story(what_was_written_to_is_copied),
	        world_story(databases_are_found),
	        world_story(a_tenant_is_looked_for_once),
	        world_story(one_that_is_down_is_not_waited_for),
	        world_story(a_restart_in_the_middle_goes_on),
	        world_story(a_restart_does_not_wait_for_what_is_copied),
	        world_story(who_has_it_dies),
	        world_story(what_is_gone_meanwhile_is_not_adopted),
	        world_story(a_stranger_is_told_of_and_adopted_on_request),
	        world_story(what_we_do_ourselves_is_no_stranger),
	        world_story(what_was_deleted_is_not_adopted),
	        world_story(a_restart_does_not_make_it_a_first_start_again),
	        world_story(never_means_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
