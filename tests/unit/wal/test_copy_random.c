/* Random writes between all steps of a copy, with calls that go wrong and processes that
 * die: in the end it is what the donor has, in the donor's order. CHROMATID_SEED=n runs
 * one again, CHROMATID_SEEDS=n so many. */
#include "tests/unit/wal/copying.h"

#define SEEDS 150u
#define IDS 40u

#define WRITES_MOST 80u

static unsigned busy;    /* percent of the milliseconds in which something is written */
static unsigned written; /* in this run */

static struct op *forgetting;

static void on_appended(void *arg, wal_seq seq)
{
	(void)arg;
	(void)seq;
}

static void on_decided(void *arg, enum status s, const struct wal_outcome *outcome)
{
	(void)arg;
	(void)s;
	(void)outcome;
}

/* A metadata key goes, in its place. */
static void forget_key(void)
{
	struct wal_write with = {.kind = RECORD_UPDATE, .collection = named("docs")};
	char *body = mem_format("{\"ids\":[\"i%u\"],\"metadatas\":[{\"%c\":null}]}",
	                        (unsigned)chance_below(IDS), chance_of(50) ? 'a' : 'b');

	if (forgetting == NULL) {
		with.body = blob_adopt(body, strlen(body));
		wal_write(&with, on_appended, on_decided, NULL, &forgetting);
		blob_unref(&with.body);
	} else {
		free(body);
	}
}

static const char *some_ids(void)
{
	static char text[200];
	size_t n = 1 + chance_below(4);

	text[0] = '\0';
	for (size_t k = 0; k < n; k++)
		snprintf(text + strlen(text), 10, "%si%u", k > 0 ? "," : "",
		         (unsigned)chance_below(IDS));
	return text;
}

static void write_something(void)
{
	static const enum record_kind kinds[] = {RECORD_ADD,    RECORD_ADD,
	                                         RECORD_UPSERT, RECORD_UPDATE,
	                                         RECORD_DELETE, RECORD_DELETE};
	struct collection *c = named("docs");
	const char *ids = some_ids();

	switch (chance_below(12)) {
	case 0:
		items_where(c, chance_of(50) ? "{\"a\":\"x\"}" : "{\"b\":\"y\"}");
		break;
	case 1: /* to the end of the order */
		take_out("docs", ids);
		items(RECORD_ADD, c, ids, 2, false);
		break;
	case 2:
		modify("docs");
		break;
	case 3:
		forget_key();
		break;
	default:
		items(kinds[chance_below(6)], c, ids, 2, false);
	}
}

static void writes(void)
{
	if (written < WRITES_MOST && chance_of(busy)) {
		write_something();
		written++;
	}
}

static enum fault goes_wrong(void *arg)
{
	static const enum fault faults[] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER,
	                                    FAULT_500_BEFORE,  FAULT_500_AFTER,
	                                    FAULT_503_BEFORE,  FAULT_HANG_AFTER};

	(void)arg;
	return chance_below(40) == 0 ? faults[chance_below(6)] : FAULT_NONE;
}

static void faults(bool yes)
{
	for (unsigned i = A; i <= B; i++)
		model_faults(world_model(i), yes ? goes_wrong : NULL, NULL);
}

/* Until it ends well: a failure, or a crash, in between is no more than that. */
static void do_step(enum status (*step)(void))
{
	for (unsigned k = 0; step() != STATUS_OK; k++) {
		if (copying.status == STATUS_CONFLICT)
			fail_msg("%s", copying.why);
		assert_true(k < 1000);
		if (chance_of(30))
			another_goes_on();
		pass_ms(chance_below(20));
	}
}

static void fill(void)
{
	for (unsigned k = 0; k < chance_below(20); k++)
		items(RECORD_ADD, named("docs"), some_ids(), 2, false);
	world_settle();
}

static void run(uint64_t seed)
{
	world_seed(seed);
	copy_sizes = (struct copy_sizes){.window = 2 + chance_below(9),
	                                 .page = 1 + chance_below(5),
	                                 .tail = 1 + chance_below(8),
	                                 .deletes = 1 + chance_below(5)};
	world_start();
	made("docs");
	fill();
	busy = (unsigned)chance_below(3) * 15;
	written = 0;
	begin_copy();
	copying.meanwhile = writes;
	faults(chance_of(50));
	do_step(make);
	do_step(copy_all);
	for (unsigned k = 0; k < chance_below(4); k++)
		do_step(copy_what_was_touched);
	copying.meanwhile = NULL;
	faults(false);
	world_settle();
	do_step(copy_what_was_touched);
	do_step(check);
	assert_copied();
	copy_destroy(&copying.copy);
	world_stop();
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void it_is_what_the_donor_has(void **state)
{
	uint64_t one = number_of("CHROMATID_SEED", 0);
	uint64_t n = number_of("CHROMATID_SEEDS", SEEDS);

	(void)state;
	for (uint64_t seed = one > 0 ? one : 1; seed <= (one > 0 ? one : n); seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		run(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        copy_story(it_is_what_the_donor_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
