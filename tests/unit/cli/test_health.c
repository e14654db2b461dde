#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cli/cli_private.h"

#define WELL                                                                             \
	"'name':'a','healthy':true,'state':'up','reason':'it answers',"                  \
	"'detached':false,'pending_writes':7"

/* A status with one instance; how many reasons there are, and whether the first says it.
 */
static void assert_reasons(const char *rest, const char *instance, size_t n,
                           const char *says)
{
	char *json = NULL;
	json_t *status, *reasons;
	int len = asprintf(&json, "{%s,'instances':[{%s}]}", rest, instance);

	for (int k = 0; k < len; k++)
		if (json[k] == '\'')
			json[k] = '"';
	status = json_loads(json, 0, NULL);
	assert_non_null(status);
	reasons = health_reasons(status);
	assert_int_equal(json_array_size(reasons), n);
	if (n > 0)
		assert_non_null(
		        strstr(json_string_value(json_array_get(reasons, 0)), says));
	json_decref(reasons);
	json_decref(status);
	free(json);
}

#define ALL_WELL "'status':'healthy','postgres':{'connected':true},'quarantine':[]"

static void all_is_well(void **state)
{
	(void)state;
	assert_reasons(ALL_WELL, WELL ",'lag_seconds':1", 0, "");
	/* an older proxy, which does not lead and says no more */
	assert_reasons(
	        "'status':'healthy','postgres':{'connected':true},'quarantine':null",
	        "'name':'a','healthy':true,'state':'up','pending_writes':null,"
	        "'lag_seconds':null,'detached':null",
	        0, "");
}

static void each_thing_that_is_wrong_is_a_reason(void **state)
{
	(void)state;
	assert_reasons(ALL_WELL, WELL ",'lag_seconds':61.5", 1, "62 s behind: 7 writes");
	assert_reasons(ALL_WELL, "'name':'a','healthy':false,'state':'down','reason':'x'",
	               1, "instance a is down: x");
	assert_reasons(ALL_WELL, "'name':'a','healthy':true,'state':'read_only'", 1,
	               "failing its writes");
	assert_reasons(ALL_WELL, "'name':'a','healthy':false,'state':'taken_out'", 1,
	               "by hand");
	assert_reasons(ALL_WELL, "'name':'a','healthy':true,'state':'up','detached':true",
	               1, "not kept");
	assert_reasons(
	        "'status':'degraded','postgres':{'connected':false},'quarantine':[]",
	        WELL, 1, "PostgreSQL");
	assert_reasons(
	        "'status':'healthy','postgres':{'connected':true},'quarantine':[{}],"
	        "'wal':{'quarantined':1}",
	        WELL, 1, "1 collections");
	assert_reasons(ALL_WELL ",'figures_from':null", WELL, 1, "nobody is known");
	assert_reasons(ALL_WELL ",'figures_from':{}", WELL, 0, "");
	assert_reasons("'status':'draining','postgres':{'connected':true}", WELL, 1,
	               "draining");
	assert_reasons("'postgres':{'connected':true}", WELL, 1, "not one of ours");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_is_well),
	        cmocka_unit_test(each_thing_that_is_wrong_is_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
