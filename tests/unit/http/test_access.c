#include "http/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum access_need need(const char *method, const char *target)
{
	enum access_need found;
	struct route r;

	route_parse(&r, method, target);
	found = access_need(&r);
	route_clear(&r);
	return found;
}

/* {t} -> t, ...: as in the table. */
static void fill(const char *pattern, char *out)
{
	for (; *pattern != '\0'; pattern++) {
		*out++ = *pattern == '{' ? 'x' : *pattern;
		if (*pattern == '{')
			pattern = strchr(pattern, '}');
	}
	*out = '\0';
}

/* What is below /api/ is judged without its need while clients need no token. */
static void nothing_below_api_is_for_administrators(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char target[256];

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, target);
		if (strncmp(path, "/api/", 5) == 0)
			assert_true(need(method, target) < ACCESS_ADMIN);
	}
}

static void what_is_ours_is_for_administrators_unless_it_is_said(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char target[256];
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, target);
		n += route_is_ours(kind) && need(method, target) < ACCESS_ADMIN;
	}
	/* /health*3, /ready*2, /status*3, /wal/status, /metrics, mappings*2, /ui */
	assert_int_equal(n, 13);
}

#define DB "/api/v2/tenants/t/databases/d"

static void a_method_alone_decides_nothing(void **state)
{
	(void)state;
	assert_int_equal(need("POST", DB "/collections/c/get"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/query"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/search"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/delete"), ACCESS_WRITE);
	assert_int_equal(need("POST", DB "/collections/c/fork"), ACCESS_WRITE);
	assert_int_equal(need("PATCH", "/api/v2/tenants/t"), ACCESS_WRITE);
	assert_int_equal(need("POST", "/api/v2/reset"), ACCESS_WRITE);
	assert_int_equal(need("GET", DB "/collections"), ACCESS_READ);
	assert_int_equal(need("HEAD", "/admin/verify"), ACCESS_ADMIN);
	assert_int_equal(need("GET", "/nowhere"), ACCESS_READ);
	assert_int_equal(need("PUT", "/health"), ACCESS_READ);
	assert_int_equal(need("GET", "/health"), ACCESS_OPEN);
	assert_int_equal(need("GET", "/status?realtime=true"), ACCESS_LOOK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_below_api_is_for_administrators),
	        cmocka_unit_test(what_is_ours_is_for_administrators_unless_it_is_said),
	        cmocka_unit_test(a_method_alone_decides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
