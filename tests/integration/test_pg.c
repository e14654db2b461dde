/* The asynchronous PostgreSQL client against a real PostgreSQL.
 *
 * CHROMATID_TEST_DATABASE_URL names a database that may be written to. What has to stop
 * and start a server makes one of its own with tests/tools/run-postgres.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/dns.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/pg.h"

static const char *url;

/* --- what a test needs ---------------------------------------------------------- */

struct client {
	struct pg *pg;
	int ups, downs;
	char why[512];
	int told;           /* counts all events of this client, changes and ends */
	int told_at_change; /* its value at the last change */
	void (*at_up)(struct client *client);
};

/* How a unit ended. */
struct end {
	struct client *client;
	struct op *pending;
	bool told;
	enum status status;
	int order; /* among the events of its client */
	char sqlstate[6];
	char message[256];
	char value[256]; /* of the first statement's first row */
	int64_t changed;
};

static void on_change(void *arg, enum pg_state now, const char *why)
{
	struct client *c = arg;

	assert_int_equal(pg_state(c->pg), now);
	c->told_at_change = ++c->told;
	snprintf(c->why, sizeof(c->why), "%s", why);
	if (now == PG_DOWN) {
		c->downs++;
		return;
	}
	c->ups++;
	if (c->at_up != NULL)
		c->at_up(c);
}

static void on_end(void *arg, enum status s, const struct pg_results *r)
{
	struct end *e = arg;

	assert_false(e->told);
	assert_null(e->pending);
	e->told = true;
	e->status = s;
	e->order = ++e->client->told;
	snprintf(e->sqlstate, sizeof(e->sqlstate), "%s", pg_sqlstate(r));
	snprintf(e->message, sizeof(e->message), "%s", pg_message(r));
	if (s != STATUS_OK)
		return;
	e->changed = pg_changed(r, 0);
	if (pg_rows(r, 0) > 0)
		snprintf(e->value, sizeof(e->value), "%s", pg_get_text(r, 0, 0, 0));
}

static bool out_of_time;

static void on_out_of_time(void *arg)
{
	(void)arg;
	out_of_time = true;
}

/* Turns the loop until the condition holds. */
#define wait_until(condition)                                                            \
	do {                                                                             \
		struct timer limit = {0};                                                \
		out_of_time = false;                                                     \
		timer_start(&limit, 20000, on_out_of_time, NULL);                        \
		while (!(condition) && !out_of_time)                                     \
			event_base_loop(loop_base(), EVLOOP_ONCE);                       \
		timer_stop(&limit);                                                      \
		if (!(condition))                                                        \
			fail_msg("in vain waited for %s", #condition);                   \
	} while (0)

static void turn_for(msec ms)
{
	msec end = clock_ms() + ms;
	struct timer t = {0};

	while (clock_ms() < end) {
		timer_start(&t, end - clock_ms(), on_out_of_time, NULL);
		event_base_loop(loop_base(), EVLOOP_ONCE);
	}
	timer_stop(&t);
}

static void open_to(struct client *c, const char *to)
{
	memset(c, 0, sizeof(*c));
	c->pg = pg_create(to, "test", on_change, c);
	pg_start(c->pg);
}

static void open_client(struct client *c)
{
	open_to(c, url);
	wait_until(c->ups == 1);
}

static void close_client(struct client *c)
{
	pg_destroy(&c->pg);
	turn_for(1);
}

static void submit(struct client *c, struct end *e, struct pg_unit *unit)
{
	memset(e, 0, sizeof(*e));
	e->client = c;
	pg_submit(c->pg, unit, on_end, e, &e->pending);
	assert_false(e->told);
	assert_non_null(e->pending);
}

static void submit_once(struct client *c, struct end *e, const char *sql)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add_once(unit, sql);
	submit(c, e, unit);
}

static void submit_one(struct client *c, struct end *e, const struct pg_statement *st,
                       int n, const struct pg_param *params)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, st, n, params);
	submit(c, e, unit);
}

/* Runs one statement; the first value of its first row. */
static const char *run(struct client *c, const char *sql)
{
	static struct end e;

	submit_once(c, &e, sql);
	wait_until(e.told);
	if (e.status != STATUS_OK)
		fail_msg("%s: %s: %s", sql, status_text(e.status), e.message);
	return e.value;
}

static const struct pg_statement insert_n = {"insert_n", "INSERT INTO t (n) VALUES ($1)"};

static void insert(struct client *c, struct end *e, int64_t n)
{
	submit_one(c, e, &insert_n, 1, (struct pg_param[]){pg_int8(n)});
}

static void open_with_table(struct client *c)
{
	open_client(c);
	run(c, "DROP TABLE IF EXISTS t");
	run(c, "CREATE TABLE t (place bigint GENERATED ALWAYS AS IDENTITY, "
	       "n bigint UNIQUE, b bytea)");
}

/* --- units and groups ----------------------------------------------------------- */

#define MANY 10000
#define AT_ONCE 5000

