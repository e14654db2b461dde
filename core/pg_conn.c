/* core/pg_conn.c - one libpq connection: resolve, connect, idle, busy, resting.
 *
 * The happy path:
 *   resolve          every host of the URL, at once and without blocking (core/dns)
 *   connect          libpq is given addresses only; on_progress turns its handle
 *   opened           pipeline mode; the owner is told `up`
 *   pg_conn_busy     what libpq holds is sent; on_io until the owner says pg_conn_idle
 * When it does not go well:
 *   - any failure ends in pg_conn_fail: close, tell the owner, rest, resolve again
 *   - connecting takes too long: the next try begins at another address
 *   - a busy session says nothing for too long (a stopped server keeps its sockets
 *     open): given up
 *
 * Watching libpq's socket has rules. It may change during connecting, even under the
 * same number: one-shot events, made anew after each step. Level-triggered, because
 * libpq does not read until EAGAIN. Always readable, or both sides may wait for the
 * other to read; writable only while libpq holds bytes. Events go before PQfinish. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/dns.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/pg_private.h"
#include "core/random.h"
#include "core/timer.h"

#define CONNECT_MS 5000u
#define REST_FIRST_MS 100u
#define REST_MOST_MS 800u /* with the jitter and the try itself: back within a second */
#define STEADY_MS 5000u   /* a session this old was a good one */
#define SILENCE_MS 35000u /* statement_timeout ends every statement before that */
#define SILENCE_OWN_MS 600000u

enum conn_state {
	CONN_STOPPED,
	CONN_RESTING,
	CONN_RESOLVING,
	CONN_CONNECTING,
	CONN_IDLE,
	CONN_BUSY
};

struct lookup {
	struct pg_conn *conn;
	struct pg_target target;
	struct op *pending;
};

struct pg_conn {
	char *name;
	const struct pg_conn_owner *owner;
	void *arg;
	PQconninfoOption *options;
	struct lookup lookups[PG_MAX_HOSTS];
	int n_lookups;
	struct pg_place places[PG_MAX_PLACES];
	int n_places;
	int first; /* place to begin with */
	enum conn_state state;
	PGconn *pq;
	struct event readable, writable;
	struct timer timer; /* resting, connecting or busy: until when */
	msec silence;
	unsigned failures; /* since the last good session */
	msec opened_at;
	bool served;   /* this session has answered a group */
	char *parting; /* what the server said when it closed the session */
	char *why;     /* of the last failure, as told */
};

static void resolve(struct pg_conn *conn);
static void on_progress(evutil_socket_t fd, short what, void *arg);
static void on_io(evutil_socket_t fd, short what, void *arg);

static bool is_up(const struct pg_conn *conn)
{
	return conn->state == CONN_IDLE || conn->state == CONN_BUSY;
}

PGconn *pg_conn_pq(const struct pg_conn *conn)
{
	return conn->pq;
}

char *pg_conn_redact(const struct pg_conn *conn, const char *text)
{
	return pg_url_redact(conn->options, text);
}

void pg_conn_add_settings(const struct pg_conn *conn, struct pg_unit *unit)
{
	pg_url_add_settings(conn->options, unit);
}

/* --- the one way down -------------------------------------------------------------- */

static void unwatch(struct event *event)
{
	if (event_initialized(event))
		event_del(event);
}

static void close_all(struct pg_conn *conn)
{
	timer_stop(&conn->timer);
	for (int i = 0; i < conn->n_lookups; i++)
		op_cancel(&conn->lookups[i].pending);
	unwatch(&conn->readable);
	unwatch(&conn->writable);
	PQfinish(conn->pq);
	conn->pq = NULL;
}

static void on_rested(void *arg)
{
	resolve(arg);
}

static void rest(struct pg_conn *conn)
{
	msec wait = REST_MOST_MS;

	if (conn->failures < 3)
		wait = (msec)REST_FIRST_MS << conn->failures;
	conn->failures++;
	conn->state = CONN_RESTING;
	timer_start(&conn->timer, random_jitter(wait), on_rested, conn);
}

/* The owner is told last: it may destroy the connection. */
void pg_conn_fail(struct pg_conn *conn, const char *why)
{
	bool was_up = is_up(conn);
	char *said = pg_conn_redact(conn, conn->parting != NULL ? conn->parting : why);

	if (was_up && (conn->served || clock_ms() - conn->opened_at >= STEADY_MS))
		conn->failures = 0;
	close_all(conn);
	free(conn->parting);
	conn->parting = NULL;
	free(conn->why);
	conn->why = said;
	rest(conn);
	conn->owner->down(conn->arg, said, was_up);
}

