/* core/conf_table.h - the settings as a table, for those who walk over all of them. */
#ifndef CORE_CONF_TABLE_H
#define CORE_CONF_TABLE_H

#include "core/conf.h"

enum conf_kind {                 /* stored as */
	         CONF_PORT,      /* int */
	         CONF_COUNT,     /* int64_t */
	         CONF_SHARE,     /* double */
	         CONF_DURATION,  /* msec */
	         CONF_BYTES,     /* int64_t */
	         CONF_MEGABYTES, /* int64_t, millions of bytes */
	         CONF_SWITCH,    /* bool */
	         CONF_CHOICE,    /* int, the place in `choices` */
	         CONF_TEXT,      /* char *, like all that follow; NULL when unset */
	         CONF_LISTEN,
	         CONF_SERVER_URL,
	         CONF_DATABASE_URL,
	         CONF_WEBHOOK_URL,
	         CONF_INSTANCES,
	         CONF_TOKEN,
	         CONF_HEADER_NAME,
	         CONF_ORIGINS,
	         CONF_NETWORKS,
};

enum conf_source { CONF_DEFAULT, CONF_ENVIRONMENT, CONF_FILE, CONF_FLAG };

struct conf_setting {
	const char *name; /* in the environment */
	enum conf_kind kind;
	size_t offset;              /* of the field in struct conf */
	const char *initial;        /* as it would be written; NULL: unset */
	const char *what;           /* one line for people */
	double least, most;         /* of numbers, in the field's unit */
	const char *const *choices; /* ends with NULL */
	bool secret;                /* never shown; NAME_FILE may hold it */
};

extern const struct conf_setting conf_settings[];
extern const size_t conf_settings_count;

bool conf_is_text(enum conf_kind kind); /* the field is a char * */
const char *conf_source_name(unsigned source);
/* The value in force, as it would be written; secrets and passwords masked. "" if unset.
 */
void conf_show(const struct conf *conf, const struct conf_setting *s, struct text *out);

#endif
