/* http/server.c - the ports, and the life of the whole client's side.
 *
 *   server_start   binds: every address means IPv6 and IPv4, each with its own socket
 *   server_count   a connection more or less; at the limit the one that has been idle
 *                  longest goes. If none is idle the ports rest, and who knocks waits in
 *                  the kernel's queue
 *   server_drain   idle connections are closed soon, the others go after their answer.
 *                  With another proxy there the port is closed; else who comes now is
 *                  late, and has one answer
 *   server_stop    everything goes at once
 * When it does not go well:
 *   - the port is taken, the address is not ours: server_start says so
 *   - there is no IPv6 (or no IPv4) on this machine: the other one will do
 *   - out of descriptors: the ports rest for a moment, instead of spinning */
#include "http/server_private.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

#define BACKLOG 1024
#define REST_WITHOUT_DESCRIPTORS 200 /* ms */
#define SAY_FULL_EVERY 10000u        /* ms */
#define TRIES_FOR_A_FREE_PORT 10

struct server server;

static struct timer rest;

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	};
	socklen_t len;
};

static struct address every_v6(int port)
{
	struct address a = {.len = sizeof(a.v6)};

	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_port = htons((uint16_t)port);
	a.v6.sin6_addr = in6addr_any;
	return a;
}

static struct address every_v4(int port)
{
	struct address a = {.len = sizeof(a.v4)};

	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons((uint16_t)port);
	return a;
}

/* TCP_NODELAY and SO_KEEPALIVE pass from a listening socket to those it accepts. */
static int set_options(int fd, int family, bool v6_only)
{
	const int on = 1, only = v6_only;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		return -1;
	if (family != AF_INET6)
		return 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
}

/* 0, or an errno. */
static int listen_on(const struct address *a, bool v6_only)
{
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return errno;
	if (set_options(fd, a->any.sa_family, v6_only) == 0 &&
	    bind(fd, &a->any, a->len) == 0 && listen(fd, BACKLOG) == 0 && gate_listen(fd))
		return 0;
	error = errno != 0 ? errno : EINVAL;
	close(fd);
	return error;
}

static bool family_is_missing(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL ||
	       error == EPROTONOSUPPORT;
}

/* Port 0: IPv6 takes any free one, and IPv4 has to get the same. */
static int listen_everywhere(int port)
{
	struct address a = every_v6(port);
	int error = listen_on(&a, true), second;

	if (error != 0 && !family_is_missing(error))
		return error;
	a = every_v4(error == 0 ? server_port() : port);
	second = listen_on(&a, false);
	if (second != 0 && family_is_missing(second))
		return error;
	return second;
}

static int listen_anywhere(int port)
{
	int error = listen_everywhere(port);

	for (int i = 0; port == 0 && error == EADDRINUSE && i < TRIES_FOR_A_FREE_PORT;
	     i++) {
		gate_stop();
		error = listen_everywhere(port);
	}
	return error;
}

static char *cannot_listen(const char *where, int port, int error)
{
	if (error == 0)
		return NULL;
	gate_stop();
	if (where != NULL)
		return mem_format("cannot listen on %s: %s", where, strerror(error));
	return mem_format("cannot listen on port %d: %s", port, strerror(error));
}

static char *listen_at(const char *where, int port)
{
	struct address a = {.len = sizeof(a.room)};
	int len = (int)a.len;

	if (evutil_parse_sockaddr_port(where, &a.any, &len) != 0)
		return mem_format("cannot listen on %s: not an address as 127.0.0.1:8000 "
		                  "or [::1]:8000",
		                  where);
	a.len = (socklen_t)len;
	if (a.any.sa_family == AF_INET6 && a.v6.sin6_port == 0)
		a.v6.sin6_port = htons((uint16_t)port);
	if (a.any.sa_family == AF_INET && a.v4.sin_port == 0)
		a.v4.sin_port = htons((uint16_t)port);
	return cannot_listen(where, port, listen_on(&a, false));
}

char *server_start(const struct server_options *options)
{
	server = (struct server){.options = *options};
	TAILQ_INIT(&server.clients);
	pressure_start();
	if (options->listen != NULL)
		return listen_at(options->listen, options->port);
	return cannot_listen(NULL, options->port, listen_anywhere(options->port));
}

int server_port(void)
{
	struct address a = {.len = sizeof(a.room)};
	int fd = gate_listening_socket();

	if (fd >= 0 && getsockname(fd, &a.any, &a.len) == 0)
		server.port = ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port
		                                                : a.v4.sin_port);
	return server.port;
}

static void say_full(void)
{
	static msec again;
	msec now = clock_ms();

	if (now < again)
		return;
	again = now + SAY_FULL_EVERY;
	log_warn("server", "%u clients are connected: idle ones go, others wait",
	         server.connections);
}

static void open_or_shut(void)
{
	bool room = server.connections < server.options.max_clients;

	gate_accepting(room && !timer_running(&rest));
}

void server_count(int connections)
{
	server.connections += (unsigned)connections;
	open_or_shut();
}

/* The list is in the order in which they became idle. */
void server_make_room(void)
{
	struct client *c;

	if (server.connections < server.options.max_clients)
		return;
	say_full();
	TAILQ_FOREACH (c, &server.clients, next)
		if (client_is_idle(c)) {
			client_close(c);
			return;
		}
}

static void on_rested(void *arg)
{
	(void)arg;
	open_or_shut();
}

void server_out_of_descriptors(void)
{
	log_warn("server", "no descriptor left for another client, %u are connected",
	         server.connections);
	timer_start(&rest, REST_WITHOUT_DESCRIPTORS, on_rested, NULL);
	open_or_shut();
}

void server_drain(msec last)
{
	struct client *c, *after;

	if (server.draining)
		return;
	server.draining = true;
	if (last > 0) {
		server_port(); /* still known afterwards */
		gate_unlisten();
	}
	for (c = TAILQ_FIRST(&server.clients); c != NULL; c = after) {
		after = TAILQ_NEXT(c, next);
		client_drain(c, last);
	}
}

bool server_awaits_last(void)
{
	const struct client *c;

	TAILQ_FOREACH (c, &server.clients, next)
		if (client_is_idle(c) && !client_is_late(c))
			return true;
	return false;
}

unsigned server_connections(void)
{
	return server.connections;
}

unsigned server_active(void)
{
	return server.active;
}

size_t server_body_bytes(void)
{
	return server.body_bytes;
}

size_t server_reply_bytes(void)
{
	return server.reply_bytes;
}

size_t server_held_bytes(void)
{
	return server.body_bytes + server.reply_bytes + blob_total();
}

bool server_has_room(size_t more)
{
	return server.options.max_held == 0 ||
	       server_held_bytes() + more <= server.options.max_held;
}

msec server_patience_after(msec end, size_t bytes, size_t slowest, msec most)
{
	msec limit = clock_ms() + most;

	end += bytes * 1000 / slowest;
	return end < limit ? end : limit;
}

void server_stop(void)
{
	server.draining = true;
	timer_stop(&rest);
	while (!TAILQ_EMPTY(&server.clients))
		client_close(TAILQ_FIRST(&server.clients));
	pressure_stop();
	gate_stop();
}
