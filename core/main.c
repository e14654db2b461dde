/* core/main.c - the composition root: read settings, start the layers from left to right,
 * run the loop, take them down from right to left. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/cli/cli.h"
#include "core/conf.h"
#include "core/dns.h"
#include "core/lag.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/notify.h"
#include "core/version.h"
#include "health/health.h"
#include "http/http.h"
#include "wal/wal.h"

extern char **environ;

/* --- words that are not settings --------------------------------------------------- */

static void print(struct text *t)
{
	fputs(text_string(t), stdout);
	text_clear(t);
}

static bool has_word(int argc, char **argv, const char *word)
{
	for (int k = 1; k < argc; k++)
		if (strcmp(argv[k], word) == 0)
			return true;
	return false;
}

/* true: that was all */
static bool answer_word(int argc, char **argv)
{
	struct text out = {0};

	if (has_word(argc, argv, "--version")) {
		puts("chromatid " CHROMATID_VERSION);
	} else if (has_word(argc, argv, "--help")) {
		cli_help(&out);
		text_adds(&out, "\nSettings of the proxy:\n");
		conf_help(&out);
		print(&out);
	} else if (has_word(argc, argv, "--document-cli")) {
		cli_document(&out);
		print(&out);
	} else if (has_word(argc, argv, "--document-man")) {
		cli_man(&out);
		print(&out);
	} else if (has_word(argc, argv, "--document-completion")) {
		cli_completion(&out);
		print(&out);
	} else if (has_word(argc, argv, "--document-settings")) {
		conf_document(&out);
		print(&out);
	} else if (has_word(argc, argv, "--document-api")) {
		http_document(&out);
		print(&out);
	} else {
		return false;
	}
	return true;
}

/* --- settings ---------------------------------------------------------------------- */

/* true: go on; otherwise *exit_code is final */
static bool load(struct conf *conf, int argc, char **argv, int *exit_code)
{
	struct text errors = {0}, warnings = {0}, shown = {0};
	bool good = conf_load(conf, argc, argv, environ, &errors, &warnings);

	*exit_code = good ? EX_OK : EX_CONFIG;
	fputs(text_string(&warnings), stderr);
	fputs(text_string(&errors), stderr);
	text_clear(&warnings);
	text_clear(&errors);
	if (good && has_word(argc, argv, "--print-config")) {
		conf_print(conf, &shown);
		print(&shown);
		return false;
	}
	if (good && has_word(argc, argv, "--check-config")) {
		puts("settings are good");
		return false;
	}
	return good;
}

/* --- ending: clients first, then the log, then everything; but if another proxy is
 * there, it leads at once, and our clients go on through it
 * ----------------------------------- */

static void on_wal_drained(void *arg)
{
	(void)arg;
	loop_end();
}

static void on_http_drained(void *arg)
{
	(void)arg;
	wal_drain(on_wal_drained, NULL);
}

static void on_left(void *arg, bool others)
{
	(void)arg;
	http_drain(others, on_http_drained, NULL);
}

static void on_stop(int signal)
{
	static bool stopping;

	if (stopping)
		return;
	stopping = true;
	log_info("stop", "signal %d: finishing what is in flight", signal);
	notify_stopping();
	wal_leave(on_left, NULL);
}

/* --- running ----------------------------------------------------------------------- */

static void protect(void)
{
	struct rlimit files;

	prctl(PR_SET_DUMPABLE, 0); /* secrets and bodies do not belong into a core file */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void say_started(const struct conf *conf)
{
	struct text settings = {0};

	conf_print_changed(conf, &settings);
	log_info("start", "chromatid %s listens on port %d", CHROMATID_VERSION,
	         conf->port);
	log_info("start", "settings: %s", text_string(&settings));
	text_clear(&settings);
}

static int run(const struct conf *conf)
{
	char *error;

	loop_start();
	lag_start();
	dns_start();
	health_start(conf);
	wal_start(conf);
	wal_adopt_start(conf);
	wal_override_start();
	wal_pages_start(conf);
	wal_wish_start(conf);
	wal_monitor_start(conf);
	error = http_start(conf);
	if (error != NULL) {
		log_error("listen", "%s", error);
	} else {
		say_started(conf);
		notify_start(http_ready);
		loop_run(on_stop);
		notify_stop();
	}
	http_stop();
	wal_monitor_stop();
	wal_wish_stop();
	wal_pages_stop();
	wal_override_stop();
	wal_adopt_stop();
	wal_stop();
	health_stop();
	dns_stop();
	log_info("stop", "stopped");
	log_flush();
	lag_stop();
	loop_stop();
	free(error);
	return error != NULL ? EX_UNAVAILABLE : EX_OK;
}

/* --- migrate ----------------------------------------------------------------------- */

static void on_migrated(void *arg, bool good)
{
	*(int *)arg = good ? EX_OK : EX_UNAVAILABLE;
	loop_end();
}

static void on_interrupted(int signal)
{
	(void)signal;
	loop_end();
}

static int migrate(const struct conf *conf)
{
	int code = EX_UNAVAILABLE;

	loop_start();
	dns_start();
	wal_migrate(conf, on_migrated, &code);
	loop_run(on_interrupted);
	wal_migrate_stop();
	dns_stop();
	log_flush();
	loop_stop();
	return code;
}

/* --- words ------------------------------------------------------------------------- */

/* "check-config" is an option as well; "serve" is what is done anyway. */
static void own_word(int *argc, char **argv)
{
	static char check[] = "--check-config";

	if (strcmp(argv[1], "check-config") == 0) {
		argv[1] = check;
		return;
	}
	memmove(argv + 1, argv + 2, (size_t)(*argc - 1) * sizeof(*argv));
	(*argc)--;
}

int main(int argc, char **argv)
{
	struct conf conf;
	char name[64] = "chromatid";
	int code = EX_OK;
	int (*work)(const struct conf *conf) = run;

	mem_start();
	if (argc > 1 && argv[1][0] != '-') {
		if (cli_run(argc, argv, &code))
			return code;
		if (strcmp(argv[1], "migrate") == 0)
			work = migrate;
		own_word(&argc, argv);
	}
	if (answer_word(argc, argv))
		return EX_OK;
	if (load(&conf, argc, argv, &code)) {
		protect();
		gethostname(name, sizeof(name) - 1);
		log_start((enum log_level)conf.log_level,
		          (enum log_format)conf.log_format, name);
		code = work(&conf);
	}
	conf_clear(&conf);
	return code;
}
