/* core/cli/table.c - the commands, and what a command line means.
 *
 * A command is one word or two. Options stand anywhere behind it, as `--name value` or
 * `--name=value`; `--` ends them. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/mem.h"
#include "core/version.h"

const struct cli_option cli_common[] = {
        {"url", "URL", "The proxy; by default `CHROMATID_URL`, or 127.0.0.1 and `PORT`"},
        {"token", "TOKEN",
         "Sent as `Authorization: Bearer`; better in `CHROMATID_TOKEN`, for others may "
         "see a command line"},
        {"json", NULL, "Print JSON, for programs"},
        {"help", NULL, "Say how it is used"},
        {NULL, NULL, NULL},
};

static const struct cli_option watch[] = {
        {"watch", NULL, "Stay, and show it again every second"},
        {NULL, NULL, NULL},
};

static const struct cli_option resync_options[] = {
        {"collection", "NAME", "Only that one (a name or an id)"},
        {"tenant", "NAME", "Only in that tenant"},
        {"database", "NAME", "Only in that database"},
        {"watch", NULL,
         "Stay until it is done, and show how far it is, how fast, and which proxy "
         "copies it"},
        {NULL, NULL, NULL},
};

static const struct cli_option wal_list_options[] = {
        {"state", "STATE",
         "Only `pending` (not decided), `executed` (some instance lacks it), `synced` "
         "(none does), `failed` (refused or given up) or `quarantined`"},
        {"collection", "NAME", "Only of that one (a name or an id)"},
        {"limit", "N", "How many at most; by default 50"},
        {NULL, NULL, NULL},
};

static const struct cli_option drain_options[] = {
        {"for", "SECONDS", "Put it back by itself after that; by default it stays out"},
        {NULL, NULL, NULL},
};

static const struct cli_option verify_options[] = {
        {"tenant", "NAME", "The tenant of that collection"},
        {"database", "NAME", "The database of that collection"},
        {"report", NULL, "Only say what differs; by default `REPAIR` decides"},
        {"watch", NULL, "Stay until it is done, and say how each was found"},
        {NULL, NULL, NULL},
};

static const struct cli_option healthcheck_options[] = {
        {"alive", NULL,
         "Only whether the proxy of this machine answers at all (`/health` at `PORT`)"},
        {NULL, NULL, NULL},
};

static const struct cli_option validate_options[] = {
        {"log-dir", "DIR", "Where the log of the run is put; by default here"},
        {"timeout", "SECONDS", "How long to wait for anything; by default 60"},
        {NULL, NULL, NULL},
};

static const struct cli_option drill_options[] = {
        {"down", "WHICH",
         "`primary` (the first instance), `replica` (the second) or `both`"},
        {"by-hand", NULL,
         "Do not use `drain`: say when the server is to be suspended, and when it may go "
         "on, and wait for it (ten minutes at most)"},
        {"log-dir", "DIR", "Where the log of the run is put; by default here"},
        {"timeout", "SECONDS", "How long to wait for anything else; by default 60"},
        {NULL, NULL, NULL},
};

static const struct cli_option skip_options[] = {
        {"reason", "TEXT", "Why; kept in the proxy's log"},
        {NULL, NULL, NULL},
};

static const struct cli_option export_options[] = {
        {"collection", "NAME", "Only that one (a name or an id); may be given often"},
        {"instance", "NAME", "The one to read; by default the proxy chooses"},
        {"timeout", "SECONDS", "Give up after that; by default an hour"},
        {"hold-writes", NULL,
         "Also if no other instance takes writes meanwhile: they wait in the log"},
        {NULL, NULL, NULL},
};

static const struct cli_option import_options[] = {
        {"dry-run", NULL, "Only look at the file, and for what stands in the way"},
        {"rename", "PREFIX", "Put that before the name of each collection"},
        {"until", "TIME|SEQ",
         "Then also apply what the log holds behind the export, up to that time (UTC, "
         "`2026-11-21T10:15:00Z`) or record"},
        {"log", "URL", "The proxy whose log that is; by default the one of `--url`"},
        {"resume", NULL,
         "Go on with an import that was cut off: collections of these "
         "names and ids are its own"},
        {NULL, NULL, NULL},
};

const struct cli_command cli_commands[] = {
        {"serve", "", 0, 0, "Run the proxy (also without any command)",
         "Its options are the settings: see CONFIGURATION.md, or `chromatid --help`.",
         NULL, NULL},
        {"check-config", "", 0, 0, "Check the settings, and list every mistake",
         "Ends with 78 if there is one.", NULL, NULL},
        {"migrate", "", 0, 0,
         "Bring the tables in PostgreSQL to this program's version, and end",
         "With the settings of the proxy. Each start does it too; this is for who wants "
         "it done, and seen to be done, before. Ends with 69 if it could not be.",
         NULL, NULL},
        {"status", "", 0, 0,
         "Show the instances, what they are owed, and what is being mended",
         "Ends with 1 unless all is well.", watch, command_status},
        {"quarantine", "", 0, 0, "List the collections that are not kept up to date",
         "Ends with 1 if there is one.", NULL, command_quarantine},
        {"drain", "INSTANCE", 1, 1, "Take an instance out by hand",
         "For the proxy it is down then, whatever its probes say: what is under way "
         "there "
         "ends, nothing new is sent, and what is written meanwhile it gets afterwards. "
         "It "
         "holds at every proxy and over restarts.",
         drain_options, command_drain},
        {"undrain", "INSTANCE", 1, 1, "Put an instance back that was taken out",
         "Its next good probes bring it up.", NULL, command_undrain},
        {"wal list", "", 0, 0, "List what is in the log, the newest first", NULL,
         wal_list_options, command_wal_list},
        {"wal show", "SEQ", 1, 1,
         "Show one write: what was decided, and where it has been executed",
         "The number is the `X-Chromatid-Seq` of its answer.", NULL, command_wal_show},
        {"wal retry", "SEQ", 1, 1, "Try again what stands at that record", NULL, NULL,
         command_retry},
        {"wal skip", "SEQ", 1, 1,
         "Leave that record out where it cannot be executed: the collection differs then",
         NULL, skip_options, command_skip},
        {"verify", "[COLLECTION]", 0, 1,
         "Have the instances compared now: one collection, or all",
         "With `--watch` it ends with 1 unless all that was compared is equal.",
         verify_options, command_verify},
        {"resync", "[INSTANCE|COLLECTION]", 0, 1,
         "Have collections made anew at an instance, from another",
         "The word is an instance, and all its collections are meant (or the one of "
         "`--collection`), or else a collection, wherever it is in quarantine. Without "
         "it nothing is begun; `--watch` shows what is under way. They are not read "
         "there meanwhile; clients go on.",
         resync_options, command_resync},
        {"mappings", "", 0, 0, "List the collections, with their ids on each instance",
         NULL, NULL, command_mappings},
        {"export", "FILE", 1, 1,
         "Write everything, as of one place in the log, into a file (`-`: standard "
         "output)",
         "One instance stands still meanwhile, and catches up afterwards; clients go on "
         "with the others. The file has its name when it is whole and on the disk, and "
         "ends with a checksum.",
         export_options, command_export},
        {"import", "FILE", 1, 1, "Restore the collections of a file of `export`",
         "With the ids they had, so that clients go on with those. Nothing is touched if "
         "the file is not whole and unchanged, or something has one of the names or ids. "
         "With `--until` to a later moment than that of the export, as far as the log is "
         "kept (`WAL_RETENTION`).",
         import_options, command_import},
        {"healthcheck", "", 0, 0, "Say whether all is well, and if not, why not",
         "Ends with 0 or 1, for monitors and scripts: 1 if an instance is not up or is a "
         "minute behind, PostgreSQL is not there, or a collection is in quarantine. "
         "Whatever restarts the proxy must use `--alive`: it does not help an instance "
         "that is down.",
         healthcheck_options, command_healthcheck},
        {"doctor", "", 0, 0,
         "Look at everything the proxy needs, and say what is wrong and how to mend it",
         "With the settings of the proxy, from its environment: PostgreSQL, each "
         "instance, the port. Nothing is changed anywhere. Ends with 1 if something is "
         "wrong.",
         NULL, command_doctor},
        {"validate", "", 0, 0,
         "Check a system in use, by its URL: the journeys of a client, on every instance",
         "With one collection of its own, whose name begins with `AUTOTEST_`; nothing "
         "else is touched. It is deleted if all has passed, and kept if something has "
         "failed. `--url` must be given; an operator's token lets the proxy compare the "
         "instances, too. Each run leaves a log file. Ends with 1 if something failed.",
         validate_options, command_validate},
        {"drill", "", 0, 0,
         "Take an instance of a system in use out, or both, and see that it does what it "
         "must",
         "As `validate`, with collections of its own: with one instance out not one "
         "request may fail; with both, reads are refused and writes kept (clients get "
         "that, too). Then they are put back, and everything must be on each of them. "
         "`--url` and `--down` must be given, and an operator's token, or it asks for "
         "the "
         "server to be suspended by hand.",
         drill_options, command_drill},
        {"version", "", 0, 0, "Say which version this is", NULL, NULL, command_version},
        {"help", "[COMMAND]", 0, 2, "Say how a command is used", NULL, NULL,
         command_help},
        {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

/* --- understanding ----------------------------------------------------------------- */

