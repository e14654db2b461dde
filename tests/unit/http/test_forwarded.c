#include "http/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OURS "10.0.0.0/8, ::1"

static const char *asked(const char *trusted, const char *peer, const char *first,
                         const char *second)
{
	static char found[ADDRESS_BYTES];
	struct networks list;
	struct headers h = {0};

	assert_true(networks_parse(&list, trusted));
	headers_add(&h, "x-real-ip", "6.6.6.6");
	if (first != NULL)
		headers_add(&h, "X-Forwarded-For", first);
	if (second != NULL)
		headers_add(&h, "x-forwarded-for", second);
	forwarded_for(&list, peer, &h, found);
	headers_clear(&h);
	return found;
}

static void nobody_is_believed_unasked(void **state)
{
	(void)state;
	assert_string_equal(asked(NULL, "1.2.3.4", "5.6.7.8", NULL), "1.2.3.4");
	assert_string_equal(asked(OURS, "1.2.3.4", "5.6.7.8", NULL), "1.2.3.4");
	assert_string_equal(asked(OURS, "1.2.3.4", NULL, NULL), "1.2.3.4");
}

static void a_proxy_of_ours_is(void **state)
{
	(void)state;
	assert_string_equal(asked(OURS, "10.0.0.1", "5.6.7.8", NULL), "5.6.7.8");
	assert_string_equal(asked(OURS, "::1", " 5.6.7.8\t", NULL), "5.6.7.8");
	assert_string_equal(asked(OURS, "10.0.0.1", NULL, NULL), "10.0.0.1");
	assert_string_equal(asked(OURS, "10.0.0.1", "", NULL), "10.0.0.1");
	assert_string_equal(asked(OURS, "10.0.0.1", "5.6.7.8:910", NULL), "5.6.7.8");
	assert_string_equal(asked(OURS, "10.0.0.1", "[2001:DB8::0]:9", NULL),
	                    "2001:db8::");
	assert_string_equal(asked(OURS, "10.0.0.1", "2001:db8::1", NULL), "2001:db8::1");
}

/* A client may send such a header itself: what it wrote stands in front. */
static void only_what_they_added_counts(void **state)
{
	(void)state;
	assert_string_equal(asked(OURS, "10.0.0.1", "127.0.0.1, 5.6.7.8", NULL),
	                    "5.6.7.8");
	assert_string_equal(asked(OURS, "10.0.0.1", "9.9.9.9", "5.6.7.8"), "5.6.7.8");
	assert_string_equal(asked(OURS, "10.0.0.1", "9.9.9.9, 5.6.7.8", "10.0.0.2"),
	                    "5.6.7.8");
	assert_string_equal(asked(OURS, "10.0.0.1", "10.0.0.9, 5.6.7.8, 10.0.0.2", NULL),
	                    "5.6.7.8");
}

static void inside_our_network_the_farthest_is_it(void **state)
{
	(void)state;
	assert_string_equal(asked(OURS, "10.0.0.1", "10.0.0.3, 10.0.0.2", NULL),
	                    "10.0.0.3");
}

static void what_is_no_address_ends_it(void **state)
{
	static const char *const bad[] = {
	        "unknown",
	        "5.6.7.8.9",
	        "[::1",
	        "5.6.7.8 9",
	        "\"5.6.7.8\"",
	        "_hidden",
	        ",",
	        "5.6.7.8,",
	        "11111111111111111111111111111111111111111111111111111111111111111111",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(asked(OURS, "10.0.0.1", bad[i], NULL), "10.0.0.1");
	assert_string_equal(asked(OURS, "10.0.0.1", "5.6.7.8, nonsense, 10.0.0.2", NULL),
	                    "10.0.0.2");
}

static void a_list_without_end_ends(void **state)
{
	char list[4096] = "5.6.7.8";

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		strcat(list, ",10.0.0.2");
	assert_string_equal(asked(OURS, "10.0.0.1", list, NULL), "10.0.0.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nobody_is_believed_unasked),
	        cmocka_unit_test(a_proxy_of_ours_is),
	        cmocka_unit_test(only_what_they_added_counts),
	        cmocka_unit_test(inside_our_network_the_farthest_is_it),
	        cmocka_unit_test(what_is_no_address_ends_it),
	        cmocka_unit_test(a_list_without_end_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
