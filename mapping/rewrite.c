/* mapping/rewrite.c - pure: ids and names where one id must stand for another. */
#include <ctype.h>
#include <string.h>

#include "mapping/mapping.h"

void rewrite_id(char *text, size_t len, const struct uuid *from, const struct uuid *to)
{
	char *end = text + len;

	if (uuid_none(from) || uuid_none(to) || uuid_compare(from, to) == 0)
		return;
	while ((text = memmem(text, (size_t)(end - text), from->text, UUID_LEN)) !=
	       NULL) {
		memcpy(text, to->text, UUID_LEN);
		text += UUID_LEN;
	}
}

static bool is_plain(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

void rewrite_add_segment(struct text *path, const char *segment)
{
	for (; *segment != '\0'; segment++)
		if (is_plain((unsigned char)*segment))
			text_addc(path, *segment);
		else
			text_addf(path, "%%%02X", (unsigned char)*segment);
}