/* How many of the words are its name; 0: it is not meant. */
static int name_matches(const struct cli_command *command, int n, char *const *words)
{
	size_t first = strcspn(command->name, " ");
	bool two = command->name[first] == ' ';

	if (n < 1 || strlen(words[0]) != first ||
	    strncmp(words[0], command->name, first) != 0)
		return 0;
	if (!two)
		return 1;
	return n > 1 && strcmp(words[1], command->name + first + 1) == 0 ? 2 : 0;
}

static const struct cli_command *find_command(int n, char *const *words, int *used)
{
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		*used = name_matches(k, n, words);
		if (*used > 0)
			return k;
	}
	return NULL;
}

static const struct cli_option *option_in(const struct cli_option *list, const char *name,
                                          size_t len)
{
	for (; list != NULL && list->name != NULL; list++)
		if (strlen(list->name) == len && memcmp(list->name, name, len) == 0)
			return list;
	return NULL;
}

static const struct cli_option *find_option(const struct cli *c, const char *name,
                                            size_t len)
{
	const struct cli_option *own = option_in(c->command->options, name, len);

	return own != NULL ? own : option_in(cli_common, name, len);
}

/* Returns how many words it took; 0: *wrong. */
static int take_option(struct cli *c, int left, char *const *at, char **wrong)
{
	const char *name = at[0] + 2;
	size_t len = strcspn(name, "=");
	bool inside = name[len] == '=';
	const struct cli_option *o = find_option(c, name, len);

	if (o == NULL) {
		*wrong = mem_format("--%.*s is not an option of `%s`", (int)len, name,
		                    c->command->name);
	} else if (o->argument == NULL && inside) {
		*wrong = mem_format("--%s takes no value", o->name);
	} else if (o->argument != NULL && !inside && left < 2) {
		*wrong = mem_format("--%s needs a value", o->name);
	} else if (c->n_given == CLI_VALUES) {
		*wrong = mem_string("too many options");
	} else {
		c->given[c->n_given].name = o->name;
		c->given[c->n_given++].value = o->argument == NULL ? ""
		                               : inside            ? name + len + 1
		                                                   : at[1];
		return o->argument != NULL && !inside ? 2 : 1;
	}
	return 0;
}