/* --- resolve ----------------------------------------------------------------------- */

static void add_place(struct pg_conn *conn, const struct pg_target *target,
                      const struct sockaddr_storage *address)
{
	struct pg_place *place = &conn->places[conn->n_places];

	if (conn->n_places == PG_MAX_PLACES)
		return;
	*place = (struct pg_place){.target = target};
	if (address == NULL ||
	    getnameinfo((const struct sockaddr *)address, sizeof(*address),
	                place->address, sizeof(place->address), NULL, 0,
	                NI_NUMERICHOST) == 0)
		conn->n_places++;
}

static bool resolving(const struct pg_conn *conn)
{
	for (int i = 0; i < conn->n_lookups; i++)
		if (conn->lookups[i].pending != NULL)
			return true;
	return false;
}

static void watch_once(struct pg_conn *conn, short what)
{
	event_assign(&conn->readable, loop_base(), PQsocket(conn->pq), what, on_progress,
	             conn);
	event_add(&conn->readable, NULL);
}

static void on_notice(void *arg, const PGresult *notice)
{
	struct pg_conn *conn = arg;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *primary = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
	char *text = pg_conn_redact(conn, primary != NULL ? primary : "");

	log_debug("postgres", "%s: the server notes: %s", conn->name, text);
	if (severity != NULL && strcmp(severity, "FATAL") == 0) {
		free(conn->parting);
		conn->parting = text;
		return;
	}
	free(text);
}

static void connect_places(struct pg_conn *conn)
{
	conn->state = CONN_CONNECTING;
	conn->first %= conn->n_places;
	conn->pq = pg_url_connect(conn->options, conn->name, conn->places, conn->n_places,
	                          conn->first);
	if (conn->pq == NULL)
		abort(); /* libpq is out of memory */
	if (PQstatus(conn->pq) == CONNECTION_BAD || PQsocket(conn->pq) < 0) {
		pg_conn_fail(conn, PQerrorMessage(conn->pq));
		return;
	}
	PQsetNoticeReceiver(conn->pq, on_notice, conn);
	watch_once(conn, EV_WRITE);
}

static void on_resolved(void *arg, enum status s,
                        const struct sockaddr_storage *addresses, int n)
{
	struct lookup *lookup = arg;
	struct pg_conn *conn = lookup->conn;
	char *why;

	for (int i = 0; s == STATUS_OK && i < n; i++)
		add_place(conn, &lookup->target, &addresses[i]);
	if (resolving(conn))
		return;
	if (conn->n_places > 0) {
		connect_places(conn);
		return;
	}
	why = mem_format("host name \"%s\" not resolved", lookup->target.host);
	pg_conn_fail(conn, why);
	free(why);
}

static void on_too_slow(void *arg)
{
	struct pg_conn *conn = arg;
	char *why;

	if (conn->state == CONN_CONNECTING) {
		why = mem_format("%s does not answer within 5 s",
		                 conn->places[conn->first].target->host);
		conn->first++;
	} else {
		why = mem_string("host names are not resolved within 5 s");
	}
	pg_conn_fail(conn, why);
	free(why);
}

/* Hosts that need no name service are there at once. */
static void resolve(struct pg_conn *conn)
{
	conn->state = CONN_RESOLVING;
	conn->n_places = 0;
	timer_start(&conn->timer, CONNECT_MS, on_too_slow, conn);
	for (int i = 0; i < conn->n_lookups; i++) {
		struct lookup *lookup = &conn->lookups[i];

		if (!lookup->target.by_name)
			add_place(conn, &lookup->target, NULL);
		else
			dns_resolve(lookup->target.host, on_resolved, lookup,
			            &lookup->pending);
	}
	if (!resolving(conn))
		connect_places(conn);
}

/* --- connect ----------------------------------------------------------------------- */

