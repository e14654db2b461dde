/* http/admin.c - who may change what is executed: only this machine, and as JSON. A page
 * in somebody's browser can send neither. */
#include <string.h>

#include "http/exchange.h"

bool admin_allowed(struct exchange *ex)
{
	bool typed = headers_get(&ex->head->headers, "content-type") != NULL;

	if (!client_is_loopback(ex->client))
		exchange_error(ex, 403, "AuthorizationError",
		               "Only from the machine the proxy runs on");
	else if (!typed || !write_is_json(ex))
		exchange_error(ex, 415, "InvalidArgumentError",
		               "Content-Type must be application/json");
	else
		return true;
	return false;
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