static bool take_word(struct cli *c, const char *word, char **wrong)
{
	if (c->n_words < c->command->most && c->n_words < CLI_WORDS) {
		c->words[c->n_words++] = word;
		return true;
	}
	*wrong = mem_format("`%s` is too much for `%s`", word, c->command->name);
	return false;
}

static bool take_rest(struct cli *c, int n, char *const *words, char **wrong)
{
	bool options = true;

	for (int k = 0; k < n;) {
		int used = 1;

		if (options && strcmp(words[k], "--") == 0)
			options = false;
		else if (options && strncmp(words[k], "--", 2) == 0)
			used = take_option(c, n - k, words + k, wrong);
		else if (!take_word(c, words[k], wrong))
			used = 0;
		if (used == 0)
			return false;
		k += used;
	}
	return true;
}

bool cli_parse(struct cli *c, int argc, char **argv, char **wrong)
{
	int used = 0;

	*c = (struct cli){.command = find_command(argc - 1, argv + 1, &used)};
	if (c->command == NULL) {
		*wrong = mem_format("`%s` is not a command", argv[1]);
		return false;
	}
	if (c->command->run == NULL)
		return true;
	if (!take_rest(c, argc - 1 - used, argv + 1 + used, wrong))
		return false;
	c->help = cli_flag(c, "help");
	if (c->help || c->n_words >= c->command->least)
		return true;
	*wrong = mem_format("`%s` needs %s", c->command->name, c->command->arguments);
	return false;
}

