/* tests/unit/core/test_dns.c - look-ups against a name server of our own, in the same
 * loop. The clock can be put forward, so that answers grow old. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/dns.h"
#include "core/loop.h"
#include "core/timer.h"

/* ---- a clock that can be put forward (takes the place of core/clock.c) ---- */

static msec ahead;

uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u +
	       ahead * 1000u;
}

msec clock_ms(void)
{
	return clock_us() / 1000u;
}

int64_t clock_wall_ms(void)
{
	return (int64_t)clock_ms();
}

const char *clock_iso(int64_t wall_ms, char out[CLOCK_ISO_BYTES])
{
	snprintf(out, CLOCK_ISO_BYTES, "%lld", (long long)wall_ms);
	return out;
}

/* ---- a name server ---- */

enum mood { ANSWERS, FAILS, SILENT };

static struct {
	struct evdns_server_port *port;
	int fd;
	uint16_t number;
	enum mood mood;
	const char *address; /* of known.test */
	int questions;
} server;

static void answer(struct evdns_server_request *request,
                   const struct evdns_server_question *q)
{
	struct in_addr a;
	struct in6_addr aaaa;

	if (strcasecmp(q->name, "known.test") != 0) {
		evdns_server_request_respond(request, 3);
		return;
	}
	inet_pton(AF_INET, server.address, &a);
	inet_pton(AF_INET6, "fd00::7", &aaaa);
	if (q->type == EVDNS_TYPE_A)
		evdns_server_request_add_a_reply(request, q->name, 1, &a, 60);
	if (q->type == EVDNS_TYPE_AAAA)
		evdns_server_request_add_aaaa_reply(request, q->name, 1, &aaaa, 60);
	evdns_server_request_respond(request, 0);
}

static void on_question(struct evdns_server_request *request, void *arg)
{
	(void)arg;
	server.questions++;
	if (server.mood == ANSWERS)
		answer(request, request->questions[0]);
	else if (server.mood == FAILS)
		evdns_server_request_respond(request, 2);
	else
		evdns_server_request_drop(request);
}

static void start_server(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t len = sizeof(here);

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&here, len), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&here, &len), 0);
	server.number = ntohs(here.sin_port);
	server.port = evdns_add_server_port_with_base(loop_base(), server.fd, 0,
	                                              on_question, NULL);
	server.mood = ANSWERS;
	server.address = "10.1.2.3";
	server.questions = 0;
}

/* Takes the place of libevent's: our server, and a hosts file of our own. */
int evdns_base_resolv_conf_parse(struct evdns_base *base, int flags, const char *file)
{
	char path[] = "/tmp/test_dns_hosts_XXXXXX", address[32];
	static const char hosts[] = "127.0.0.1 here.test\n::1 here.test\n";
	int fd = mkstemp(path);

	(void)flags;
	assert_string_equal(file, "/etc/resolv.conf");
	assert_int_equal(write(fd, hosts, sizeof(hosts) - 1), sizeof(hosts) - 1);
	close(fd);
	evdns_base_load_hosts(base, path);
	unlink(path);
	snprintf(address, sizeof(address), "127.0.0.1:%u", server.number);
	return evdns_base_nameserver_ip_add(base, address);
}

static int setup(void **state)
{
	(void)state;
	ahead = 0;
	loop_start();
	start_server();
	dns_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_stop();
	evdns_close_server_port(server.port);
	close(server.fd);
	loop_stop();
	return 0;
}

/* ---- who asks ---- */

struct asker {
	struct op *slot;
	int told;
	enum status status;
	int n;
	char first[INET6_ADDRSTRLEN], second[INET6_ADDRSTRLEN];
};

static void print_address(const struct sockaddr_storage *a, char out[INET6_ADDRSTRLEN])
{
	if (a->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out,
		          INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, out,
		          INET6_ADDRSTRLEN);
}

static void on_told(void *arg, enum status s, const struct sockaddr_storage *addresses,
                    int n)
{
	struct asker *a = arg;

	assert_null(a->slot);
	a->told++;
	a->status = s;
	a->n = n;
	if (n > 0)
		print_address(&addresses[0], a->first);
	if (n > 1)
		print_address(&addresses[1], a->second);
}

static void ask(struct asker *a, const char *host)
{
	*a = (struct asker){0};
	dns_resolve(host, on_told, a, &a->slot);
	assert_int_equal(a->told, 0);
	assert_non_null(a->slot);
}

static void on_too_late(void *arg)
{
	*(bool *)arg = true;
}

static void wait_for(const struct asker *a)
{
	struct timer guard = {0};
	bool late = false;

	timer_start(&guard, 10000, on_too_late, &late);
	while (a->told == 0 && !late)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	timer_stop(&guard);
	assert_false(late);
}

static void ask_and_wait(struct asker *a, const char *host)
{
	ask(a, host);
	wait_for(a);
}

/* ---- the tests ---- */

static void literals_need_no_server(void **state)
{
	struct asker a;

	(void)state;
	ask_and_wait(&a, "192.0.2.7");
	assert_int_equal(a.status, STATUS_OK);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.first, "192.0.2.7");
	ask_and_wait(&a, "2001:db8::5");
	assert_int_equal(a.n, 1);
	assert_string_equal(a.first, "2001:db8::5");
	assert_int_equal(server.questions, 0);
}

