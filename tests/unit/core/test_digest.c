/* The first half of SHA-256, in parts or whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/digest.h"

static void hex(const struct digest *d, char out[2 * DIGEST_LEN + 1])
{
	for (unsigned k = 0; k < DIGEST_LEN; k++)
		snprintf(out + 2 * (size_t)k, 3, "%02x", d->bytes[k]);
}

static void it_is_half_of_sha_256(void **state)
{
	struct digest nothing = digest_of(NULL, 0);
	struct digest abc = digest_of((struct digest_part[]){{"abc", 3}}, 1);
	char text[2 * DIGEST_LEN + 1];

	(void)state;
	hex(&nothing, text);
	assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb924");
	hex(&abc, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223");
}

static void parts_are_one_after_the_other(void **state)
{
	struct digest whole = digest_of((struct digest_part[]){{"abc", 3}}, 1);
	struct digest parts =
	        digest_of((struct digest_part[]){{"a", 1}, {"", 0}, {"bc", 2}}, 3);
	struct digest other = digest_of((struct digest_part[]){{"ab", 2}}, 1);

	(void)state;
	assert_true(digest_same(&whole, &parts));
	assert_false(digest_same(&whole, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_is_half_of_sha_256),
	        cmocka_unit_test(parts_are_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
