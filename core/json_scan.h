/* core/json_scan.h - pure: finds things in JSON text without building a tree.
 *
 * A value is a slice of the text. The scan checks structure (brackets, strings, commas,
 * colons, depth up to JSON_MAX_DEPTH, nothing after the value), not numbers or escapes in
 * full: it may accept what a strict parser refuses, and refuses nothing a strict parser
 * accepts but too much depth. One pass, no allocation, whatever the size.
 *
 * No name in here is one of jansson's: the program is linked with it, and libjansson
 * would call ours. */
#ifndef CORE_JSON_SCAN_H
#define CORE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 128u

struct json_slice {
	const char *at; /* NULL: absent */
	size_t len;     /* without surrounding white space */
};

enum json_kind {
	JSON_ABSENT,
	JSON_NULL_VALUE,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_TEXT,
	JSON_LIST,
	JSON_MAP
};

/* The whole text as one value; .at == NULL when its structure is broken. */
struct json_slice json_whole(const char *text, size_t len);
enum json_kind json_kind(struct json_slice v);

/* Walks an object or an array that json_whole() (or a walk) has yielded:
 *	struct json_walk w = json_walk(v);
 *	while (json_step(&w)) ... w.key (objects; with its quotes), w.value
 * Not an object or array: no steps. */
struct json_walk {
	const char *at, *end;
	bool map;
	struct json_slice key;
	struct json_slice value;
};

struct json_walk json_walk(struct json_slice v);
bool json_step(struct json_walk *w);

/* The value of a key of an object; escapes in keys are understood. Absent: .at == NULL.
 * Of several equal keys the last. */
struct json_slice json_member(struct json_slice object, const char *key);
size_t json_count(struct json_slice list); /* elements or members */

/* Is this slice the JSON string that means `text`? */
bool json_text_is(struct json_slice v, const char *text);
/* The meaning of a JSON string as UTF-8, to be freed; NULL if it is not a string, has a
 * broken escape, a lone surrogate, a control byte (also \u0000) or invalid UTF-8. *len
 * may be NULL. */
char *json_text(struct json_slice v, size_t *len);
/* `true`, and nothing else */
bool json_flag(struct json_slice v);
/* A number written as a whole one that fits; else `otherwise` (also for 1.0 and 1e3). */
int64_t json_int64(struct json_slice v, int64_t otherwise);

struct text;
/* With quotes. What is not UTF-8 becomes the replacement character. */
void json_add_quoted(struct text *to, const char *s, size_t len);

#endif
