/* http/errand_headers.c - pure: header fields as one text, a line for each. */
#include <string.h>

#include "http/errand.h"

/* What is not ASCII, or would end its line early, means nothing where it is read; nor
 * does a space. */
void errand_headers_add(struct text *to, const char *name, const char *value)
{
	if (!headers_is_token(name, strlen(name)))
		return;
	text_adds(to, name);
	text_adds(to, ": ");
	for (; *value != '\0'; value++)
		text_addc(to, *value >= ' ' && *value <= '~' ? *value : ' ');
	text_addc(to, '\n');
}

void errand_headers_write(const struct headers *h, struct text *to)
{
	struct header f;
	size_t at = 0;

	while (h != NULL && headers_next(h, &at, &f))
		errand_headers_add(to, f.name, f.value);
}

static void read_line(const char *line, const char *end, struct headers *out)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));

	if (colon == NULL || !headers_is_token(line, (size_t)(colon - line)) ||
	    end - colon < 2 || colon[1] != ' ')
		return;
	headers_addn(out, line, (size_t)(colon - line), colon + 2,
	             (size_t)(end - colon - 2));
}

void errand_headers_read(const char *text, struct headers *out)
{
	for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1)
		read_line(text, end, out);
}
