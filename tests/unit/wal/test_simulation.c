/* One seed, one run: clients write, everything that can go wrong goes wrong at random
 * moments of a virtual minute, then it is quiet, and all must agree.
 *
 * CHROMATID_SEED=n runs that seed alone, CHROMATID_SEEDS=n so many from 1 on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/world.h"

#define SEEDS 300u
#define STEPS 400u
#define WAITING_MOST 10u

static const char *const names[] = {"docs", "notes", "mail", "logs"};
static const char *const databases[] = {"east", "west"};

static struct {
	unsigned trouble; /* percent of calls that go wrong */
	unsigned errors_500[2];
	bool down[2];
	msec up_at[2], reachable_at, flows_at, boot_at;
	unsigned permille; /* of steps at which something breaks */
} sim;

/* --- what clients do
 * --------------------------------------------------------------------- */

static struct database *any_database(void)
{
	const char *name = chance_of(75) ? DATABASE_DEFAULT : databases[chance_below(2)];
	struct database *db = catalogue_database(TENANT_DEFAULT, name);

	return db != NULL && db->life == LIFE_LIVE ? db : NULL;
}

static struct collection *any_collection(void)
{
	struct database *db = any_database();
	struct collection *c =
	        db != NULL ? catalogue_named(db, names[chance_below(4)]) : NULL;

	return c != NULL && c->life == LIFE_LIVE ? c : NULL;
}

static const char *any_ids(void)
{
	static char ids[64];
	size_t n = 1 + chance_below(3), first = chance_below(8);

	ids[0] = '\0';
	for (size_t k = 0; k < n; k++)
		sprintf(ids + strlen(ids), "%si%zu", k > 0 ? "," : "", first + k);
	return ids;
}

static void rename_any(struct collection *c)
{
	const char *next = names[chance_below(4)];

	if (c->next_name == NULL && catalogue_named(c->db, next) == NULL)
		modify_of(c, next);
}

static void items_any(struct collection *c, enum record_kind kind)
{
	bool embedded = chance_of(40);
	unsigned dimension = chance_of(80) ? 2 : 3;

	items(kind, c, any_ids(), embedded ? dimension : 0, chance_of(10));
}

static void where_any(struct collection *c)
{
	static const char *const filters[] = {"{\"a\":\"x\"}", "{\"a\":\"y\"}",
	                                      "{\"b\":\"z\"}", "{\"$no\":1}"};

	items_where(c, filters[chance_below(4)]);
}

static void on_collection(struct collection *c, uint64_t die)
{
	if (die < 25)
		items_any(c, RECORD_ADD);
	else if (die < 42)
		items_any(c, RECORD_UPSERT);
	else if (die < 58)
		items_any(c, RECORD_UPDATE);
	else if (die < 68)
		items(RECORD_DELETE, c, any_ids(), 0, false);
	else if (die < 78)
		where_any(c);
	else if (die < 84)
		rename_any(c);
	else if (die < 88)
		modify_of(c, NULL);
	else if (c->next_name == NULL)
		drop_of(c);
}

static void on_no_collection(void)
{
	struct database *db = any_database();
	uint64_t die = chance_below(100);

	if (die < 70 && db != NULL)
		create_in(db, names[chance_below(4)]);
	else if (die < 73)
		create_bad(names[chance_below(4)]);
	else if (die < 83)
		create_database(databases[chance_below(2)]);
	else if (die < 90)
		drop_database(databases[chance_below(2)]);
	else if (die < 94)
		create_tenant(names[chance_below(4)]);
	else if (die < 96)
		reset();
}

static unsigned waiting(void)
{
	const struct write *w;
	unsigned n = 0;

	TAILQ_FOREACH (w, world_writes(), link)
		n += !w->ended;
	return n;
}

static void client(void)
{
	struct collection *c;

	if (sim.boot_at != 0 || waiting() >= WAITING_MOST)
		return;
	c = any_collection();
	if (c != NULL && chance_of(85))
		on_collection(c, chance_below(93));
	else
		on_no_collection();
}

/* --- what breaks
 * --------------------------------------------------------------------------
 */

static enum fault any_fault(void *arg)
{
	unsigned *errors = arg;
	enum fault f;

	if (!chance_of(sim.trouble))
		return FAULT_NONE;
	f = (enum fault)(1 + chance_below(FAULTS - 1));
	if ((f == FAULT_500_AFTER || f == FAULT_500_BEFORE) && (*errors)++ > 1)
		return FAULT_LOST_AFTER; /* given up when it is answered too often */
	return f;
}

static void crash(void)
{
	fake_pg_at_death((unsigned)chance_below(4), chance_of(50),
	                 1 + chance_below(7000));
	world_crash();
	sim.boot_at = clock_ms() + 1 + chance_below(3000);
}

static void instance_breaks(void)
{
	unsigned i = (unsigned)chance_below(2);

	if (sim.down[i])
		return;
	model_down(world_model(i), chance_of(50));
	sim.down[i] = true;
	sim.up_at[i] = clock_ms() + 1 + chance_below(6000);
}

