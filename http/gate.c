/* http/gate.c - libevhtp, and what stands before it.
 *
 * libevhtp 1.2.18 accepts connections, keeps them, and keeps their requests. It is not
 * let near bytes from the network: a request line that comes in two segments corrupts
 * its path, a form body of 8 MB overflows its stack, pipelined requests hang, and what
 * it takes for a Content-Length is what smuggling is made of. So:
 *   on_accepted           its bufferevent is switched off; client.c reads the socket
 *   gate_begin_request    one head, parsed and sound, is written anew in its simplest
 *                         form - the method, nothing else of it - and given to libevhtp's
 *                         own read callback, as if it had just come
 *   on_headers            here is its request
 *   gate_end_request      the answer is out (reply.c wrote it): libevhtp's own write
 *                         callback is run, finds the request finished and frees it
 *   on_request_fini       the one place where a request ends, however it ends
 *
 * Requests are fed one at a time, never paused, and libevhtp's timeouts are off.
 * As fed to it, every request wants keep-alive: closing is ours (client.c). Handlers
 * never run from inside its callbacks, so it never frees what it is using.
 * on_connection_fini comes before on_request_fini; both only note it, client_close()
 * frees. */
#include "http/server_private.h"

#include <assert.h>
#include <errno.h>
#include <event2/listener.h>
#include <evhtp/evhtp.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

#define MAX_PORTS 2 /* IPv6 and IPv4; an evhtp_t has one listener */

static evhtp_t *ports[MAX_PORTS];
static size_t n_ports;

/* The type has no prototype; each of ours has the one libevhtp calls it by. */
#define HOOK(fn) ((evhtp_hook)(fn))

static evhtp_res on_headers(evhtp_request_t *request, evhtp_headers_t *headers, void *arg)
{
	struct client *c = arg;

	(void)headers;
	c->gate.request = request;
	return EVHTP_RES_OK;
}

static evhtp_res on_request_fini(evhtp_request_t *request, void *arg)
{
	struct client *c = arg;

	if (c->gate.request == request) {
		c->gate.request = NULL;
		client_request_over(c);
	}
	return EVHTP_RES_OK;
}

static evhtp_res on_connection_fini(evhtp_connection_t *conn, void *arg)
{
	struct client *c = arg;

	(void)conn;
	c->gate.conn = NULL;
	c->gate.bev = NULL;
	return EVHTP_RES_OK;
}

/* Runs when libevhtp has the whole request, inside its parser: not the time to act. */
static void on_fed(evhtp_request_t *request, void *arg)
{
	(void)request;
	(void)arg;
}

static evhtp_res on_accept(evhtp_connection_t *conn, void *arg)
{
	(void)conn;
	(void)arg;
	/* Several may be taken off the queue at once, past the limit. */
	return server.connections < server.options.max_clients ? EVHTP_RES_OK
	                                                       : EVHTP_RES_ERROR;
}

static evhtp_res on_accepted(evhtp_connection_t *conn, void *arg)
{
	struct client *c = mem_new(struct client);
	struct gate *g = &c->gate;

	(void)arg;
	g->conn = conn;
	g->bev = conn->bev;
	bufferevent_getcb(g->bev, &g->read, &g->write, NULL, &g->arg);
	evhtp_connection_set_hook(conn, evhtp_hook_on_headers, HOOK(on_headers), c);
	evhtp_connection_set_hook(conn, evhtp_hook_on_request_fini, HOOK(on_request_fini),
	                          c);
	evhtp_connection_set_hook(conn, evhtp_hook_on_connection_fini,
	                          HOOK(on_connection_fini), c);
	c->fd = conn->sock;
	client_open(c, conn->saddr); /* watches the socket before libevhtp stops to: */
	bufferevent_disable(g->bev, EV_READ | EV_WRITE); /* the kernel is asked once */
	return EVHTP_RES_OK;
}

static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
	(void)listener;
	(void)arg;
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		server_out_of_descriptors();
}

bool gate_listen(int fd)
{
	evhtp_t *port;

	assert(n_ports < MAX_PORTS);
	evhtp_set_mem_functions(mem_bare, mem_resize, mem_free); /* as loop.c, and why */
	port = evhtp_new(loop_base(), NULL);
	port->flags = 0; /* no 100 Continue of its own */
	evhtp_set_gencb(port, on_fed, NULL);
	evhtp_set_pre_accept_cb(port, on_accept, NULL);
	evhtp_set_post_accept_cb(port, on_accepted, NULL);
	if (evhtp_accept_socket(port, fd, 0) != 0) {
		evhtp_free(port);
		return false;
	}
	evconnlistener_set_error_cb(port->server, on_accept_failed);
	ports[n_ports++] = port;
	return true;
}

int gate_listening_socket(void)
{
	if (n_ports == 0 || ports[0]->server == NULL)
		return -1;
	return evconnlistener_get_fd(ports[0]->server);
}

void gate_accepting(bool on)
{
	for (size_t i = 0; i < n_ports; i++) {
		if (ports[i]->server == NULL)
			continue;
		if (on)
			evconnlistener_enable(ports[i]->server);
		else
			evconnlistener_disable(ports[i]->server);
	}
}

void gate_unlisten(void)
{
	for (size_t i = 0; i < n_ports; i++)
		evhtp_unbind_socket(ports[i]);
}

void gate_stop(void)
{
	gate_unlisten();
	while (n_ports > 0)
		evhtp_free(ports[--n_ports]);
}

/* libevhtp takes methods of capitals only, and looks for a host in CONNECT's target. */
static bool method_is_plain(const char *method)
{
	return method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0' &&
	       strcmp(method, "CONNECT") != 0;
}

static void add_plain_head(struct evbuffer *to, const struct request_head *head)
{
	static const char rest[] = " / HTTP/1.1\r\n\r\n";
	const char *method = method_is_plain(head->method) ? head->method : "POST";

	evbuffer_add(to, method, strlen(method));
	evbuffer_add(to, rest, sizeof(rest) - 1);
}

bool gate_begin_request(struct client *c)
{
	struct gate *g = &c->gate;
	struct evbuffer *in = bufferevent_get_input(g->bev);

	assert(g->request == NULL);
	evbuffer_unfreeze(in, 0);
	add_plain_head(in, &c->head);
	evbuffer_freeze(in, 0);
	g->read(g->bev, g->arg);
	return g->conn != NULL && g->request != NULL;
}

void gate_end_request(struct client *c)
{
	struct gate *g = &c->gate;

	if (g->request == NULL)
		return; /* the head was malformed: libevhtp has not heard of it */
	evhtp_send_reply_end(g->request);
	g->write(g->bev, g->arg);
}

void gate_close(struct client *c)
{
	if (c->gate.conn != NULL)
		evhtp_connection_free(c->gate.conn);
}
