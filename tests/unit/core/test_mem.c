/* tests/unit/core/test_mem.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define MOST 1300u

/* One of each size, full of its own number. */
static char *pieces[MOST];

static void take(void *(*allocate)(size_t bytes))
{
	for (size_t n = 0; n < MOST; n++) {
		pieces[n] = allocate(n);
		assert_non_null(pieces[n]);
		assert_int_equal((uintptr_t)pieces[n] % _Alignof(max_align_t), 0);
	}
}

static void fill(void)
{
	for (size_t n = 0; n < MOST; n++)
		memset(pieces[n], (int)(n % 251), n);
}

static void assert_all(int wanted)
{
	for (size_t n = 0; n < MOST; n++)
		for (size_t k = 0; k < n; k++)
			assert_int_equal((unsigned char)pieces[n][k],
			                 wanted < 0 ? (int)(n % 251) : wanted);
}

static void give_back(void (*give)(void *old))
{
	for (size_t n = 0; n < MOST; n++)
		give(pieces[n]);
}

static void pieces_do_not_overlap_when_they_are_used_again(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		take(mem_bare);
		fill();
		assert_all(-1);
		give_back(round == 1 ? free : mem_free);
	}
}

static void what_was_used_before_is_zeroed_where_it_should_be(void **state)
{
	(void)state;
	take(mem_bare);
	fill();
	give_back(mem_free);
	take(mem_alloc);
	assert_all(0);
	give_back(mem_free);
}

static void what_grows_keeps_what_it_had(void **state)
{
	(void)state;
	take(mem_bare);
	fill();
	for (size_t n = 0; n < MOST; n++)
		pieces[n] = mem_resize(pieces[n], 2 * n + 1);
	assert_all(-1);
	give_back(mem_free);
	mem_free(NULL);
}

/* More than is kept. */
static void many_of_one_size(void **state)
{
	enum { MANY = 20000 };
	char **many = mem_array(MANY, sizeof(char *));

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t n = 0; n < MANY; n++) {
			many[n] = mem_bare(100);
			memcpy(many[n] + 100 - sizeof(n), &n, sizeof(n));
		}
		for (size_t n = 0; n < MANY; n++) {
			assert_memory_equal(many[n] + 100 - sizeof(n), &n, sizeof(n));
			mem_free(many[n]);
		}
	}
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(pieces_do_not_overlap_when_they_are_used_again),
	        cmocka_unit_test(what_was_used_before_is_zeroed_where_it_should_be),
	        cmocka_unit_test(what_grows_keeps_what_it_had),
	        cmocka_unit_test(many_of_one_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
