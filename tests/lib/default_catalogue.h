/* tests/lib/default_catalogue.h - what a Chroma has after its first start. */
#ifndef TESTS_LIB_DEFAULT_CATALOGUE_H
#define TESTS_LIB_DEFAULT_CATALOGUE_H

#include "mapping/mapping.h"

static void add_default(void)
{
	struct uuid id;

	uuid_parse(DATABASE_DEFAULT_PUBLIC_ID, UUID_LEN, &id);
	catalogue_add_tenant(TENANT_DEFAULT, 0);
	database_set_live(catalogue_add_database(DATABASE_DEFAULT_ID, TENANT_DEFAULT,
	                                         DATABASE_DEFAULT, LIFE_CREATING),
	                  &id);
}

#endif
