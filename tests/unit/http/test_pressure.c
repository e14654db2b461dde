/* Clients that wait with their bodies while there is much in memory. */
#include "tests/unit/http/peer.h"

#define KB 1024u
#define BODY (300 * KB)
#define MOST (1200 * KB)
#define MARK (700 * KB) /* MOST without the largest body */
#define HEAD "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 307200\r\n\r\n"

static struct text heard;
static char *body;
static struct blob *others; /* what somebody else has in memory */

static int begin(void **state)
{
	struct server_options o = options();

	(void)state;
	setup(state);
	o.max_held = MOST;
	o.max_body = 500 * KB;
	restart(&o);
	body = pattern(BODY);
	return 0;
}

static int clean(void **state)
{
	blob_unref(&others);
	free(body);
	text_clear(&heard);
	return teardown(state);
}

static void others_hold(size_t bytes)
{
	blob_unref(&others);
	if (bytes > 0)
		others = blob_adopt(mem_alloc(bytes), bytes);
}

/* Somebody's request is at work, and may give back what it holds. */
static int someone_at_work(void)
{
	int fd = dial();

	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(waiting != NULL);
	return fd;
}

static int uploads(size_t so_far)
{
	int fd = dial();

	say(fd, HEAD);
	assert_true(sayn(fd, body, so_far));
	return fd;
}

static bool is_answered(int fd, const char *status)
{
	bool is = starts_with(hear(fd, &heard), status);

	close(fd);
	return is;
}

static void above_the_mark_a_body_waits_and_what_is_small_does_not(void **state)
{
	int busy = someone_at_work(), upload, small = dial();
	uint64_t before = server_pressure_events();

	(void)state;
	others_hold(MOST);
	upload = uploads(BODY);
	turns_for(100);
	assert_int_equal(server_body_bytes(), 0);
	assert_int_equal(server_pressure_events(), before + 1);
	say(small, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(starts_with(hear(small, &heard), "HTTP/1.1 200 "));
	others_hold(MARK + KB);
	say(small, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
	assert_true(ends_with(hear(small, &heard), "{}"));
	others_hold(0);
	assert_true(is_answered(upload, "HTTP/1.1 200 "));
	close(small);
	close(busy);
	turn_until(waiting == NULL);
}

static void a_little_below_the_mark_they_go_one_by_one(void **state)
{
	int busy = someone_at_work(), upload, second;
	uint64_t before = server_pressure_events();

	(void)state;
	others_hold(MOST);
	upload = uploads(BODY);
	second = uploads(BODY);
	turns_for(50);
	others_hold(MARK - 20 * KB); /* room for both, one after the other */
	assert_true(is_answered(upload, "HTTP/1.1 200 "));
	assert_true(is_answered(second, "HTTP/1.1 200 "));
	assert_int_equal(server_pressure_events(), before + 1);
	close(busy);
	turn_until(waiting == NULL);
}

/* Five times 200 KB of 300 are there: more than the mark, and nobody gives any back. */
static void halves_do_not_wait_for_one_another(void **state)
{
	int fds[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		fds[i] = uploads(200 * KB);
	turn_until(server_body_bytes() > MARK);
	turns_for(50);
	assert_true(server_body_bytes() < MOST);
	for (int i = 0; i < 5; i++)
		sayn(fds[i], body + 200 * KB, 100 * KB);
	for (int i = 0; i < 5; i++)
		assert_true(is_answered(fds[i], "HTTP/1.1 200 "));
}

static void a_chunked_body_counts_as_it_comes(void **state)
{
	int busy = someone_at_work(), upload = dial();

	(void)state;
	others_hold(MOST);
	say(upload, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	            "4b000\r\n");
	others_hold(MARK + KB);
	assert_true(sayn(upload, body, BODY));
	turns_for(50);
	assert_true(server_body_bytes() <= 128 * KB);
	say(upload, "\r\n0\r\n\r\n");
	others_hold(0);
	assert_true(is_answered(upload, "HTTP/1.1 200 "));
	assert_int_equal(last_body, BODY);
	close(busy);
	turn_until(waiting == NULL);
}

static void whose_turn_it_is_and_does_not_use_it_stands_behind_the_others(void **state)
{
	int busy = someone_at_work(), idle, upload;

	(void)state;
	others_hold(MOST);
	idle = uploads(KB);
	upload = uploads(BODY);
	turns_for(50);
	others_hold(MARK + KB);
	assert_true(is_answered(upload, "HTTP/1.1 200 "));
	sayn(idle, body + KB, BODY - KB);
	assert_true(is_answered(idle, "HTTP/1.1 200 "));
	close(busy);
	turn_until(waiting == NULL);
}

/* It was not slow, we were. */
static void who_has_waited_too_long_is_refused_for_now(void **state)
{
	int busy, upload;

	(void)state;
	server_patience.body = 150;
	busy = someone_at_work();
	others_hold(MOST);
	upload = uploads(BODY);
	assert_true(starts_with(hear_all(upload, &heard), "HTTP/1.1 429 "));
	close(upload);
	assert_non_null(strstr(trace.s, "no-room:/x "));
	others_hold(0);
	upload = uploads(BODY);
	assert_true(is_answered(upload, "HTTP/1.1 200 "));
	close(busy);
	turn_until(waiting == NULL);
}

static void who_leaves_while_it_waits_is_forgotten(void **state)
{
	int busy = someone_at_work(), upload;

	(void)state;
	server_patience.body = 150;
	others_hold(MOST);
	upload = uploads(BODY);
	turns_for(20);
	close(upload);
	turn_until(server_connections() == 1);
	close(busy);
	turn_until(waiting == NULL);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, begin, clean)
	static const struct CMUnitTest stories[] = {
	        STORY(above_the_mark_a_body_waits_and_what_is_small_does_not),
	        STORY(a_little_below_the_mark_they_go_one_by_one),
	        STORY(halves_do_not_wait_for_one_another),
	        STORY(a_chunked_body_counts_as_it_comes),
	        STORY(whose_turn_it_is_and_does_not_use_it_stands_behind_the_others),
	        STORY(who_has_waited_too_long_is_refused_for_now),
	        STORY(who_leaves_while_it_waits_is_forgotten),
	};

	return cmocka_run_group_tests_name("pressure", stories, NULL, NULL);
}
