/* Header fields as one text, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/errand.h"

static void what_is_written_is_read(void **state)
{
	struct headers h = {0}, back = {0};
	struct text text = {0};
	struct header f;
	size_t at = 0;

	(void)state;
	headers_add(&h, "content-type", "application/json");
	headers_add(&h, "x-empty", "");
	headers_add(&h, "allow", "GET,HEAD");
	headers_add(&h, "x-odd", " a: b ");
	errand_headers_write(&h, &text);
	assert_string_equal(text_string(&text),
	                    "content-type: application/json\nx-empty: \nallow: GET,HEAD\n"
	                    "x-odd:  a: b \n");
	errand_headers_read(text_string(&text), &back);
	assert_int_equal(back.count, 4);
	assert_true(headers_next(&back, &at, &f));
	assert_string_equal(f.name, "content-type");
	assert_string_equal(headers_get(&back, "x-empty"), "");
	assert_string_equal(headers_get(&back, "allow"), "GET,HEAD");
	assert_string_equal(headers_get(&back, "x-odd"), " a: b ");
	text_clear(&text);
	headers_clear(&h);
	headers_clear(&back);
}

static void none_is_an_empty_text(void **state)
{
	struct headers back = {0};
	struct text text = {0};

	(void)state;
	errand_headers_write(NULL, &text);
	assert_string_equal(text_string(&text), "");
	errand_headers_read("", &back);
	assert_int_equal(back.count, 0);
}

/* One field does not become two. */
static void no_value_ends_its_line(void **state)
{
	struct text text = {0};

	(void)state;
	errand_headers_add(&text, "x-a", "1\nx-b: 2\r");
	errand_headers_add(&text, "x a", "1");
	errand_headers_add(&text, "", "1");
	errand_headers_add(&text, "x-c", "\xff\x7f\t.");
	assert_string_equal(text_string(&text), "x-a: 1 x-b: 2 \nx-c:    .\n");
	text_clear(&text);
}

static void what_is_no_line_of_ours_is_passed_over(void **state)
{
	struct headers back = {0};

	(void)state;
	errand_headers_read("\n: x\nno\nx:y\nx y: z\ngood: yes\nx:\nlast: no end", &back);
	assert_int_equal(back.count, 1);
	assert_string_equal(headers_get(&back, "good"), "yes");
	headers_clear(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_written_is_read),
	        cmocka_unit_test(none_is_an_empty_text),
	        cmocka_unit_test(no_value_ends_its_line),
	        cmocka_unit_test(what_is_no_line_of_ours_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
