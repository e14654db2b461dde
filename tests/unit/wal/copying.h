/* tests/unit/wal/copying.h - a copy from instance A to instance B, step by step. */
#ifndef TESTS_UNIT_WAL_COPYING_H
#define TESTS_UNIT_WAL_COPYING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/copy_private.h"
#include "wal/scope.h"

static struct {
	struct copy *copy;
	struct copy_spec spec;
	bool running;
	enum status status;
	char why[256];
	void (*meanwhile)(void); /* at every millisecond of a step */
} copying;

static inline wal_seq done_at_donor(void)
{
	return named("docs")->scope->lanes[A].done;
}

static inline void on_step(void *arg, enum status s, const char *why)
{
	(void)arg;
	assert_true(copying.running);
	copying.running = false;
	copying.status = s;
	snprintf(copying.why, sizeof(copying.why), "%s", why);
}

static inline enum status wait_for_step(void)
{
	msec began = clock_ms();

	while (copying.running) {
		assert_true(clock_ms() < began + 600000);
		if (copying.meanwhile != NULL)
			copying.meanwhile();
		pass_ms(clock_ms() < began + 500 ? 1 : 100); /* a call hangs */
	}
	return copying.status;
}

static inline void begin_copy(void)
{
	const struct collection *c = named("docs");

	copying.spec = (struct copy_spec){.collection = c->id,
	                                  .tenant = TENANT_DEFAULT,
	                                  .database = DATABASE_DEFAULT,
	                                  .donor = A,
	                                  .donor_id = store_instance_id(A),
	                                  .target = B,
	                                  .source = c->local[A],
	                                  .attempt = 3};
	copying.copy = copy_create(&copying.spec, NULL);
}

/* The process that copied is gone; another goes on from what was kept. */
static inline void another_goes_on(void)
{
	struct copy_progress kept = *copy_progress(copying.copy);

	copying.running = false;
	copy_destroy(&copying.copy);
	copying.copy = copy_create(&copying.spec, &kept);
}

static inline enum status make(void)
{
	copying.running = true;
	copy_make(copying.copy, done_at_donor(), on_step, NULL);
	return wait_for_step();
}

static inline enum status copy_all(void)
{
	copying.running = true;
	copy_items(copying.copy, on_step, NULL);
	return wait_for_step();
}

static inline enum status copy_what_was_touched(void)
{
	copying.running = true;
	copy_touched(copying.copy, done_at_donor(), on_step, NULL);
	return wait_for_step();
}

static inline enum status check(void)
{
	copying.running = true;
	copy_check(copying.copy, on_step, NULL);
	return wait_for_step();
}

/* Without its name. */
static inline char *content_of(unsigned i, const struct uuid *local)
{
	char *all = model_dump_collection(world_model(i), local->text);
	char *rest = mem_string(all[0] != '\0' ? strchr(all, ' ') : "nothing");

	free(all);
	return rest;
}

static inline void assert_copied(void)
{
	char *from = content_of(A, &copying.spec.source);
	char *to = content_of(B, &copy_progress(copying.copy)->made);

	assert_string_equal(to, from);
	free(from);
	free(to);
}

static inline int end_copying(void **state)
{
	copy_destroy(&copying.copy);
	memset(&copying, 0, sizeof(copying));
	copy_sizes = (struct copy_sizes){
	        .window = 5000, .page = 200, .tail = 1000, .deletes = 1000};
	return world_tear_down(state);
}

#define copy_story(f) cmocka_unit_test_teardown(f, end_copying)

#endif
