/* core/cli/page.c - what the commands that ask for one page of the proxy have in common.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cli/cli_private.h"

void page_list(const json_t *list, const char *const *heads, page_row_fn *add)
{
	struct columns t = {0};
	struct text out = {0};
	const json_t *row;
	size_t k;

	while (heads[t.per_row] != NULL)
		t.per_row++;
	for (k = 0; heads[k] != NULL; k++)
		columns_add(&t, heads[k]);
	json_array_foreach(list, k, row)
	{
		add(&t, row);
	}
	columns_print(&t, &out);
	print_text(&out);
}

void page_json(const json_t *value)
{
	char *json = json_dumps(value, JSON_COMPACT);

	puts(json);
	free(json);
}

json_t *page_fetch(const struct cli *c, const char *target, int *code)
{
	json_t *document = NULL;
	struct answer a;

	if (!ask("GET", target, NULL, &a) || (document = answer_json(&a)) == NULL)
		*code = print_failure(c, &a);
	answer_clear(&a);
	return document;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
}

void page_add_part(struct text *target, const char *part)
{
	for (; *part != '\0'; part++) {
		if (is_plain(*part))
			text_addc(target, *part);
		else
			text_addf(target, "%%%02X", (unsigned)(unsigned char)*part);
	}
}

void page_add_query(struct text *target, const char *key, const char *value)
{
	if (value == NULL)
		return;
	text_addf(target, "%c%s=", strchr(text_string(target), '?') == NULL ? '?' : '&',
	          key);
	page_add_part(target, value);
}

int page_run(struct cli *c, int (*run)(struct cli *c))
{
	int code = ask_start(c);

	if (code != CLI_OK)
		return code;
	code = run(c);
	ask_stop();
	return code;
}
