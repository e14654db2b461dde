/* http/server.h - the client's side: connections in, whole requests up, answers down.
 *
 * libevhtp lives behind this header (gate.c) and nowhere else; it never sees a raw
 * network byte.
 *
 * A request goes through these steps:
 *   on_head       the head is there and sound: take it, or refuse it before its body
 *   on_request    the body is there too: an answer is owed from now on
 *   client_...    exactly one of: client_reply(), or client_begin() + client_send()* +
 *                 client_end(), or client_abort() - at once or later
 * The client may leave at any moment: on_gone is then told, once, and the struct client
 * must not be used any more. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blob.h"
#include "core/clock.h"
#include "core/head.h"
#include "core/status.h"

struct client;
struct evbuffer;

/* A complete answer given instead of reading (more of) the body. The connection is
 * closed after it if a body was on its way. Filled by the handler; the server clears. */
struct refusal {
	int http;
	struct headers headers;
	struct blob *body;
};

struct server_handler {
	/* true: read the body (of at most *max_body bytes, preset to the server's limit);
	 * false: `out` is the answer. */
	bool (*on_head)(const struct client *client, const struct request_head *head,
	                size_t *max_body, struct refusal *out);
	/* The body turned out (declared or chunked) to be more than that. */
	void (*on_too_large)(const struct request_head *head, struct refusal *out);
	/* In the middle of the body it turned out that all of them are too much. */
	void (*on_no_room)(const struct request_head *head, struct refusal *out);
	/* A request that could not be understood: http is 400, 408, 414, 431, 501 or 505.
	 */
	void (*on_malformed)(int http, struct refusal *out);
	/* Whatever is answered in one of these ways is about to be sent. The head has no
	 * target if it was not understood. NULL: nobody wants to know. */
	void (*on_refused)(const struct client *client, const struct request_head *head,
	                   struct refusal *out);
	/* `head` stays valid as long as `client`; take a reference to `body` to keep it.
	 */
	void (*on_request)(struct client *client, const struct request_head *head,
	                   struct blob *body);
	/* The client has left; `arg` as set by client_watch(). */
	void (*on_gone)(void *arg);
	/* After client_send() had returned false: what waits has drained; send again. */
	void (*on_drained)(void *arg);
};

struct server_options {
	const char
	        *listen; /* NULL: every address, IPv6 and IPv4; or host:port, [v6]:port */
	int port;        /* 0: any free one, see server_port() */
	size_t max_body;
	size_t max_held;   /* by all bodies and answers together; 0: no limit. Clients
	                      wait with their bodies before it is reached: pressure.c */
	msec idle_timeout; /* between requests */
	msec head_timeout; /* from the first byte of a head to its end */
	unsigned max_clients;
	const struct server_handler *handler; /* static const */
};

/* NULL if it listens, else why not (freed by the caller). */
char *server_start(const struct server_options *options);
int server_port(void);
/* All connections are closed after their answer. Where clients can go elsewhere, idle
 * ones may send a last request here for so long, and the port is closed at once: what
 * stands in front of us finds the other proxy. With 0 idle ones are closed, and the port
 * stays open: who watches us should hear that we are going, and not that we are gone. */
void server_drain(msec last);
bool server_awaits_last(void);     /* some may, still; not those who came since */
unsigned server_connections(void); /* open ones */
unsigned server_active(void);      /* with a request whose answer is not complete */
size_t server_body_bytes(void);    /* of bodies being read: what has come so far */
size_t server_reply_bytes(void);   /* of answers in pieces that wait for their clients */
/* Both, and all blobs. For on_head, to refuse what would be too much at a time. */
size_t server_held_bytes(void);
uint64_t server_pressure_events(
        void); /* how often that became so much that clients wait */
/* Closes everything at once, frees everything. Not from inside a handler's function. */
void server_stop(void);

void client_watch(struct client *c, void *arg); /* what on_gone and on_drained are told */
bool client_is_loopback(const struct client *c);
bool client_is_late(const struct client *c);        /* it came behind server_drain() */
const char *client_address(const struct client *c); /* "127.0.0.1" */

/* A whole answer. `headers` are end-to-end ones (may be NULL); Content-Length, Date and
 * Connection are ours. For HEAD requests the body is counted, not sent. `c` is over. */
void client_reply(struct client *c, int http, const struct headers *headers,
                  struct blob *body);
/* An answer in pieces: of `length` bytes, or chunked (to HTTP/1.0: until close) if -1. */
void client_begin(struct client *c, int http, const struct headers *headers,
                  int64_t length);
/* Moves bytes out of `data` (all of them). False: enough waits for this client now; go
 * on after on_drained. */
bool client_send(struct client *c, struct evbuffer *data);
void client_end(struct client *c); /* `c` is over */
/* Cuts the connection so that the client sees a broken answer, never a short one that
 * looks whole. `c` is over. */
void client_abort(struct client *c);

#endif
