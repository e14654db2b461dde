/* core/cli/help.c - the table of commands for people: help, docs/CLI.md, the manual page;
 * and for bash. */
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/version.h"

static const struct {
	int code;
	const char *what;
} codes[] = {
        {CLI_OK, "Done; or it is so"},
        {CLI_NOT, "Not done, or it is not so; the reason is on standard error"},
        {CLI_USAGE, "The command line is not understood"},
        {CLI_UNREACHABLE, "No proxy answers there"},
};
#define CODES (sizeof(codes) / sizeof(codes[0]))

/* Without the marks of Markdown. */
static void add_plain(struct text *out, const char *s)
{
	for (; *s != '\0'; s++)
		if (*s != '`')
			text_addc(out, *s);
}

static void add_call(struct text *out, const struct cli_command *k)
{
	text_addf(out, "chromatid %s%s%s", k->name, k->arguments[0] != '\0' ? " " : "",
	          k->arguments);
}

static void add_option_name(struct text *out, const struct cli_option *o)
{
	text_addf(out, "--%s%s%s", o->name, o->argument != NULL ? " " : "",
	          o->argument != NULL ? o->argument : "");
}

/* --- help -------------------------------------------------------------------------- */

static void add_options(struct text *out, const struct cli_option *list)
{
	for (const struct cli_option *o = (list); o != NULL && o->name != NULL; o++) {
		text_adds(out, "  ");
		add_option_name(out, o);
		text_adds(out, "\n        ");
		add_plain(out, o->what);
		text_addc(out, '\n');
	}
}

void cli_usage(struct text *out, const struct cli_command *k)
{
	add_call(out, k);
	text_adds(out, "\n\n");
	add_plain(out, k->what);
	text_adds(out, ".\n");
	if (k->more != NULL) {
		add_plain(out, k->more);
		text_addc(out, '\n');
	}
	if (k->run == NULL)
		return;
	text_addc(out, '\n');
	add_options(out, k->options);
	add_options(out, cli_common);
}

void cli_help(struct text *out)
{
	struct columns table = {.per_row = 2};
	struct text call = {0}, what = {0};

	text_adds(out, "chromatid [COMMAND] [OPTIONS]\n\n");
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		text_addf(&call, "  %s%s%s", k->name, k->arguments[0] != '\0' ? " " : "",
		          k->arguments);
		add_plain(&what, k->what);
		columns_add(&table, text_string(&call));
		columns_add(&table, text_string(&what));
		text_reset(&call);
		text_reset(&what);
	}
	columns_print(&table, out);
	text_clear(&call);
	text_clear(&what);
	text_adds(out, "\nchromatid help COMMAND says more.\n");
}

/* --- docs/CLI.md ------------------------------------------------------------------- */

static void document_options(struct text *out, const struct cli_option *list)
{
	if (list == NULL)
		return;
	text_adds(out, "\n| option | |\n|---|---|\n");
	for (const struct cli_option *o = (list); o != NULL && o->name != NULL; o++) {
		text_adds(out, "| `");
		add_option_name(out, o);
		text_addf(out, "` | %s |\n", o->what);
	}
}

void cli_document(struct text *out)
{
	text_adds(
	        out,
	        "# Command line\n\n"
	        "This page is made from the program's own table: `chromatid "
	        "--document-cli`; `chromatid --document-man` makes the manual page, "
	        "`chromatid --document-completion bash` what bash needs to complete "
	        "commands (`source <(chromatid --document-completion bash)`).\n\n"
	        "All commands but `serve`, `check-config`, `migrate` and `doctor` ask a "
	        "running proxy; those have its settings from the environment.\n");
	document_options(out, cli_common);
	text_adds(out, "\n| exit status | |\n|---|---|\n");
	for (size_t n = 0; n < CODES; n++)
		text_addf(out, "| %d | %s |\n", codes[n].code, codes[n].what);
	text_adds(out,
	          "| 69 | `serve`, `migrate`: it could not be done |\n"
	          "| 78 | `serve`, `check-config`, `migrate`: a setting is wrong |\n");
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		text_adds(out, "\n## `");
		add_call(out, k);
		text_addf(out, "`\n\n%s.%s%s\n", k->what, k->more != NULL ? " " : "",
		          k->more != NULL ? k->more : "");
		document_options(out, k->options);
	}
}

/* --- chromatid(1) ------------------------------------------------------------------ */

/* Dashes as one types them; what is marked as typed is bold. */
static void add_troff(struct text *out, const char *s)
{
	bool bold = false;

	for (; *s != '\0'; s++) {
		if (*s == '`') {
			bold = !bold;
			text_adds(out, bold ? "\\fB" : "\\fR");
		} else if (*s == '-') {
			text_adds(out, "\\-");
		} else if (*s == '\\') {
			text_adds(out, "\\e");
		} else {
			text_addc(out, *s);
		}
	}
}

