/* wal/errand_step.c - pure: what the proxy that was asked for an errand does next.
 *
 * It says "nothing was done" only when its row is gone and nobody had taken it, which
 * only PostgreSQL can say, in one step (ERRAND_WITHDRAW). Once it is taken nobody but the
 * one who has taken it knows, and only for as long as that one leads. */
#include <stdbool.h>
#include <stdint.h>

#include "wal/errand.h"

static enum errand_step step_unseen(const struct errand_facts *f)
{
	return f->silent >= ERRAND_SILENT_MS || f->impatient ? ERRAND_GIVE_UP
	                                                     : ERRAND_WAIT;
}

static enum errand_step step_taken(const struct errand_facts *f)
{
	if (f->taken != f->epoch)
		return ERRAND_GIVE_UP;
	return f->impatient ? ERRAND_TOO_LATE : ERRAND_WAIT;
}

static enum errand_step step_untaken(const struct errand_facts *f)
{
	return f->waited >= ERRAND_TAKE_MS || f->impatient ? ERRAND_WITHDRAW
	                                                   : ERRAND_WAIT;
}

enum errand_step errand_step(const struct errand_facts *f)
{
	if (f->silent > 0)
		return step_unseen(f);
	if (!f->there) /* somebody has deleted it, or it never came to be */
		return ERRAND_GIVE_UP;
	if (f->answered)
		return ERRAND_FETCH;
	return f->taken != 0 ? step_taken(f) : step_untaken(f);
}
