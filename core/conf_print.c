/* core/conf_print.c - the settings for people: --print-config, --help, the document. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf_table.h"
#include "core/mem.h"

static void add_scaled(struct text *out, int64_t n, const char *const *names,
                       const int64_t *factors)
{
	size_t i = 0;

	while (n == 0 || n % factors[i] != 0)
		if (factors[i++] == 1) {
			i--;
			break;
		}
	text_addf(out, "%lld%s", (long long)(n / factors[i]), names[i]);
}

static void add_duration(struct text *out, msec n)
{
	static const char *const names[] = {"d", "h", "m", "s", "ms"};
	static const int64_t factors[] = {86400000, 3600000, 60000, 1000, 1};

	add_scaled(out, (int64_t)n, names, factors);
}

static void add_bytes(struct text *out, int64_t n)
{
	static const char *const names[] = {"GiB", "MiB", "KiB", ""};
	static const int64_t factors[] = {1 << 30, 1 << 20, 1 << 10, 1};

	add_scaled(out, n, names, factors);
}

static void add_instances(struct text *out, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_instances; i++) {
		char *url = conf_redact_url(conf->instances[i].url);

		text_addf(out, "%s%s=%s", i > 0 ? "," : "", conf->instances[i].name, url);
		free(url);
	}
}

/* The user is shown: who may do what is looked for there. */
static char *mask_password(const char *url)
{
	char *shown = conf_redact_url(url), *masked;
	const char *user = strstr(url, "://"), *host = strstr(shown, "://");
	size_t len;

	if (user == NULL || host == NULL || strcmp(host, "://***") == 0)
		return shown;
	user += 3;
	len = strcspn(user, ":@/?#");
	if (user[strcspn(user, "@/?#")] != '@')
		return shown;
	masked = mem_format("%.*s%.*s%s@%s", (int)(user - url), url, (int)len, user,
	                    user[len] == ':' ? ":***" : "", host + 3);
	free(shown);
	return masked;
}

static void show_text(const struct conf *conf, const struct conf_setting *s,
                      const char *value, struct text *out)
{
	char *url;

	if (value == NULL)
		return;
	if (s->kind == CONF_INSTANCES) {
		add_instances(out, conf);
	} else if (s->kind == CONF_SERVER_URL || s->kind == CONF_DATABASE_URL) {
		url = s->secret ? mask_password(value) : conf_redact_url(value);
		text_adds(out, url);
		free(url);
	} else {
		text_adds(out, s->secret ? "***" : value);
	}
}

void conf_show(const struct conf *conf, const struct conf_setting *s, struct text *out)
{
	const char *field = (const char *)conf + s->offset;

	switch (s->kind) {
	case CONF_PORT:
		text_addf(out, "%d", *(const int *)(const void *)field);
		break;
	case CONF_COUNT:
	case CONF_MEGABYTES:
		text_addf(out, "%lld", (long long)*(const int64_t *)(const void *)field);
		break;
	case CONF_SHARE:
		text_addf(out, "%g", *(const double *)(const void *)field);
		break;
	case CONF_DURATION:
		add_duration(out, *(const msec *)(const void *)field);
		break;
	case CONF_BYTES:
		add_bytes(out, *(const int64_t *)(const void *)field);
		break;
	case CONF_SWITCH:
		text_adds(out, *(const bool *)(const void *)field ? "on" : "off");
		break;
	case CONF_CHOICE:
		text_adds(out, s->choices[*(const int *)(const void *)field]);
		break;
	case CONF_TEXT:
	case CONF_LISTEN:
	case CONF_SERVER_URL:
	case CONF_DATABASE_URL:
	case CONF_WEBHOOK_URL:
	case CONF_INSTANCES:
	case CONF_TOKEN:
	case CONF_HEADER_NAME:
	case CONF_ORIGINS:
	case CONF_NETWORKS:
		show_text(conf, s, *(char *const *)(const void *)field, out);
		break;
	}
}

