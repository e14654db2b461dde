/* http/admin.c - whom a request of an administrator means, and that it is told of. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/log.h"
#include "core/mem.h"
#include "http/access.h"
#include "http/admin.h"
#include "http/errand.h"

void admin_event(const struct exchange *ex, const char *format, ...)
{
	struct text what = {0};
	va_list args;

	va_start(args, format);
	text_addv(&what, format, args);
	va_end(args);
	log_info("operator", "%s, by %s (%s)", text_string(&what), ex->address,
	         ex->errand != NULL ? errand_who(ex->errand) : access_who(ex->head));
	text_clear(&what);
}

struct instance *admin_instance(const char *name)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (strcmp(instance_name(health_instance(i)), name) == 0)
			return health_instance(i);
	return NULL;
}

void admin_no_instance(struct exchange *ex, const char *name)
{
	struct text json = {0}, names = {0}, list = {0};
	char *message;

	for (unsigned i = 0; i < health_count(); i++) {
		const char *one = instance_name(health_instance(i));

		text_addf(&names, "%s%s", i > 0 ? ", " : "", one);
		text_adds(&list, i > 0 ? "," : "");
		json_add_quoted(&list, one, strlen(one));
	}
	message = mem_format("No instance is called %.200s; there is %s", name,
	                     text_string(&names));
	exchange_add_error(&json, "NotFoundError", message);
	json.s[--json.len] = '\0';
	text_addf(&json, ",\"available_instances\":[%s]}", text_string(&list));
	free(message);
	text_clear(&names);
	text_clear(&list);
	exchange_json_text(ex, 404, &json);
}

void admin_bad(struct exchange *ex, const char *why)
{
	exchange_error(ex, 400, "InvalidArgumentError", "%s", why);
}

bool admin_number(const struct exchange *ex, const char *key, double most, double *out)
{
	struct json_slice v = json_member(write_body(ex), key);
	char *text;

	if (v.at == NULL)
		return true;
	if (json_kind(v) != JSON_NUMBER)
		return false;
	text = mem_substring(v.at, v.len);
	*out = strtod(text, NULL);
	free(text);
	return *out >= 0 && *out <= most;
}

void admin_no_answer(struct exchange *ex, enum status s)
{
	exchange_fail(ex, s == STATUS_BUSY ? s : STATUS_LOG_UNAVAILABLE, "none");
}
