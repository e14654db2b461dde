/* core/cli/cli_private.h - what the files of core/cli/ share.
 *
 *	table.c     the commands, their options, and which words mean which
 *	help.c      the table for people, man and bash
 *	ask.c       one request to the proxy, waited for
 *	print.c     columns, bars, and what went wrong
 *	page.c      a page of the proxy: fetched, listed
 *	archive.c   the file of an export: lines, counted and sealed
 *	the rest    one command each, or a few that belong together */
#ifndef CLI_CLI_PRIVATE_H
#define CLI_CLI_PRIVATE_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "core/blob.h"
#include "core/cli/cli.h"
#include "core/clock.h"
#include "core/json_scan.h"
#include "core/status.h"

struct cli;

struct cli_option {
	const char *name;     /* without its dashes; NULL ends */
	const char *argument; /* NULL: it has none */
	const char *what;
};

struct cli_command {
	const char *name;                 /* one word, or two */
	const char *arguments;            /* as the usage shows them; "" */
	unsigned least, most;             /* how many of them */
	const char *what;                 /* a line */
	const char *more;                 /* NULL, or what there is to say besides */
	const struct cli_option *options; /* NULL: only those that all have */
	int (*run)(struct cli *c);        /* NULL: main() does it */
};

extern const struct cli_command cli_commands[]; /* a NULL name ends */
extern const struct cli_option cli_common[];

#define CLI_WORDS 4u
#define CLI_VALUES 16u

/* A command line, understood. */
struct cli {
	const struct cli_command *command;
	const char *words[CLI_WORDS];
	unsigned n_words;
	struct {
		const char *name, *value;
	} given[CLI_VALUES];
	unsigned n_given;
	bool help;
};

/* False: *wrong says what is (freed by the caller). */
bool cli_parse(struct cli *c, int argc, char **argv, char **wrong);
const char *cli_value(const struct cli *c, const char *option); /* NULL: not given */
bool cli_flag(const struct cli *c, const char *option);
bool cli_json(const struct cli *c); /* --json */
/* The value of an option as a number: whole, or of seconds. Not given: as it was. False:
 * it is none, or not more than 0; `code` is what has been said about that. */
bool cli_count(const struct cli *c, const char *option, int64_t *out, int *code);
bool cli_seconds(const struct cli *c, const char *option, double *out, int *code);
bool cli_is_seq(const char *word); /* a record's number */
/* How one command is used. */
void cli_usage(struct text *out, const struct cli_command *command);

/* --- ask.c ------------------------------------------------------------------------- */
struct answer {
	enum status status; /* anything but OK: no answer */
	int http;
	struct blob *body;
	char *detail;   /* of a failure; NULL: none */
	char *instance; /* who gave the answer; NULL: not said */
	char *outcome;  /* of an error to a write: what becomes of it; NULL: not said */
};
/* CLI_OK, or CLI_USAGE after saying what is wrong with --url. */
int ask_start(const struct cli *c);
void ask_stop(void);
/* Waits for the answer; true if it is 2xx. Clear it in any case. */
bool ask(const char *method, const char *target, struct blob *body, struct answer *out);
/* From now on no longer than that for an answer. */
void ask_patience(msec patience);
struct upstream;
/* Somebody else than the proxy. */
bool ask_of(struct upstream *up, const char *method, const char *target,
            struct blob *body, struct answer *out);
/* The proxy of --log, if that is another. */
bool ask_log(const char *target, struct blob *body, struct answer *out);
bool ask_json(const char *method, const char *target, json_t *body, struct answer *out);
void answer_clear(struct answer *a);
json_t *answer_json(const struct answer *a); /* NULL: it is none */
/* False: somebody wants us to end (SIGINT, SIGTERM). */
bool ask_sleep(msec wait);
bool ask_is_interrupted(void);

/* --- print.c ----------------------------------------------------------------------- */
/* Without what a terminal would obey. */
void print_clean(struct text *out, const char *s);
struct columns {
	struct text cells; /* NUL after each */
	unsigned n, per_row;
};
void columns_add(struct columns *t, const char *cell); /* cleaned */
void columns_addf(struct columns *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void columns_print(struct columns *t, struct text *out); /* and cleared */
void print_bar(struct text *out, double share);          /* "[=====>    ]  52 %" */
/* To standard output, over what was there if it is a terminal and this is not the first
 * time. */
void print_again(struct text *t, bool first);
void print_text(struct text *t); /* and clears it */
/* What the request came to, on standard error (as JSON on standard output with --json);
 * the exit status. */
int print_failure(const struct cli *c, const struct answer *a);
int print_wrong(const struct cli *c, enum cli_code code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The document as it came, and a newline. */
int print_body(const struct answer *a);
const char *json_text_of(const json_t *object, const char *key); /* "" if there is none */
int64_t json_number_of(const json_t *object, const char *key);

/* --- page.c ------------------------------------------------------------------------ */
typedef void(page_row_fn)(struct columns *t, const json_t *row);
/* A row of `heads` (NULL ends), then one for each of the list. */
void page_list(const json_t *list, const char *const *heads, page_row_fn *add);
void page_json(const json_t *value);
/* The document at `target`; NULL: *code says how that ended. */
json_t *page_fetch(const struct cli *c, const char *target, int *code);
/* A piece of a path, or a value of a query: whatever is special in a URL is escaped. */
void page_add_part(struct text *target, const char *part);
void page_add_query(struct text *target, const char *key, const char *value);
/* Between ask_start() and ask_stop(). */
int page_run(struct cli *c, int (*run)(struct cli *c));

/* --- archive.c --------------------------------------------------------------------- */
#define ARCHIVE_LINE_MOST (192u * 1024u * 1024u)
struct archive;
/* NULL: *why says why not (freed by the caller). "-" is standard output. */
struct archive *archive_create(const char *path, char **why);
bool archive_add(struct archive *a, const char *line, size_t len); /* no newline in it */
/* Sealed, on the disk, under its name; false: *why. */
bool archive_end(struct archive *a, uint64_t collections, uint64_t items, char **why);
void archive_drop(struct archive *a); /* what there is of it goes */
/* Reads: NULL with *why, or lines one after the other; the seal is not among them. */
struct archive *archive_open(const char *path, char **why);
bool archive_next(struct archive *a, struct json_slice *line);
/* After the last line: is it whole and unchanged? False: *why. */
bool archive_is_sound(struct archive *a, uint64_t collections, uint64_t items,
                      char **why);
void archive_close(struct archive *a);

/* --- health.c ---------------------------------------------------------------------- */
/* What is not as it should be, in words, of a status; empty: all is well. */
json_t *health_reasons(const json_t *status);

/* --- commands ---------------------------------------------------------------------- */
int command_help(struct cli *c);
int command_version(struct cli *c);
int command_healthcheck(struct cli *c);
int command_status(struct cli *c);
int command_resync(struct cli *c);
int command_quarantine(struct cli *c);
int command_retry(struct cli *c);
int command_skip(struct cli *c);
int command_wal_list(struct cli *c);
int command_wal_show(struct cli *c);
int command_drain(struct cli *c);
int command_undrain(struct cli *c);
int command_verify(struct cli *c);
int command_doctor(struct cli *c);
int command_validate(struct cli *c);
int command_drill(struct cli *c);
int command_mappings(struct cli *c);
int command_export(struct cli *c);
int command_import(struct cli *c);

#endif
