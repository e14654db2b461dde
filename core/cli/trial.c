/* core/cli/trial.c - a run of `validate` or `drill`: its steps, its requests, its log and
 * its report.
 *
 * A run has a log file of its own, with a line for each request. The first step that
 * fails ends it: the rest is not tried, and the collections stay as they are, to be
 * looked at. Else they are removed. */
#include "core/cli/trial.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"

#define USUAL_TIMEOUT 60.0
#define PAUSE_MS 50u
#define DETAIL_MOST 300

/* --- the log ----------------------------------------------------------------------- */

static void log_line(struct trial *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void log_line(struct trial *t, const char *format, ...)
{
	struct text line = {0}, clean = {0};
	char at[CLOCK_ISO_BYTES];
	va_list args;

	va_start(args, format);
	text_addv(&line, format, args);
	va_end(args);
	print_clean(&clean, text_string(&line));
	fprintf(t->log, "%s %s\n", clock_iso(clock_wall_ms(), at), text_string(&clean));
	text_clear(&line);
	text_clear(&clean);
}

void trial_fail(struct trial *t, const char *format, ...)
{
	struct text why = {0}, clean = {0};
	va_list args;

	if (t->failed)
		return; /* the first one is the cause */
	va_start(args, format);
	text_addv(&why, format, args);
	va_end(args);
	print_clean(&clean, text_string(&why));
	t->failed = true;
	t->why = text_detach(&clean);
	text_clear(&why);
	log_line(t, "FAILED %s: %s", t->step, t->why);
}

void trial_note(struct trial *t, const char *format, ...)
{
	struct text note = {0};
	va_list args;

	va_start(args, format);
	text_addv(&note, format, args);
	va_end(args);
	log_line(t, "note %s", text_string(&note));
	json_array_append_new(t->notes, json_string(text_string(&note)));
	text_clear(&note);
}

/* --- requests ---------------------------------------------------------------------- */

static void count(struct trial *t, const char *method, const char *target,
                  const struct answer *a, msec took)
{
	t->requests++;
	if (a->status != STATUS_OK || a->http >= 500)
		t->refused++;
	if (t->n_times < TRIAL_TIMES)
		t->times[t->n_times++] = took;
	log_line(t, "%s %s %s: %d%s%s, %lld ms%s%s", t->step, method, target, a->http,
	         a->status != STATUS_OK ? " " : "",
	         a->status != STATUS_OK ? status_text(a->status) : "", (long long)took,
	         a->instance != NULL ? " from " : "",
	         a->instance != NULL ? a->instance : "");
}

bool trial_ask(struct trial *t, const char *method, const char *target, json_t *body,
               struct answer *a)
{
	msec began = clock_ms();
	bool good = body != NULL ? ask_json(method, target, body, a)
	                         : ask(method, target, NULL, a);

	count(t, method, target, a, clock_ms() - began);
	return good;
}

static void fail_with(struct trial *t, const char *method, const char *target,
                      const struct answer *a)
{
	if (ask_is_interrupted())
		trial_fail(t, "interrupted");
	else if (a->status != STATUS_OK)
		trial_fail(t, "%s %s: no answer: %s%s%s", method, target,
		           status_text(a->status), a->detail != NULL ? ": " : "",
		           a->detail != NULL ? a->detail : "");
	else
		trial_fail(t, "%s %s: HTTP %d: %.*s", method, target, a->http,
		           (int)(blob_len(a->body) < DETAIL_MOST ? blob_len(a->body)
		                                                 : DETAIL_MOST),
		           (const char *)blob_bytes(a->body));
}

static json_t *must(struct trial *t, const char *method, const char *target, json_t *body)
{
	struct answer a;
	json_t *document = NULL;

	if (!trial_ask(t, method, target, body, &a) ||
	    (document = answer_json(&a)) == NULL)
		fail_with(t, method, target, &a);
	answer_clear(&a);
	return document;
}

json_t *trial_get(struct trial *t, const char *target)
{
	return must(t, "GET", target, NULL);
}

json_t *trial_post(struct trial *t, const char *target, json_t *body)
{
	return must(t, "POST", target, body);
}

bool trial_wait(struct trial *t, msec since)
{
	return !t->failed && clock_ms() - since < t->timeout_ms && ask_sleep(PAUSE_MS);
}

/* --- steps ------------------------------------------------------------------------- */

static void say_step(const struct trial *t, const char *name, const char *result, msec ms)
{
	if (cli_json(t->c))
		return;
	printf("%-28s %-8s %7lld ms\n", name, result, (long long)ms);
	fflush(stdout);
}

void trial_step(struct trial *t, const char *name, void (*run)(struct trial *t))
{
	bool before = t->failed;
	unsigned requests = t->requests;
	msec began = clock_ms(), took;
	const char *result = "not run";

	t->step = name;
	if (!before) {
		run(t);
		result = t->failed ? "FAILED" : "passed";
	}
	took = clock_ms() - began;
	log_line(t, "%s %s, %lld ms", name, result, (long long)took);
	json_array_append_new(t->steps,
	                      json_pack("{s:s, s:s, s:I, s:i}", "step", name, "result",
	                                result, "ms", (json_int_t)took, "requests",
	                                (int)(t->requests - requests)));
	say_step(t, name, result, took);
}

/* --- begin ------------------------------------------------------------------------- */

static void name_run(struct trial *t)
{
	int64_t now = clock_wall_ms();
	time_t seconds = (time_t)(now / 1000);
	char at[24];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(at, sizeof(at), "%Y%m%dT%H%M%S", &tm);
	snprintf(t->run, sizeof(t->run), "%s-%03d-%d", at, (int)(now % 1000),
	         (int)getpid());
}

static int open_log(struct trial *t)
{
	const char *folder = cli_value(t->c, "log-dir");

	t->log_path = mem_format("%s/chromatid-%s-%s.log", folder != NULL ? folder : ".",
	                         t->kind, t->run);
	t->log = fopen(t->log_path, "wxe");
	if (t->log == NULL)
		return print_wrong(t->c, CLI_NOT, "%s: %s", t->log_path, strerror(errno));
	setvbuf(t->log, NULL, _IOLBF, 0);
	return CLI_OK;
}

static int begin(struct trial *t, double timeout)
{
	int code = ask_start(t->c);

	if (code != CLI_OK)
		return code;
	t->timeout_ms = (msec)(timeout * 1000);
	name_run(t);
	code = open_log(t);
	if (code != CLI_OK)
		ask_stop();
	return code;
}

int trial_start(struct trial *t, struct cli *c, const char *kind)
{
	double timeout = USUAL_TIMEOUT;
	int code;

	*t = (struct trial){.c = c, .kind = kind, .step = "start"};
	if (cli_value(c, "url") == NULL)
		return print_wrong(c, CLI_USAGE, "a --url is needed");
	if (!cli_seconds(c, "timeout", &timeout, &code))
		return code;
	code = begin(t, timeout);
	if (code != CLI_OK) {
		free(t->log_path);
		return code;
	}
	t->steps = json_array();
	t->notes = json_array();
	return CLI_OK;
}

/* --- end --------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	msec x = *(const msec *)a, y = *(const msec *)b;

	return x < y ? -1 : x > y;
}

static json_t *time_at(const struct trial *t, unsigned percent)
{
	unsigned at = t->n_times * percent / 100;

	if (t->n_times == 0)
		return json_null();
	return json_integer((json_int_t)t->times[at < t->n_times ? at : t->n_times - 1]);
}

static json_t *kept(const struct trial *t)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < t->n_collections; k++)
		if (t->collections[k].made)
			json_array_append_new(list, json_string(t->collections[k].name));
	return list;
}

static json_t *report(struct trial *t)
{
	qsort(t->times, t->n_times, sizeof(t->times[0]), by_size);
	return json_pack(
	        "{s:s, s:s, s:b, s:s?, s:O, s:O, s:i, s:i, s:o, s:o, s:o, s:o, s:s}",
	        "command", t->kind, "run", t->run, "passed", !t->failed, "error", t->why,
	        "steps", t->steps, "notes", t->notes, "requests", (int)t->requests,
	        "refused", (int)t->refused, "median_ms", time_at(t, 50), "p95_ms",
	        time_at(t, 95), "longest_ms", time_at(t, 100), "kept", kept(t), "log",
	        t->log_path);
}

static void say_lines(const char *before, const json_t *list)
{
	const json_t *line;
	size_t k;

	json_array_foreach(list, k, line)
	{
		printf("%s%s\n", before, json_string_value(line));
	}
}

static void say_report(const struct trial *t, const json_t *r)
{
	say_lines("note: ", t->notes);
	if (t->failed)
		printf("FAILED: %s\n", t->why);
	say_lines("kept to be looked at: ", json_object_get(r, "kept"));
	printf("%u requests, %u answered 5xx or not at all; median %lld ms, 95 %% within "
	       "%lld ms, longest %lld ms\n%s; log: %s\n",
	       t->requests, t->refused, (long long)json_number_of(r, "median_ms"),
	       (long long)json_number_of(r, "p95_ms"),
	       (long long)json_number_of(r, "longest_ms"),
	       t->failed ? "FAILED" : "passed", t->log_path);
}

static void clear(struct trial *t)
{
	for (unsigned k = 0; k < t->n_instances; k++)
		free(t->instances[k]);
	json_decref(t->steps);
	json_decref(t->notes);
	free(t->why);
	free(t->log_path);
	fclose(t->log);
}

static void clean_up(struct trial *t)
{
	for (unsigned k = 0; k < t->n_collections; k++)
		if (t->collections[k].made)
			trial_remove(t, &t->collections[k]);
}

int trial_end(struct trial *t)
{
	json_t *r;
	char *json;
	int code;

	trial_step(t, "clean up", clean_up);
	r = report(t);
	json = json_dumps(r, JSON_COMPACT);
	log_line(t, "report %s", json);
	if (cli_json(t->c))
		puts(json);
	else
		say_report(t, r);
	code = t->failed ? CLI_NOT : CLI_OK;
	free(json);
	json_decref(r);
	ask_stop();
	clear(t);
	return code;
}
