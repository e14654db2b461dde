#include "core/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"

#define MEMORY (64u * 1024 * 1024)

static struct process_figures now(void)
{
	struct process_figures f;

	process_figures(&f);
	return f;
}

static void memory_in_use_is_seen(void **state)
{
	uint64_t before = now().resident;
	volatile char *memory = malloc(MEMORY);

	(void)state;
	for (size_t k = 0; k < MEMORY; k += 1024)
		memory[k] = 1;
	assert_true(now().resident >= before + MEMORY / 2);
	assert_true(now().virtual >= now().resident);
	free((void *)(uintptr_t)memory);
	assert_true(now().resident_peak >= before + MEMORY / 2);
}

static void open_files_are_counted(void **state)
{
	uint64_t before = now().open_files;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(now().open_files, before + 1);
	close(fd);
	assert_int_equal(now().open_files, before);
	assert_true(now().most_files > before);
}

static void time_spent_is_seen(void **state)
{
	double before = now().cpu_seconds;
	msec began = clock_ms();

	(void)state;
	while (clock_ms() < began + 5000 && now().cpu_seconds < before + 0.05)
		;
	assert_true(now().cpu_seconds >= before + 0.05);
	assert_true(now().cpu_percent >= 0);
}

static void the_start_was_a_moment_ago_and_does_not_move(void **state)
{
	int64_t started = now().started_wall_ms;

	(void)state;
	assert_true(started <= clock_wall_ms() + 1000);
	assert_true(started > clock_wall_ms() - 60000);
	assert_int_equal(now().started_wall_ms, started);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(memory_in_use_is_seen),
	        cmocka_unit_test(open_files_are_counted),
	        cmocka_unit_test(time_spent_is_seen),
	        cmocka_unit_test(the_start_was_a_moment_ago_and_does_not_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