static void ten_thousand_units_commit_in_order_in_far_fewer_groups(void **state)
{
	struct client c;
	struct end *ends = mem_array(MANY, sizeof(*ends));
	struct pg_figures before, after;
	int64_t commits;

	(void)state;
	open_with_table(&c);
	before = pg_figures(c.pg);
	for (int i = 0; i < MANY; i++) {
		insert(&c, &ends[i], i);
		if (i % AT_ONCE == AT_ONCE - 1)
			wait_until(ends[i].told);
	}
	after = pg_figures(c.pg);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(ends[i].status, STATUS_OK);
		assert_int_equal(ends[i].changed, 1);
		assert_true(i == 0 || ends[i].order > ends[i - 1].order);
	}
	assert_int_equal(after.units - before.units, MANY);
	assert_int_equal(after.waiting_units, 0);
	assert_int_equal(after.waiting_bytes, 0);
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "10000");
	assert_string_equal(run(&c, "SELECT count(*) FROM (SELECT n, lag(n) OVER "
	                            "(ORDER BY place) AS p FROM t) AS x WHERE n <= p"),
	                    "0");
	commits = strtoll(run(&c, "SELECT count(DISTINCT xmin::text) FROM t"), NULL, 10);
	assert_true(commits >= MANY / (int)PG_MAX_UNITS_A_GROUP);
	assert_true(commits <= MANY / 10);
	assert_int_equal(after.groups - before.groups, commits);
	close_client(&c);
	free(ends);
}

static void a_refused_unit_fails_alone(void **state)
{
	struct client c;
	struct end ends[10], again;

	(void)state;
	open_with_table(&c);
	for (int i = 0; i < 10; i++)
		insert(&c, &ends[i], i == 6 ? 3 : i);
	wait_until(ends[9].told);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ends[i].status, i == 6 ? STATUS_DB_REFUSED : STATUS_OK);
		assert_true(i == 0 || ends[i].order > ends[i - 1].order);
	}
	assert_string_equal(ends[6].sqlstate, "23505");
	assert_non_null(strstr(ends[6].message, "duplicate key"));
	assert_string_equal(ends[5].sqlstate, "");
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "9");
	assert_int_equal(pg_figures(c.pg).refused, 1);
	insert(&c, &again, 6);
	wait_until(again.told);
	assert_int_equal(again.status, STATUS_OK);
	assert_int_equal(c.downs, 0);
	close_client(&c);
}

static void a_unit_commits_whole_or_not_at_all(void **state)
{
	struct client c;
	struct end e, neighbour;
	struct pg_unit *unit = pg_unit_create();

	(void)state;
	open_with_table(&c);
	pg_add(unit, &insert_n, 1, (struct pg_param[]){pg_int8(1)});
	pg_add(unit, &insert_n, 1, (struct pg_param[]){pg_int8(2)});
	pg_add(unit, &insert_n, 1, (struct pg_param[]){pg_int8(1)});
	submit(&c, &e, unit);
	insert(&c, &neighbour, 3);
	wait_until(neighbour.told);
	assert_int_equal(e.status, STATUS_DB_REFUSED);
	assert_int_equal(neighbour.status, STATUS_OK);
	assert_string_equal(run(&c, "SELECT string_agg(n::text, ',') FROM t"), "3");
	close_client(&c);
}

static void what_is_refused_at_the_commit_fails_alone_as_well(void **state)
{
	struct client c;
	struct end ends[5];

	(void)state;
	open_client(&c);
	run(&c, "DROP TABLE IF EXISTS t");
	run(&c, "CREATE TABLE t (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)");
	for (int i = 0; i < 5; i++)
		insert(&c, &ends[i], i == 3 ? 1 : i);
	wait_until(ends[4].told);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ends[i].status, i == 3 ? STATUS_DB_REFUSED : STATUS_OK);
	assert_string_equal(ends[3].sqlstate, "23505");
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "4");
	assert_int_equal(c.downs, 0);
	close_client(&c);
}

static void a_prepare_that_was_skipped_is_made_up_for(void **state)
{
	static const struct pg_statement broken = {"broken",
	                                           "SELECT * FROM no_such_table"};
	static const struct pg_statement first = {"first", "SELECT 'first'"};
	struct client c;
	struct end bad, good, bad_again, good_again;

	(void)state;
	open_client(&c);
	submit_one(&c, &bad, &broken, 0, NULL);
	submit_one(&c, &good, &first, 0, NULL);
	wait_until(good.told);
	submit_one(&c, &bad_again, &broken, 0, NULL);
	submit_one(&c, &good_again, &first, 0, NULL);
	wait_until(good_again.told);
	assert_string_equal(bad.sqlstate, "42P01");
	assert_string_equal(bad_again.sqlstate, "42P01");
	assert_string_equal(good.value, "first");
	assert_string_equal(good_again.value, "first");
	close_client(&c);
}

