/* A growing run of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

static void an_empty_text_is_an_empty_string(void **state)
{
	struct text t = {0};

	(void)state;
	assert_string_equal(text_string(&t), "");
	text_drop(&t, 0);
	text_reset(&t);
	text_clear(&t);
	text_clear(&t);
	assert_string_equal(text_string(&t), "");
}

static void pieces_follow_each_other(void **state)
{
	struct text t = {0};

	(void)state;
	text_adds(&t, "one");
	text_addc(&t, ' ');
	text_add(&t, "two and", 3);
	text_add(&t, NULL, 0);
	text_addf(&t, " %d%s", 3, "!");
	text_addf(&t, "%s", "");
	assert_string_equal(t.s, "one two 3!");
	assert_int_equal(t.len, 10);
	text_clear(&t);
}

static void it_grows_and_stays_terminated(void **state)
{
	struct text t = {0};

	(void)state;
	for (int i = 0; i < 5000; i++) {
		text_addf(&t, "%04d", i);
		assert_int_equal(t.s[t.len], '\0');
		assert_in_range(t.len + 1, 1, t.room);
	}
	assert_int_equal(t.len, 20000);
	assert_memory_equal(t.s + 4 * 4321, "4321", 4);
	text_clear(&t);
}

static void bytes_may_be_zero(void **state)
{
	struct text t = {0};

	(void)state;
	text_add(&t, "a\0b", 3);
	text_addc(&t, '\0');
	assert_int_equal(t.len, 4);
	assert_memory_equal(t.s, "a\0b\0", 5);
	text_clear(&t);
}

static void a_long_formatted_piece_fits(void **state)
{
	struct text t = {0};
	char *long_one = calloc(1, 100001);

	(void)state;
	memset(long_one, 'x', 100000);
	text_addf(&t, "<%s>", long_one);
	assert_int_equal(t.len, 100002);
	assert_int_equal(t.s[100001], '>');
	free(long_one);
	text_clear(&t);
}

static void numbers_are_written_in_full(void **state)
{
	static const int64_t numbers[] = {0, 7, 10, -1, INT64_MAX, INT64_MIN};
	struct text t = {0}, expected = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		text_add_number(&t, numbers[i]);
		text_addf(&expected, "%lld", (long long)numbers[i]);
		assert_string_equal(t.s, expected.s);
	}
	text_clear(&t);
	text_clear(&expected);
}

/* What is formatted may just fit, or just not, into the room there is. */
static void formatted_pieces_of_any_length_fit(void **state)
{
	(void)state;
	for (int len = 0; len < 200; len++) {
		struct text t = {0};

		text_adds(&t, "abc");
		text_addf(&t, "%0*d", len, 0);
		assert_int_equal(t.len, 3 + (len > 0 ? len : 1));
		assert_int_equal(strlen(t.s), t.len);
		assert_in_range(t.len + 1, 1, t.room);
		text_clear(&t);
	}
}

static void the_front_can_be_dropped(void **state)
{
	struct text t = {0};

	(void)state;
	text_adds(&t, "head body");
	text_drop(&t, 5);
	assert_string_equal(t.s, "body");
	text_drop(&t, 4);
	assert_string_equal(t.s, "");
	assert_int_equal(t.len, 0);
	text_adds(&t, "again");
	assert_string_equal(t.s, "again");
	text_clear(&t);
}

static void reset_keeps_the_memory_and_clear_gives_it_back(void **state)
{
	struct text t = {0};
	const char *before;

	(void)state;
	text_reserve(&t, 1000);
	before = t.s;
	text_adds(&t, "something");
	text_reset(&t);
	assert_int_equal(t.len, 0);
	assert_string_equal(text_string(&t), "");
	text_adds(&t, "else");
	assert_ptr_equal(t.s, before);
	text_clear(&t);
	assert_null(t.s);
	assert_int_equal(t.room, 0);
}

static void a_reservation_is_enough(void **state)
{
	struct text t = {0};
	const char *before;

	(void)state;
	text_adds(&t, "abc");
	text_reserve(&t, 500);
	assert_string_equal(t.s, "abc");
	before = t.s;
	for (int i = 0; i < 500; i++)
		text_addc(&t, 'x');
	assert_ptr_equal(t.s, before);
	text_clear(&t);
}

static void detached_it_belongs_to_the_caller(void **state)
{
	struct text t = {0};
	char *s;

	(void)state;
	text_adds(&t, "mine");
	s = text_detach(&t);
	assert_string_equal(s, "mine");
	assert_string_equal(text_string(&t), "");
	free(s);
	s = text_detach(&t); /* of nothing: a string all the same */
	assert_string_equal(s, "");
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_empty_text_is_an_empty_string),
	        cmocka_unit_test(pieces_follow_each_other),
	        cmocka_unit_test(it_grows_and_stays_terminated),
	        cmocka_unit_test(bytes_may_be_zero),
	        cmocka_unit_test(a_long_formatted_piece_fits),
	        cmocka_unit_test(numbers_are_written_in_full),
	        cmocka_unit_test(formatted_pieces_of_any_length_fit),
	        cmocka_unit_test(the_front_can_be_dropped),
	        cmocka_unit_test(reset_keeps_the_memory_and_clear_gives_it_back),
	        cmocka_unit_test(a_reservation_is_enough),
	        cmocka_unit_test(detached_it_belongs_to_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
