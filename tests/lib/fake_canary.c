/* tests/lib/fake_canary.c - for tests of the probes alone: nothing is written, and every
 * instance that is up takes writes. */
#include "health/health_private.h"

void canary_start(struct instance *in)
{
	(void)in;
}

void canary_stop(struct instance *in)
{
	(void)in;
}

void canary_up(struct instance *in, enum health was)
{
	(void)was;
	set_writing(in, WRITING_WELL, "fake");
}

void canary_doubt(struct instance *in)
{
	(void)in;
}

void canary_mark(struct instance *in)
{
	marker_marked(in, true);
}

void canary_learn(struct instance *in, const struct uuid *collection)
{
	(void)in;
	(void)collection;
}

void canary_outdate(struct instance *in, struct json_slice ids)
{
	(void)in;
	(void)ids;
}
