/* wal/shown_kept.c - pure: is what another proxy says it knows to be believed, and for
 * how long?
 *
 * It is believed if it was written under the epoch that is in force: who led before knows
 * nothing of now. It is shown until it is so old that who wrote it must be dead, or is
 * kept from writing. Its age is told once by PostgreSQL, whose clock wrote it down, and
 * goes on by our own clock until it is found to have been true later: a clock that is set
 * back makes nothing young again. */
#include "wal/shown.h"

#define CURRENT_FOR_MS 10000u

/* Counted from before we asked: it is never older than we say. */
static msec since(const struct shown_found *found, msec asked)
{
	return asked > found->age ? asked - found->age : 0;
}

static bool is_the_leaders(const struct shown_found *found)
{
	return found->is && found->epoch == found->leader;
}

static bool is_known(const struct shown_kept *kept, const struct shown_found *found)
{
	return kept->is && kept->epoch == found->epoch && kept->version == found->version;
}

enum shown_news shown_keep(struct shown_kept *kept, const struct shown_found *found,
                           msec asked)
{
	bool known = is_known(kept, found);

	if (!is_the_leaders(found) || (!known && !found->comes)) {
		*kept = (struct shown_kept){.is = false};
		return SHOWN_NONE;
	}
	if (!known || kept->at != found->at)
		*kept = (struct shown_kept){.is = true,
		                            .epoch = found->epoch,
		                            .version = found->version,
		                            .at = found->at,
		                            .since = since(found, asked)};
	return known ? SHOWN_SAME : SHOWN_NEW;
}

bool shown_is_current(const struct shown_kept *kept, msec now, msec *age)
{
	*age = now > kept->since ? now - kept->since : 0;
	return kept->is && *age < CURRENT_FOR_MS;
}
