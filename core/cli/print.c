/* core/cli/print.c - what is shown: columns, bars, and what went wrong.
 *
 * Names of collections are whatever clients have called them: nothing of them may reach
 * a terminal that it would obey. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cli/cli_private.h"
#include "core/mem.h"
#include "core/utf8.h"

#define BAR 30
#define TO_START "\033[H"
#define CLEAR "\033[2J"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

/* --- text -------------------------------------------------------------------------- */

/* Controls, and what turns the direction of writing. */
static bool is_obeyed(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
	       c == UTF8_BROKEN;
}

void print_clean(struct text *out, const char *s)
{
	size_t len = strlen(s), n;
	uint32_t c;

	for (; len > 0; s += n, len -= n) {
		n = utf8_next(s, len, &c);
		if (is_obeyed(c))
			text_addc(out, '?');
		else
			text_add(out, s, n);
	}
}

const char *json_text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "";
}

int64_t json_number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* --- columns ----------------------------------------------------------------------- */

void columns_add(struct columns *t, const char *cell)
{
	print_clean(&t->cells, cell);
	text_addc(&t->cells, '\0');
	t->n++;
}

void columns_addf(struct columns *t, const char *format, ...)
{
	struct text cell = {0};
	va_list args;

	va_start(args, format);
	text_addv(&cell, format, args);
	va_end(args);
	columns_add(t, text_string(&cell));
	text_clear(&cell);
}

/* Every byte that does not go on a character begins one. */
static size_t width_of(const char *cell)
{
	size_t n = 0;

	for (; *cell != '\0'; cell++)
		n += ((unsigned char)*cell & 0xc0) != 0x80;
	return n;
}

static void measure(const struct columns *t, size_t *widths)
{
	const char *cell = text_string(&t->cells);

	for (unsigned k = 0; k < t->n; k++, cell += strlen(cell) + 1)
		if (width_of(cell) > widths[k % t->per_row])
			widths[k % t->per_row] = width_of(cell);
}

void columns_print(struct columns *t, struct text *out)
{
	size_t *widths = mem_array(t->per_row, sizeof(size_t));
	const char *cell = text_string(&t->cells);

	measure(t, widths);
	for (unsigned k = 0; k < t->n; k++, cell += strlen(cell) + 1) {
		bool last = k % t->per_row == t->per_row - 1;

		text_adds(out, cell);
		for (size_t n = width_of(cell); !last && n < widths[k % t->per_row] + 2;
		     n++)
			text_addc(out, ' ');
		if (last)
			text_addc(out, '\n');
	}
	free(widths);
	text_clear(&t->cells);
	t->n = 0;
}

void print_bar(struct text *out, double share)
{
	int full = share <= 0 ? 0 : share >= 1 ? BAR : (int)(share * BAR);

	text_addc(out, '[');
	for (int k = 0; k < BAR; k++)
		text_addc(out, k < full ? '=' : k == full ? '>' : ' ');
	text_addf(out, "] %3d %%", share >= 1 ? 100 : (int)(share * 100));
}

/* --- out --------------------------------------------------------------------------- */

void print_text(struct text *t)
{
	fwrite(text_string(t), 1, t->len, stdout);
	fflush(stdout);
	text_clear(t);
}

/* Each line is cleared to its end, so that nothing flickers. */
void print_again(struct text *t, bool first)
{
	const char *at = text_string(t), *line;

	if (!isatty(STDOUT_FILENO)) {
		print_text(t);
		return;
	}
	fputs(first ? CLEAR TO_START : TO_START, stdout);
	while ((line = strchr(at, '\n')) != NULL) {
		fwrite(at, 1, (size_t)(line - at), stdout);
		fputs(CLEAR_LINE "\n", stdout);
		at = line + 1;
	}
	fputs(at, stdout);
	fputs(CLEAR_BELOW, stdout);
	fflush(stdout);
	text_clear(t);
}

int print_wrong(const struct cli *c, enum cli_code code, const char *format, ...)
{
	struct text message = {0}, clean = {0};
	va_list args;

	va_start(args, format);
	text_addv(&message, format, args);
	va_end(args);
	print_clean(&clean, text_string(&message));
	if (cli_json(c)) {
		text_reset(&message);
		text_addf(&message, "{\"code\":%d,\"error\":", (int)code);
		json_add_quoted(&message, text_string(&clean), clean.len);
		text_adds(&message, "}\n");
		print_text(&message);
	} else {
		fprintf(stderr, "chromatid: %s\n", text_string(&clean));
	}
	text_clear(&message);
	text_clear(&clean);
	return (int)code;
}

int print_failure(const struct cli *c, const struct answer *a)
{
	json_t *body;
	int code;

	if (ask_is_interrupted())
		return print_wrong(c, CLI_NOT, "interrupted");
	if (a->status != STATUS_OK)
		return print_wrong(c, CLI_UNREACHABLE,
		                   "the proxy does not answer: %s%s%s",
		                   status_text(a->status), a->detail != NULL ? ": " : "",
		                   a->detail != NULL ? a->detail : "");
	body = answer_json(a);
	code = print_wrong(c, CLI_NOT, "the proxy says no (HTTP %d)%s%s", a->http,
	                   json_text_of(body, "message")[0] != '\0' ? ": " : "",
	                   json_text_of(body, "message"));
	json_decref(body);
	return code;
}

int print_body(const struct answer *a)
{
	fwrite(blob_bytes(a->body), 1, blob_len(a->body), stdout);
	putchar('\n');
	fflush(stdout);
	return CLI_OK;
}
