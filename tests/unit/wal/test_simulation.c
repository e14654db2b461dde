/* One seed, one run: clients write, everything that can go wrong goes wrong at random
 * moments of a virtual minute, then it is quiet, and all must agree.
 *
 * CHROMATID_SEED=n runs that seed alone, CHROMATID_SEEDS=n so many, CHROMATID_FIRST=n
 * from there on. CHROMATID_LATE=items|catalogue|all adds a vice that a direct connection
 * to a Chroma does not have: what we have given up is executed later, out of its place.
 * The engine cannot prevent that; it must notice what differs then. CHROMATID_HARD=1: an
 * instance loses collections, or its disk, in every run, much breaks, and much is made
 * and deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/record.h"

#define SEEDS 2000u
#define JOBS 2u
#define SHARE 50u
#define STEPS 400u
#define WAITING_MOST 10u
#define LOOKS_OVER_MS 900000u
#define HEALS_MOST_S 3600u
#define LEFTOVERS_GO_MS 130000u /* one that hangs, and once more */

static const char *const names[] = {"docs", "notes", "mail", "logs"};
static const char *const databases[] = {"east", "west"};

static struct {
	unsigned n;       /* instances */
	unsigned trouble; /* percent of calls that go wrong */
	unsigned errors_500[3];
	bool down[3];
	msec up_at[3], reachable_at, flows_at, boot_at;
	unsigned permille;  /* of steps at which something breaks */
	unsigned loser;     /* an instance that loses collections ... */
	bool loses;         /* ... in this run ... */
	bool wipes, saved;  /* ... or its disk; an older copy of that was made ... */
	bool hard;          /* all that, and more of it */
	int64_t saved_beat; /* ... with that beat */
	bool follows;       /* another proxy appends, too, in this run */
	bool shares;        /* another proxy copies, too, in this run ... */
	char other[16];     /* ... by this name; "": there is none now */
	unsigned others;    /* so many there were */
	msec other_beat;
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

/* It was deleted: a create brings it back, and so does a reset. */
static bool wants_the_default(void)
{
	if (catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT) != NULL ||
	    !chance_of(30))
		return false;
	if (chance_of(50))
		reset();
	else
		create_database(DATABASE_DEFAULT);
	return true;
}