static void a_unit_above_a_megabyte_has_a_group_of_its_own(void **state)
{
	static const struct pg_statement put = {"put",
	                                        "INSERT INTO t (n, b) VALUES ($1, $2)"};
	struct client c;
	struct end ends[5];
	size_t big = 3 * PG_MAX_BYTES_A_GROUP / 2;
	char *bytes = mem_alloc(big);

	(void)state;
	open_with_table(&c);
	for (int i = 0; i < 5; i++)
		submit_one(&c, &ends[i], &put, 2,
		           (struct pg_param[]){pg_int8(i),
		                               pg_bytes(bytes, i == 2 ? big : 10)});
	wait_until(ends[4].told);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ends[i].status, STATUS_OK);
	assert_string_equal(run(&c, "SELECT string_agg(c::text, ',' ORDER BY x) FROM "
	                            "(SELECT xmin::text AS x, count(*) AS c FROM t "
	                            "GROUP BY 1) AS g"),
	                    "2,1,2");
	close_client(&c);
	free(bytes);
}

static void too_many_waiting_units_are_turned_away(void **state)
{
	struct client c;
	size_t n = PG_MAX_QUEUED_UNITS + 3;
	struct end *ends = mem_array(n, sizeof(*ends));
	size_t busy = 0;

	(void)state;
	open_with_table(&c);
	for (size_t i = 0; i < n; i++)
		insert(&c, &ends[i], (int64_t)i);
	assert_int_equal(pg_figures(c.pg).waiting_units, PG_MAX_QUEUED_UNITS);
	wait_until(ends[PG_MAX_QUEUED_UNITS - 1].told);
	for (size_t i = 0; i < n; i++)
		busy += ends[i].status == STATUS_BUSY;
	assert_int_equal(busy, 3);
	assert_int_equal(ends[n - 1].status, STATUS_BUSY);
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "8192");
	close_client(&c);
	free(ends);
}

static void too_many_waiting_bytes_are_turned_away(void **state)
{
	static const struct pg_statement length = {"length", "SELECT length($1)"};
	struct client c;
	struct end ends[3];
	size_t big = 40u * 1024 * 1024;
	char *bytes = mem_alloc(big);

	(void)state;
	open_client(&c);
	for (int i = 0; i < 3; i++)
		submit_one(&c, &ends[i], &length, 1,
		           (struct pg_param[]){pg_bytes(bytes, big)});
	wait_until(ends[0].told && ends[1].told && ends[2].told);
	assert_int_equal(ends[0].status, STATUS_OK);
	assert_int_equal(ends[1].status, STATUS_OK);
	assert_string_equal(ends[1].value, "41943040");
	assert_int_equal(ends[2].status, STATUS_BUSY);
	close_client(&c);
	free(bytes);
}

static void a_unit_without_statements_is_fine(void **state)
{
	struct client c;
	struct end e = {.client = &c}, other;

	(void)state;
	open_client(&c);
	pg_submit(c.pg, pg_unit_create(), NULL, NULL, &e.pending);
	submit_once(&c, &other, "SELECT 1");
	wait_until(other.told);
	assert_null(e.pending);
	assert_string_equal(other.value, "1");
	close_client(&c);
}

/* --- values --------------------------------------------------------------------- */

static const struct pg_statement echo = {
        "echo", "SELECT $1::bigint, $2::int, $3::boolean, $4::text, $5::uuid, $6::bytea, "
                "$1::bigint IS NULL"};

static bool values_seen;

static void on_values(void *arg, enum status s, const struct pg_results *r)
{
	size_t len;
	const unsigned char *bytes;

	assert_int_equal(s, STATUS_OK);
	assert_int_equal(pg_rows(r, 0), 1);
	assert_int_equal(pg_changed(r, 0), 0);
	values_seen = true;
	if (arg == NULL) {
		for (int i = 0; i < 6; i++)
			assert_true(pg_is_null(r, 0, 0, i));
		assert_string_equal(pg_get_text(r, 0, 0, 3), "");
		assert_null(pg_get_bytes(r, 0, 0, 5, &len));
		assert_int_equal(len, 0);
		assert_true(pg_get_bool(r, 0, 0, 6));
		return;
	}
	assert_false(pg_is_null(r, 0, 0, 0));
	assert_true(pg_get_int8(r, 0, 0, 0) == INT64_MIN);
	assert_int_equal(pg_get_int8(r, 0, 0, 1), -7);
	assert_true(pg_get_bool(r, 0, 0, 2));
	assert_string_equal(pg_get_text(r, 0, 0, 3), "gr\xc3\xbc\xc3\x9f' \\ ");
	assert_string_equal(pg_get_text(r, 0, 0, 4),
	                    "0193a7b2-0000-7000-8000-00000000000a");
	bytes = pg_get_bytes(r, 0, 0, 5, &len);
	assert_int_equal(len, 4);
	assert_memory_equal(bytes, "\0\xff\\x", 4);
	assert_ptr_equal(pg_get_bytes(r, 0, 0, 5, &len), bytes);
}

