/* Short stories, and each thing that can go wrong at each of their steps.
 *
 * A step is one callback of the loop. For every story, every accident and every n, the
 * story runs once with that accident behind its nth callback, goes on, settles, and
 * everything must agree (world_check). The same for every call to an instance, going
 * wrong in every way a call can. A run that fails says which it was;
 *	CHROMATID_STORY="a_rename" CHROMATID_ACCIDENT="crash" CHROMATID_STEP=17
 * runs it alone, CHROMATID_TEST_LOG=1 shows what happens. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)
#define LEAD_MOST 30000u
#define MOST_STEPS 5000u /* a story is over long before */
#define MOST_CALLS 200u

/* --- stories: any write of them may find that there is nothing to write to
 * -------------------------------------------------------------------------- */

static void create_and_settle(const char *name)
{
	create(name);
	world_settle();
}

static void a_few_items(void)
{
	create_and_settle("docs");
	add("docs", "a,b");
	add("docs", "c");
	world_settle();
	take_out("docs", "b");
}

static void items_of_all_kinds_at_once(void)
{
	create_and_settle("docs");
	add("docs", "a,b");
	update("docs", "b,z");
	upsert("docs", "b,c");
	take_out("docs", "a");
	add("docs", "a");
}

static void a_create_and_what_follows_at_once(void)
{
	create("docs");
	pass_ms(8);
	add("docs", "a");
	create("notes");
}

static void a_delete_by_filter(void)
{
	create_and_settle("docs");
	add("docs", "a,b");
	world_settle();
	take_out_where("docs", "{\"a\":\"z\"}");
	add("docs", "a,c");
}

static void a_rename(void)
{
	create_and_settle("docs");
	rename_to("docs", "notes");
	pass_ms(20);
	create("docs");
	world_settle();
	add("notes", "a");
	add("docs", "b");
}

static void a_delete_of_a_collection_and_its_successor(void)
{
	create_and_settle("docs");
	add("docs", "a");
	drop("docs");
	pass_ms(3);
	create("docs");
	world_settle();
	add("docs", "b");
}

static void a_database(void)
{
	struct database *east;

	create_database("east");
	world_settle();
	east = catalogue_database(TENANT_DEFAULT, "east");
	if (east != NULL && east->life == LIFE_LIVE)
		create_in(east, "docs");
	world_settle();
	drop_database("east");
	pass_ms(4);
	create_database("east");
}

static void a_tenant_and_a_reset(void)
{
	create_and_settle("docs");
	create_tenant("acme");
	add("docs", "a");
	reset();
	create("notes");
}

static void a_database_that_a_reset_brings_back(void)
{
	create_and_settle("docs");
	add("docs", "a");
	drop_database(DATABASE_DEFAULT);
	pass_ms(4);
	reset();
	pass_ms(20);
	create("notes");
	pass_ms(20);
	add("notes", "b");
}

static void a_refusal(void)
{
	create_and_settle("docs");
	add_embedded("docs", "a", 3, true);
	add_embedded("docs", "b", 2, false);
	create_bad("bad");
	take_out_where("docs", "{\"$no\":1}");
	world_settle();
	create("bad");
}

static void an_outage_and_catching_up(void)
{
	create_and_settle("docs");
	model_down(REPLICA, true);
	add("docs", "a");
	update("docs", "a");
	create("notes");
	pass_ms(100);
	drop("docs");
	pass_ms(100);
	model_up(REPLICA);
}

static void both_are_down(void)
{
	create_and_settle("docs");
	model_down(PRIMARY, true);
	model_down(REPLICA, false);
	add("docs", "a");
	update("docs", "a");
	pass_ms(100);
	model_up(REPLICA);
	pass_ms(50);
	take_out("docs", "a");
	model_up(PRIMARY);
}

static void a_lost_answer(void)
{
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	create("docs");
	world_settle();
	model_fault(PRIMARY, FAULT_500_AFTER, 1);
	add("docs", "a");
	update("docs", "a");
	model_fault(REPLICA, FAULT_LOST_BEFORE, 1);
	drop("docs");
}

static void a_restart(void)
{
	create("docs");
	pass_ms(8);
	add("docs", "a");
	update("docs", "a");
	pass_ms(4);
	world_crash();
	world_boot();
	world_lead(LEAD_MOST);
	take_out("docs", "a");
}

static void a_failover(void)
{
	create_and_settle("docs");
	add("docs", "a");
	model_down(PRIMARY, true);
	add("docs", "b");
	rename_to("docs", "notes");
	pass_ms(60);
	take_out("docs", "a");
	take_out("notes", "b");
	model_up(PRIMARY);
}

