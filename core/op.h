/* core/op.h - the life of one asynchronous operation (the slot rule).
 *
 * Who starts an operation lends it the address of a pointer, the slot. The slot is
 * non-NULL exactly while the operation is outstanding. From that follow:
 *   - the owner is told exactly once or, after op_cancel(), never;
 *   - never from inside the function that started the operation, even if that fails at
 *     once: the end is always delivered from the loop;
 *   - when told, the owner may start the next operation in the same slot, or die;
 *   - an owner may die when its slots are NULL: its destroy function cancels them all;
 *   - the module that runs the operation frees it, the owner never does.
 * An owner with a non-NULL slot must not move in memory.
 *
 * For modules that offer operations: embed a struct op as the first member, call
 * op_begin() when it starts, op_end() when its result is known. `deliver` tells the
 * owner, `release` frees the operation and everything in it, and never touches the
 * owner. `abandon`, if set, is called by op_cancel() so that the module can stop early;
 * the operation must still lead to op_end(), at once or later. */
#ifndef CORE_OP_H
#define CORE_OP_H

#include <stdbool.h>

#include "core/timer.h"

struct op {
	struct op **slot;
	void (*deliver)(struct op *op);
	void (*release)(struct op *op);
	void (*abandon)(struct op *op);
	struct timer end;
};

void op_begin(struct op *op, struct op **slot); /* slot may be NULL: nobody waits */
void op_end(struct op *op);          /* deliver and release, on the next turn */
void op_cancel(struct op **slot);    /* takes a NULL slot; nobody will call */
bool op_wanted(const struct op *op); /* false once cancelled */

#endif