static void echo_values(struct client *c, bool null)
{
	struct pg_unit *unit = pg_unit_create();
	struct op *pending = NULL;

	if (null)
		pg_add(unit, &echo, 6,
		       (struct pg_param[]){pg_null(), pg_null(), pg_null(), pg_text(NULL),
		                           pg_null(), pg_null()});
	else
		pg_add(unit, &echo, 6,
		       (struct pg_param[]){
		               pg_int8(INT64_MIN), pg_int4(-7), pg_bool(true),
		               pg_text("gr\xc3\xbc\xc3\x9f' \\ "),
		               pg_text("0193A7B2-0000-7000-8000-00000000000A"),
		               pg_bytes("\0\xff\\x", 4)});
	values_seen = false;
	pg_submit(c->pg, unit, on_values, null ? NULL : c, &pending);
	wait_until(pending == NULL);
	assert_true(values_seen);
}

static void values_of_every_kind_come_back_as_they_were(void **state)
{
	struct client c;

	(void)state;
	open_client(&c);
	echo_values(&c, false);
	echo_values(&c, true);
	echo_values(&c, false);
	close_client(&c);
}

static void numbers_may_follow_a_null(void **state)
{
	struct client c;

	(void)state;
	open_client(&c);
	echo_values(&c, true); /* prepared without knowing a type */
	echo_values(&c, false);
	close_client(&c);
}

static void an_empty_run_of_bytes_is_not_null(void **state)
{
	static const struct pg_statement empty = {"empty", "SELECT length($1::bytea)"};
	struct client c;
	struct end e;

	(void)state;
	open_client(&c);
	submit_one(&c, &e, &empty, 1, (struct pg_param[]){pg_bytes(NULL, 0)});
	wait_until(e.told);
	assert_string_equal(e.value, "0");
	close_client(&c);
}

static void parameters_that_do_not_fit_refuse_the_unit_only(void **state)
{
	static const struct pg_statement two = {"two", "SELECT $1::text || $2::text"};
	struct client c;
	struct end good, bad;

	(void)state;
	open_client(&c);
	submit_one(&c, &good, &two, 2, (struct pg_param[]){pg_text("a"), pg_text("b")});
	submit_one(&c, &bad, &two, 1, (struct pg_param[]){pg_text("a")});
	wait_until(bad.told);
	assert_string_equal(good.value, "ab");
	assert_int_equal(bad.status, STATUS_DB_REFUSED);
	assert_string_equal(bad.sqlstate, "08P01");
	assert_int_equal(c.downs, 0);
	close_client(&c);
}

#define LARGE (40u * 1024 * 1024)

static unsigned char large_byte(size_t i)
{
	return (unsigned char)(i * 31 + i / 4099);
}

static void on_large(void *arg, enum status s, const struct pg_results *r)
{
	size_t len;
	const unsigned char *got;

	assert_int_equal(s, STATUS_OK);
	got = pg_get_bytes(r, 0, 0, 0, &len);
	assert_int_equal(len, LARGE);
	for (size_t i = 0; i < LARGE; i++)
		if (got[i] != large_byte(i))
			fail_msg("byte %zu differs", i);
	*(bool *)arg = true;
}

static void forty_megabytes_go_in_and_come_out(void **state)
{
	static const struct pg_statement put = {"put",
	                                        "INSERT INTO t (n, b) VALUES (1, $1)"};
	static const struct pg_statement get = {"get", "SELECT b FROM t WHERE n = 1"};
	struct client c;
	struct end e;
	struct op *pending = NULL;
	unsigned char *bytes = mem_alloc(LARGE);

	(void)state;
	for (size_t i = 0; i < LARGE; i++)
		bytes[i] = large_byte(i);
	open_with_table(&c);
	submit_one(&c, &e, &put, 1, (struct pg_param[]){pg_bytes(bytes, LARGE)});
	wait_until(e.told);
	assert_int_equal(e.status, STATUS_OK);
	for (int binary = 0; binary < 2; binary++) {
		struct pg_unit *unit = pg_unit_create();
		bool right = false;

		pg_add(unit, &get, 0, NULL);
		if (binary)
			pg_wants_bytes(unit);
		pg_submit(c.pg, unit, on_large, &right, &pending);
		wait_until(pending == NULL);
		assert_true(right);
	}
	assert_int_equal(c.downs, 0);
	close_client(&c);
	free(bytes);
}

/* --- the session ---------------------------------------------------------------- */

static void a_session_has_its_settings_made(void **state)
{
	struct client c;

	(void)state;
	open_client(&c);
	assert_string_equal(run(&c, "SHOW statement_timeout"), "30s");
	assert_string_equal(run(&c, "SHOW application_name"), "chromatid-test");
	assert_string_equal(run(&c, "SHOW client_encoding"), "UTF8");
	assert_string_equal(run(&c, "SHOW TimeZone"), "UTC");
	assert_string_equal(run(&c, "SHOW bytea_output"), "hex");
	assert_int_equal(strtoll(run(&c, "SELECT pg_backend_pid()"), NULL, 10),
	                 pg_backend_pid(c.pg));
	assert_string_equal(pg_last_error(c.pg), "");
	close_client(&c);
}

