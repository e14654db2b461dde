/* core/upstream_connect.c - from nothing to a connection.
 *
 * The happy path:
 *   upconn_open         look the name up
 *   try_next_address    a socket to the first address
 *   upconn_on_connect   it is there; TLS or not?
 *   upconn_handshake    certificate and name are good
 *   on_ready            the call that wanted the connection has it
 *
 * When it does not go well:
 *   - an address refuses or does not answer: the next one, all within connect_timeout;
 *     so each gets its share of the time, and one that swallows packets does not use up
 *     the time of the others
 *   - no address is left, or TLS fails: the call ends; nothing was sent */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/dns.h"
#include "core/mem.h"
#include "core/tls.h"
#include "core/upstream_private.h"

static void try_next_address(struct upconn *c, const char *trouble);

static msec time_left(const struct upconn *c)
{
	msec now = clock_ms();

	return c->connect_by > now ? c->connect_by - now : 0;
}

static void on_patience_over(void *arg)
{
	struct upconn *c = arg;

	switch (c->state) {
	case UPCONN_RESOLVING:
		upconn_fail(c, STATUS_NOT_RESOLVED,
		            "no answer from the name servers in time");
		break;
	case UPCONN_CONNECTING:
		try_next_address(c, NULL);
		break;
	default:
		upconn_fail(c, STATUS_TIMED_OUT, "no answer in the TLS handshake");
		break;
	}
}

static void next_step_within(struct upconn *c, msec wait)
{
	timer_start(&c->patience, wait, on_patience_over, c);
}

static void on_ready(struct upconn *c)
{
	struct upcall *call = c->call;

	timer_stop(&c->patience);
	free(c->addresses);
	c->addresses = NULL;
	c->call = NULL;
	call->conn = NULL;
	upconn_take(c, call);
}

void upconn_handshake(struct upconn *c)
{
	int r = tls_handshake(c->ssl);
	char *trouble;

	upconn_want_write(c, r == WIRE_WANT_WRITE);
	if (r == 1) {
		on_ready(c);
	} else if (r == WIRE_BROKEN || r == WIRE_CLOSED) {
		trouble = tls_trouble(c->ssl);
		upconn_fail(c, STATUS_TLS_FAILED, trouble);
		free(trouble);
	}
}

static void begin_tls(struct upconn *c)
{
	const struct upstream *up = c->up;

	if (up->tls != NULL)
		c->ssl = tls_open(up->tls, c->fd, up->address.host);
	if (c->ssl == NULL) {
		upconn_fail(c, STATUS_TLS_FAILED,
		            up->tls_trouble != NULL ? up->tls_trouble
		                                    : "out of resources");
		return;
	}
	c->state = UPCONN_HANDSHAKE;
	next_step_within(c, time_left(c));
	upconn_handshake(c);
}

/* A socket that tries a free port of its own machine long enough meets itself. */
static bool is_connected_to_itself(int fd)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t here_len = sizeof(here), there_len = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 &&
	       here_len == there_len && memcmp(&here, &there, here_len) == 0;
}

void upconn_on_connect(struct upconn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0 && is_connected_to_itself(c->fd))
		error = ECONNREFUSED;
	if (error != 0) {
		try_next_address(c, strerror(error));
		return;
	}
	c->up->figures.connects++;
	c->born = clock_ms();
	event_add(&c->readable, NULL);
	upconn_want_write(c, false);
	if (c->up->address.tls)
		begin_tls(c);
	else
		on_ready(c);
}

static int open_socket(struct sockaddr_storage *address, uint16_t port)
{
	socklen_t len = sizeof(struct sockaddr_in);
	int fd, one = 1;

	if (address->ss_family == AF_INET6) {
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
		len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)address)->sin_port = htons(port);
	}
	fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)address, len) == 0 || errno == EINPROGRESS)
		return fd;
	one = errno;
	close(fd);
	errno = one;
	return -1;
}

static void try_next_address(struct upconn *c, const char *trouble)
{
	upconn_close_socket(c);
	while (c->next_address < c->n_addresses) {
		msec share = time_left(c) / (msec)(c->n_addresses - c->next_address);

		c->fd = open_socket(&c->addresses[c->next_address++],
		                    c->up->address.port);
		if (c->fd < 0) {
			trouble = strerror(errno);
			continue;
		}
		c->state = UPCONN_CONNECTING;
		upconn_watch(c);
		upconn_want_write(c, true);
		next_step_within(c, share);
		return;
	}
	if (trouble != NULL)
		upconn_fail(c, STATUS_REFUSED, trouble);
	else
		upconn_fail(c, STATUS_TIMED_OUT, "no answer to the attempt to connect");
}

static void on_resolved(void *arg, enum status s, const struct sockaddr_storage *found,
                        int n)
{
	struct upconn *c = arg;

	if (s != STATUS_OK) {
		upconn_fail(c, s, c->up->address.host);
		return;
	}
	c->addresses = mem_copy(found, (size_t)n * sizeof(*found));
	c->n_addresses = n;
	try_next_address(c, NULL);
}

void upconn_open(struct upstream *up, struct upcall *call)
{
	struct upconn *c = mem_new(struct upconn);

	c->up = up;
	c->fd = -1;
	c->call = call;
	call->conn = c;
	c->pooled = !call->alone;
	if (c->pooled)
		up->figures.open++;
	c->connect_by = clock_ms() + up->connect_timeout;
	c->state = UPCONN_RESOLVING;
	next_step_within(c, up->connect_timeout);
	dns_resolve(up->address.host, on_resolved, c, &c->look_up);
}
