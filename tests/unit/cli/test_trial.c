#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cli/trial.h"

static struct trial_model model;
static json_t *got;

static int fresh(void **state)
{
	(void)state;
	model = (struct trial_model){0};
	trial_model_add(&model, 10);
	got = trial_body(&model, 0, 10);
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_decref(got);
	return 0;
}

static void assert_difference(const char *says)
{
	char *why = trial_difference(&model, got);

	if (says == NULL)
		assert_null(why);
	else if (why == NULL || strstr(why, says) == NULL)
		fail_msg("%s, not %s", why != NULL ? why : "nothing", says);
	free(why);
}

static json_t *of(const char *field)
{
	return json_object_get(got, field);
}

static void what_was_written_is_what_is_read(void **state)
{
	(void)state;
	assert_difference(NULL);
	assert_int_equal(trial_model_count(&model), 10);
	trial_model_add(&model, 1000);
	assert_int_equal(model.n, TRIAL_ITEMS);
	assert_difference("item10 is missing");
}

static void each_difference_is_seen(void **state)
{
	json_t *number;

	(void)state;
	model.there[3] = false;
	assert_difference("item3 stands where item4 should");
	model.there[3] = true;
	json_array_set_new(of("documents"), 5, json_string("else"));
	assert_difference("item5 has other documents");
	model.there[9] = false;
	json_array_set_new(json_array_get(of("embeddings"), 2), 1, json_real(77));
	assert_difference("item2 has other embeddings");
	number = json_array_get(of("metadatas"), 1);
	json_object_set_new(number, "more", json_true());
	assert_difference("item1 has other metadatas");
}

static void one_too_many_is_seen(void **state)
{
	(void)state;
	model.there[9] = false;
	assert_difference("10 items instead of 9");
}

static void an_old_version_is_seen(void **state)
{
	(void)state;
	model.version[0]++;
	assert_difference("item0 has other documents");
}

static void no_two_items_are_alike(void **state)
{
	(void)state;
	for (unsigned a = 0; a < TRIAL_ITEMS; a++)
		for (unsigned b = 0; b < a; b++)
			assert_true(trial_number(a, 0, 0) != trial_number(b, 1, 0));
}

static void what_is_no_answer_differs(void **state)
{
	(void)state;
	json_object_clear(got);
	assert_difference("item0 is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_was_written_is_what_is_read),
	        TEST(each_difference_is_seen),
	        TEST(one_too_many_is_seen),
	        TEST(an_old_version_is_seen),
	        TEST(no_two_items_are_alike),
	        TEST(what_is_no_answer_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
