/* core/tls.c - the client's side of TLS, on non-blocking sockets. */
#include "core/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static char *last_error(const char *otherwise)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	return mem_string(reason != NULL ? reason : otherwise);
}

static bool load_roots(SSL_CTX *context, const char *ca_file)
{
	if (ca_file == NULL)
		return SSL_CTX_set_default_verify_paths(context) == 1;
	return SSL_CTX_load_verify_file(context, ca_file) == 1;
}

SSL_CTX *tls_context(const char *ca_file, char **why)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	SSL_CTX *context;

	ERR_clear_error();
	context = SSL_CTX_new(TLS_client_method());
	if (context == NULL || !load_roots(context, ca_file)) {
		*why = last_error("the CA certificates cannot be read");
		SSL_CTX_free(context);
		ERR_clear_error();
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1);
	return context;
}

static bool is_ip_literal(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 ||
	       inet_pton(AF_INET6, host, address) == 1;
}

/* OpenSSL's macro wants a char * although it only copies. */
static bool announce_host(SSL *ssl, const char *host)
{
	char *name = mem_string(host);
	bool good = SSL_set_tlsext_host_name(ssl, name) == 1;

	free(name);
	return good;
}

static bool expect_host(SSL *ssl, const char *host)
{
	if (is_ip_literal(host)) /* SNI knows names only */
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && announce_host(ssl, host);
}

SSL *tls_open(SSL_CTX *context, int fd, const char *host)
{
	SSL *ssl = SSL_new(context);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || !expect_host(ssl, host)) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

static int outcome(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return WIRE_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return WIRE_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return WIRE_CLOSED;
	default:
		return WIRE_BROKEN;
	}
}

int tls_handshake(SSL *ssl)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(ssl);
	return result == 1 ? 1 : outcome(ssl, result);
}

ssize_t tls_read(SSL *ssl, void *to, size_t room)
{
	size_t n = 0;
	int result;

	ERR_clear_error();
	result = SSL_read_ex(ssl, to, room, &n);
	return result == 1 ? (ssize_t)n : outcome(ssl, result);
}

ssize_t tls_write(SSL *ssl, const void *bytes, size_t len)
{
	size_t n = 0;
	int result;

	assert(len > 0);
	ERR_clear_error();
	result = SSL_write_ex(ssl, bytes, len, &n);
	return result == 1 ? (ssize_t)n : outcome(ssl, result);
}

char *tls_trouble(SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);

	if (verdict != X509_V_OK)
		return mem_string(X509_verify_cert_error_string(verdict));
	return last_error("the connection was closed during the handshake");
}

void tls_close(SSL **ssl)
{
	SSL *old = *ssl;

	*ssl = NULL;
	if (old == NULL)
		return;
	ERR_clear_error();
	if (SSL_is_init_finished(old))
		SSL_shutdown(old);
	SSL_free(old);
	ERR_clear_error();
}