static void all_addresses_of_the_hosts_file_are_given(void **state)
{
	struct asker a;

	(void)state;
	ask_and_wait(&a, "here.test");
	assert_int_equal(a.status, STATUS_OK);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.first, "127.0.0.1");
	assert_string_equal(a.second, "::1");
	assert_int_equal(server.questions, 0);
}

static void a_name_is_asked_for_once_in_30_seconds(void **state)
{
	struct asker a;

	(void)state;
	ask_and_wait(&a, "known.test");
	assert_int_equal(a.status, STATUS_OK);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.first, "10.1.2.3");
	assert_string_equal(a.second, "fd00::7");
	assert_int_equal(server.questions, 2); /* A and AAAA */

	server.address = "10.9.9.9";
	ahead += 29000;
	ask_and_wait(&a, "KNOWN.test");
	assert_string_equal(a.first, "10.1.2.3");
	assert_int_equal(server.questions, 2);

	ahead += 2000;
	ask_and_wait(&a, "known.test");
	assert_string_equal(a.first, "10.9.9.9");
	assert_int_equal(server.questions, 4);
}

static void many_who_ask_share_one_question(void **state)
{
	struct asker a[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		ask(&a[i], "known.test");
	for (int i = 0; i < 5; i++) {
		wait_for(&a[i]);
		assert_string_equal(a[i].first, "10.1.2.3");
	}
	assert_int_equal(server.questions, 2);
}

static void an_unknown_name_is_not_resolved(void **state)
{
	struct asker a;

	(void)state;
	ask_and_wait(&a, "nobody.test");
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
	assert_int_equal(a.n, 0);
	ask_and_wait(&a, "");
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
	assert_int_equal(server.questions, 2);
	ask_and_wait(&a, "nobody.test"); /* it may have come into being */
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
	assert_int_equal(server.questions, 4);
}

static void a_name_of_endless_length_is_not_resolved(void **state)
{
	struct asker a;
	char name[400];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ask_and_wait(&a, name);
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
	assert_int_equal(server.questions, 0);
}

static void the_last_good_address_is_used_when_the_server_fails(void **state)
{
	struct asker a;
	int asked;

	(void)state;
	ask_and_wait(&a, "known.test");
	server.mood = FAILS;
	ahead += 31000;
	ask_and_wait(&a, "known.test");
	assert_int_equal(a.status, STATUS_OK);
	assert_string_equal(a.first, "10.1.2.3");

	asked = server.questions; /* and not asked again at once */
	ask_and_wait(&a, "known.test");
	assert_int_equal(server.questions, asked);

	server.mood = ANSWERS;
	server.address = "10.4.4.4";
	ahead += 6000;
	ask_and_wait(&a, "known.test");
	assert_string_equal(a.first, "10.4.4.4");
}

static void who_knows_an_address_does_not_wait_for_a_silent_server(void **state)
{
	struct asker a;
	msec before;

	(void)state;
	ask_and_wait(&a, "known.test");
	server.mood = SILENT;
	ahead += 31000;
	before = clock_ms();
	ask_and_wait(&a, "known.test");
	assert_int_equal(a.status, STATUS_OK);
	assert_string_equal(a.first, "10.1.2.3");
	assert_true(clock_ms() - before < 1500);
}

static void on_tick(void *arg);

static struct {
	struct timer timer;
	int n;
} ticks;

static void on_tick(void *arg)
{
	(void)arg;
	ticks.n++;
	timer_start(&ticks.timer, 50, on_tick, NULL);
}

static void a_silent_server_does_not_block_the_loop(void **state)
{
	struct asker a;

	(void)state;
	server.mood = SILENT;
	ticks.n = 0;
	timer_start(&ticks.timer, 50, on_tick, NULL);
	ask_and_wait(&a, "known.test");
	timer_stop(&ticks.timer);
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
	assert_true(ticks.n > 10);
}

static void who_cancels_is_not_told(void **state)
{
	struct asker a, b;

	(void)state;
	ask(&a, "known.test");
	ask(&b, "known.test");
	op_cancel(&a.slot);
	assert_null(a.slot);
	wait_for(&b);
	assert_int_equal(a.told, 0);
	assert_string_equal(b.first, "10.1.2.3");
}

static void stopping_takes_open_questions_back(void **state)
{
	struct asker a;

	(void)state;
	server.mood = SILENT;
	ask(&a, "known.test");
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	dns_stop();
	if (a.told == 0)
		event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.status, STATUS_NOT_RESOLVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(literals_need_no_server),
	        TEST(all_addresses_of_the_hosts_file_are_given),
	        TEST(a_name_is_asked_for_once_in_30_seconds),
	        TEST(many_who_ask_share_one_question),
	        TEST(an_unknown_name_is_not_resolved),
	        TEST(a_name_of_endless_length_is_not_resolved),
	        TEST(the_last_good_address_is_used_when_the_server_fails),
	        TEST(who_knows_an_address_does_not_wait_for_a_silent_server),
	        TEST(a_silent_server_does_not_block_the_loop),
	        TEST(who_cancels_is_not_told),
	        TEST(stopping_takes_open_questions_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