static void the_url_may_set_another_statement_timeout(void **state)
{
	struct client c;
	char *to = mem_format("%s%coptions=-c%%20statement_timeout%%3D50", url,
	                      strchr(url, '?') != NULL ? '&' : '?');
	struct end e;

	(void)state;
	open_to(&c, to);
	wait_until(c.ups == 1);
	submit_once(&c, &e, "SELECT pg_sleep(5)");
	wait_until(e.told);
	assert_int_equal(e.status, STATUS_DB_REFUSED);
	assert_string_equal(e.sqlstate, "57014");
	assert_int_equal(c.downs, 0);
	close_client(&c);
	free(to);
}

static struct end submitted_at_up;

static void insert_at_up(struct client *c)
{
	insert(c, &submitted_at_up, 1);
}

static void units_submitted_when_told_up_run_and_earlier_ones_do_not(void **state)
{
	struct client c;
	struct end early, late;

	(void)state;
	open_with_table(&c);
	close_client(&c);
	open_to(&c, url);
	c.at_up = insert_at_up;
	insert(&c, &early, 1);
	wait_until(submitted_at_up.told);
	assert_true(early.told);
	assert_int_equal(early.status, STATUS_DB_DOWN);
	assert_true(early.order < c.told_at_change);
	assert_int_equal(submitted_at_up.status, STATUS_OK);
	insert(&c, &late, 1);
	wait_until(late.told);
	assert_int_equal(late.status, STATUS_DB_REFUSED);
	close_client(&c);
}

static void prepared_statements_survive_a_new_session(void **state)
{
	struct client c;
	struct end e;
	int pid;

	(void)state;
	open_with_table(&c);
	insert(&c, &e, 1);
	wait_until(e.told);
	pid = pg_backend_pid(c.pg);
	pg_drop_session(c.pg, "the test wants it");
	assert_int_equal(c.downs, 0);
	wait_until(c.ups == 2);
	assert_int_equal(c.downs, 1);
	assert_int_not_equal(pg_backend_pid(c.pg), pid);
	insert(&c, &e, 2);
	wait_until(e.told);
	assert_int_equal(e.status, STATUS_OK);
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "2");
	close_client(&c);
}

static void terminate(int pid)
{
	struct client killer;
	char *sql = mem_format("SELECT pg_terminate_backend(%d)", pid);

	open_client(&killer);
	assert_string_equal(run(&killer, sql), "t");
	close_client(&killer);
	free(sql);
}

static void a_killed_backend_loses_what_was_sent_and_nothing_else(void **state)
{
	struct client c;
	struct end sent, waiting;

	(void)state;
	open_client(&c);
	submit_once(&c, &sent, "SELECT pg_sleep(20)");
	turn_for(50);
	submit_once(&c, &waiting, "SELECT 1");
	turn_for(50);
	terminate(pg_backend_pid(c.pg));
	wait_until(sent.told && waiting.told);
	assert_int_equal(sent.status, STATUS_DB_LOST);
	assert_int_equal(waiting.status, STATUS_DB_DOWN);
	assert_int_equal(c.downs, 1);
	assert_true(c.told_at_change < sent.order && sent.order < waiting.order);
	assert_non_null(strstr(c.why, "administrator command"));
	assert_string_equal(pg_last_error(c.pg), c.why);
	wait_until(c.ups == 2);
	assert_string_equal(run(&c, "SELECT 5"), "5");
	assert_string_equal(pg_last_error(c.pg), "");
	assert_int_equal(pg_figures(c.pg).lost, 1);
	assert_int_equal(pg_figures(c.pg).connects, 2);
	close_client(&c);
}

static void a_backend_killed_while_idle_is_noticed(void **state)
{
	struct client c;

	(void)state;
	open_client(&c);
	terminate(pg_backend_pid(c.pg));
	wait_until(c.ups == 2);
	assert_int_equal(c.downs, 1);
	assert_string_equal(run(&c, "SELECT 5"), "5");
	close_client(&c);
}

static void units_of_a_refused_group_are_down_not_lost(void **state)
{
	struct client c;
	struct end bad, slow, last;

	(void)state;
	open_with_table(&c);
	submit_once(&c, &bad, "SELECT 1/0");
	submit_once(&c, &slow, "SELECT pg_sleep(20)");
	insert(&c, &last, 1);
	wait_until(bad.told);
	turn_for(50);
	terminate(pg_backend_pid(c.pg));
	wait_until(last.told);
	assert_int_equal(bad.status, STATUS_DB_REFUSED);
	assert_int_equal(slow.status, STATUS_DB_LOST);
	assert_int_equal(last.status, STATUS_DB_DOWN);
	wait_until(c.ups == 2);
	assert_string_equal(run(&c, "SELECT count(*) FROM t"), "0");
	close_client(&c);
}

static void a_session_that_became_read_only_is_replaced(void **state)
{
	struct client c;
	struct end first, second;

	(void)state;
	open_with_table(&c);
	run(&c, "SET default_transaction_read_only = on");
	insert(&c, &first, 1);
	insert(&c, &second, 2);
	wait_until(second.told);
	assert_int_equal(first.status, STATUS_DB_DOWN);
	assert_int_equal(second.status, STATUS_DB_DOWN);
	assert_non_null(strstr(c.why, "read-only"));
	wait_until(c.ups == 2);
	insert(&c, &first, 1);
	wait_until(first.told);
	assert_int_equal(first.status, STATUS_OK);
	close_client(&c);
}

