#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "http/shown.h"

#define GOOD                                                                             \
	"{'shape':1,'proxy':'a','whole':true,'instances':{'primary':{"                   \
	"'pending_writes':5,'detached':false,'last_error':null,'oldest_ms':0}},"         \
	"'wal':{'pending_writes':5,'is_replaying':true,'oldest_pending':null},"          \
	"'collections':{'live':4},'resync':[{'x':1},{},{}],'strangers':{'list':[1,2]},"  \
	"'quarantine':[],'export':null,'removed_instances':[],'of_a_later_one':[[1]]}"

static json_t *parse_part(enum wal_shown part, const char *text)
{
	char *json = mem_string(text);
	json_t *o;

	for (char *c = json; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	o = shown_parse(part, json);
	free(json);
	return o;
}

static json_t *parse(const char *text)
{
	return parse_part(WAL_SHOWN_FIGURES, text);
}

static void what_the_leader_writes_is_understood(void **state)
{
	json_t *o = parse(GOOD), *instance;

	(void)state;
	assert_non_null(o);
	assert_int_equal(5, json_integer_value(json_object_get(json_object_get(o, "wal"),
	                                                       "pending_writes")));
	instance = json_object_get(json_object_get(o, "instances"), "primary");
	assert_int_equal(4, json_object_size(instance));
	assert_int_equal(3, json_array_size(json_object_get(o, "resync")));
	assert_non_null(json_object_get(o, "of_a_later_one"));
	json_decref(o);
}

static void what_is_no_document_of_ours_is_none(void **state)
{
	static const char *const texts[] = {
	        "",
	        " ",
	        "null",
	        "7",
	        "'x'",
	        "[]",
	        "{}",
	        "{",
	        "{'shape':2}",
	        "{'shape':'1'}",
	        "{'shape':1.0}",
	        "{'shape':1}}",
	        "{'shape':1,'shape':1}",
	        "{'shape':1,'wal':{'pending_writes':5}",
	        "{'shape':1,'proxy':'\xff'}",
	        "{'shape':1,'wal':99999999999999999999999999}",
	};
	char deep[5001];

	(void)state;
	for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
		assert_null(parse(texts[k]));
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_null(parse(deep));
}

static void one_that_is_cut_anywhere_is_none(void **state)
{
	char *text;

	(void)state;
	for (size_t len = 0; len < strlen(GOOD); len++) {
		text = mem_substring(GOOD, len);
		assert_null(parse(text));
		free(text);
	}
}

/* `key` of the object at `part` (NULL: the document) is not there. */
static void assert_left_out(const char *text, const char *part, const char *key)
{
	json_t *o = parse(text);
	const json_t *of = part != NULL ? json_object_get(o, part) : o;

	assert_non_null(o);
	assert_null(json_object_get(of, key));
	json_decref(o);
}

static void what_is_of_another_kind_is_left_out(void **state)
{
	(void)state;
	assert_left_out("{'shape':1,'wal':null}", NULL, "wal");
	assert_left_out("{'shape':1,'wal':[]}", NULL, "wal");
	assert_left_out("{'shape':1,'wal':{'undecided':'5'}}", "wal", "undecided");
	assert_left_out("{'shape':1,'wal':{'undecided':-5}}", "wal", "undecided");
	assert_left_out("{'shape':1,'wal':{'undecided':5.5}}", "wal", "undecided");
	assert_left_out("{'shape':1,'wal':{'undecided':null}}", "wal", "undecided");
	assert_left_out("{'shape':1,'wal':{'is_replaying':1}}", "wal", "is_replaying");
	assert_left_out("{'shape':1,'collections':{'live':true}}", "collections", "live");
	assert_left_out("{'shape':1,'instances':['primary']}", NULL, "instances");
	assert_left_out("{'shape':1,'instances':{'a':3,'b':{}}}", "instances", "a");
	assert_left_out("{'shape':1,'quarantine':[{},1]}", NULL, "quarantine");
	assert_left_out("{'shape':1,'quarantine':{}}", NULL, "quarantine");
	assert_left_out("{'shape':1,'resync':null}", NULL, "resync");
	assert_left_out("{'shape':1,'proxy':{}}", NULL, "proxy");
	assert_left_out("{'shape':1,'whole':'true'}", NULL, "whole");
}

static void the_rest_of_it_stays(void **state)
{
	json_t *o = parse("{'shape':1,'wal':{'undecided':'5','decided':3},'export':{}}");

	(void)state;
	assert_int_equal(3, json_integer_value(json_object_get(json_object_get(o, "wal"),
	                                                       "decided")));
	assert_true(json_is_object(json_object_get(o, "export")));
	json_decref(o);
}

static void so_is_the_list_of_collections(void **state)
{
	json_t *o = parse_part(WAL_SHOWN_COLLECTIONS,
	                       "{'shape':1,'total':9,'listed':1,'collections':[{}]}");

	(void)state;
	assert_int_equal(9, json_integer_value(json_object_get(o, "total")));
	assert_int_equal(1, json_array_size(json_object_get(o, "collections")));
	json_decref(o);
	o = parse_part(WAL_SHOWN_COLLECTIONS,
	               "{'shape':1,'total':'9','collections':[7]}");
	assert_int_equal(1, json_object_size(o));
	json_decref(o);
	assert_null(parse_part(WAL_SHOWN_COLLECTIONS, "[]"));
}

static void lists_are_cut(void **state)
{
	json_t *o = parse(GOOD);
	const json_t *strangers;

	(void)state;
	assert_false(shown_cut(o, 3));
	assert_true(shown_cut(o, 1));
	assert_int_equal(1, json_array_size(json_object_get(o, "resync")));
	assert_int_equal(1,
	                 json_integer_value(json_object_get(
	                         json_array_get(json_object_get(o, "resync"), 0), "x")));
	strangers = json_object_get(json_object_get(o, "strangers"), "list");
	assert_int_equal(1, json_array_size(strangers));
	assert_false(shown_cut(o, 1));
	assert_true(shown_cut(o, 0));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_the_leader_writes_is_understood),
	        cmocka_unit_test(what_is_no_document_of_ours_is_none),
	        cmocka_unit_test(one_that_is_cut_anywhere_is_none),
	        cmocka_unit_test(what_is_of_another_kind_is_left_out),
	        cmocka_unit_test(the_rest_of_it_stays),
	        cmocka_unit_test(so_is_the_list_of_collections),
	        cmocka_unit_test(lists_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