#define story(f)                                                                         \
	{                                                                                \
#f, f                                                                    \
	}
static const struct story {
	const char *name;
	void (*tell)(void);
} stories[] = {
        story(a_few_items),
        story(items_of_all_kinds_at_once),
        story(a_create_and_what_follows_at_once),
        story(a_delete_by_filter),
        story(a_rename),
        story(a_delete_of_a_collection_and_its_successor),
        story(a_database),
        story(a_tenant_and_a_reset),
        story(a_database_that_a_reset_brings_back),
        story(a_refusal),
        story(an_outage_and_catching_up),
        story(both_are_down),
        story(a_lost_answer),
        story(a_failover),
        story(a_restart),
};
#define STORIES (sizeof(stories) / sizeof(stories[0]))

/* --- accidents
 * ---------------------------------------------------------------------------- */

/* What PostgreSQL and the instances make of what was under way, when we are gone. */
static void crash(unsigned commits, bool linger, unsigned executed)
{
	const struct model_closed how = {.executed = executed};

	for (unsigned i = 0; i < 2; i++)
		model_closes(world_model(i), &how);
	fake_pg_at_death(commits, linger, 300);
	world_crash();
	world_boot();
	world_lead(LEAD_MOST);
}

static void crash_and_nothing_was_done(void)
{
	crash(0, false, 0);
}

static void crash_and_all_was_done(void)
{
	crash(9, false, 100);
}

static void crash_and_one_was_committed(void)
{
	crash(1, true, 100);
}

static void log_lost_before_the_commit(void)
{
	fake_pg_cut("log", 0, false, 0);
}

static void log_lost_behind_the_commit(void)
{
	fake_pg_cut("log", 9, false, 0);
}

static void log_lost_and_goes_on_at_the_server(void)
{
	fake_pg_cut("log", 1, true, 150);
}

static void control_lost(void)
{
	fake_pg_cut("control", 0, false, 0);
}

static void another_takes_the_lease(void)
{
	fake_pg_take_lease(300);
}

static struct timer healing;

static void on_healed(void *arg)
{
	(void)arg;
	fake_pg_reachable(true);
	fake_pg_stall(false);
	model_up(PRIMARY);
	model_up(REPLICA);
}

static void heals_in(msec after)
{
	timer_start(&healing, after, on_healed, NULL);
}

static void postgresql_gone_until_the_lease_has_run_out(void)
{
	fake_pg_reachable(false);
	fake_pg_cut("log", 0, false, 0);
	fake_pg_cut("control", 0, false, 0);
	heals_in(6000);
}

static void postgresql_stalls_until_the_lease_has_run_out(void)
{
	fake_pg_stall(true);
	heals_in(6000);
}

static void primary_dies_before(void)
{
	model_down(PRIMARY, false);
	heals_in(700);
}

static void primary_dies_behind(void)
{
	model_down(PRIMARY, true);
	heals_in(700);
}

static void replica_dies_before(void)
{
	model_down(REPLICA, false);
	heals_in(700);
}

static void replica_dies_behind(void)
{
	model_down(REPLICA, true);
	heals_in(700);
}

static const struct accident {
	const char *name;
	void (*happens)(void);
} accidents[] = {
        {"crash", crash_and_nothing_was_done},
        {"crash, all done", crash_and_all_was_done},
        {"crash, one committed", crash_and_one_was_committed},
        {"log lost before", log_lost_before_the_commit},
        {"log lost behind", log_lost_behind_the_commit},
        {"log lost, goes on", log_lost_and_goes_on_at_the_server},
        {"control lost", control_lost},
        {"lease taken", another_takes_the_lease},
        {"postgresql gone", postgresql_gone_until_the_lease_has_run_out},
        {"postgresql stalls", postgresql_stalls_until_the_lease_has_run_out},
        {"primary dies before", primary_dies_before},
        {"primary dies behind", primary_dies_behind},
        {"replica dies before", replica_dies_before},
        {"replica dies behind", replica_dies_behind},
};
#define ACCIDENTS (sizeof(accidents) / sizeof(accidents[0]))

static const char *const faults[FAULTS] = {
        "none",       "refuses",    "lost before", "lost behind", "500 before",
        "500 behind", "503 before", "503 behind",  "hang before", "hang behind",
};

/* --- a run
 * ------------------------------------------------------------------------------ */

static struct {
	const char *story, *accident;
	uint64_t step;
	bool happened;
	uint64_t runs;
} now_running;

static const struct accident *accident;

/* The nth call that the story itself does not let go wrong. */
struct at_call {
	enum fault fault;
	unsigned nth, calls;
};

static bool is_wanted(const char *variable, const char *value)
{
	const char *only = getenv(variable);

	return only == NULL || strcmp(only, value) == 0;
}