static void a_schema_changed_under_a_prepared_statement_costs_a_session(void **state)
{
	static const struct pg_statement all = {"all", "SELECT * FROM t"};
	struct client c;
	struct end e;

	(void)state;
	open_with_table(&c);
	submit_one(&c, &e, &all, 0, NULL);
	wait_until(e.told);
	run(&c, "ALTER TABLE t ADD COLUMN more text");
	submit_one(&c, &e, &all, 0, NULL);
	wait_until(e.told);
	assert_int_equal(e.status, STATUS_DB_DOWN);
	wait_until(c.ups == 2);
	submit_one(&c, &e, &all, 0, NULL);
	wait_until(e.told);
	assert_int_equal(e.status, STATUS_OK);
	close_client(&c);
}

/* --- owners that go ------------------------------------------------------------- */

static void a_cancelled_unit_runs_but_nobody_is_told(void **state)
{
	static const struct pg_statement put = {"put",
	                                        "INSERT INTO t (n, b) VALUES ($1, $2)"};
	struct client c;
	struct end sleeping, cancelled, last;
	char *bytes = mem_string("borrowed");

	(void)state;
	open_with_table(&c);
	submit_once(&c, &sleeping, "SELECT pg_sleep(0.1)");
	turn_for(20);
	submit_one(&c, &cancelled, &put, 2,
	           (struct pg_param[]){pg_int8(1), pg_bytes(bytes, 8)});
	op_cancel(&cancelled.pending);
	memset(bytes, 'x', 8);
	free(bytes);
	insert(&c, &last, 2);
	wait_until(last.told);
	assert_false(cancelled.told);
	assert_string_equal(run(&c, "SELECT encode(b, 'escape') FROM t WHERE n = 1"),
	                    "borrowed");
	close_client(&c);
}

static void destroying_it_stops_open_units_from_the_loop(void **state)
{
	struct client c;
	struct end sent, waiting;

	(void)state;
	open_client(&c);
	submit_once(&c, &sent, "SELECT pg_sleep(20)");
	turn_for(50);
	submit_once(&c, &waiting, "SELECT 1");
	pg_destroy(&c.pg);
	assert_null(c.pg);
	assert_false(sent.told || waiting.told);
	wait_until(sent.told && waiting.told);
	assert_int_equal(sent.status, STATUS_STOPPED);
	assert_int_equal(waiting.status, STATUS_STOPPED);
	assert_int_equal(c.downs, 0);
	pg_destroy(&c.pg);
}

static void it_may_be_destroyed_at_any_moment(void **state)
{
	struct client c;

	(void)state;
	for (msec ms = 0; ms < 12; ms++) {
		open_to(&c, url);
		turn_for(ms);
		close_client(&c);
	}
	open_client(&c);
	pg_drop_session(c.pg, "and at once destroyed");
	close_client(&c);
	assert_int_equal(c.downs, 0);
}

static void destroy_yourself(void *arg, enum pg_state now, const char *why)
{
	struct client *c = arg;

	(void)why;
	if (now == PG_UP && c->ups++ == 0) {
		pg_drop_session(c->pg, "to see it go down");
		return;
	}
	pg_destroy(&c->pg);
}

static void it_may_be_destroyed_when_told_of_a_change(void **state)
{
	struct client c = {0};

	(void)state;
	c.pg = pg_create(url, "test", destroy_yourself, &c);
	pg_start(c.pg);
	wait_until(c.pg == NULL);
	assert_int_equal(c.ups, 1);
}

/* --- servers that do not answer ------------------------------------------------- */

