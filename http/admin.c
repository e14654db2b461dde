/* http/admin.c - what the pages for administrators share. Who may ask for them is said in
 * access.c, before a page is asked. */
#include <stdarg.h>
#include <string.h>

#include "core/log.h"
#include "http/access.h"
#include "http/exchange.h"

void admin_event(const struct exchange *ex, const char *format, ...)
{
	struct text what = {0};
	va_list args;

	va_start(args, format);
	text_addv(&what, format, args);
	va_end(args);
	log_info("operator", "%s, by %s (%s)", text_string(&what),
	         client_address(ex->client), access_who(ex->head));
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
	struct text names = {0};

	for (unsigned i = 0; i < health_count(); i++)
		text_addf(&names, "%s%s", i > 0 ? ", " : "",
		          instance_name(health_instance(i)));
	exchange_error(ex, 404, "NotFoundError",
	               "No instance is called %.200s; there is %s", name,
	               text_string(&names));
	text_clear(&names);
}
