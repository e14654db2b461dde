/* core/cli/doctor.c - `chromatid doctor`: with the settings of the proxy, is everything
 * there that it needs? Nothing is changed anywhere.
 *
 *   settings           each mistake is a finding; with one there is no more to look at
 *   doctor_log         PostgreSQL, as a proxy would use it
 *   doctor_instances   each Chroma
 *   doctor_port        is the port free, or does our proxy run there, and what says it?
 *   say                a line for each finding, and what is to be done about it */
#include "core/cli/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

#define PATIENCE_MS 8000u

/* --- findings ---------------------------------------------------------------------- */

static const char *const levels[] = {"ok", "note", "wrong"};

void doctor_find(struct doctor *d, enum finding level, const char *about,
                 const char *mend, const char *format, ...)
{
	struct text what = {0}, clean = {0};
	va_list args;

	va_start(args, format);
	text_addv(&what, format, args);
	va_end(args);
	print_clean(&clean, text_string(&what));
	json_array_append_new(d->findings,
	                      json_pack("{s:s, s:s, s:s, s:s?}", "level", levels[level],
	                                "about", about, "what", text_string(&clean),
	                                "mend", mend));
	d->wrong = d->wrong || level == FINDING_WRONG;
	text_clear(&what);
	text_clear(&clean);
}

static void say_finding(const json_t *f)
{
	const char *mend = json_text_of(f, "mend");

	printf("%-5s  %s: %s\n", json_text_of(f, "level"), json_text_of(f, "about"),
	       json_text_of(f, "what"));
	if (mend[0] != '\0')
		printf("       -> %s\n", mend);
}

static int say(struct doctor *d)
{
	const json_t *f;
	json_t *o;
	size_t k;

	if (cli_json(d->c)) {
		o = json_pack("{s:b, s:O}", "sound", !d->wrong, "findings", d->findings);
		page_json(o);
		json_decref(o);
	} else {
		json_array_foreach(d->findings, k, f)
		{
			say_finding(f);
		}
	}
	return d->wrong ? CLI_NOT : CLI_OK;
}

/* --- settings ---------------------------------------------------------------------- */

static void find_lines(struct doctor *d, enum finding level, const char *mend,
                       const char *lines)
{
	while (*lines != '\0') {
		size_t len = strcspn(lines, "\n");

		doctor_find(d, level, "settings", mend, "%.*s", (int)len, lines);
		lines += len + (lines[len] == '\n');
	}
}

static bool load(struct doctor *d)
{
	static char name[] = "chromatid";
	char *argv[] = {name, NULL};
	struct text errors = {0}, warnings = {0};
	bool good = conf_load(&d->conf, 1, argv, environ, &errors, &warnings);

	if (good)
		doctor_find(d, FINDING_GOOD, "settings", NULL, "they are good");
	find_lines(d, FINDING_WRONG,
	           "Give the doctor the environment of the proxy; CONFIGURATION.md names "
	           "all settings",
	           text_string(&errors));
	find_lines(d, FINDING_NOTE, NULL, text_string(&warnings));
	text_clear(&errors);
	text_clear(&warnings);
	return good;
}

/* --- all of it --------------------------------------------------------------------- */

static void look(struct doctor *d)
{
	ask_patience(PATIENCE_MS);
	doctor_log(d);
	doctor_instances(d);
	doctor_port(d);
}

int command_doctor(struct cli *c)
{
	struct doctor d = {.c = c, .findings = json_array()};
	int code = ask_start(c);

	if (code == CLI_OK) {
		if (load(&d))
			look(&d);
		code = say(&d);
		ask_stop();
		conf_clear(&d.conf);
	}
	for (unsigned k = 0; k < d.n_markers; k++)
		free(d.markers[k].name);
	json_decref(d.findings);
	return code;
}
