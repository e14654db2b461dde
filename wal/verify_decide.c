/* wal/verify_decide.c - pure: of instances that differ, who is right?
 *
 * For each item the first of these rules that knows an answer: what more than half have;
 * what the latest record that names it says; who was not down since all were equal; who
 * has it, for then nothing is lost; the first in the settings, and that is a guess.
 * Who is wrong least often wins, and the others are made anew from it. */
#include <string.h>

#include "wal/verify_private.h"

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

/* All that have it as that one does. */
static unsigned alike(const struct look_item *item, unsigned who, unsigned i)
{
	unsigned same = 0;

	for (unsigned j = 0; j < CONF_MAX_INSTANCES; j++)
		same |= (unsigned)(has(who, j) && item->group[j] == item->group[i]) << j;
	return same;
}

static unsigned first_of(unsigned who)
{
	return (unsigned)__builtin_ctz(who);
}

static unsigned count(unsigned who)
{
	return (unsigned)__builtin_popcount(who);
}

static unsigned majority(const struct look_item *item, unsigned who)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(who, i) && 2 * count(alike(item, who, i)) > count(who))
			return alike(item, who, i);
	return 0;
}

/* If all of those have it alike; 0: they do not, or there are none. */
static unsigned as_these(const struct look_item *item, unsigned who, unsigned these)
{
	unsigned same = these != 0 ? alike(item, who, first_of(these)) : 0;

	return (these & ~same) == 0 ? same : 0;
}

static unsigned those_that_have_it(const struct look_item *item, unsigned who)
{
	unsigned have = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		have |= (unsigned)(has(who, i) && item->group[i] != 0) << i;
	return have;
}

enum decide_rule decide_item(const struct look_item *item,
                             const struct decide_facts *facts, unsigned *right)
{
	unsigned who = facts->who, well = who & ~facts->troubled;
	unsigned have = those_that_have_it(item, who);

	*right = majority(item, who);
	if (*right != 0)
		return RULE_MAJORITY;
	*right = item->right & who;
	if (*right != 0 && *right != who)
		return RULE_LOG;
	*right = well != who ? as_these(item, who, well) : 0;
	if (*right != 0)
		return RULE_TROUBLED;
	*right = have != who ? as_these(item, who, have) : 0;
	if (*right != 0)
		return RULE_KEEP;
	*right = alike(item, who, first_of(have != 0 ? have : who));
	return RULE_PREFERRED;
}

/* Of two that are wrong equally often: one that was not down, or else the first. */
static bool is_better(const struct decided *d, const struct decide_facts *facts,
                      unsigned i, unsigned than)
{
	if (d->wrong[i] != d->wrong[than])
		return d->wrong[i] < d->wrong[than];
	return !has(facts->troubled, i) && has(facts->troubled, than);
}

struct decided decide(const struct look *look, const struct decide_facts *facts)
{
	struct decided d = {.winner = first_of(facts->who)};
	unsigned right;

	for (size_t k = 0; k < look->n; k++) {
		d.by[decide_item(&look->items[k], facts, &right)]++;
		for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
			d.wrong[i] += has(facts->who & ~right, i);
	}
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(facts->who, i) && is_better(&d, facts, i, d.winner))
			d.winner = i;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		d.losers |= (unsigned)(i != d.winner && d.wrong[i] > 0) << i;
	return d;
}
