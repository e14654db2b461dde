/* wal/cleanup.c - an operator's word to shorten the log: upkeep.c does it, with another
 * age than the retention's, and says how it went when there is nothing left to do. One at
 * a time. */
#include <stdlib.h>

#include "core/mem.h"
#include "wal/retain.h"

struct cleanup {
	struct op op;
	wal_cleaned_fn *done;
	void *arg;
	int64_t age_ms;
	enum status status;
	uint64_t deleted;
	bool blocked;
};

static struct cleanup *cleanup;

static void deliver(struct op *op)
{
	struct cleanup *c = (struct cleanup *)op;

	c->done(c->arg, c->status, c->deleted, c->blocked);
}

static void release(struct op *op)
{
	free(op);
}

bool wal_cleanup(int64_t max_age_ms, wal_cleaned_fn *done, void *arg, struct op **slot)
{
	if (cleanup != NULL || !wal_ready())
		return false;
	cleanup = mem_new(struct cleanup);
	cleanup->op.deliver = deliver;
	cleanup->op.release = release;
	cleanup->done = done;
	cleanup->arg = arg;
	cleanup->age_ms = max_age_ms;
	op_begin(&cleanup->op, slot);
	upkeep_now();
	return true;
}

bool cleanup_asked(void)
{
	return cleanup != NULL;
}

int64_t cleanup_age_ms(void)
{
	return cleanup->age_ms;
}

void cleanup_counts(uint64_t deleted)
{
	cleanup->deleted += deleted;
}

void cleanup_blocked(void)
{
	if (cleanup != NULL)
		cleanup->blocked = true;
}

void cleanup_end(enum status s)
{
	struct cleanup *c = cleanup;

	cleanup = NULL;
	if (c == NULL)
		return;
	c->status = s;
	op_end(&c->op);
}
