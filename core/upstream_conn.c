/* core/upstream_conn.c - one connection to an instance, at work.
 *
 * The happy path:
 *   upconn_open    (upstream_connect.c) leads to a connection
 *   upconn_take    a call has it now
 *   send_request   head and body in one piece; what the kernel does not take goes out
 *                  when it can be written
 *   receive        bytes to the reply until it is complete; reading is armed all the time
 *   finish         the connection rests in the pool, or is closed; the call goes on
 *
 * When it does not go well:
 *   - bytes or the end come while the connection rests: it is closed
 *   - a reused connection ends without a byte of reply: it had been closed at the other
 *     end when we took it. The call is sent again, once, on a fresh one
 *   - the instance answers before it has all of the request: the reply counts, the
 *     connection is closed after it
 *   - it cannot be written any more: the reply may still be there to be read
 *   - the receiver is slow: not read from until upconn_read_on()
 *
 * A receiver called from here may cancel its call, or destroy the endpoint. Whoever has
 * called one touches the connection again only if it still serves that call. */
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/tls.h"
#include "core/upstream_private.h"

#define READ_SIZE ((size_t)64 * 1024)
#define TURN_BYTES ((size_t)1024 * 1024) /* then others have their turn */
#define MAX_AGE ((msec)5 * 60 * 1000)    /* names may mean other addresses by then */

/* ---- the end of a connection ---- */

static struct upcall *detach(struct upconn *c)
{
	struct upcall *call = c->call;

	c->call = NULL;
	if (call != NULL)
		call->conn = NULL;
	return call;
}

void upconn_close_socket(struct upconn *c)
{
	if (c->fd < 0)
		return;
	event_del(&c->readable);
	event_del(&c->writable);
	c->wants_write = false;
	tls_close(&c->ssl);
	close(c->fd);
	c->fd = -1;
}

static void leave_idle(struct upconn *c)
{
	if (c->state != UPCONN_IDLE)
		return;
	TAILQ_REMOVE(&c->up->idle, c, link);
	c->up->figures.idle--;
}

void upconn_close(struct upconn *c)
{
	assert(c->state != UPCONN_CLOSED);
	detach(c);
	leave_idle(c);
	if (c->pooled)
		c->up->figures.open--;
	op_cancel(&c->look_up);
	timer_stop(&c->patience);
	upconn_close_socket(c);
	free(c->addresses);
	c->state = UPCONN_CLOSED;
	c->up = NULL;
	if (!c->running)
		free(c);
}

/* The connection ended under the call: before it, or in the middle. */
void upconn_fail(struct upconn *c, enum status status, const char *detail)
{
	struct upstream *up = c->up;
	struct upcall *call = c->call;
	bool again = status == STATUS_BROKEN && c->reused && !call->began &&
	             (call->repeatable || !call->sent);

	log_debug("upstream", "%s: %s %s: %s (%s)%s", up->url, call->method,
	          c->reused ? "on a reused connection" : "on a fresh connection",
	          status_text(status), detail, again ? ", once more" : "");
	upconn_close(c);
	if (again) { /* on a fresh one, so it is once */
		upconn_open(up, call);
		return;
	}
	upcall_end(call, status, detail);
	upstream_fill(up);
}

/* ---- sending ---- */

static size_t request_len(const struct upcall *call)
{
	return call->request.len + blob_len(call->content);
}

void upconn_want_write(struct upconn *c, bool wanted)
{
	if (c->wants_write == wanted)
		return;
	c->wants_write = wanted;
	if (wanted)
		event_add(&c->writable, NULL);
	else
		event_del(&c->writable);
}

/* What is to be sent next, as up to two pieces. */
static int pieces_left(const struct upcall *call, struct iovec pieces[2])
{
	size_t head = call->request.len, skip = call->written;
	struct text bytes = call->request;
	const char *body = blob_bytes(call->content);
	size_t body_len = blob_len(call->content);
	int n = 0;

	if (skip < head)
		pieces[n++] = (struct iovec){bytes.s + skip, head - skip};
	skip = skip > head ? skip - head : 0;
	if (skip < body_len) { /* sendmsg() does not write there */
		memcpy(&pieces[n].iov_base, &(const char *){body + skip}, sizeof(void *));
		pieces[n++].iov_len = body_len - skip;
	}
	return n;
}