static void on_no_collection(void)
{
	struct database *db = any_database();
	uint64_t die = chance_below(100);

	if (wants_the_default())
		return;
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
	else if (die < 97)
		drop_database(DATABASE_DEFAULT);
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
	world_elsewhere(sim.follows && chance_of(40));
	c = any_collection();
	if (c != NULL && chance_of(sim.hard ? 60 : 85))
		on_collection(c, chance_below(93));
	else
		on_no_collection();
	world_elsewhere(false);
	if (sim.follows && chance_of(70))
		fake_pg_notify("appended");
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

static int64_t beat_on(const struct model *m)
{
	const char *beat = strrchr(model_marker(m), ' ');

	return beat != NULL ? strtoll(beat, NULL, 10) : 0;
}

static int64_t beat_known(unsigned i, bool *marked)
{
	return fake_pg_beat((const char *[]){"primary", "replica", "third"}[i], marked);
}

/* One that is not older than its last beat cannot be told from the disk. */
static bool is_older(unsigned i)
{
	bool marked;

	return beat_known(i, &marked) > sim.saved_beat && marked;
}

/* Nor can one without a disk, between a reset and the next beat. */
static bool is_marked(unsigned i)
{
	bool marked;

	beat_known(i, &marked);
	return marked;
}

/* Without its disk, or with an older copy of it. */
static void comes_back_as_another(unsigned i)
{
	struct model *m = world_model(i);
	uint64_t die = chance_below(100);

	if (die < 25) {
		if (is_marked(i))
			model_wipe(m);
	} else if (die < 60 && sim.saved && is_older(i)) {
		model_restore(m);
	} else if (die < 90) {
		model_save(m);
		sim.saved = true;
		sim.saved_beat = beat_on(m);
	}
}

static void instance_breaks(void)
{
	unsigned i = (unsigned)chance_below(sim.n);

	if (sim.down[i])
		return;
	model_down(world_model(i), chance_of(50));
	if (sim.wipes && i == sim.loser)
		comes_back_as_another(i);
	sim.down[i] = true;
	sim.up_at[i] = clock_ms() + 1 + chance_below(6000);
}

/* Its disk, or somebody at it directly. The others have it still. */
static void instance_loses(void)
{
	const char *name = names[chance_below(4)];

	if (model_collection_id(world_model(sim.loser), name) != NULL)
		model_drop_behind_our_back(world_model(sim.loser), name);
}

static void log_breaks(void)
{
	static const char *const refused[] = {"outcome", "position", "append",
	                                      "store_ids", "binding"};
	static const char *const beside[] = {"control", "reader", "upkeep"};

	switch (chance_below(6)) {
	case 0:
		fake_pg_reachable(false);
		sim.reachable_at = clock_ms() + 1 + chance_below(8000);
		fake_pg_cut("control", (unsigned)chance_below(3), false, 0);
		fake_pg_cut("reader", 0, false, 0);
		fake_pg_cut("upkeep", (unsigned)chance_below(3), false, 0);
		fake_pg_cut("log", (unsigned)chance_below(5), chance_of(50),
		            1 + chance_below(9000));
		break;
	case 1:
		fake_pg_cut(beside[chance_below(3)], (unsigned)chance_below(2), false, 0);
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

	if (sim.loses && die < 15)
		instance_loses();
	else if (die < 40)
		instance_breaks();
	else if (die < 75)
		log_breaks();
	else if (die < 80)
		fake_pg_take_lease(1 + chance_below(5000));
	else if (sim.boot_at == 0 && die < 85) /* an operator does */
		instance_take_out(health_instance((unsigned)chance_below(sim.n)),
		                  1 + chance_below(5000), "by hand");
	else if (sim.boot_at == 0)
		crash();
}

static void something_heals(void)
{
	msec now = clock_ms();

	for (unsigned i = 0; i < sim.n; i++)
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

/* --- another proxy that takes work
 * ------------------------------------------------------------------------- */

/* Its task, if it is still its own. */
static struct fake_task *task_of_other(void)
{
	struct fake_task *t;

	for (unsigned k = 0; (t = fake_pg_task(k)) != NULL; k++)
		if (strcmp(t->worker, sim.other) == 0 && strcmp(t->state, "taken") == 0)
			return t;
	return NULL;
}

/* Its process ends; or it sleeps, and may wake up, for all that anybody knows. */
static void other_dies(void)
{
	if (sim.other[0] != '\0')
		fake_pg_worker(sim.other, chance_of(30));
	sim.other[0] = '\0';
}

static void other_gives_up(struct fake_task *t)
{
	uint64_t die = chance_below(3);

	strcpy(t->state, die == 0 ? "free" : "failed");
	if (die == 0)
		t->worker[0] = '\0';
	t->sound = die < 2;
}

/* It has never come far with anything. */
static void other_works(void)
{
	struct fake_task *t = task_of_other();

	if (clock_ms() >= sim.other_beat + 1000) {
		fake_pg_worker(sim.other, true);
		sim.other_beat = clock_ms();
	}
	if (t == NULL && chance_of(50))
		fake_pg_take_free_task(sim.other);
	else if (t != NULL && chance_of(3))
		other_gives_up(t);
	if (chance_of(3))
		other_dies();
}

static void another_proxy(void)
{
	if (!sim.shares)
		return;
	if (sim.other[0] != '\0')
		other_works();
	else if (chance_of(10))
		sprintf(sim.other, "other-%u", ++sim.others % 1000);
}

/* --- what must hold at every moment
 * ------------------------------------------------------- */

static bool leaves_a_mark(const struct write *w)
{
	return record_runs(w->kind) && w->status == STATUS_OK && w->http < 300;
}

/* It was lost there; or is a copy, and what it holds says nothing about which writes. */
static bool is_another(const struct collection *c, unsigned i)
{
	return sim.loses && i == sim.loser && c->life == LIFE_LIVE;
}

static void check_read(struct collection *c, unsigned i)
{
	const struct write *w;

	if (!model_has_collection(world_model(i), c->local[i].text))
		return; /* a reset is under way there */
	if (is_another(c, i))
		return; /* the end will tell */
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
			for (unsigned i = 0; i < sim.n; i++)
				if (c->life == LIFE_LIVE && !sim.down[i] &&
				    wal_current(health_instance(i), c))
					check_read(c, i);
}

/* --- a run
 * -------------------------------------------------------------------------------- */

/* An operator looks after what was parked while instances kept failing. */
static void try_again(void *arg, const struct wal_quarantine *q)
{
	(void)arg;
	wal_retry(q->seq);
}

/* One may still hold the name that another is to have: twice, then. */
static void try_all_again(void)
{
	for (unsigned k = 0; k < 2 && wal_quarantined() > 0; k++) {
		wal_each_quarantine(try_again, NULL);
		pass_ms(5000);
	}
}

/* What is lost is found out when it is written to. */
static void touch_all(void)
{
	struct database *db = NULL;
	struct collection *c;

	while ((db = catalogue_next_database(db)) != NULL)
		TAILQ_FOREACH (c, &db->collections, link)
			if (c->life == LIFE_LIVE)
				items(RECORD_DELETE, c, "none", 0, false);
}

static unsigned unproven(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.n; i++)
		n += wal_unproven(health_instance(i));
	return n;
}

static void peace(void)
{
	for (unsigned i = 0; i < sim.n; i++) {
		model_faults(world_model(i), NULL, NULL);
		sim.up_at[i] = 0;
	}
	other_dies();
	fake_pg_refuse("nothing", 0);
	sim.reachable_at = sim.flows_at = 0;
	if (sim.boot_at != 0)
		sim.boot_at = 1;
	something_heals();
	world_lead(20000);
	pass_ms(6000); /* what hangs gives up */
	if (sim.loses)
		touch_all();
	else
		try_all_again();
	world_settle();
	for (unsigned k = 0; wal_quarantined() + unproven() > 0 && k < HEALS_MOST_S; k++)
		pass_ms(1000);
	assert_int_equal(unproven(), 0); /* each was compared in the end */
	if (sim.loses)
		pass_ms(LEFTOVERS_GO_MS);
	world_settle();
}

/* Three connections that broke when an instance died: a coincidence here, but nobody can
 * know. Some instance may have it, as with what comes late. */
static bool something_was_given_up(void)
{
	for (unsigned k = 0; k < fake_pg_log_count(); k++)
		if (fake_pg_log(k)->decision == DECISION_GIVEN_UP)
			return true;
	return false;
}

/* However keen we are to adopt: what we do ourselves is no stranger. */
static void nothing_was_adopted(void)
{
	for (unsigned k = 0; k < fake_pg_log_count(); k++)
		assert_int_not_equal(fake_pg_log(k)->kind, RECORD_ADOPT_COLLECTION);
}

static enum late late_kinds(void)
{
	const char *late = getenv("CHROMATID_LATE");

	if (late == NULL)
		return LATE_NONE;
	return strcmp(late, "items") == 0       ? LATE_ITEMS
	       : strcmp(late, "catalogue") == 0 ? LATE_CATALOGUE
	                                        : LATE_ALL;
}

/* What becomes of what we give up. */
static void draw_how_it_closes(struct model *m)
{
	enum late kinds = late_kinds();
	struct model_closed how = {.executed = (unsigned)chance_below(101),
	                           .slow = (unsigned)chance_below(101),
	                           .late = kinds != LATE_NONE ? 20 : 0,
	                           .late_most = 5000,
	                           .kinds = kinds};

	model_closes(m, &how);
}

/* --- what came late
 * ------------------------------------------------------------------------- */

static void is_it_that(void *arg, const struct wal_quarantine *q)
{
	const struct collection **c = arg;

	if (q->collection == *c)
		*c = NULL;
}

/* Each line of one in the other, in whatever order: that is not looked at later. */
static bool same_lines(const char *a, const char *b)
{
	char *copy = mem_string(a), *at = copy, *line;
	bool same = strlen(a) == strlen(b);

	while (same && (line = strsep(&at, "\n")) != NULL)
		same = strstr(b, line) != NULL;
	free(copy);
	return same;
}

static void check_collection(const struct collection *c, unsigned i)
{
	char *a = model_dump_collection(world_model(A), c->local[A].text);
	char *b = model_dump_collection(world_model(i), c->local[i].text);
	const struct collection *unnoticed = c;

	wal_each_quarantine(is_it_that, &unnoticed);
	if (!same_lines(a, b) && unnoticed != NULL)
		fail_msg("nobody has noticed that %s differs:\n%s---\n%s", c->name, a, b);
	free(a);
	free(b);
}

/* Both looks at what was in doubt are over by now. */
static void what_differs_was_noticed(void)
{
	const struct collection *c;
	struct database *db = NULL;

	while ((db = catalogue_next_database(db)) != NULL)
		TAILQ_FOREACH (c, &db->collections, link)
			for (unsigned i = 1; i < sim.n; i++)
				check_collection(c, i);
}

/* What goes wrong is drawn anew, so that the others stay what they are. */
static void make_it_hard(void)
{
	sim.hard = sim.loses = true;
	sim.wipes = chance_of(80);
	sim.permille = 20 + (unsigned)chance_below(100);
}

static void run(uint64_t seed)
{
	world_seed(seed);
	memset(&sim, 0, sizeof(sim));
	sim.n = seed % 4 == 3 ? 3 : 2;
	sim.trouble = (unsigned)chance_below(20);
	sim.permille = (unsigned)chance_below(60);
	sim.loses = chance_of(30);
	sim.loser = (unsigned)chance_below(sim.n);
	sim.wipes = sim.loses && chance_of(50);
	if (getenv("CHROMATID_HARD") != NULL)
		make_it_hard();
	sim.shares = sim.loses && chance_of(50);
	sim.follows = chance_of(30);
	world_start_with(sim.n);
	world_merges(chance_of(50));
	world_crash();
	world_workers(1 + (int64_t)chance_below(4));
	if (sim.loses)
		world_repairs();
	if (seed % 5 == 4)
		world_adoption(ADOPT_ALWAYS);
	if (chance_of(20))
		world_verifies(1000 + chance_below(10000), sim.loses || chance_of(50));
	world_boot();
	world_lead(10000);
	for (unsigned i = 0; i < sim.n; i++)
		model_latency(world_model(i), 1 + chance_below(30));
	for (unsigned i = 0; i < sim.n; i++) {
		model_faults(world_model(i), any_fault, &sim.errors_500[i]);
		draw_how_it_closes(world_model(i));
	}
	for (unsigned k = 0; k < STEPS; k++) {
		something_heals();
		if (chance_below(1000) < sim.permille)
			something_breaks();
		else
			client();
		another_proxy();
		pass_ms(chance_of(10) ? chance_below(1000) : chance_below(20));
		reads_see_what_was_answered();
	}
	peace();
	if (late_kinds() == LATE_NONE && !something_was_given_up()) {
		if (sim.wipes)
			world_check_but(sim.loser);
		else
			world_check();
		nothing_was_adopted();
	} else {
		pass_ms(LOOKS_OVER_MS);
		what_differs_was_noticed();
	}
	world_stop();
}

/* --- many runs
 * ---------------------------------------------------------------------------- */

/* Seeds that one process runs, one after the other: a process for each would cost more
 * than the run. */
struct share {
	pid_t process;         /* 0: none */
	uint64_t first, end;   /* not with `end` */
	volatile uint64_t *at; /* shared with the process: the one it runs */
};

static void run_all(struct share *b)
{
	for (*b->at = b->first; *b->at < b->end; ++*b->at)
		run(*b->at);
}

static void begin_share(struct share *b, uint64_t first, uint64_t end)
{
	b->first = first;
	b->end = end;
	fflush(NULL);
	b->process = fork();
	assert_int_not_equal(b->process, -1);
	if (b->process == 0) {
		run_all(b);
		exit(0);
	}
}

/* Is it the seed, or what the ones before it have left behind? */
static void fails_alone(uint64_t seed)
{
	volatile uint64_t at;
	struct share alone = {.at = &at};
	int status;

	begin_share(&alone, seed, seed + 1);
	waitpid(alone.process, &status, 0);
	fprintf(stderr, "CHROMATID_SEED=%llu fails%s\n", (unsigned long long)seed,
	        status != 0 ? "" : ", but not alone");
}

static struct share *ended_share(struct share *shares, unsigned n, int *status)
{
	pid_t process = waitpid(-1, status, 0);

	for (unsigned k = 0; k < n; k++)
		if (shares[k].process == process) {
			shares[k].process = 0;
			return &shares[k];
		}
	fail_msg("a process of nobody's");
	return NULL;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static unsigned run_in_shares(uint64_t first, uint64_t end)
{
	struct share shares[JOBS] = {0}, *b;
	unsigned running = 0, failed = 0;
	volatile uint64_t *at = mmap(NULL, sizeof(*at) * JOBS, PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	assert_ptr_not_equal(at, MAP_FAILED);
	for (; running < JOBS && first < end; running++, first += SHARE) {
		shares[running].at = &at[running];
		begin_share(&shares[running], first, least(first + SHARE, end));
	}
	while (running > 0) {
		b = ended_share(shares, JOBS, &status);
		if (status != 0) {
			failed++;
			fails_alone(*b->at);
			begin_share(b, *b->at + 1, b->end);
		} else if (first < end) {
			begin_share(b, first, least(first + SHARE, end));
			first += SHARE;
		} else {
			running--;
		}
	}
	munmap((void *)(uintptr_t)at, sizeof(*at) * JOBS);
	return failed;
}

static void everything_agrees_in_the_end(void **state)
{
	uint64_t one = number_of("CHROMATID_SEED", 0);
	uint64_t first = number_of("CHROMATID_FIRST", 1);

	(void)state;
	if (one != 0)
		run(one);
	else
		assert_int_equal(
		        run_in_shares(first, first + number_of("CHROMATID_SEEDS", SEEDS)),
		        0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(everything_agrees_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
