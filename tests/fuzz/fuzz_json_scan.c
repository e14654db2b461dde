/* Any bytes as JSON text, with jansson as the judge.
 *
 * What jansson accepts, the scan accepts (unless it is too deep), and finds the same
 * things in it. What it does not is walked all the same: nothing may go wrong. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static void check_inside(struct json_slice inner, struct json_slice outer)
{
	must(inner.at != NULL && inner.len > 0);
	must(inner.at > outer.at && inner.at + inner.len < outer.at + outer.len);
}

/* ---- sound or not ---- */

static void use(struct json_slice v)
{
	free(json_text(v, NULL));
	json_text_is(v, "ids");
	json_flag(v);
	json_int64(v, 0);
	json_member(v, "ids");
	json_count(v);
}

/* As deep as a caller would, and no deeper: garbage nests without end. */
static void walk(struct json_slice v, int depth)
{
	struct json_walk w = json_walk(v);
	size_t n = 0;

	use(v);
	while (depth > 0 && json_step(&w)) {
		check_inside(w.value, v);
		if (w.map)
			check_inside(w.key, v);
		walk(w.value, depth - 1);
		n++;
	}
	must(depth == 0 || n == json_count(v));
}

/* ---- against jansson ---- */

static size_t depth_of(json_t *tree)
{
	json_t *inner;
	const char *key;
	size_t i, deepest = 0;

	json_array_foreach(tree, i, inner)
	{
		size_t depth = depth_of(inner);

		deepest = depth > deepest ? depth : deepest;
	}
	json_object_foreach(tree, key, inner)
	{
		size_t depth = depth_of(inner);

		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + (json_is_array(tree) || json_is_object(tree) ? 1 : 0);
}

static enum json_kind kind_of(json_t *tree)
{
	switch (json_typeof(tree)) {
	case JSON_OBJECT:
		return JSON_MAP;
	case JSON_ARRAY:
		return JSON_LIST;
	case JSON_STRING:
		return JSON_TEXT;
	case JSON_INTEGER:
	case JSON_REAL:
		return JSON_NUMBER;
	case JSON_NULL:
		return JSON_NULL_VALUE;
	default:
		return JSON_BOOL;
	}
}

static void compare_text(struct json_slice v, json_t *tree)
{
	size_t len;
	char *text = json_text(v, &len);
	const char *expected = json_string_value(tree);
	bool has_nul = strlen(expected) != json_string_length(tree);

	must((text == NULL) == has_nul);
	if (text != NULL) {
		must(len == json_string_length(tree) && strcmp(text, expected) == 0);
		must(json_text_is(v, text));
	}
	free(text);
}

static void compare(struct json_slice v, json_t *tree);

static void compare_list(struct json_slice v, json_t *tree)
{
	struct json_walk w = json_walk(v);
	size_t n = 0;

	while (json_step(&w))
		compare(w.value, json_array_get(tree, n++));
	must(n == json_array_size(tree));
}

static void compare_map(struct json_slice v, json_t *tree)
{
	struct json_walk w = json_walk(v);
	json_t *inner;
	const char *key;

	while (json_step(&w)) {
		char *name = json_text(w.key, NULL);

		must(name != NULL && json_object_get(tree, name) != NULL);
		free(name);
	}
	json_object_foreach(tree, key, inner) compare(json_member(v, key), inner);
}

static void compare(struct json_slice v, json_t *tree)
{
	must(tree != NULL && json_kind(v) == kind_of(tree));
	must(json_flag(v) == json_is_true(tree));
	if (json_is_integer(tree))
		must(json_int64(v, 1) == json_integer_value(tree));
	else
		must(json_int64(v, 12345) == 12345);
	if (json_is_string(tree))
		compare_text(v, tree);
	else if (json_is_array(tree))
		compare_list(v, tree);
	else if (json_is_object(tree))
		compare_map(v, tree);
}

/* What is quoted means the same again. */
static void quote(const char *bytes, size_t size)
{
	struct text quoted = {0}, again = {0};
	struct json_slice v;
	char *text;
	size_t len;

	json_add_quoted(&quoted, bytes, size);
	v = json_whole(quoted.s, quoted.len);
	must(v.at == quoted.s && v.len == quoted.len);
	text = json_text(v, &len);
	must(text != NULL || (size > 0 && memchr(bytes, '\0', size) != NULL));
	if (text != NULL) {
		json_add_quoted(&again, text, len);
		must(again.len == quoted.len &&
		     memcmp(again.s, quoted.s, quoted.len) == 0);
	}
	free(text);
	text_clear(&quoted);
	text_clear(&again);
}

/* jansson takes a bare NUL for the end of a token, and is no judge there. */
static void judge(struct json_slice whole, const char *bytes, size_t size)
{
	json_t *tree = NULL;

	if (memchr(bytes, '\0', size) == NULL)
		tree = json_loadb(bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (tree == NULL)
		return;
	must((whole.at != NULL) == (depth_of(tree) <= JSON_MAX_DEPTH));
	if (whole.at != NULL)
		compare(whole, tree);
	json_decref(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = size > 0 ? (const char *)data : "";
	struct json_slice whole = json_whole(bytes, size);

	judge(whole, bytes, size);
	if (whole.at != NULL)
		must(whole.at >= bytes && whole.at + whole.len <= bytes + size);
	walk((struct json_slice){bytes, size}, 4);
	quote(bytes, size);
	return 0;
}