/* One piece has a quicker way. */
static ssize_t send_pieces(int fd, struct iovec *pieces, int count)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};

	if (count == 1)
		return send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_plain(struct upconn *c)
{
	struct iovec pieces[2];
	int count = pieces_left(c->call, pieces);
	ssize_t n;

	do
		n = send_pieces(c->fd, pieces, count);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? WIRE_WANT_WRITE : WIRE_BROKEN;
	c->call->written += (size_t)n;
	c->call->sent = c->call->sent || n > 0;
	return n;
}

/* Record by record, until the kernel takes no more or it is the others' turn. */
static ssize_t send_tls(struct upconn *c)
{
	struct upcall *call = c->call;
	uint64_t before = BIO_number_written(SSL_get_wbio(c->ssl));
	size_t stop_at = call->written + TURN_BYTES;
	struct iovec pieces[2];
	ssize_t n = 0;

	while (call->written < stop_at && pieces_left(call, pieces) > 0) {
		n = tls_write(c->ssl, pieces[0].iov_base, pieces[0].iov_len);
		if (n <= 0)
			break;
		call->written += (size_t)n;
	}
	if (BIO_number_written(SSL_get_wbio(c->ssl)) != before)
		call->sent = true;
	return n;
}

/* Does not fail: a connection that cannot be written any more may hold a reply, and
 * reading tells if it does not. */
static void send_request(struct upconn *c)
{
	struct upcall *call = c->call;
	ssize_t n;

	if (c->write_failed || call->written == request_len(call)) {
		upconn_want_write(c, false);
		return;
	}
	n = c->ssl != NULL ? send_tls(c) : send_plain(c);
	c->write_failed = n == WIRE_BROKEN || n == WIRE_CLOSED;
	/* WIRE_WANT_READ: the next bytes that come make us try again. */
	upconn_want_write(c, !c->write_failed && n != WIRE_WANT_READ &&
	                             call->written < request_len(call));
}

/* ---- receiving ---- */

