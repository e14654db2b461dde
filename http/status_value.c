/* http/status_value.c - single values of the status document. */
#include "http/status.h"

#include <string.h>

#include "core/clock.h"
#include "core/utf8.h"

/* Errors of others, and lines that were cut, end up here. */
json_t *status_text_value(const char *s)
{
	json_t *value = json_string(s);
	size_t len = strlen(s), n;
	struct text clean = {0};
	uint32_t c;

	for (size_t at = 0; value == NULL && at < len; at += n) {
		n = utf8_next(s + at, len - at, &c);
		if (c == UTF8_BROKEN)
			text_adds(&clean, "\xef\xbf\xbd");
		else
			text_add(&clean, s + at, n);
	}
	if (value == NULL)
		value = json_string(text_string(&clean));
	text_clear(&clean);
	return value;
}

json_t *status_text_or_null(const char *s)
{
	return s[0] != '\0' ? status_text_value(s) : json_null();
}

json_t *status_time(int64_t wall_ms)
{
	char iso[CLOCK_ISO_BYTES];

	return wall_ms > 0 ? json_string(clock_iso(wall_ms, iso)) : json_null();
}

json_t *status_count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *status_seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

json_t *status_rounded(double value)
{
	return json_real((double)(int64_t)(value * 1000 + 0.5) / 1000);
}

json_t *status_known(const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	return value != NULL ? json_incref(value) : json_null();
}

void status_set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

void status_set_known(json_t *object, const json_t *from, const char *key)
{
	status_set(object, key, status_known(from, key));
}
