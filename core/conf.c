/* core/conf.c - reads the settings.
 *
 * The happy path:
 *   conf_load            start from the defaults of the table
 *   collect_environment  note which settings are given, as text
 *   collect_flags        note those given on the command line over them
 *   apply                turn each text into a value, checked
 *   conf_list_instances  put the instances in order of preference
 *
 * When it does not go well nothing stops early: each mistake is a line in `errors`, so
 * that one start is enough to see them all. */
#include "core/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf_check.h"
#include "core/conf_parse.h"
#include "core/conf_table.h"
#include "core/mem.h"

#define FILE_MOST 65536u

/* What was said about a setting, before anything is made of it. */
struct given {
	const char *value; /* NULL: nothing, see file */
	const char *file;  /* the name of a file that holds the value */
	enum conf_source from;
};

struct loading {
	struct conf *conf;
	struct given given[CONF_MAX_SETTINGS];
	struct text *errors, *warnings;
};

/* Finds NAME, and NAME_FILE for secrets (then *is_file). conf_settings_count: none. */
static size_t find_setting(const char *name, bool *is_file)
{
	size_t i, len;

	*is_file = false;
	for (i = 0; i < conf_settings_count; i++) {
		len = strlen(conf_settings[i].name);
		if (strncmp(name, conf_settings[i].name, len) != 0)
			continue;
		*is_file = conf_settings[i].secret && strcmp(name + len, "_FILE") == 0;
		if (name[len] == '\0' || *is_file)
			break;
	}
	return i;
}

/* The setting whose name is at most two letters away, or NULL. */
static const char *nearest(const char *name)
{
	const char *best = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < conf_settings_count; i++) {
		unsigned distance = conf_distance(name, conf_settings[i].name);

		if (distance < least) {
			least = distance;
			best = conf_settings[i].name;
		}
	}
	return best;
}

static void add_unknown(struct text *out, const char *shown, const char *name)
{
	const char *near = nearest(name);

	conf_add_quoted(out, shown);
	text_adds(out, " is not a setting");
	if (near != NULL)
		text_addf(out, "; did you mean %s?", near);
	text_adds(out, "\n");
}

static void note(struct loading *l, size_t i, bool is_file, const char *value,
                 enum conf_source from)
{
	struct given *g = &l->given[i];

	if (value[0] == '\0')
		return;
	if (g->from != from) /* a flag replaces what the environment says, file or not */
		*g = (struct given){.from = from};
	if (is_file)
		g->file = value;
	else
		g->value = value;
}

/* Of those that ask a running proxy, maybe in the same container: core/cli/ask.c */
static bool is_for_commands(const char *name)
{
	return strcmp(name, "CHROMATID_TOKEN") == 0 || strcmp(name, "CHROMATID_URL") == 0;
}

static void collect_environment(struct loading *l, char **envp)
{
	static const char ours[] = "CHROMATID_";
	size_t prefix = sizeof(ours) - 1;

	for (; *envp != NULL; envp++) {
		size_t len = strcspn(*envp, "="), i;
		char *name = mem_substring(*envp, len);
		bool is_file;

		i = find_setting(name, &is_file);
		if (i < conf_settings_count && (*envp)[len] == '=')
			note(l, i, is_file, *envp + len + 1, CONF_ENVIRONMENT);
		else if (strncmp(name, ours, prefix) == 0 && !is_for_commands(name))
			add_unknown(l->warnings, name, name + prefix);
		free(name);
	}
}

