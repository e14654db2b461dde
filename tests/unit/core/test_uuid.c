/* UUIDs as Chroma writes and reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/uuid.h"

#define CANONICAL "67e55044-10b1-426f-9247-bb680e5fe0c8"

static void expect_same(const char *spelling)
{
	struct uuid u;

	if (!uuid_parse(spelling, strlen(spelling), &u))
		fail_msg("not read: %s", spelling);
	assert_string_equal(u.text, CANONICAL);
}

static void expect_refused(const char *spelling)
{
	struct uuid u;

	memset(&u, 'x', sizeof(u));
	if (uuid_parse(spelling, strlen(spelling), &u))
		fail_msg("read: %s", spelling);
	assert_true(uuid_none(&u));
}

static void every_spelling_chroma_takes_becomes_one(void **state)
{
	(void)state;
	expect_same(CANONICAL);
	expect_same("67E55044-10B1-426F-9247-BB680E5FE0C8");
	expect_same("67e5504410b1426f9247bb680e5fe0c8");
	expect_same("67E5504410b1426f9247bb680e5fE0C8");
	expect_same("urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8");
	expect_same("{67e55044-10b1-426f-9247-BB680E5FE0C8}");
}

static void what_chroma_refuses_is_refused(void **state)
{
	(void)state;
	expect_refused("");
	expect_refused("my-collection");
	expect_refused("67e55044-10b1-426f-9247-bb680e5fe0c");
	expect_refused("67e55044-10b1-426f-9247-bb680e5fe0c8a");
	expect_refused("67e5504410b1426f9247bb680e5fe0c");
	expect_refused("67e55044-10b1-426f-9247-bb680e5fe0cg");
	expect_refused("67e55044.10b1-426f-9247-bb680e5fe0c8");
	expect_refused("67e55044-10b14-26f-9247-bb680e5fe0c8");
	expect_refused("231231212212423424324323477343246663");
	expect_refused("{67e5504410b1426f9247bb680e5fe0c8}");
	expect_refused("{67e55044-10b1-426f-9247-bb680e5fe0c8");
	expect_refused("{67e55044-10b1-426f-9247-bb680e5fe0c8)");
	expect_refused("urn:uuid:67e5504410b1426f9247bb680e5fe0c8");
	expect_refused("urn:guid:67e55044-10b1-426f-9247-bb680e5fe0c8");
	expect_refused("urn:uuid:{67e55044-10b1-426f-9247-bb680e5fe0c8}");
	expect_refused(" 67e55044-10b1-426f-9247-bb680e5fe0c8");
}

static void only_the_given_bytes_are_read(void **state)
{
	struct uuid u;
	char exact[UUID_LEN];

	(void)state;
	memcpy(exact, CANONICAL, sizeof(exact));
	assert_true(uuid_parse(exact, sizeof(exact), &u));
	assert_true(uuid_parse(CANONICAL "/get", UUID_LEN, &u));
	assert_string_equal(u.text, CANONICAL);
	assert_false(uuid_parse(exact, sizeof(exact) - 1, &u));
}

static void the_id_in_an_answer_is_found(void **state)
{
	static const char *const others[] = {
	        "12345678123456781234567812345678",
	        "\"12345678123456781234567812345678\"",
	        "\"{12345678-1234-5678-1234-567812345678}\"",
	        "\"12345678-1234-5678-1234-56781234567g\"",
	        "[12345678-1234-5678-1234-567812345678]",
	        "\"\"",
	        "null",
	};
	const char *id = "\"12345678-1234-5678-1234-56781234567A\"";
	struct uuid u;

	(void)state;
	assert_true(uuid_parse_json((struct json_slice){id, strlen(id)}, &u));
	assert_string_equal(u.text, "12345678-1234-5678-1234-56781234567a");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct json_slice v = {others[i], strlen(others[i])};

		assert_false(uuid_parse_json(v, &u));
		assert_true(uuid_none(&u));
	}
	assert_false(uuid_parse_json((struct json_slice){NULL, 0}, &u));
}

static void random_ones_are_version_4_and_differ(void **state)
{
	struct uuid last = {0};

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct uuid u, again;

		uuid_random(&u);
		assert_int_equal(strlen(u.text), UUID_LEN);
		assert_true(uuid_parse(u.text, UUID_LEN, &again));
		assert_int_equal(uuid_compare(&u, &again), 0);
		assert_int_equal(u.text[14], '4');
		assert_non_null(strchr("89ab", u.text[19]));
		assert_int_not_equal(uuid_compare(&u, &last), 0);
		last = u;
	}
}

static void they_sort_as_chroma_sorts_them(void **state)
{
	struct uuid a, b, none = {0};

	(void)state;
	assert_true(uuid_parse("00000000-0000-0000-0000-000000000009", UUID_LEN, &a));
	assert_true(uuid_parse("00000000-0000-0000-0000-00000000000A", UUID_LEN, &b));
	assert_true(uuid_compare(&a, &b) < 0);
	assert_true(uuid_compare(&b, &a) > 0);
	assert_true(uuid_none(&none));
	assert_false(uuid_none(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_spelling_chroma_takes_becomes_one),
	        cmocka_unit_test(what_chroma_refuses_is_refused),
	        cmocka_unit_test(only_the_given_bytes_are_read),
	        cmocka_unit_test(the_id_in_an_answer_is_found),
	        cmocka_unit_test(random_ones_are_version_4_and_differ),
	        cmocka_unit_test(they_sort_as_chroma_sorts_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
