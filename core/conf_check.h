/* core/conf_check.h - what a setting may be. For core/conf.c. */
#ifndef CORE_CONF_CHECK_H
#define CORE_CONF_CHECK_H

#include "core/conf_table.h"

/* Puts `value` into its field, or adds to `errors` what was expected instead. `source` is
 * told with it. */
void conf_take(struct conf *conf, const struct conf_setting *s, const char *value,
               const char *source, struct text *errors);
/* Fills conf->instances from INSTANCES or PRIMARY_URL and REPLICA_URL, in this order. */
void conf_list_instances(struct conf *conf, struct text *errors);
/* Something was given for it, be it good or bad. */
bool conf_is_set(const struct conf *conf, const char *name);
/* In quotes, on one line, cut where it gets long. */
void conf_add_quoted(struct text *out, const char *value);

#endif
