/* core/op.c - the life of one asynchronous operation. */
#include "core/op.h"

#include <assert.h>
#include <stddef.h>

/* Operations begun without a slot point here, so that they are delivered all the same. */
static struct op *nobody;

void op_begin(struct op *op, struct op **slot)
{
	if (slot == NULL) {
		op->slot = &nobody;
		return;
	}
	assert(*slot == NULL);
	op->slot = slot;
	*slot = op;
}

static void on_end(void *arg)
{
	struct op *op = arg;

	if (op->slot != NULL) {
		*op->slot = NULL; /* the owner is free to start again, or to die */
		op->deliver(op);
	}
	op->release(op);
}

void op_end(struct op *op)
{
	timer_start(&op->end, 0, on_end, op);
}

void op_cancel(struct op **slot)
{
	struct op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op->slot = NULL;
	if (op->abandon != NULL && !timer_running(&op->end))
		op->abandon(op);
}

bool op_wanted(const struct op *op)
{
	return op->slot != NULL;
}
