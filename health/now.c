/* health/now.c - probe everything now, and tell who asked when all have answered. */
#include <stdlib.h>
#include <sys/queue.h>

#include "core/mem.h"
#include "health/health_private.h"

struct asking {
	struct op op; /* first: see core/op.h */
	health_probed_fn *done;
	void *arg;
	unsigned missing; /* a bit for each instance without an answer yet */
	LIST_ENTRY(asking) link;
};

static LIST_HEAD(asking_list, asking) all = LIST_HEAD_INITIALIZER(all);

static void deliver(struct op *op)
{
	struct asking *a = (struct asking *)op;

	a->done(a->arg);
}

static void release(struct op *op)
{
	free(op);
}

static void end(struct asking *a)
{
	LIST_REMOVE(a, link);
	op_end(&a->op);
}

static void abandon(struct op *op)
{
	end((struct asking *)op);
}

void health_probe_now(health_probed_fn *done, void *arg, struct op **slot)
{
	struct asking *a = mem_new(struct asking);

	a->op.deliver = deliver;
	a->op.release = release;
	a->op.abandon = abandon;
	a->done = done;
	a->arg = arg;
	LIST_INSERT_HEAD(&all, a, link);
	op_begin(&a->op, slot);
	for (unsigned i = 0; i < health_count(); i++) {
		if (probe_is_fresh(health_instance(i)))
			continue;
		a->missing |= 1u << i;
		probe_hurry(health_instance(i));
	}
	if (a->missing == 0)
		end(a);
}

void now_probed(const struct instance *in)
{
	struct asking *a, *next;

	for (a = LIST_FIRST(&all); a != NULL; a = next) {
		next = LIST_NEXT(a, link);
		a->missing &= ~(1u << in->index);
		if (a->missing == 0)
			end(a);
	}
}

void now_stop(void)
{
	while (!LIST_EMPTY(&all))
		end(LIST_FIRST(&all));
}
