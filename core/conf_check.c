/* core/conf_check.c - what a setting may be.
 *
 * A value that is not good becomes one line: the setting, the value unless it is secret,
 * what is expected, and where the value came from. */
#include "core/conf_check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conf_parse.h"
#include "core/mem.h"
#include "core/networks.h"
#include "core/pg.h"
#include "core/upstream.h"
#include "core/webhook.h"

#define QUOTED_MOST 120u

void conf_add_quoted(struct text *out, const char *value)
{
	size_t len = strlen(value);

	text_addc(out, '"');
	for (size_t i = 0; i < len && i < QUOTED_MOST; i++)
		text_addc(out, (unsigned char)value[i] < ' ' ? '?' : value[i]);
	text_adds(out, len > QUOTED_MOST ? "...\"" : "\"");
}

bool conf_is_set(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf_settings_count; i++)
		if (strcmp(conf_settings[i].name, name) == 0)
			return conf->sources[i] != CONF_DEFAULT;
	return false;
}

/* "a, b or c" */
static void add_choices(struct text *out, const char *const *choices)
{
	for (size_t i = 0; choices[i] != NULL; i++) {
		if (i > 0)
			text_adds(out, choices[i + 1] != NULL ? ", " : " or ");
		text_adds(out, choices[i]);
	}
}

static void add_limit(struct text *out, const struct conf_setting *s, double limit)
{
	struct conf shown = {0};
	char *field = (char *)&shown + s->offset;

	if (s->kind == CONF_DURATION)
		*(msec *)(void *)field = (msec)limit;
	else if (s->kind == CONF_BYTES)
		*(int64_t *)(void *)field = (int64_t)limit;
	if (s->kind == CONF_DURATION || s->kind == CONF_BYTES)
		conf_show(&shown, s, out);
	else
		text_addf(out, "%.15g", limit);
}

static void add_expected(struct text *out, const struct conf_setting *s)
{
	static const char *const kinds[] = {
	        [CONF_PORT] = "a port",
	        [CONF_COUNT] = "a whole number",
	        [CONF_SHARE] = "a number",
	        [CONF_DURATION] =
	                "a duration (250ms, 5s, 2m, 1h; a bare number is seconds)",
	        [CONF_BYTES] = "a size (40MiB, 30MB, 512K; a bare number is bytes)",
	        [CONF_MEGABYTES] = "a size (400MB, 1GiB; a bare number is megabytes)",
	        [CONF_SWITCH] = "on or off",
	        [CONF_CHOICE] = "",
	        [CONF_TEXT] = "text",
	        [CONF_LISTEN] = "host:port or [v6]:port",
	        [CONF_TOKEN] = "one line of visible ASCII characters",
	        [CONF_HEADER_NAME] = "the name of a header",
	        [CONF_ORIGINS] = "* or origins with commas between",
	        [CONF_NETWORKS] = "addresses or networks (10.0.0.0/8, ::1) with commas "
	                          "between, 64 at most",
	};

	text_adds(out, kinds[s->kind]);
	if (s->choices != NULL)
		add_choices(out, s->choices);
	if (s->most > 0) {
		text_adds(out, " from ");
		add_limit(out, s, s->least);
		text_adds(out, " to ");
		add_limit(out, s, s->most);
	}
}

static void add_wrong(struct text *errors, const struct conf_setting *s,
                      const char *value, const char *source)
{
	text_addf(errors, "%s: ", s->name);
	if (s->secret)
		text_adds(errors, "the value");
	else
		conf_add_quoted(errors, value);
	text_adds(errors, " is not ");
	add_expected(errors, s);
	text_addf(errors, " (%s)\n", source);
}

static bool in_range(const struct conf_setting *s, double value)
{
	return value >= s->least && value <= s->most;
}

static bool take_count(void *field, const struct conf_setting *s, const char *value)
{
	int64_t n;
	bool good;

	if (s->kind == CONF_BYTES)
		good = conf_parse_size(value, 1, &n);
	else if (s->kind == CONF_MEGABYTES)
		good = conf_parse_size(value, 1000000, &n);
	else
		good = conf_parse_count(value, &n);
	if (!good || !in_range(s, (double)n))
		return false;
	if (s->kind == CONF_PORT)
		*(int *)field = (int)n;
	else
		*(int64_t *)field = n;
	return true;
}

static bool take_share(double *field, const struct conf_setting *s, const char *value)
{
	double share;

	if (!conf_parse_share(value, &share) || !in_range(s, share))
		return false;
	*field = share;
	return true;
}

