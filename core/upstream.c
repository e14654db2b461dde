/* core/upstream.c - one HTTP endpoint: its pool of connections, and who waits for one.
 *
 * The happy path:
 *   upstream_place   the connection used last is taken, for it is the warmest; none idle
 *                    and fewer than allowed: a new one
 *   upstream_fill    a connection has become free or has gone: the next who waits
 *   on_sweep         what was idle for too long is closed, oldest first
 *
 * When it does not go well:
 *   - all connections are busy: the call waits its turn, each with its own time limit
 *   - an idle connection is not quiet any more: it is closed, the next one is tried
 *   - upstream_abort(): every call ends STOPPED, every connection is closed
 *   - upstream_destroy(): the same; the calls outlive the endpoint until the next turn */
#include "core/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/tls.h"
#include "core/upstream_private.h"

#define DEFAULT_CONNECTIONS 64u
#define DEFAULT_CONNECT_TIMEOUT 2000u
#define DEFAULT_IDLE_TIMEOUT 30000u
#define TRUSTED_IDLE 10u /* ms */

struct upstream *upstream_create(const struct upstream_options *o)
{
	struct upstream *up = mem_new(struct upstream);
	char *wrong = upstream_address_parse(&up->address, o->url);

	if (wrong != NULL) /* the settings were checked with upstream_check_url() */
		abort();
	TAILQ_INIT(&up->idle);
	TAILQ_INIT(&up->waiting);
	TAILQ_INIT(&up->open);
	up->url = mem_format("%s://%s", up->address.tls ? "https" : "http",
	                     up->address.authority);
	up->max_connections =
	        o->max_connections > 0 ? o->max_connections : DEFAULT_CONNECTIONS;
	up->connect_timeout =
	        o->connect_timeout > 0 ? o->connect_timeout : DEFAULT_CONNECT_TIMEOUT;
	up->idle_timeout = o->idle_timeout > 0 ? o->idle_timeout : DEFAULT_IDLE_TIMEOUT;
	if (o->auth_header != NULL && o->auth_value != NULL) {
		up->auth_header = mem_string(o->auth_header);
		up->auth_value = mem_string(o->auth_value);
	}
	if (up->address.tls)
		up->tls = tls_context(o->ca_file, &up->tls_trouble);
	return up;
}

const char *upstream_url(const struct upstream *up)
{
	return up->url;
}

struct upstream_figures upstream_figures(const struct upstream *up)
{
	return up->figures;
}

msec upstream_patience(const struct upstream *up)
{
	const struct upcall *call;
	msec longest = 0;

	TAILQ_FOREACH (call, &up->open, link)
		if (!call->alone && call->receiver == NULL && call->timeout > longest)
			longest = call->timeout;
	return longest;
}

/* ---- the pool ---- */

/* The loop closes what does not stay quiet, and has not had much time to miss that. What
 * may not be sent twice must not be sent in vain: for that the kernel is asked. */
static bool is_usable(struct upconn *c, const struct upcall *call)
{
	msec trusted = call->repeatable ? TRUSTED_IDLE : 0;

	return clock_ms() - c->idle_since <= trusted || upconn_is_quiet(c);
}

static struct upconn *find_idle(struct upstream *up, const struct upcall *call)
{
	struct upconn *c;

	while ((c = TAILQ_FIRST(&up->idle)) != NULL) {
		if (is_usable(c, call))
			return c;
		upconn_close(c);
	}
	return NULL;
}

static void wait_in_line(struct upstream *up, struct upcall *call)
{
	call->waiting = true;
	TAILQ_INSERT_TAIL(&up->waiting, call, wait_link);
	up->figures.waiting++;
}

void upstream_place(struct upstream *up, struct upcall *call)
{
	struct upconn *c = call->alone ? NULL : find_idle(up, call);

	if (c != NULL) {
		up->figures.reused++;
		upconn_take(c, call);
	} else if (call->alone || up->figures.open < up->max_connections) {
		upconn_open(up, call);
	} else {
		wait_in_line(up, call);
	}
}

void upstream_fill(struct upstream *up)
{
	struct upcall *call;

	while ((call = TAILQ_FIRST(&up->waiting)) != NULL &&
	       (!TAILQ_EMPTY(&up->idle) || up->figures.open < up->max_connections)) {
		TAILQ_REMOVE(&up->waiting, call, wait_link);
		call->waiting = false;
		up->figures.waiting--;
		upstream_place(up, call);
	}
}

/* ---- idle for too long ---- */

static void on_sweep(void *arg)
{
	struct upstream *up = arg;
	msec now = clock_ms();
	struct upconn *c;

	while ((c = TAILQ_LAST(&up->idle, upconns)) != NULL &&
	       now - c->idle_since >= up->idle_timeout)
		upconn_close(c);
	if (c != NULL)
		timer_start(&up->sweep, up->idle_timeout - (now - c->idle_since),
		            on_sweep, up);
}

void upstream_sweep_later(struct upstream *up)
{
	if (!timer_running(&up->sweep))
		timer_start(&up->sweep, up->idle_timeout, on_sweep, up);
}

/* ---- the end of everything that is under way ---- */

static unsigned stop_calls(struct upstream *up, const char *why)
{
	struct upcall *call;
	unsigned n = 0;

	while ((call = TAILQ_FIRST(&up->open)) != NULL) {
		if (call->conn != NULL)
			upconn_close(call->conn);
		upcall_end(call, STATUS_STOPPED, why);
		n++;
	}
	return n;
}

static void close_idle(struct upstream *up)
{
	struct upconn *c;

	while ((c = TAILQ_FIRST(&up->idle)) != NULL)
		upconn_close(c);
}

void upstream_abort(struct upstream *up, const char *why)
{
	unsigned n = stop_calls(up, why);

	close_idle(up);
	log_info("upstream", "%s: %u calls stopped (%s)", up->url, n, why);
}

void upstream_destroy(struct upstream **up)
{
	struct upstream *old = *up;

	*up = NULL;
	if (old == NULL)
		return;
	stop_calls(old, "shutting down");
	close_idle(old);
	timer_stop(&old->sweep);
	SSL_CTX_free(old->tls);
	free(old->tls_trouble);
	upstream_address_clear(&old->address);
	free(old->url);
	free(old->auth_header);
	free(old->auth_value);
	free(old);
}