static void man_options(struct text *out, const struct cli_option *list)
{
	struct text name = {0};

	for (const struct cli_option *o = (list); o != NULL && o->name != NULL; o++) {
		add_option_name(&name, o);
		text_adds(out, ".TP\n.B ");
		add_troff(out, text_string(&name));
		text_addc(out, '\n');
		add_troff(out, o->what);
		text_adds(out, ".\n");
		text_reset(&name);
	}
	text_clear(&name);
}

static void man_command(struct text *out, const struct cli_command *k)
{
	text_adds(out, ".SS ");
	add_troff(out, k->name);
	text_addc(out, ' ');
	add_troff(out, k->arguments);
	text_addc(out, '\n');
	add_troff(out, k->what);
	text_adds(out, ".\n");
	if (k->more != NULL) {
		add_troff(out, k->more);
		text_addc(out, '\n');
	}
	man_options(out, k->options);
}

void cli_man(struct text *out)
{
	text_adds(out,
	          ".TH CHROMATID 1 \"\" \"chromatid " CHROMATID_VERSION "\"\n"
	          ".SH NAME\nchromatid \\- high availability for Chroma servers\n"
	          ".SH SYNOPSIS\n.B chromatid\n[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]\n"
	          ".SH DESCRIPTION\nWithout a command, or with \\fBserve\\fR, it is the "
	          "proxy. Most others ask a running one.\n.SH OPTIONS\n");
	man_options(out, cli_common);
	text_adds(out, ".SH COMMANDS\n");
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++)
		man_command(out, k);
	text_adds(out, ".SH EXIT STATUS\n");
	for (size_t n = 0; n < CODES; n++)
		text_addf(out, ".TP\n.B %d\n%s.\n", codes[n].code, codes[n].what);
	text_adds(
	        out,
	        ".TP\n.B 69\nThe proxy could not start, or the tables not be migrated.\n"
	        ".TP\n.B 78\nA setting of the proxy is wrong.\n");
}

/* --- bash -------------------------------------------------------------------------- */

static void add_option_words(struct text *out, const struct cli_option *list)
{
	for (const struct cli_option *o = (list); o != NULL && o->name != NULL; o++)
		text_addf(out, " --%s", o->name);
}

/* The first words of all names, each once: those that share one stand together. */
static void add_first_words(struct text *out)
{
	const char *before = "";

	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		size_t len = strcspn(k->name, " ");

		if (strlen(before) < len || strncmp(before, k->name, len) != 0)
			text_addf(out, "%.*s ", (int)len, k->name);
		before = k->name;
	}
}

static void add_second_words(struct text *out)
{
	text_adds(out, "\twal) words=\"");
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++)
		if (strncmp(k->name, "wal ", 4) == 0)
			text_addf(out, "%s ", k->name + 4);
	text_adds(out, "\" ;;\n");
}

void cli_completion(struct text *out)
{
	text_adds(out, "# bash completion for chromatid; made by the program itself\n"
	               "_chromatid() {\n"
	               "\tlocal words cur=\"${COMP_WORDS[COMP_CWORD]}\"\n"
	               "\tlocal one=\"${COMP_WORDS[1]}\" two=\"${COMP_WORDS[2]}\"\n"
	               "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	               "\t\twords=\"");
	add_first_words(out);
	text_adds(out, "\"\n\telif [ \"$one\" = help ]; then\n\t\twords=\"");
	add_first_words(out);
	text_adds(out, "\"\n\telif [ \"$COMP_CWORD\" -eq 2 ] && [[ $cur != -* ]]; then\n"
	               "\t\tcase $one in\n");
	add_second_words(out);
	text_adds(out, "\tesac\n\telse\n\t\tcase \"$one $two\" in\n");
	for (const struct cli_command *k = cli_commands; k->name != NULL; k++) {
		if (k->run == NULL)
			continue;
		text_addf(out, "\t\"%s\"%s) words=\"", k->name,
		          strchr(k->name, ' ') != NULL ? "" : "*");
		add_option_words(out, k->options);
		add_option_words(out, cli_common);
		text_adds(out, "\" ;;\n");
	}
	text_adds(out, "\tesac\n\tfi\n"
	               "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	               "\t[ \"$one\" = export ] || [ \"$one\" = import ] && [[ $cur != "
	               "-* ]] &&\n"
	               "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	               "}\ncomplete -o filenames -F _chromatid chromatid\n");
}
