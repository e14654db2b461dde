/* core/cli/cli.h - the command line: one table of commands (table.c), and what they
 * print.
 *
 * All but `serve` talk to a running proxy over HTTP. They end with one of these: */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "core/text.h"

enum cli_code {
	CLI_OK = 0,
	CLI_NOT = 1,         /* it was not done, or is not so */
	CLI_USAGE = 2,       /* the command line is not understood */
	CLI_UNREACHABLE = 3, /* no proxy answers there */
};

/* False: the word is one of those main() runs itself ("serve", "check-config"). Else it
 * is done, and *code is the exit status. */
bool cli_run(int argc, char **argv, int *code);

void cli_help(struct text *out);       /* the commands, a line each */
void cli_document(struct text *out);   /* docs/CLI.md */
void cli_man(struct text *out);        /* chromatid(1), troff */
void cli_completion(struct text *out); /* for bash */

#endif
