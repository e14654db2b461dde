/* http/errand_headers.c - pure: header fields as one text, a line for each. */
#include <string.h>

#include "http/errand.h"

/* What would end its line early is left out: none of ours has that. */
void errand_headers_add(struct text *to, const char *name, const char *value)
{
	if (!headers_is_token(name, strlen(name)) || strpbrk(value, "\r\n") != NULL)
		return;
	text_adds(to, name);
	text_adds(to, ": ");
	text_adds(to, value);
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
