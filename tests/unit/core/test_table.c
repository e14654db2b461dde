/* The table keeps what it was given under each name, whatever its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/table.h"

#define MANY 1000

static const char *name_of(int k)
{
	static char name[16];

	snprintf(name, sizeof(name), "key %d", k);
	return name;
}

static void an_empty_one_has_nothing(void **state)
{
	struct table t = {0};
	const struct table_entry *entry = NULL;
	size_t bucket = 0;

	(void)state;
	assert_null(table_get(&t, "a"));
	assert_null(table_remove(&t, "a"));
	assert_null(table_next(&t, &bucket, &entry));
	table_clear(&t);
	table_clear(&t);
}

static void it_finds_what_was_put_under_a_copy_of_the_name(void **state)
{
	struct table t = {0};
	char name[] = "docs";
	int a, b;

	(void)state;
	table_put(&t, name, &a);
	name[0] = 'x';
	assert_ptr_equal(table_get(&t, "docs"), &a);
	assert_null(table_get(&t, "xocs"));
	table_put(&t, "docs", &b);
	assert_ptr_equal(table_get(&t, "docs"), &b);
	assert_int_equal(t.count, 1);
	table_clear(&t);
}

static void removing_returns_what_was_there_and_only_that_goes(void **state)
{
	struct table t = {0};
	int a, b;

	(void)state;
	table_put(&t, "a", &a);
	table_put(&t, "", &b);
	assert_ptr_equal(table_remove(&t, "a"), &a);
	assert_null(table_get(&t, "a"));
	assert_null(table_remove(&t, "a"));
	assert_ptr_equal(table_get(&t, ""), &b);
	assert_int_equal(t.count, 1);
	table_clear(&t);
}

static void it_grows_and_loses_nothing(void **state)
{
	static int values[MANY];
	struct table t = {0};

	(void)state;
	for (int k = 0; k < MANY; k++)
		table_put(&t, name_of(k), &values[k]);
	assert_int_equal(t.count, MANY);
	assert_true(t.n_buckets >= MANY);
	for (int k = 0; k < MANY; k += 2)
		assert_ptr_equal(table_remove(&t, name_of(k)), &values[k]);
	for (int k = 0; k < MANY; k++)
		assert_ptr_equal(table_get(&t, name_of(k)),
		                 k % 2 == 0 ? NULL : &values[k]);
	table_clear(&t);
	assert_null(table_get(&t, name_of(1)));
}

static void a_walk_meets_each_once(void **state)
{
	static int values[MANY];
	struct table t = {0};
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	int *value, n = 0;

	(void)state;
	for (int k = 0; k < MANY; k++)
		table_put(&t, name_of(k), &values[k]);
	while ((value = table_next(&t, &bucket, &entry)) != NULL) {
		assert_int_equal(*value, 0);
		*value = 1;
		n++;
	}
	assert_int_equal(n, MANY);
	table_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_empty_one_has_nothing),
	        cmocka_unit_test(it_finds_what_was_put_under_a_copy_of_the_name),
	        cmocka_unit_test(removing_returns_what_was_there_and_only_that_goes),
	        cmocka_unit_test(it_grows_and_loses_nothing),
	        cmocka_unit_test(a_walk_meets_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