static ssize_t receive_some(struct upconn *c, char *to, size_t room)
{
	ssize_t n;

	if (c->ssl != NULL)
		return tls_read(c->ssl, to, room);
	do
		n = recv(c->fd, to, room, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? WIRE_WANT_READ : WIRE_BROKEN;
	return n;
}

static bool has_more_inside(const struct upconn *c)
{
	return c->ssl != NULL && SSL_pending(c->ssl) > 0;
}

bool upconn_is_quiet(struct upconn *c)
{
	char byte;

	return receive_some(c, &byte, 1) == WIRE_WANT_READ;
}

static void rest(struct upconn *c, msec now)
{
	c->state = UPCONN_IDLE;
	c->idle_since = now;
	TAILQ_INSERT_HEAD(&c->up->idle, c, link);
	c->up->figures.idle++;
	upstream_sweep_later(c->up);
}

/* The reply is complete; what is the connection still good for? */
static void finish(struct upconn *c, bool leftover)
{
	struct upstream *up = c->up;
	struct upcall *call = c->call;
	msec now = clock_ms();
	bool reusable = c->pooled && !leftover && call->head.keep_alive &&
	                !c->write_failed && call->written == request_len(call) &&
	                now - c->born < MAX_AGE;

	if (reusable) {
		detach(c);
		rest(c, now);
	} else {
		upconn_close(c);
	}
	upstream_fill(up);
	upcall_complete(call);
}

static void on_close(struct upconn *c, bool orderly)
{
	const struct upcall *call = c->call;

	if (orderly && !c->write_failed && upreply_complete_at_close(call))
		finish(c, true);
	else if (!call->began)
		upconn_fail(c, STATUS_BROKEN, "closed without a reply");
	else if (!call->has_head)
		upconn_fail(c, STATUS_BROKEN, "closed in the middle of the reply's head");
	else
		upconn_fail(c, STATUS_BROKEN, "closed in the middle of the reply's body");
}

/* True if there may be more to receive for the same call. */
static bool go_on_after(struct upconn *c, enum upreply r, bool leftover)
{
	struct upcall *call = c->call;

	switch (r) {
	case UPREPLY_COMPLETE:
		finish(c, leftover);
		return false;
	case UPREPLY_NOT_UNDERSTOOD:
		upconn_fail(c, STATUS_BAD_REPLY, "not HTTP/1.1 as it should be");
		return false;
	case UPREPLY_TOO_LARGE:
		upconn_fail(c, STATUS_TOO_LARGE, "the reply is too large");
		return false;
	case UPREPLY_MORE:
		break;
	}
	upcall_offer(call);
	if (c->call != call)
		return false;
	if (call->pieces != NULL &&
	    evbuffer_get_length(call->pieces) > UPSTREAM_HOLD_MAX) {
		c->paused = true;
		event_del(&c->readable);
	}
	return !c->paused;
}

/* *n: bytes received, or WIRE_...; *full: there may well be more at once. */
static bool receive_once(struct upconn *c, ssize_t *n, bool *full)
{
	static char common[READ_SIZE]; /* one loop, one reader at a time */
	struct upcall *call = c->call;
	size_t room = sizeof(common);
	char *place = upreply_place(call, &room);
	enum upreply r = UPREPLY_MORE;
	bool leftover = false;

	*n = receive_some(c, place != NULL ? place : common, room);
	*full = *n == (ssize_t)room;
	if (*n == WIRE_CLOSED || *n == WIRE_BROKEN)
		on_close(c, *n == WIRE_CLOSED);
	if (*n <= 0)
		return false;
	if (place != NULL)
		upreply_placed(call, place, (size_t)*n);
	else
		r = upreply_take(call, common, (size_t)*n, &leftover);
	return go_on_after(c, r, leftover);
}

static void receive(struct upconn *c)
{
	size_t taken = 0;
	bool full = true;
	ssize_t n;

	/* A short read has emptied the socket; what TLS holds inside wakes nobody. */
	while (receive_once(c, &n, &full)) {
		taken += (size_t)n;
		if (has_more_inside(c))
			continue;
		if (taken >= TURN_BYTES || (c->ssl == NULL && !full))
			return;
	}
}

void upconn_read_on(struct upconn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	event_add(&c->readable, NULL);
	if (!has_more_inside(c))
		return;
	assert(!c->running);
	c->running = true;
	receive(c);
	c->running = false;
	if (c->state == UPCONN_CLOSED)
		free(c);
}

/* ---- at work ---- */

void upconn_take(struct upconn *c, struct upcall *call)
{
	assert(c->call == NULL && call->conn == NULL);
	c->reused = c->state == UPCONN_IDLE;
	leave_idle(c);
	c->state = UPCONN_BUSY;
	c->call = call;
	call->conn = c;
	call->written = 0;
	send_request(c);
}

/* ---- the one entrance from the loop ---- */

static void on_busy(struct upconn *c, short what)
{
	/* Under TLS either direction may have to wait for the other. */
	if ((what & EV_WRITE) || c->ssl != NULL)
		send_request(c);
	if (!c->paused && ((what & EV_READ) || c->ssl != NULL))
		receive(c);
}

static void work(struct upconn *c, short what)
{
	c->running = true;
	if (c->state == UPCONN_CONNECTING)
		upconn_on_connect(c);
	else if (c->state == UPCONN_HANDSHAKE)
		upconn_handshake(c);
	else
		on_busy(c, what);
	c->running = false;
	if (c->state == UPCONN_CLOSED)
		free(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct upconn *c = arg;

	(void)fd;
	if (c->state != UPCONN_IDLE)
		work(c, what);
	else if (!upconn_is_quiet(c))
		upconn_close(c);
}

void upconn_watch(struct upconn *c)
{
	event_assign(&c->readable, loop_base(), c->fd, EV_READ | EV_PERSIST, on_event, c);
	event_assign(&c->writable, loop_base(), c->fd, EV_WRITE | EV_PERSIST, on_event,
	             c);
}
