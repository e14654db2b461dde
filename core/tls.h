/* core/tls.h - the client's side of TLS, on non-blocking sockets (OpenSSL).
 *
 * TLS 1.2 at least, the peer's certificate and name are always checked, ALPN http/1.1.
 * A connection that ends without close_notify counts as cut off. */
#ifndef CORE_TLS_H
#define CORE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What a step on a socket led to, plain or TLS, when it is not a number of bytes > 0. */
enum {
	WIRE_CLOSED = 0,      /* the peer has closed in an orderly way */
	WIRE_WANT_READ = -1,  /* again when readable */
	WIRE_WANT_WRITE = -2, /* again when writable */
	WIRE_BROKEN = -3,
};

/* ca_file NULL: the system's roots. NULL if they cannot be read; *why is then to be
 * freed. */
SSL_CTX *tls_context(const char *ca_file, char **why);
/* `host` is checked against the certificate, as a name or as an IP address. */
SSL *tls_open(SSL_CTX *context, int fd, const char *host);
/* 1 when done, else WIRE_... */
int tls_handshake(SSL *ssl);
ssize_t tls_read(SSL *ssl, void *to, size_t room);
ssize_t tls_write(SSL *ssl, const void *bytes, size_t len);
/* Why the handshake came to nothing, in words; freed by the caller. */
char *tls_trouble(SSL *ssl);
/* Says goodbye if it can be said at once; takes NULL, sets NULL. */
void tls_close(SSL **ssl);

#endif