const char *cli_value(const struct cli *c, const char *option)
{
	for (unsigned k = c->n_given; k-- > 0;)
		if (strcmp(c->given[k].name, option) == 0)
			return c->given[k].value;
	return NULL;
}

bool cli_flag(const struct cli *c, const char *option)
{
	return cli_value(c, option) != NULL;
}

bool cli_json(const struct cli *c)
{
	return cli_flag(c, "json");
}

bool cli_is_seq(const char *word)
{
	size_t digits = strspn(word, "0123456789");

	return digits > 0 && digits < 19 && word[digits] == '\0';
}

bool cli_count(const struct cli *c, const char *option, int64_t *out, int *code)
{
	const char *value = cli_value(c, option);

	if (value == NULL)
		return true;
	if (cli_is_seq(value) && strtoll(value, NULL, 10) > 0) {
		*out = strtoll(value, NULL, 10);
		return true;
	}
	*code = print_wrong(c, CLI_USAGE, "--%s is a number, not `%s`", option, value);
	return false;
}

bool cli_seconds(const struct cli *c, const char *option, double *out, int *code)
{
	const char *value = cli_value(c, option);
	char *end;

	if (value == NULL)
		return true;
	*out = strtod(value, &end);
	if (end != value && *end == '\0' && *out > 0 && *out < 1e9)
		return true;
	*code = print_wrong(c, CLI_USAGE, "--%s is a number of seconds, not `%s`", option,
	                    value);
	return false;
}

/* --- running ----------------------------------------------------------------------- */

int command_version(struct cli *c)
{
	puts(cli_json(c) ? "{\"version\":\"" CHROMATID_VERSION "\"}"
	                 : "chromatid " CHROMATID_VERSION);
	return CLI_OK;
}

static int say_usage(const struct cli *c)
{
	struct text out = {0};

	cli_usage(&out, c->command);
	print_text(&out);
	return CLI_OK;
}

int command_help(struct cli *c)
{
	struct cli other = {0};
	struct text out = {0};
	int used;

	if (c->n_words == 0) {
		cli_help(&out);
		print_text(&out);
		return CLI_OK;
	}
	other.command =
	        find_command((int)c->n_words, (char *const *)(uintptr_t)c->words, &used);
	if (other.command == NULL || (unsigned)used != c->n_words)
		return print_wrong(c, CLI_USAGE, "`%s` is not a command", c->words[0]);
	return say_usage(&other);
}

bool cli_run(int argc, char **argv, int *code)
{
	char *wrong = NULL;
	struct cli c;

	json_set_alloc_funcs(mem_alloc, free);
	if (!cli_parse(&c, argc, argv, &wrong)) {
		fprintf(stderr, "chromatid: %s; see `chromatid help`\n", wrong);
		free(wrong);
		*code = CLI_USAGE;
		return true;
	}
	if (c.command->run == NULL)
		return false;
	*code = c.help ? say_usage(&c) : c.command->run(&c);
	return true;
}
