/* core/cli/import.h - what the files of an import share: import.c reads the file and
 * decides, import_write.c does it, import_make.c its collections; until.c and
 * until_record.c go on with the log. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "core/cli/contents.h"
#include "mapping/mapping.h"

struct importing {
	struct cli *c;
	struct contents contents;
	const char *prefix;
	bool dry, resume;
	char **there;   /* of each: the id an earlier import has given it, or NULL */
	bool *id_taken; /* of each: it gets another id */
	size_t conflicts;
	size_t done;           /* collections */
	size_t different;      /* came out otherwise than they were */
	uint64_t items, added; /* passed, and sent */
	msec shown;
	/* --until: up to that place in the log; 0: no. */
	int64_t until;
	uint64_t records;   /* applied */
	struct table known; /* public id in the log -> path here, its own memory */
	/* The collection it is in. */
	struct text path;      /* ".../collections/<id>" */
	uint64_t skip, passed; /* items that are there already; items passed so far */
	int64_t dimension;
	json_t *like;  /* the collection before, or NULL ... */
	unsigned form; /* ... and in which form it was created */
};

/* Each ends with the exit status, CLI_OK to go on. */
int import_place(struct importing *x, const char *target, const char *name);
int import_make(struct importing *x, const json_t *was); /* import_make.c */
int import_begin(struct importing *x, struct json_slice description);
int import_items(struct importing *x, struct json_slice page);
int import_end(struct importing *x);
void import_set_path(struct importing *x, const char *id);
/* Sent until it is taken, for a minute. *again: more than once, so what is said of a name
 * that is taken may be about ourselves. */
bool import_send(const char *method, const char *target, struct blob *body,
                 struct answer *a, bool *again);
/* ".../tenants/{}/databases/{}/collections" */
void import_add_place(struct text *to, const char *tenant, const char *database);

/* --- until.c ----------------------------------------------------------------------- */
/* Is everything there that it takes? Sets x->until. */
int until_check(struct importing *x);
int until_apply(struct importing *x);
int until_record(struct importing *x, struct json_slice record); /* until_record.c */
void until_clear(struct importing *x);

#endif
