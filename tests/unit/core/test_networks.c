#include "core/networks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool has(const char *list, const char *address)
{
	struct networks n;

	assert_true(networks_parse(&n, list));
	return networks_have(&n, address);
}

static void an_address_is_a_network_of_one(void **state)
{
	(void)state;
	assert_true(has("10.1.2.3", "10.1.2.3"));
	assert_false(has("10.1.2.3", "10.1.2.4"));
	assert_true(has("::1", "::1"));
	assert_false(has("::1", "127.0.0.1"));
	assert_true(has("127.0.0.1", "::ffff:127.0.0.1"));
}

static void bits_count(void **state)
{
	(void)state;
	assert_true(has("10.0.0.0/8", "10.255.0.1"));
	assert_false(has("10.0.0.0/8", "11.0.0.1"));
	assert_true(has("192.168.4.0/22", "192.168.7.255"));
	assert_false(has("192.168.4.0/22", "192.168.8.0"));
	assert_true(has("fd00::/8, 10.0.0.1", "fd12::9"));
	assert_true(has("fd00::/8, 10.0.0.1", "10.0.0.1"));
	assert_false(has("fd00::/8, 10.0.0.1", "fe00::1"));
	assert_true(has("10.1.2.3/32", "10.1.2.3"));
	assert_false(has("10.1.2.3/32", "10.1.2.2"));
}

static void nothing_is_in_no_list(void **state)
{
	(void)state;
	assert_false(has(NULL, "127.0.0.1"));
	assert_false(has("", "127.0.0.1"));
	assert_false(has("0.0.0.0/1", "no address"));
	assert_false(has("0.0.0.0/1", ""));
}

static void what_is_no_list_is_refused_whole(void **state)
{
	static const char *const bad[] = {
	        "10.0.0.0/33",
	        "::/129",
	        "10.0.0.0/0",
	        "10.0.0/8",
	        "a",
	        "10.0.0.1/",
	        "10.0.0.1/x",
	        "10.0.0.1/-1",
	        "10.0.0.1/+8",
	        "127.0.0.1, b",
	        "10.0.0.1/1234567890123",
	        "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444:555",
	        "aa",
	};
	struct networks n;
	char many[NETWORKS_MOST * 4 + 8] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(networks_parse(&n, bad[i]));
		assert_int_equal(n.n, 0);
	}
	for (unsigned i = 0; i < NETWORKS_MOST; i++)
		strcat(many, "::1,");
	assert_true(networks_parse(&n, many));
	strcat(many, "::1");
	assert_false(networks_parse(&n, many));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_address_is_a_network_of_one),
	        cmocka_unit_test(bits_count),
	        cmocka_unit_test(nothing_is_in_no_list),
	        cmocka_unit_test(what_is_no_list_is_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