static void opened(struct pg_conn *conn)
{
	int fd = PQsocket(conn->pq);

	timer_stop(&conn->timer);
	if (PQsetnonblocking(conn->pq, 1) != 0 || PQenterPipelineMode(conn->pq) != 1) {
		pg_conn_fail(conn, PQerrorMessage(conn->pq));
		return;
	}
	event_assign(&conn->readable, loop_base(), fd, EV_READ | EV_PERSIST, on_io, conn);
	event_assign(&conn->writable, loop_base(), fd, EV_WRITE | EV_PERSIST, on_io,
	             conn);
	event_add(&conn->readable, NULL);
	conn->state = CONN_IDLE;
	conn->served = false;
	conn->opened_at = clock_ms();
	log_info("postgres", "%s: connected to %s, port %s, version %d, pid %d",
	         conn->name, PQhost(conn->pq), PQport(conn->pq),
	         PQserverVersion(conn->pq) / 10000, PQbackendPID(conn->pq));
	conn->owner->up(conn->arg);
}

static void on_progress(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *conn = arg;

	(void)fd;
	(void)what;
	switch (PQconnectPoll(conn->pq)) {
	case PGRES_POLLING_READING:
		watch_once(conn, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch_once(conn, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		opened(conn);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
	default:
		pg_conn_fail(conn, PQerrorMessage(conn->pq));
		break;
	}
}

/* --- idle and busy ----------------------------------------------------------------- */

static void on_silence(void *arg)
{
	pg_conn_fail(arg, "the server is silent");
}

static bool flush(struct pg_conn *conn)
{
	int left = PQflush(conn->pq);

	if (left == 1)
		event_add(&conn->writable, NULL);
	else
		event_del(&conn->writable);
	return left >= 0;
}

/* What OpenSSL has already read does not make the socket readable. */
static bool read_all(PGconn *pq)
{
	SSL *tls = PQsslStruct(pq, "OpenSSL");

	do {
		if (PQconsumeInput(pq) != 1)
			return false;
	} while (tls != NULL && SSL_pending(tls) > 0);
	return true;
}

/* What arrived before the connection broke still counts: the owner looks first. */
static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *conn = arg;
	bool alive = true;

	(void)fd;
	if (conn->state == CONN_BUSY)
		timer_start(&conn->timer, conn->silence, on_silence, conn);
	if ((what & EV_READ) != 0)
		alive = read_all(conn->pq);
	alive = alive && flush(conn);
	if (conn->owner->input(conn->arg) && !alive)
		pg_conn_fail(conn, PQerrorMessage(conn->pq));
}

bool pg_conn_busy(struct pg_conn *conn)
{
	conn->state = CONN_BUSY;
	timer_start(&conn->timer, conn->silence, on_silence, conn);
	if (flush(conn))
		return true;
	pg_conn_fail(conn, PQerrorMessage(conn->pq));
	return false;
}

void pg_conn_idle(struct pg_conn *conn)
{
	conn->state = CONN_IDLE;
	conn->served = true;
	timer_stop(&conn->timer);
}

/* --- begin and end ----------------------------------------------------------------- */

struct pg_conn *pg_conn_create(const char *url, const char *name,
                               const struct pg_conn_owner *owner, void *arg)
{
	struct pg_conn *conn = mem_new(struct pg_conn);
	struct pg_target targets[PG_MAX_HOSTS];
	char *wrong;

	conn->name = mem_string(name);
	conn->owner = owner;
	conn->arg = arg;
	conn->options = pg_url_parse(url, &wrong);
	if (conn->options == NULL)
		abort(); /* whoever reads the settings has asked pg_check_url() */
	conn->n_lookups = pg_url_targets(conn->options, targets);
	for (int i = 0; i < conn->n_lookups; i++)
		conn->lookups[i] = (struct lookup){.conn = conn, .target = targets[i]};
	conn->silence = pg_url_sets_timeout(conn->options) ? SILENCE_OWN_MS : SILENCE_MS;
	return conn;
}

void pg_conn_start(struct pg_conn *conn)
{
	conn->state = CONN_RESTING;
	timer_start(&conn->timer, 0, on_rested, conn);
}

void pg_conn_destroy(struct pg_conn **conn)
{
	struct pg_conn *old = *conn;

	*conn = NULL;
	if (old == NULL)
		return;
	close_all(old);
	for (int i = 0; i < old->n_lookups; i++) {
		free(old->lookups[i].target.host);
		free(old->lookups[i].target.port);
	}
	PQconninfoFree(old->options);
	free(old->parting);
	free(old->why);
	free(old->name);
	free(old);
}
