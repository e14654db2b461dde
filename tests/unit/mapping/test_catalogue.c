/* Tenants, databases and collections: who is found, under what, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mapping/mapping.h"
#include "tests/lib/default_catalogue.h"
#include "tests/lib/fake_time.h"

static const struct uuid on_a = {"aaaaaaaa-0000-4000-8000-000000000001"},
                         on_b = {"bbbbbbbb-0000-4000-8000-000000000001"};

static unsigned scopes_freed, told;
static struct database *home;

static void free_scope(struct scope *scope)
{
	scopes_freed += scope != NULL;
}

static void on_told(void *arg)
{
	(void)arg;
	told++;
}

static int start(void **state)
{
	(void)state;
	scopes_freed = told = 0;
	catalogue_start(free_scope);
	add_default();
	home = catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	catalogue_stop();
	pass_ms(0);
	assert_int_equal(timers_running(), 0);
	return 0;
}

static struct collection *live(int64_t id, const char *name)
{
	struct collection *c = catalogue_add_collection(id, home, name, LIFE_CREATING);

	collection_bind(c, 0, &on_a);
	collection_set_live(c, &on_a);
	collection_bind(c, 1, &on_b);
	return c;
}

static void at_first_there_is_what_a_chroma_has(void **state)
{
	(void)state;
	assert_true(catalogue_tenant(TENANT_DEFAULT));
	assert_false(catalogue_tenant("acme"));
	assert_int_equal(home->id, DATABASE_DEFAULT_ID);
	assert_int_equal(home->life, LIFE_LIVE);
	assert_string_equal(home->public_id.text, DATABASE_DEFAULT_PUBLIC_ID);
	assert_ptr_equal(catalogue_next_database(NULL), home);
	assert_null(catalogue_next_database(home));
}

static void a_database_is_found_by_its_tenant_and_name_together(void **state)
{
	struct database *db = catalogue_add_database(5, "acme", "east", LIFE_LIVE);

	(void)state;
	assert_ptr_equal(catalogue_database("acme", "east"), db);
	assert_null(catalogue_database(TENANT_DEFAULT, "east"));
	assert_null(catalogue_database("acm", "eeast"));
}

static void a_collection_has_its_name_from_the_start_and_its_ids_when_live(void **state)
{
	struct collection *c = catalogue_add_collection(7, home, "docs", LIFE_CREATING);

	(void)state;
	assert_ptr_equal(catalogue_named(home, "docs"), c);
	collection_bind(c, 0, &on_a);
	assert_null(catalogue_by_uuid(&on_a));
	collection_set_live(c, &on_a);
	assert_ptr_equal(catalogue_by_uuid(&on_a), c);
	collection_bind(c, 1, &on_b);
	assert_ptr_equal(catalogue_by_uuid(&on_b), c);
	assert_int_equal(catalogue_count(home).live, 1);
}

static void what_is_gone_is_found_by_nothing(void **state)
{
	struct collection *c = live(7, "docs");

	(void)state;
	collection_set_gone(c);
	assert_null(catalogue_named(home, "docs"));
	assert_null(catalogue_by_uuid(&on_a));
	assert_null(catalogue_by_uuid(&on_b));
	assert_int_equal(catalogue_count(NULL).live, 0);
}

static void made_anew_on_an_instance_it_has_another_id(void **state)
{
	static const struct uuid anew = {"bbbbbbbb-0000-4000-8000-000000000002"},
	                         public_anew = {"aaaaaaaa-0000-4000-8000-000000000002"};
	struct collection *c = live(7, "docs");

	(void)state;
	collection_bind(c, 1, &anew);
	assert_null(catalogue_by_uuid(&on_b));
	assert_ptr_equal(catalogue_by_uuid(&anew), c);
	collection_bind(c, 0, &public_anew);
	assert_ptr_equal(catalogue_by_uuid(&on_a), c); /* what clients know */
	collection_set_gone(c);
	assert_null(catalogue_by_uuid(&on_a));
	assert_null(catalogue_by_uuid(&on_b));
	assert_null(catalogue_by_uuid(&anew));
	assert_null(catalogue_by_uuid(&public_anew));
}

static void it_stays_in_memory_while_somebody_holds_it(void **state)
{
	struct collection *c = collection_hold(live(7, "docs"));

	(void)state;
	c->scope = (struct scope *)&told;
	collection_set_gone(c);
	collection_set_gone(c);
	assert_int_equal(c->life, LIFE_GONE);
	assert_string_equal(c->name, "docs");
	assert_int_equal(scopes_freed, 0);
	collection_release(&c);
	assert_null(c);
	assert_int_equal(scopes_freed, 1);
}

static void its_name_can_be_taken_again_at_once(void **state)
{
	struct collection *old = collection_hold(live(7, "docs")), *next;

	(void)state;
	collection_set_gone(old);
	next = catalogue_add_collection(9, home, "docs", LIFE_CREATING);
	collection_set_live(old, &on_a); /* an answer that comes late */
	assert_int_equal(old->life, LIFE_GONE);
	assert_null(catalogue_by_uuid(&on_a));
	collection_release(&old);
	assert_ptr_equal(catalogue_named(home, "docs"), next);
}