static bool take_duration(msec *field, const struct conf_setting *s, const char *value)
{
	msec n;

	if (!conf_parse_duration(value, &n) || !in_range(s, (double)n))
		return false;
	*field = n;
	return true;
}

static bool take_choice(int *field, const struct conf_setting *s, const char *value)
{
	for (int i = 0; s->choices[i] != NULL; i++)
		if (strcasecmp(s->choices[i], value) == 0) {
			*field = i;
			return true;
		}
	return false;
}

static bool is_visible(const char *value)
{
	for (; *value != '\0'; value++)
		if (*value <= ' ' || *value > '~')
			return false;
	return true;
}

static bool is_header_name(const char *value)
{
	static const char token[] = "0123456789abcdefghijklmnopqrstuvwxyz"
	                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~";

	return strlen(value) <= 64 && strspn(value, token) == strlen(value);
}

static bool is_listen(const char *value)
{
	const char *colon = strrchr(value, ':');
	int64_t port;

	return colon != NULL && is_visible(value) && conf_parse_count(colon + 1, &port) &&
	       port <= 65535 &&
	       (memchr(value, ':', (size_t)(colon - value)) == NULL || colon[-1] == ']');
}

/* "https://host:port", with nothing behind it: a browser sends no more. */
static bool is_origin(const char *value, size_t len)
{
	const char *mark = memmem(value, len, "://", 3);
	const char *end = value + len;

	if (len == 1 && value[0] == '*')
		return true;
	return mark != NULL && mark > value && mark + 3 < end &&
	       memchr(mark + 3, '/', (size_t)(end - mark - 3)) == NULL;
}

static bool are_origins(const char *value)
{
	while (*value != '\0') {
		size_t len;

		value += strspn(value, " ,");
		len = strcspn(value, " ,");
		if (len > 0 && !is_origin(value, len))
			return false;
		value += len;
	}
	return true;
}

static bool take_text(char **field, const struct conf_setting *s, const char *value)
{
	struct networks networks;

	if ((s->kind == CONF_TOKEN && !is_visible(value)) ||
	    (s->kind == CONF_HEADER_NAME && !is_header_name(value)) ||
	    (s->kind == CONF_ORIGINS && !are_origins(value)) ||
	    (s->kind == CONF_NETWORKS && !networks_parse(&networks, value)) ||
	    (s->kind == CONF_LISTEN && !is_listen(value)))
		return false;
	*field = mem_string(value);
	return true;
}

/* URLs are judged by who will use them. */
static char *check_url(enum conf_kind kind, const char *value)
{
	if (kind == CONF_DATABASE_URL)
		return pg_check_url(value);
	if (kind == CONF_WEBHOOK_URL)
		return webhook_check_url(value);
	return upstream_check_url(value);
}

static void take_url(char **field, const struct conf_setting *s, const char *value,
                     const char *source, struct text *errors)
{
	char *wrong = check_url(s->kind, value), *shown;

	if (wrong == NULL) {
		*field = mem_string(value);
		return;
	}
	shown = conf_redact_url(value);
	text_addf(errors, "%s: ", s->name);
	if (!s->secret) {
		conf_add_quoted(errors, shown);
		text_adds(errors, ": ");
	}
	text_addf(errors, "%s (%s)\n", wrong, source);
	free(shown);
	free(wrong);
}

void conf_take(struct conf *conf, const struct conf_setting *s, const char *value,
               const char *source, struct text *errors)
{
	void *field = (char *)conf + s->offset;
	bool good = true;

	switch (s->kind) {
	case CONF_PORT:
	case CONF_COUNT:
	case CONF_BYTES:
	case CONF_MEGABYTES:
		good = take_count(field, s, value);
		break;
	case CONF_SHARE:
		good = take_share(field, s, value);
		break;
	case CONF_DURATION:
		good = take_duration(field, s, value);
		break;
	case CONF_SWITCH:
		good = conf_parse_switch(value, field);
		break;
	case CONF_CHOICE:
		good = take_choice(field, s, value);
		break;
	case CONF_SERVER_URL:
	case CONF_DATABASE_URL:
	case CONF_WEBHOOK_URL:
		take_url(field, s, value, source, errors);
		break;
	case CONF_TEXT:
	case CONF_LISTEN:
	case CONF_INSTANCES:
	case CONF_TOKEN:
	case CONF_HEADER_NAME:
	case CONF_ORIGINS:
	case CONF_NETWORKS:
		good = take_text(field, s, value);
		break;
	}
	if (!good)
		add_wrong(errors, s, value, source);
}
