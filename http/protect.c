/* http/protect.c - collections that nobody may take away by mistake
 * (PROTECTED_COLLECTIONS): not deleted, not renamed, and neither is what they are in. */
#include "http/exchange.h"

bool protect_covers(const char *name)
{
	return conf_lists(exchange_conf->protected_collections, name);
}

const struct collection *protect_in(const struct database *db)
{
	const struct collection *c;

	TAILQ_FOREACH (c, &db->collections, link)
		if (c->life != LIFE_GONE && protect_covers(c->name))
			return c;
	return NULL;
}

const struct collection *protect_anywhere(void)
{
	const struct collection *c = NULL;
	const struct database *db = catalogue_next_database(NULL);

	for (; c == NULL && db != NULL; db = catalogue_next_database(db))
		c = protect_in(db);
	return c;
}

void protect_refuse(struct exchange *ex, const struct collection *c)
{
	exchange_error(ex, 403, "AuthorizationError",
	               "Collection [%s] is protected (PROTECTED_COLLECTIONS)", c->name);
}