static int listen_somewhere(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void a_server_that_never_answers_is_given_up(void **state)
{
	struct client c;
	int port, fd = listen_somewhere(&port);
	char *to = mem_format("postgresql://u:hunter2@127.0.0.1:%d/x", port);

	(void)state;
	listen(fd, 5);
	open_to(&c, to);
	wait_until(pg_last_error(c.pg)[0] != '\0');
	assert_string_equal(pg_last_error(c.pg), "127.0.0.1 does not answer within 5 s");
	assert_int_equal(c.ups + c.downs, 0);
	close_client(&c);
	close(fd);
	free(to);
}

static void a_name_that_does_not_resolve_is_named(void **state)
{
	struct client c;

	(void)state;
	open_to(&c, "postgresql://u:hunter2@no-such-host.invalid/x");
	wait_until(pg_last_error(c.pg)[0] != '\0');
	assert_string_equal(pg_last_error(c.pg),
	                    "host name \"no-such-host.invalid\" not resolved");
	close_client(&c);
}

/* --- a server of our own -------------------------------------------------------- */

struct server {
	char dir[64];
	int port;
};

/* The port matters to "start" only. */
static void tool(const struct server *s, const char *command)
{
	int folder = (int)(strrchr(__FILE__, '/') - __FILE__);
	char *line = mem_format("%.*s/../tools/run-postgres.sh %s %s %d >/dev/null",
	                        folder, __FILE__, command, s->dir, s->port);

	if (system(line) != 0)
		fail_msg("%s", line);
	free(line);
}

static int make_server(void **state)
{
	struct server *s = mem_new(struct server);
	int fd = listen_somewhere(&s->port);

	close(fd);
	snprintf(s->dir, sizeof(s->dir), "/tmp/chromatid-test-pg-XXXXXX");
	if (mkdtemp(s->dir) == NULL)
		return -1;
	tool(s, "start");
	*state = s;
	return 0;
}

static int remove_server(void **state)
{
	struct server *s = *state;
	char *line = mem_format("rm -rf '%s'", s->dir);

	tool(s, "kill");
	if (system(line) != 0)
		return -1;
	free(line);
	free(s);
	return 0;
}

/* PORT in the URL is replaced. */
static void open_own(struct client *c, const struct server *s, const char *pattern)
{
	const char *at = strstr(pattern, "PORT");
	char *to;

	assert_non_null(at);
	to = mem_format("%.*s%d%s", (int)(at - pattern), pattern, s->port, at + 4);
	open_to(c, to);
	free(to);
}

static void a_server_that_stops_and_starts_is_told_once_each(void **state)
{
	struct client c;
	struct end sent, waiting, down;

	open_own(&c, *state, "postgresql://chromatid@localhost:PORT/chromatid");
	wait_until(c.ups == 1);
	submit_once(&c, &sent, "SELECT pg_sleep(20)");
	turn_for(50);
	submit_once(&c, &waiting, "SELECT 1");
	tool(*state, "stop");
	wait_until(sent.told && waiting.told);
	assert_int_equal(sent.status, STATUS_DB_LOST);
	assert_int_equal(waiting.status, STATUS_DB_DOWN);
	turn_for(1500); /* several vain tries */
	assert_int_equal(c.downs, 1);
	submit_once(&c, &down, "SELECT 1");
	assert_false(down.told);
	wait_until(down.told);
	assert_int_equal(down.status, STATUS_DB_DOWN);
	assert_non_null(strstr(pg_last_error(c.pg), "refused"));
	tool(*state, "start");
	wait_until(c.ups == 2);
	assert_int_equal(c.downs, 1);
	assert_string_equal(run(&c, "SELECT 7"), "7");
	close_client(&c);
}

static void a_server_that_crashes_is_found_again_within_a_second(void **state)
{
	struct client c;
	struct pg_figures f;
	msec back;

	open_own(&c, *state, "postgresql://chromatid@127.0.0.1:PORT/chromatid");
	wait_until(c.ups == 1);
	run(&c, "CREATE TABLE IF NOT EXISTS t (n bigint)");
	tool(*state, "kill");
	turn_for(3000);
	assert_int_equal(c.downs, 1);
	tool(*state, "start");
	back = clock_ms();
	wait_until(c.ups == 2);
	assert_true(clock_ms() - back <= 1000);
	f = pg_figures(c.pg);
	assert_int_equal(f.lost, 1);
	assert_int_equal(f.connects, 2);
	close_client(&c);
}

static void of_several_hosts_the_one_that_works_is_found(void **state)
{
	struct client c;

	open_own(&c, *state,
	         "postgresql://chromatid@127.0.0.1:1,no-such-host.invalid:2,"
	         "localhost:PORT/chromatid");
	wait_until(c.ups == 1);
	assert_string_equal(run(&c, "SELECT 7"), "7");
	close_client(&c);
}

static void after_a_silent_host_the_next_one_is_tried(void **state)
{
	struct client c;
	int port, fd = listen_somewhere(&port);
	char *to = mem_format(
	        "postgresql://chromatid@127.0.0.1:%d,127.0.0.1:PORT/chromatid", port);

	listen(fd, 5);
	open_own(&c, *state, to);
	wait_until(c.ups == 1);
	assert_string_equal(run(&c, "SELECT 7"), "7");
	close_client(&c);
	close(fd);
	free(to);
}

static void a_unix_socket_works_without_any_name(void **state)
{
	const struct server *s = *state;
	struct client c;
	char *to = mem_format(
	        "postgresql:///chromatid?user=chromatid&port=PORT&host=%s/socket",
	        s->dir);

	open_own(&c, s, to);
	wait_until(c.ups == 1);
	assert_string_equal(run(&c, "SELECT inet_server_addr() IS NULL"), "t");
	close_client(&c);
	free(to);
}

static void an_unknown_database_is_told_and_tried_until_it_exists(void **state)
{
	struct client c, admin;

	open_own(&c, *state, "postgresql://chromatid@127.0.0.1:PORT/later");
	wait_until(pg_last_error(c.pg)[0] != '\0');
	assert_non_null(strstr(pg_last_error(c.pg), "database \"later\" does not exist"));
	assert_int_equal(c.ups + c.downs, 0);
	open_own(&admin, *state, "postgresql://chromatid@127.0.0.1:PORT/chromatid");
	wait_until(admin.ups == 1);
	run(&admin, "CREATE DATABASE later");
	wait_until(c.ups == 1);
	close_client(&admin);
	close_client(&c);
}

static void ask_for_passwords(const struct server *s, struct client *admin)
{
	char *path = mem_format("%s/data/pg_hba.conf", s->dir);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("host all chromatid 127.0.0.1/32 trust\n"
	      "host all all 127.0.0.1/32 scram-sha-256\n",
	      f);
	fclose(f);
	free(path);
	run(admin, "SELECT pg_reload_conf()");
}

static void a_wrong_password_is_told_without_showing_it(void **state)
{
	struct client c, admin;

	open_own(&admin, *state, "postgresql://chromatid@127.0.0.1:PORT/chromatid");
	wait_until(admin.ups == 1);
	run(&admin, "CREATE ROLE locked LOGIN PASSWORD 'right'");
	ask_for_passwords(*state, &admin);
	open_own(&c, *state, "postgresql://locked:hunter2@127.0.0.1:PORT/chromatid");
	wait_until(pg_last_error(c.pg)[0] != '\0');
	assert_non_null(strstr(pg_last_error(c.pg),
	                       "password authentication failed for user \"locked\""));
	assert_null(strstr(pg_last_error(c.pg), "hunter2"));
	run(&admin, "ALTER ROLE locked PASSWORD 'hunter2'");
	wait_until(c.ups == 1);
	close_client(&c);
	close_client(&admin);
}

static int set_up(void **state)
{
	(void)state;
	url = getenv("CHROMATID_TEST_DATABASE_URL");
	if (url == NULL) {
		fputs("CHROMATID_TEST_DATABASE_URL is not set: this test needs a "
		      "PostgreSQL (tests/tools/run-postgres.sh start DIR PORT)\n",
		      stderr);
		exit(1);
	}
	log_start(LOG_WARN, LOG_FORMAT_LOGFMT, "test");
	loop_start();
	dns_start();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dns_stop();
	turn_for(1);
	loop_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ten_thousand_units_commit_in_order_in_far_fewer_groups),
	        cmocka_unit_test(a_refused_unit_fails_alone),
	        cmocka_unit_test(a_unit_commits_whole_or_not_at_all),
	        cmocka_unit_test(what_is_refused_at_the_commit_fails_alone_as_well),
	        cmocka_unit_test(a_prepare_that_was_skipped_is_made_up_for),
	        cmocka_unit_test(a_unit_above_a_megabyte_has_a_group_of_its_own),
	        cmocka_unit_test(too_many_waiting_units_are_turned_away),
	        cmocka_unit_test(too_many_waiting_bytes_are_turned_away),
	        cmocka_unit_test(a_unit_without_statements_is_fine),
	        cmocka_unit_test(values_of_every_kind_come_back_as_they_were),
	        cmocka_unit_test(numbers_may_follow_a_null),
	        cmocka_unit_test(an_empty_run_of_bytes_is_not_null),
	        cmocka_unit_test(parameters_that_do_not_fit_refuse_the_unit_only),
	        cmocka_unit_test(forty_megabytes_go_in_and_come_out),
	        cmocka_unit_test(a_session_has_its_settings_made),
	        cmocka_unit_test(the_url_may_set_another_statement_timeout),
	        cmocka_unit_test(
	                units_submitted_when_told_up_run_and_earlier_ones_do_not),
	        cmocka_unit_test(prepared_statements_survive_a_new_session),
	        cmocka_unit_test(a_killed_backend_loses_what_was_sent_and_nothing_else),
	        cmocka_unit_test(a_backend_killed_while_idle_is_noticed),
	        cmocka_unit_test(units_of_a_refused_group_are_down_not_lost),
	        cmocka_unit_test(a_session_that_became_read_only_is_replaced),
	        cmocka_unit_test(
	                a_schema_changed_under_a_prepared_statement_costs_a_session),
	        cmocka_unit_test(a_cancelled_unit_runs_but_nobody_is_told),
	        cmocka_unit_test(destroying_it_stops_open_units_from_the_loop),
	        cmocka_unit_test(it_may_be_destroyed_at_any_moment),
	        cmocka_unit_test(it_may_be_destroyed_when_told_of_a_change),
	        cmocka_unit_test(a_server_that_never_answers_is_given_up),
	        cmocka_unit_test(a_name_that_does_not_resolve_is_named),
	};
	const struct CMUnitTest with_server[] = {
	        cmocka_unit_test(a_server_that_stops_and_starts_is_told_once_each),
	        cmocka_unit_test(a_server_that_crashes_is_found_again_within_a_second),
	        cmocka_unit_test(of_several_hosts_the_one_that_works_is_found),
	        cmocka_unit_test(after_a_silent_host_the_next_one_is_tried),
	        cmocka_unit_test(a_unix_socket_works_without_any_name),
	        cmocka_unit_test(an_unknown_database_is_told_and_tried_until_it_exists),
	        cmocka_unit_test(a_wrong_password_is_told_without_showing_it),
	};
	int failed;

	set_up(NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += cmocka_run_group_tests(with_server, make_server, remove_server);
	tear_down(NULL);
	return failed;
}