void conf_print(const struct conf *conf, struct text *out)
{
	for (size_t i = 0; i < conf_settings_count; i++) {
		text_addf(out, "%s=", conf_settings[i].name);
		conf_show(conf, &conf_settings[i], out);
		text_addf(out, " (%s)\n", conf_source_name(conf->sources[i]));
	}
}

void conf_print_changed(const struct conf *conf, struct text *out)
{
	for (size_t i = 0; i < conf_settings_count; i++) {
		if (conf->sources[i] == CONF_DEFAULT)
			continue;
		text_addf(out, "%s%s=", out->len > 0 ? ", " : "", conf_settings[i].name);
		conf_show(conf, &conf_settings[i], out);
	}
}

static void add_flag(struct text *out, const char *name)
{
	text_adds(out, "--");
	for (; *name != '\0'; name++)
		text_addc(out, *name == '_' ? '-' : (char)tolower((unsigned char)*name));
}

static void add_default(struct text *out, const struct conf_setting *s)
{
	if (s->initial != NULL)
		text_addf(out, "default %s", s->initial);
	else
		text_adds(out, "unset by default");
	for (size_t i = 0; s->choices != NULL && s->choices[i] != NULL; i++)
		text_addf(out, "%s%s", i == 0 ? "; one of " : ", ", s->choices[i]);
	if (s->secret)
		text_addf(out, "; or %s_FILE names a file that holds it", s->name);
}

void conf_help(struct text *out)
{
	for (size_t i = 0; i < conf_settings_count; i++) {
		const struct conf_setting *s = &conf_settings[i];

		text_adds(out, "  ");
		add_flag(out, s->name);
		text_addf(out, " (%s)\n        %s\n        ", s->name, s->what);
		add_default(out, s);
		text_adds(out, "\n");
	}
}

static void add_row(struct text *out, const struct conf_setting *s)
{
	text_addf(out, "| `%s` | `", s->name);
	add_flag(out, s->name);
	if (s->initial != NULL)
		text_addf(out, "` | `%s` | %s", s->initial, s->what);
	else
		text_addf(out, "` | unset | %s", s->what);
	for (size_t i = 0; s->choices != NULL && s->choices[i] != NULL; i++)
		text_addf(out, "%s`%s`", i == 0 ? ": " : ", ", s->choices[i]);
	if (s->secret)
		text_addf(out, "; `%s_FILE` may name a file that holds it", s->name);
	text_adds(out, " |\n");
}

void conf_document(struct text *out)
{
	text_adds(
	        out,
	        "# Configuration\n\n"
	        "Settings come from flags (`--name value` or `--name=value`), else from "
	        "the environment, else from the defaults here. An empty value counts as "
	        "unset. A value that is not understood stops the start, with every "
	        "mistake listed; `--check-config` only checks, `--print-config` shows "
	        "what is in force and where it came from.\n\n"
	        "Durations are written `250ms`, `5s`, `2m`, `1h` or `30d`; a bare number "
	        "is seconds. Sizes are written `40MiB` (units of 1024), `30MB` (units of "
	        "1000) or `512K` (1024 again); a bare number is in the unit of the name, "
	        "or bytes.\n\n"
	        "| environment | flag | default | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < conf_settings_count; i++)
		add_row(out, &conf_settings[i]);
}

/* When an @ comes after what looks like the end of host and port, some password was not
 * encoded and nobody can tell where it ends: then nothing is shown. */
char *conf_redact_url(const char *url)
{
	const char *mark = strstr(url, "://");
	const char *start = mark != NULL ? mark + 3 : url;
	size_t len = strcspn(start, "/?#");
	const char *at = memrchr(start, '@', len);
	int scheme = (int)(start - url);

	if (strchr(start + len, '@') != NULL ||
	    (mark == NULL && strchr(url, '=') != NULL))
		return mem_format("%.*s***", scheme, url);
	if (at != NULL)
		start = at + 1;
	return mem_format("%.*s%.*s", scheme, url, (int)strcspn(start, "?#"), start);
}