static void log_breaks(void)
{
	static const char *const refused[] = {"outcome", "position", "append",
	                                      "store_ids", "binding"};

	switch (chance_below(6)) {
	case 0:
		fake_pg_reachable(false);
		sim.reachable_at = clock_ms() + 1 + chance_below(8000);
		fake_pg_cut("control", (unsigned)chance_below(3), false, 0);
		fake_pg_cut("log", (unsigned)chance_below(5), chance_of(50),
		            1 + chance_below(9000));
		break;
	case 1:
		fake_pg_cut("control", (unsigned)chance_below(2), false, 0);
		break;
	case 2:
		fake_pg_stall(true);
		sim.flows_at = clock_ms() + 1 + chance_below(7000);
		break;
	case 3:
		fake_pg_refuse(refused[chance_below(5)], 1 + (unsigned)chance_below(3));
		break;
	default:
		fake_pg_cut("log", (unsigned)chance_below(5), chance_of(50),
		            1 + chance_below(3000));
	}
}

static void something_breaks(void)
{
	uint64_t die = chance_below(100);

	if (die < 40)
		instance_breaks();
	else if (die < 75)
		log_breaks();
	else if (die < 80)
		fake_pg_take_lease(1 + chance_below(5000));
	else if (sim.boot_at == 0)
		crash();
}

static void something_heals(void)
{
	msec now = clock_ms();

	for (unsigned i = 0; i < 2; i++)
		if (sim.down[i] && now >= sim.up_at[i]) {
			model_up(world_model(i));
			sim.down[i] = false;
		}
	if (now >= sim.reachable_at)
		fake_pg_reachable(true);
	if (now >= sim.flows_at)
		fake_pg_stall(false);
	if (sim.boot_at != 0 && now >= sim.boot_at) {
		sim.boot_at = 0;
		world_boot();
	}
}

/* --- what must hold at every moment
 * ------------------------------------------------------- */

static bool leaves_a_mark(const struct write *w)
{
	return record_runs(w->kind) && w->status == STATUS_OK && w->http < 300;
}

static void check_read(struct collection *c, unsigned i)
{
	const struct write *w;

	if (!model_has_collection(world_model(i), c->local[i].text))
		return; /* a reset is under way there */
	TAILQ_FOREACH (w, world_writes(), link)
		if (w->ended && w->collection == c->id && leaves_a_mark(w) &&
		    !model_has_op(world_model(i), c->local[i].text, w->number))
			fail_msg("a read of %s on instance %u misses write %lld (seq "
			         "%lld)",
			         c->name, i, (long long)w->number, (long long)w->seq);
}

static void reads_see_what_was_answered(void)
{
	struct database *db = NULL;
	struct collection *c;

	if (sim.boot_at != 0 || !wal_leads())
		return;
	while ((db = catalogue_next_database(db)) != NULL)
		TAILQ_FOREACH (c, &db->collections, link)
			for (unsigned i = 0; i < 2; i++)
				if (c->life == LIFE_LIVE && !sim.down[i] &&
				    wal_current(health_instance(i), c))
					check_read(c, i);
}

/* --- a run
 * -------------------------------------------------------------------------------- */

static void peace(void)
{
	for (unsigned i = 0; i < 2; i++) {
		model_faults(world_model(i), NULL, NULL);
		sim.up_at[i] = 0;
	}
	fake_pg_refuse("nothing", 0);
	sim.reachable_at = sim.flows_at = 0;
	if (sim.boot_at != 0)
		sim.boot_at = 1;
	something_heals();
	world_lead(20000);
	world_settle();
}

static void run(uint64_t seed)
{
	fake_random_seed(seed);
	memset(&sim, 0, sizeof(sim));
	sim.trouble = (unsigned)chance_below(20);
	sim.permille = (unsigned)chance_below(60);
	world_start();
	world_crash();
	world_workers(1 + (int64_t)chance_below(4));
	world_boot();
	world_lead(10000);
	model_latency(world_model(A), 1 + chance_below(30));
	model_latency(world_model(B), 1 + chance_below(30));
	for (unsigned i = 0; i < 2; i++)
		model_faults(world_model(i), any_fault, &sim.errors_500[i]);
	for (unsigned k = 0; k < STEPS; k++) {
		something_heals();
		if (chance_below(1000) < sim.permille)
			something_breaks();
		else
			client();
		pass_ms(chance_of(10) ? chance_below(1000) : chance_below(20));
		reads_see_what_was_answered();
	}
	peace();
	world_check();
	world_stop();
}

static int in_a_process_of_its_own(uint64_t seed)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		run(seed);
		exit(0);
	}
	waitpid(child, &status, 0);
	return status;
}

static void everything_agrees_in_the_end(void **state)
{
	const char *one = getenv("CHROMATID_SEED"), *many = getenv("CHROMATID_SEEDS");
	uint64_t most = many != NULL ? strtoull(many, NULL, 10) : SEEDS;
	unsigned failed = 0;

	(void)state;
	if (one != NULL) {
		run(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= most; seed++)
		if (in_a_process_of_its_own(seed) != 0) {
			fprintf(stderr, "CHROMATID_SEED=%llu fails\n",
			        (unsigned long long)seed);
			failed++;
		}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(everything_agrees_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
