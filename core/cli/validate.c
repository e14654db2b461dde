/* core/cli/validate.c - `chromatid validate`: does a deployed system do what it must? The
 * journeys of a client, one after the other, and after each it is looked at every
 * instance whether it is so (trial.h). */
#include "core/cli/trial.h"

#define ITEMS 48u

static struct trial_collection *own(struct trial *t)
{
	return &t->collections[0];
}

static void create(struct trial *t)
{
	trial_create(t, "validate");
}

static void mapping(struct trial *t)
{
	trial_mapping(t, own(t));
}

static void add(struct trial *t)
{
	trial_add(t, own(t), ITEMS);
	trial_look_everywhere(t, own(t));
}

static void query(struct trial *t)
{
	trial_query_everywhere(t, own(t));
}

static void update(struct trial *t)
{
	trial_update(t, own(t));
	trial_look_everywhere(t, own(t));
}

static void delete_by_filter(struct trial *t)
{
	trial_delete_by_filter(t, own(t));
	trial_look_everywhere(t, own(t));
}

static void delete_ids(struct trial *t)
{
	trial_delete_ids(t, own(t));
	trial_look_everywhere(t, own(t));
	trial_query_everywhere(t, own(t));
}

static void compare(struct trial *t)
{
	trial_compare(t, own(t));
}

static void delete_collection(struct trial *t)
{
	trial_remove(t, own(t));
	trial_gone(t, own(t));
}

int command_validate(struct cli *c)
{
	struct trial t;
	int code = trial_start(&t, c, "validate");

	if (code != CLI_OK)
		return code;
	trial_step(&t, "health", trial_health);
	trial_step(&t, "create a collection", create);
	trial_step(&t, "its mapping", mapping);
	trial_step(&t, "add", add);
	trial_step(&t, "query", query);
	trial_step(&t, "update, upsert", update);
	trial_step(&t, "delete by filter", delete_by_filter);
	trial_step(&t, "delete by id", delete_ids);
	trial_step(&t, "compare the instances", compare);
	trial_step(&t, "delete the collection", delete_collection);
	return trial_end(&t);
}
