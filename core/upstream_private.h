/* core/upstream_private.h - what the files of the HTTP client share.
 *
 *	upstream.c          the endpoint: its pool of connections, who waits for one
 *	upstream_call.c     one call: its deadline, its one end, its receiver
 *	upstream_connect.c  one connection, until it is there
 *	upstream_conn.c     ... at work: send, receive, reuse or close
 *	upstream_reply.c    bytes of a connection -> head and body of a call
 *	upstream_url.c      what the URL says
 *
 * A call works on at most one connection, a connection for at most one call; upcall.conn
 * and upconn.call are set and cleared together, in upstream_conn.c. */
#ifndef CORE_UPSTREAM_PRIVATE_H
#define CORE_UPSTREAM_PRIVATE_H

#include <event2/buffer.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "core/body.h"
#include "core/head.h"
#include "core/text.h"
#include "core/upstream.h"

#define UPSTREAM_HOLD_MAX ((size_t)256 * 1024) /* a receiver may hold back that much */

/* ---- upstream_url.c ---- */

struct upstream_address {
	bool tls;
	char *host;      /* as for a look-up: without brackets */
	char *authority; /* host:port, as for the Host field */
	uint16_t port;
};

/* NULL if the URL is good, else what is wrong (freed by the caller). */
char *upstream_address_parse(struct upstream_address *address, const char *url);
void upstream_address_clear(struct upstream_address *address);

/* ---- upstream.c ---- */

struct upconn;
struct upcall;

struct upstream {
	struct upstream_address address;
	char *url;
	unsigned max_connections;
	msec connect_timeout, idle_timeout;
	char *auth_header, *auth_value;
	SSL_CTX *tls; /* NULL: plain, or tls_trouble says why not */
	char *tls_trouble;
	TAILQ_HEAD(upconns, upconn) idle;              /* the last used first */
	TAILQ_HEAD(upcall_list, upcall) waiting, open; /* who waits is open as well */
	struct timer sweep; /* closes what is idle for too long */
	struct upstream_figures figures;
};

/* Gets the call a connection, or queues it. */
void upstream_place(struct upstream *up, struct upcall *call);
/* A connection is free again, or gone: those who wait may go on. */
void upstream_fill(struct upstream *up);
void upstream_sweep_later(struct upstream *up);

/* ---- upstream_call.c ---- */

struct upcall {
	struct op op;
	struct upstream *up; /* NULL once ended */
	struct upconn *conn; /* NULL: waits, has all of its reply, or has ended */
	bool waiting;
	TAILQ_ENTRY(upcall) link, wait_link;

	char method[16];
	struct text request; /* the head as it is sent, then possibly a small body */
	struct blob *content;
	size_t written; /* of both, on the current connection */
	bool sent;
	bool repeatable, alone;
	msec timeout;
	struct timer deadline;

	struct text head_bytes; /* a head that came in pieces */
	size_t head_scanned;
	unsigned interim; /* 1xx heads so far */
	bool began;       /* there has been some byte of a reply */
	bool has_head;
	struct reply_head head;
	struct body body;
	size_t max_reply;

	upstream_fn *done; /* for a whole reply ... */
	struct text whole;
	const struct upstream_receiver *receiver; /* ... or piece by piece */
	struct evbuffer *pieces;
	bool told_head, complete;
	msec progress; /* when there last was some */
	struct timer offer;
	void *arg;

	struct reply reply;
	char *detail;
};

/* The one way a call ends. `detail` may be NULL. The connection is detached before. */
void upcall_end(struct upcall *call, enum status status, const char *detail);
/* Hands on what has come so far; the call may be cancelled, and the endpoint be gone,
 * when this returns. */
void upcall_offer(struct upcall *call);
/* The whole reply is there, and the connection already serves somebody else. */
void upcall_complete(struct upcall *call);
bool upcall_holds_back(const struct upcall *call);

/* ---- upstream_reply.c ---- */

enum upreply {
	UPREPLY_MORE,
	UPREPLY_COMPLETE,
	UPREPLY_NOT_UNDERSTOOD,
	UPREPLY_TOO_LARGE
};

/* Takes bytes off the connection; *leftover: there were more than the reply has. */
enum upreply upreply_take(struct upcall *call, const char *bytes, size_t len,
                          bool *leftover);
/* Where to read the next bytes to without a detour, NULL if that is not known. Bytes
 * read there are reported with upreply_placed(). */
char *upreply_place(struct upcall *call, size_t *room);
void upreply_placed(struct upcall *call, char *place, size_t len);
/* The instance has closed the connection. */
bool upreply_complete_at_close(const struct upcall *call);

/* ---- upstream_conn.c ---- */

enum upconn_state {
	UPCONN_RESOLVING,
	UPCONN_CONNECTING,
	UPCONN_HANDSHAKE,
	UPCONN_BUSY,
	UPCONN_IDLE,
	UPCONN_CLOSED,
};

struct upconn {
	struct upstream *up;
	struct upcall *call; /* NULL: idle */
	enum upconn_state state;
	bool pooled;
	bool reused;
	bool running;      /* one of its events is on the stack: freed after that */
	bool paused;       /* not read from: the receiver is slow */
	bool write_failed; /* nothing more to be sent; a reply may still be there */
	TAILQ_ENTRY(upconn) link; /* while idle */

	struct op *look_up;
	struct sockaddr_storage *addresses;
	int n_addresses, next_address;
	msec connect_by, born, idle_since;
	struct timer patience; /* of the step to the connection */

	int fd;
	SSL *ssl;
	struct event readable, writable;
	bool wants_write;
};

void upconn_close_socket(struct upconn *c);
void upconn_watch(struct upconn *c); /* its new socket */
void upconn_want_write(struct upconn *c, bool wanted);
/* The connection ended under its call, before it or in the middle. */
void upconn_fail(struct upconn *c, enum status status, const char *detail);

/* Nothing has come on this idle connection, not even its end. */
bool upconn_is_quiet(struct upconn *c);
void upconn_take(struct upconn *c, struct upcall *call);
/* Lets go of the call, which goes on or is ended by the caller. */
void upconn_close(struct upconn *c);
/* The receiver has made room. */
void upconn_read_on(struct upconn *c);

/* ---- upstream_connect.c ---- */

/* A fresh connection for a call. */
void upconn_open(struct upstream *up, struct upcall *call);
void upconn_on_connect(struct upconn *c); /* its socket can be written */
void upconn_handshake(struct upconn *c);

#endif
