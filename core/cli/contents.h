/* core/cli/contents.h - what is in the file of an export, in short (contents.c). */
#ifndef CLI_CONTENTS_H
#define CLI_CONTENTS_H

#include "core/cli/cli_private.h"

struct content {
	char *id, *name, *tenant, *database;
	uint64_t items;
};

struct contents {
	json_t *head;
	struct content *list;
	size_t n;
	uint64_t items;
};

/* Reads all of it, to the seal. False: *why says what is wrong with it. */
bool contents_read(struct contents *s, const char *path, char **why);
void contents_clear(struct contents *s);

/* What a line is, and its one value. */
enum line_kind { LINE_NONE, LINE_COLLECTION, LINE_ITEMS, LINE_END };
enum line_kind line_of(struct json_slice line, struct json_slice *value);
/* A small value as a tree; NULL: it is not understood. */
json_t *slice_json(struct json_slice value);

#endif
