/* core/uuid.h - UUIDs as Chroma writes and reads them. */
#ifndef CORE_UUID_H
#define CORE_UUID_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json_scan.h"

#define UUID_LEN 36u

struct uuid {
	char text[UUID_LEN + 1]; /* hyphenated, lower case; "" for none */
};

/* Any spelling Chroma takes: hyphenated (bare, {braced} or after urn:uuid:) or 32 hex
 * digits; hex digits in any case. On false *out is none. */
bool uuid_parse(const char *s, size_t len, struct uuid *out);
/* The value of an "id" in an answer of Chroma's: a JSON string that is hyphenated. */
bool uuid_parse_json(struct json_slice v, struct uuid *out);
void uuid_random(struct uuid *out); /* version 4 */
bool uuid_none(const struct uuid *u);
int uuid_compare(const struct uuid *a, const struct uuid *b);

#endif
