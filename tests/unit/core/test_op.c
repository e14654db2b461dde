/* The slot rule, on the real loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>

#include "core/loop.h"
#include "core/mem.h"
#include "core/op.h"

/* A module that offers one kind of work. */
struct work {
	struct op op;
	void (*done)(void *arg);
	void *arg;
};

static int released, abandoned;

static void deliver(struct op *op)
{
	struct work *w = (struct work *)op;

	w->done(w->arg);
}

static void release(struct op *op)
{
	released++;
	free(op);
}

static struct work *work_begin(void (*done)(void *arg), void *arg, struct op **slot)
{
	struct work *w = mem_new(struct work);

	*w = (struct work){
	        .op = {.deliver = deliver, .release = release}, .done = done, .arg = arg};
	op_begin(&w->op, slot);
	return w;
}

/* An owner of such work. */
struct owner {
	struct op *slot;
	int told;
	bool slot_was_null;
	int again; /* how many times to start again when told */
};

static void on_done(void *arg)
{
	struct owner *o = arg;

	o->told++;
	o->slot_was_null = o->slot == NULL;
	if (o->again-- > 0)
		op_end(&work_begin(on_done, o, &o->slot)->op);
}

static void on_done_die(void *arg)
{
	struct owner *o = arg;

	op_cancel(&o->slot);
	free(o);
}

static void turn(void)
{
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

static void turn_until_idle(void)
{
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(
	        event_base_get_num_events(loop_base(), EVENT_BASE_COUNT_ACTIVE |
	                                                       EVENT_BASE_COUNT_ADDED),
	        0);
}

static void the_slot_is_set_while_the_work_is_outstanding(void **state)
{
	struct owner o = {0};
	struct work *w = work_begin(on_done, &o, &o.slot);

	(void)state;
	assert_ptr_equal(o.slot, &w->op);
	assert_true(op_wanted(&w->op));
	turn_until_idle();
	assert_non_null(o.slot); /* still at work */
	op_end(&w->op);
	turn_until_idle();
	assert_null(o.slot);
	assert_int_equal(o.told, 1);
	assert_true(o.slot_was_null);
	assert_int_equal(released, 1);
}

static void the_end_is_never_told_from_inside(void **state)
{
	struct owner o = {0};

	(void)state;
	op_end(&work_begin(on_done, &o, &o.slot)->op);
	assert_int_equal(o.told, 0);
	assert_non_null(o.slot);
	assert_int_equal(released, 0);
	turn();
	assert_int_equal(o.told, 1);
	turn_until_idle();
	assert_int_equal(o.told, 1);
}

static void an_end_that_comes_twice_is_told_once(void **state)
{
	struct owner o = {0};
	struct work *w = work_begin(on_done, &o, &o.slot);

	(void)state;
	op_end(&w->op);
	op_end(&w->op);
	turn_until_idle();
	assert_int_equal(o.told, 1);
	assert_int_equal(released, 1);
}

static void when_told_the_owner_may_start_again_in_the_same_slot(void **state)
{
	struct owner o = {.again = 3};

	(void)state;
	op_end(&work_begin(on_done, &o, &o.slot)->op);
	turn_until_idle();
	assert_int_equal(o.told, 4);
	assert_int_equal(released, 4);
	assert_null(o.slot);
}

static void when_told_the_owner_may_die(void **state)
{
	struct owner *o = mem_new(struct owner);

	(void)state;
	op_end(&work_begin(on_done_die, o, &o->slot)->op);
	turn_until_idle();
	assert_int_equal(released, 1);
}

static void once_cancelled_nobody_is_told(void **state)
{
	struct owner *o = mem_new(struct owner);
	struct work *w = work_begin(on_done, o, &o->slot);

	(void)state;
	op_cancel(&o->slot);
	assert_null(o->slot);
	assert_false(op_wanted(&w->op));
	op_cancel(&o->slot); /* of nothing */
	free(o);
	turn_until_idle();
	assert_int_equal(released, 0); /* the module has not ended it yet */
	op_end(&w->op);
	turn_until_idle();
	assert_int_equal(released, 1);
}

static void a_cancel_may_come_between_end_and_telling(void **state)
{
	struct owner *o = mem_new(struct owner);
	struct work *w = work_begin(on_done, o, &o->slot);

	(void)state;
	op_end(&w->op);
	op_cancel(&o->slot);
	free(o);
	turn_until_idle();
	assert_int_equal(released, 1);
}

static void stop_early(struct op *op)
{
	abandoned++;
	assert_false(op_wanted(op));
	op_end(op);
}

static void a_cancel_lets_the_module_stop_early(void **state)
{
	struct owner *o = mem_new(struct owner);

	(void)state;
	work_begin(on_done, o, &o->slot)->op.abandon = stop_early;
	op_cancel(&o->slot);
	assert_int_equal(abandoned, 1);
	assert_int_equal(released, 0);
	free(o);
	turn_until_idle();
	assert_int_equal(abandoned, 1);
	assert_int_equal(released, 1);
}

static void what_has_ended_is_not_abandoned(void **state)
{
	struct owner o = {0};
	struct work *w = work_begin(on_done, &o, &o.slot);

	(void)state;
	w->op.abandon = stop_early;
	op_end(&w->op);
	op_cancel(&o.slot);
	turn_until_idle();
	assert_int_equal(abandoned, 0);
	assert_int_equal(released, 1);
	assert_int_equal(o.told, 0);
}

static void a_cancelled_slot_is_free_for_the_next(void **state)
{
	struct owner o = {0};
	struct work *first = work_begin(on_done, &o, &o.slot);
	struct work *second;

	(void)state;
	op_cancel(&o.slot);
	second = work_begin(on_done, &o, &o.slot);
	op_end(&first->op); /* must not touch the slot of the second */
	turn_until_idle();
	assert_ptr_equal(o.slot, &second->op);
	assert_int_equal(o.told, 0);
	op_end(&second->op);
	turn_until_idle();
	assert_int_equal(o.told, 1);
	assert_int_equal(released, 2);
}

static void without_a_slot_it_is_told_all_the_same(void **state)
{
	struct owner a = {0}, b = {0};
	struct work *first = work_begin(on_done, &a, NULL);
	struct work *second = work_begin(on_done, &b, NULL);

	(void)state;
	assert_true(op_wanted(&first->op));
	op_end(&second->op);
	turn_until_idle();
	assert_int_equal(a.told, 0);
	assert_int_equal(b.told, 1);
	op_end(&first->op);
	turn_until_idle();
	assert_int_equal(a.told, 1);
	assert_int_equal(b.told, 1);
	assert_int_equal(released, 2);
}

static int start(void **state)
{
	(void)state;
	released = abandoned = 0;
	loop_start();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	loop_stop();
	return 0;
}

#define on_loop(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        on_loop(the_slot_is_set_while_the_work_is_outstanding),
	        on_loop(the_end_is_never_told_from_inside),
	        on_loop(an_end_that_comes_twice_is_told_once),
	        on_loop(when_told_the_owner_may_start_again_in_the_same_slot),
	        on_loop(when_told_the_owner_may_die),
	        on_loop(once_cancelled_nobody_is_told),
	        on_loop(a_cancel_may_come_between_end_and_telling),
	        on_loop(a_cancel_lets_the_module_stop_early),
	        on_loop(what_has_ended_is_not_abandoned),
	        on_loop(a_cancelled_slot_is_free_for_the_next),
	        on_loop(without_a_slot_it_is_told_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