static void a_rename_takes_both_names_and_leaves_one(void **state)
{
	struct collection *c = live(7, "docs");

	(void)state;
	collection_reserve(c, "notes");
	assert_ptr_equal(catalogue_named(home, "docs"), c);
	assert_ptr_equal(catalogue_named(home, "notes"), c);
	collection_renamed(c, true);
	assert_null(catalogue_named(home, "docs"));
	assert_string_equal(c->name, "notes");
	collection_reserve(c, "mail");
	collection_renamed(c, false);
	assert_null(catalogue_named(home, "mail"));
	assert_ptr_equal(catalogue_named(home, "notes"), c);
	assert_null(c->next_name);
}

static void a_rename_decided_after_the_delete_takes_no_name_from_others(void **state)
{
	struct collection *c = collection_hold(live(7, "docs")), *other;

	(void)state;
	collection_reserve(c, "notes");
	collection_set_gone(c);
	assert_null(catalogue_named(home, "notes"));
	other = catalogue_add_collection(9, home, "docs", LIFE_CREATING);
	collection_renamed(c, true);
	assert_ptr_equal(catalogue_named(home, "docs"), other);
	collection_release(&c);
}

static void a_rename_of_what_is_gone_takes_no_name(void **state)
{
	struct collection *c = collection_hold(live(7, "docs"));

	(void)state;
	collection_set_gone(c); /* by a reset, decided while the rename was appended */
	collection_reserve(c, "notes");
	assert_null(catalogue_named(home, "notes"));
	collection_renamed(c, false);
	assert_null(c->next_name);
	collection_release(&c);
}

static void a_database_goes_with_its_collections(void **state)
{
	struct database *db = catalogue_add_database(5, "acme", "east", LIFE_LIVE);
	struct collection *c =
	        collection_hold(catalogue_add_collection(6, db, "docs", LIFE_CREATING));

	(void)state;
	database_hold(db);
	database_set_gone(db);
	assert_int_equal(c->life, LIFE_GONE);
	assert_null(catalogue_database("acme", "east"));
	catalogue_add_database(8, "acme", "east", LIFE_CREATING);
	database_set_live(db, &on_a); /* late */
	assert_int_equal(db->life, LIFE_GONE);
	database_release(&db);
	assert_string_equal(c->db->name, "east"); /* held by its collection */
	collection_release(&c);
}

static void a_reset_forgets_the_tenants_that_were_before_it(void **state)
{
	(void)state;
	catalogue_add_tenant("old", 5);
	catalogue_add_tenant("old", 5);
	catalogue_add_tenant("new", 9);
	catalogue_reset_tenants(7);
	assert_false(catalogue_tenant("old"));
	assert_true(catalogue_tenant("new"));
	assert_true(catalogue_tenant(TENANT_DEFAULT));
	catalogue_remove_tenant("new");
	catalogue_remove_tenant("new");
	assert_false(catalogue_tenant("new"));
}

static void who_waits_is_told_once_from_the_loop(void **state)
{
	struct collection *c = catalogue_add_collection(7, home, "docs", LIFE_CREATING);
	struct op *slot = NULL, *left = NULL;

	(void)state;
	collection_wait(c, on_told, NULL, &slot);
	collection_wait(c, on_told, NULL, &left);
	op_cancel(&left);
	pass_ms(10);
	assert_int_equal(told, 0);
	collection_set_live(c, &on_a);
	assert_int_equal(told, 0);
	pass_ms(0);
	assert_int_equal(told, 1);
	assert_null(slot);
	collection_reserve(c, "notes");
	collection_wait(c, on_told, NULL, &slot);
	collection_renamed(c, false);
	pass_ms(0);
	assert_int_equal(told, 2);
}

static void who_waits_for_what_is_deleted_is_told_too(void **state)
{
	struct database *db = catalogue_add_database(5, "acme", "east", LIFE_CREATING);
	struct collection *c = catalogue_add_collection(7, home, "docs", LIFE_CREATING);
	struct op *slot = NULL, *other = NULL;

	(void)state;
	collection_wait(c, on_told, NULL, &slot);
	database_wait(db, on_told, NULL, &other);
	collection_set_gone(c);
	database_set_gone(db);
	pass_ms(0);
	assert_int_equal(told, 2);
}

#define story(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(at_first_there_is_what_a_chroma_has),
	        story(a_database_is_found_by_its_tenant_and_name_together),
	        story(a_collection_has_its_name_from_the_start_and_its_ids_when_live),
	        story(what_is_gone_is_found_by_nothing),
	        story(made_anew_on_an_instance_it_has_another_id),
	        story(it_stays_in_memory_while_somebody_holds_it),
	        story(its_name_can_be_taken_again_at_once),
	        story(a_rename_takes_both_names_and_leaves_one),
	        story(a_rename_decided_after_the_delete_takes_no_name_from_others),
	        story(a_rename_of_what_is_gone_takes_no_name),
	        story(a_database_goes_with_its_collections),
	        story(a_reset_forgets_the_tenants_that_were_before_it),
	        story(who_waits_is_told_once_from_the_loop),
	        story(who_waits_for_what_is_deleted_is_told_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
