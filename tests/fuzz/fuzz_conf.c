/* Any text as the value of a setting, as flags, and as an environment.
 *
 * A value that is taken is the number that is written there, by a second reading; what is
 * refused leaves the result alone; and what cannot be understood is told on lines that
 * hold neither control characters nor a secret. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conf.h"
#include "core/conf_parse.h"
#include "core/mem.h"
#include "core/text.h"

#define MAX_WORDS 16
#define SECRET                                                                           \
	"nobody-may-know" /* not a good token: there is a control byte behind it         \
	                   */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

/* ---- values ---- */

static const struct {
	const char *unit;
	double seconds, bytes;
} units[] = {
        {"", 1, 0},       {"ms", .001, 0},    {"s", 1, 0},        {"m", 60, 0x1p20},
        {"min", 60, 0},   {"h", 3600, 0},     {"d", 86400, 0},    {"b", 0, 1},
        {"k", 0, 0x1p10}, {"g", 0, 0x1p30},   {"kb", 0, 1e3},     {"mb", 0, 1e6},
        {"gb", 0, 1e9},   {"kib", 0, 0x1p10}, {"mib", 0, 0x1p20}, {"gib", 0, 0x1p30},
};

/* A number without sign or exponent, and where it ends. */
static double number_of(const char *s, const char **rest)
{
	char *end;
	double n = s[0] >= '0' && s[0] <= '9' ? strtod(s, &end) : -1;
	size_t len = strspn(s, "0123456789.");

	if (n < 0)
		return -1;
	if (end != s + len) { /* strtod() has seen an exponent, or hex */
		char *plain = mem_substring(s, len);

		n = strtod(plain, NULL);
		free(plain);
	}
	*rest = s + len;
	return n;
}

static double factor_of(const char *unit, bool time)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcasecmp(unit, units[i].unit) == 0)
			return time ? units[i].seconds : units[i].bytes;
	return 0;
}

static void check_duration(const char *s)
{
	const char *unit = "";
	double n = number_of(s, &unit);
	msec out = 12345;

	if (!conf_parse_duration(s, &out)) {
		must(out == 12345);
		return;
	}
	must(n >= 0 && factor_of(unit, true) > 0);
	must(fabs((double)out - n * factor_of(unit, true) * 1000) <=
	     1 + 1e-9 * (double)out);
}

static void check_size(const char *s, int64_t in)
{
	const char *unit = "";
	double n = number_of(s, &unit);
	int64_t out = 12345;
	double factor = *unit == '\0' ? (double)in : factor_of(unit, false);

	if (!conf_parse_size(s, in, &out)) {
		must(out == 12345);
		return;
	}
	must(n >= 0 && factor > 0 && out >= 0);
	must(fabs((double)out * (double)in - n * factor) <=
	     (double)in + 1e-9 * n * factor);
}

static void check_count(const char *s)
{
	int64_t out = 12345;
	double share = -1;

	if (conf_parse_count(s, &out))
		must(strspn(s, "0123456789") == strlen(s) && out == strtoll(s, NULL, 10));
	else
		must(out == 12345);
	if (conf_parse_share(s, &share))
		must(strspn(s, "0123456789.") == strlen(s) && share == strtod(s, NULL));
	else
		must(share < 0);
}

static void check_distance(const char *a, const char *b)
{
	unsigned d = conf_distance(a, b);
	size_t n = strlen(a), m = strlen(b);

	must(d == conf_distance(b, a) && d <= 32);
	if (n > 32 || m > 32)
		return;
	must((d == 0) == (strcmp(a, b) == 0));
	must(d <= (n > m ? n : m) && d >= (n > m ? n - m : m - n));
}

/* ---- flags and environment ---- */

/* Of words that come apart at newlines, those that name a file are left out. */
static int words_of(char *bytes, char **words)
{
	int n = 0;

	for (char *word = strtok(bytes, "\n"); word != NULL && n < MAX_WORDS;
	     word = strtok(NULL, "\n"))
		if (strcasestr(word, "file") == NULL)
			words[n++] = word;
	words[n] = NULL;
	return n;
}

static void check_told(const struct text *t, bool secret)
{
	for (size_t i = 0; i < t->len; i++)
		must((unsigned char)t->s[i] >= 0x20 || t->s[i] == '\n');
	must(t->len == 0 || t->s[t->len - 1] == '\n');
	must(!secret || strstr(text_string(t), SECRET) == NULL);
}

/* secret: the input does not say it by itself. */
static void load(int argc, char **argv, char **envp, bool secret)
{
	struct text errors = {0}, warnings = {0};
	struct conf conf;
	bool good = conf_load(&conf, argc, argv, envp, &errors, &warnings);

	must(good == (errors.len == 0));
	check_told(&errors, secret);
	check_told(&warnings, secret);
	if (good)
		must(conf.port > 0 && conf.port < 65536 && conf.n_instances > 0 &&
		     conf.database_url != NULL && conf.max_memory_mb >= 64);
	conf_clear(&conf);
	text_clear(&errors);
	text_clear(&warnings);
}

static void check_settings(const char *s)
{
	char *words[MAX_WORDS + 3] = {(char[]){"chromatid"}}, *nothing[] = {NULL};
	bool secret = strstr(s, SECRET) == NULL;
	char *copy = mem_string(s);
	int n = words_of(copy, words + 1);

	words[n + 1] = (char[]){"UPSTREAM_TOKEN=" SECRET "\x01"};
	words[n + 2] = NULL;
	load(1, words, words + 1, secret);
	words[n + 1] = (char[]){"--upstream-token=" SECRET "\x01"};
	load(n + 2, words, nothing, secret);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = mem_substring((const char *)data, strnlen((const char *)data, size));
	char *half = mem_substring(s, strlen(s) / 2);

	check_duration(s);
	check_size(s, 1);
	check_size(s, 1 << 20);
	check_count(s);
	check_distance(s, half);
	check_distance(s, "MAX_MEMORY_MB");
	check_settings(s);
	free(half);
	free(s);
	return 0;
}