static bool is_for_main(const char *word)
{
	static const char *const words[] = {"--help", "--version", "--check-config",
	                                    "--print-config"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* "--read-replica-ratio=0.5" is READ_REPLICA_RATIO */
static char *name_of_flag(const char *word)
{
	char *name = mem_substring(word + 2, strcspn(word + 2, "="));

	for (char *c = name; *c != '\0'; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return name;
}

static void take_flag(struct loading *l, const char *word, const char *value)
{
	char *name = name_of_flag(word);
	bool is_file;
	size_t i = find_setting(name, &is_file);
	char *shown = mem_substring(word, strcspn(word, "="));

	if (i == conf_settings_count) {
		add_unknown(l->errors, shown, name);
	} else if (value == NULL) {
		conf_add_quoted(l->errors, shown);
		text_adds(l->errors, " needs a value\n");
	} else {
		note(l, i, is_file, value, CONF_FLAG);
	}
	free(shown);
	free(name);
}

/* What stands behind a "=" may be a secret. */
static void take_stray(struct loading *l, const char *word)
{
	char *shown = mem_substring(word, strcspn(word, "="));

	conf_add_quoted(l->errors, shown);
	text_adds(l->errors, " is not understood; flags begin with --\n");
	free(shown);
}

static void collect_flags(struct loading *l, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');

		if (is_for_main(argv[i]))
			continue;
		if (strncmp(argv[i], "--", 2) != 0) {
			take_stray(l, argv[i]);
		} else if (equals != NULL) {
			take_flag(l, argv[i], equals + 1);
		} else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) {
			take_flag(l, argv[i], argv[i + 1]);
			i++;
		} else {
			take_flag(l, argv[i], NULL);
		}
	}
}

/* The content of a file without the newline at its end; NULL after adding an error. */
static char *read_file(const char *name, const char *path, struct text *errors)
{
	char *content = mem_alloc(FILE_MOST + 1);
	FILE *file = fopen(path, "re");
	size_t len = file != NULL ? fread(content, 1, FILE_MOST + 1, file) : 0;
	const char *wrong = NULL;

	if (file == NULL || ferror(file))
		wrong = strerror(errno);
	else if (len > FILE_MOST)
		wrong = "it is larger than 64 KiB";
	else if (memchr(content, '\0', len) != NULL)
		wrong = "it holds a NUL byte";
	if (file != NULL)
		fclose(file);
	if (wrong != NULL) {
		text_addf(errors, "%s_FILE: ", name);
		conf_add_quoted(errors, path);
		text_addf(errors, " cannot be used: %s\n", wrong);
		free(content);
		return NULL;
	}
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	content[len] = '\0';
	return content;
}

static char *trimmed(const char *value)
{
	size_t len;

	value += strspn(value, " \t\r\n");
	len = strlen(value);
	while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
		len--;
	return mem_substring(value, len);
}

/* The text of a setting, from wherever it was given; NULL: keep the default. */
static char *text_of(struct loading *l, size_t i)
{
	const struct conf_setting *s = &conf_settings[i];
	const struct given *g = &l->given[i];

	if (g->value != NULL && g->file != NULL) {
		text_addf(l->errors, "%s and %s_FILE are both set; keep one\n", s->name,
		          s->name);
		return NULL;
	}
	if (g->file != NULL)
		return read_file(s->name, g->file, l->errors);
	if (g->value == NULL)
		return NULL;
	return s->secret ? mem_string(g->value) : trimmed(g->value);
}

static void apply(struct loading *l, size_t i)
{
	const struct conf_setting *s = &conf_settings[i];
	const struct given *g = &l->given[i];
	char *value = text_of(l, i);
	bool given = g->value != NULL || g->file != NULL;

	if (value != NULL && value[0] == '\0') /* only spaces, or an empty file */
		given = false;
	if (given)
		l->conf->sources[i] = (uint8_t)(g->file != NULL ? CONF_FILE : g->from);
	if (given && value != NULL)
		conf_take(l->conf, s, value, conf_source_name(l->conf->sources[i]),
		          l->errors);
	else if (!given && s->initial != NULL)
		conf_take(l->conf, s, s->initial, conf_source_name(CONF_DEFAULT),
		          l->errors);
	free(value);
}

static bool is_same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void check_tokens(const struct conf *conf, struct text *errors,
                         struct text *warnings)
{
	if (is_same(conf->api_token, conf->read_token) ||
	    is_same(conf->api_token, conf->admin_token) ||
	    is_same(conf->read_token, conf->admin_token))
		text_adds(errors, "API_TOKEN, READ_TOKEN and ADMIN_TOKEN must differ: "
		                  "each may do something else\n");
	if (conf->read_token != NULL && conf->api_token == NULL)
		text_adds(warnings, "READ_TOKEN without API_TOKEN: only who has "
		                    "ADMIN_TOKEN can write\n");
	if (conf->status_auth && conf->api_token == NULL && conf->read_token == NULL)
		text_adds(warnings, "STATUS_AUTH does nothing without API_TOKEN or "
		                    "READ_TOKEN\n");
}

bool conf_load(struct conf *conf, int argc, char **argv, char **envp, struct text *errors,
               struct text *warnings)
{
	struct loading l = {.conf = conf, .errors = errors, .warnings = warnings};
	size_t before = errors->len;

	*conf = (struct conf){0};
	collect_environment(&l, envp);
	collect_flags(&l, argc, argv);
	for (size_t i = 0; i < conf_settings_count; i++)
		apply(&l, i);
	if (!conf_is_set(conf, "DATABASE_URL"))
		text_adds(errors,
		          "DATABASE_URL is required: where PostgreSQL is, such as "
		          "postgres://user:password@host:5432/database\n");
	conf_list_instances(conf, errors);
	if (conf->upstream_auth_header != NULL && conf->upstream_token == NULL)
		text_adds(warnings, "UPSTREAM_AUTH_HEADER does nothing without "
		                    "UPSTREAM_TOKEN\n");
	check_tokens(conf, errors, warnings);
	return errors->len == before;
}

bool conf_lists(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (list != NULL && *list != '\0') {
		size_t n;

		list += strspn(list, ", ");
		n = strcspn(list, ", ");
		if (n > 0 && n == len && memcmp(list, name, len) == 0)
			return true;
		list += n;
	}
	return false;
}

void conf_clear(struct conf *conf)
{
	for (size_t i = 0; i < conf_settings_count; i++) {
		const struct conf_setting *s = &conf_settings[i];

		if (conf_is_text(s->kind))
			free(*(char **)(void *)((char *)conf + s->offset));
	}
	for (size_t i = 0; i < conf->n_instances; i++) {
		free(conf->instances[i].name);
		free(conf->instances[i].url);
	}
	*conf = (struct conf){0};
}