static bool is_step_wanted(uint64_t step)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)step);
	return is_wanted("CHROMATID_STEP", text);
}

static void say_which(void)
{
	if (now_running.story != NULL)
		dprintf(STDERR_FILENO,
		        "it was CHROMATID_STORY=\"%s\" CHROMATID_ACCIDENT=\"%s\" "
		        "CHROMATID_STEP=%llu\n",
		        now_running.story, now_running.accident,
		        (unsigned long long)now_running.step);
}

static void on_abort(int signal)
{
	(void)signal;
	say_which();
}

static void begin(const struct story *s, const char *what, uint64_t step)
{
	now_running.story = s->name;
	now_running.accident = what;
	now_running.step = step;
	now_running.happened = false;
	now_running.runs++;
	world_seed(1);
	world_start();
}

static void finish(void)
{
	timer_stop(&healing);
	on_healed(NULL);
	for (unsigned i = 0; i < 2; i++)
		model_faults(world_model(i), NULL, NULL);
	world_lead(LEAD_MOST);
	world_settle();
	world_check();
	world_stop();
	now_running.story = NULL;
}

static void on_step(void)
{
	now_running.happened = true;
	accident->happens();
}

/* False: it was over before that step came. */
static bool with_accident(const struct story *s, uint64_t step)
{
	if (!is_step_wanted(step))
		return step < MOST_STEPS - 1;
	begin(s, accident->name, step);
	fake_time_after(step, on_step);
	s->tell();
	world_settle();
	fake_time_after(0, NULL);
	finish();
	return now_running.happened;
}

static enum fault at_its_call(void *arg)
{
	struct at_call *at = arg;

	return ++at->calls == at->nth ? at->fault : FAULT_NONE;
}

/* False: there were not so many calls. */
static bool with_fault(const struct story *s, unsigned i, enum fault f, unsigned nth)
{
	struct at_call at = {.fault = f, .nth = nth};
	char what[40];

	snprintf(what, sizeof(what), "%s %s", i == A ? "primary" : "replica", faults[f]);
	if (!is_step_wanted(nth) || !is_wanted("CHROMATID_ACCIDENT", what))
		return nth < MOST_CALLS;
	begin(s, what, nth);
	model_faults(world_model(i), at_its_call, &at);
	s->tell();
	world_settle();
	finish();
	return at.calls >= nth;
}

/* --- all of them
 * ------------------------------------------------------------------------ */

static void whatever_happens_at_any_step(void **state)
{
	const struct story *s = *state;
	uint64_t step;

	for (size_t k = 0; k < ACCIDENTS; k++) {
		accident = &accidents[k];
		if (!is_wanted("CHROMATID_ACCIDENT", accident->name))
			continue;
		for (step = 1; with_accident(s, step); step++)
			assert_true(step < MOST_STEPS);
	}
}

static void whatever_becomes_of_any_call(void **state)
{
	const struct story *s = *state;

	for (unsigned i = 0; i < 2; i++)
		for (enum fault f = FAULT_REFUSE; f < FAULTS; f++)
			for (unsigned nth = 1; with_fault(s, i, f, nth); nth++)
				assert_true(nth < MOST_CALLS);
}

static int clean_up(void **state)
{
	(void)state;
	say_which();
	now_running.story = NULL;
	fake_time_after(0, NULL);
	timer_stop(&healing);
	world_clean_up();
	return 0;
}

static int count(void **state)
{
	(void)state;
	printf("%llu runs\n", (unsigned long long)now_running.runs);
	return 0;
}

static void add_test(struct CMUnitTest *to, const struct story *s,
                     CMUnitTestFunction test, const char *what)
{
	*to = (struct CMUnitTest){.name = mem_format("%s: %s", s->name, what),
	                          .test_func = test,
	                          .teardown_func = clean_up,
	                          .initial_state = (void *)(uintptr_t)s};
}

int main(void)
{
	struct CMUnitTest tests[2 * STORIES];
	size_t n = 0;
	int failed;

	signal(SIGABRT, on_abort);
	for (size_t k = 0; k < STORIES; k++) {
		if (!is_wanted("CHROMATID_STORY", stories[k].name))
			continue;
		add_test(&tests[n++], &stories[k], whatever_happens_at_any_step,
		         "whatever happens at any step");
		add_test(&tests[n++], &stories[k], whatever_becomes_of_any_call,
		         "whatever becomes of any call");
	}
	failed = _cmocka_run_group_tests("crashes", tests, n, NULL, count);
	while (n > 0)
		free((char *)(uintptr_t)tests[--n].name);
	return failed;
}
