/* tests/unit/core/test_upstream_tls.c - calls over TLS, to a server in a process of its
 * own with a certificate made on the spot for good.test and 127.0.0.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <event2/dns.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/core/instance.h"

static struct upstream *up;
static char ca_file[] = "/tmp/test_upstream_tls_XXXXXX";
static EVP_PKEY *ca_key, *key;
static X509 *ca, *certificate;
static pid_t server;
static uint16_t port;

/* Names of our own, and nobody to ask for others. */
int evdns_base_resolv_conf_parse(struct evdns_base *base, int flags, const char *file)
{
	char path[] = "/tmp/test_upstream_hosts_XXXXXX";
	static const char hosts[] = "127.0.0.1 good.test bad.test\n";
	int fd = mkstemp(path);

	(void)flags;
	(void)file;
	assert_int_equal(write(fd, hosts, sizeof(hosts) - 1), sizeof(hosts) - 1);
	close(fd);
	evdns_base_load_hosts(base, path);
	unlink(path);
	return evdns_base_nameserver_ip_add(base, "127.0.0.1:9");
}

/* ---- certificates ---- */

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;

	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

static X509 *make_certificate(const char *name, EVP_PKEY *own, X509 *issuer, EVP_PKEY *by)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), issuer != NULL ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
	X509_set_pubkey(x, own);
	if (issuer == NULL)
		add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
	else
		add_extension(x, issuer, NID_subject_alt_name,
		              "DNS:good.test,IP:127.0.0.1");
	assert_true(X509_sign(x, by, EVP_sha256()) > 0);
	return x;
}

static int make_certificates(void **state)
{
	FILE *f = fdopen(mkstemp(ca_file), "w");

	(void)state;
	ca_key = EVP_EC_gen("P-256");
	key = EVP_EC_gen("P-256");
	ca = make_certificate("Test CA", ca_key, NULL, ca_key);
	certificate = make_certificate("good.test", key, ca, ca_key);
	PEM_write_X509(f, ca);
	fclose(f);
	return 0;
}

static int drop_certificates(void **state)
{
	(void)state;
	unlink(ca_file);
	X509_free(ca);
	X509_free(certificate);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	return 0;
}

/* ---- the server: blocking, a process per connection ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	assert(len == 9 && memcmp(offered, ours, 9) == 0);
	*out = ours + 1;
	*out_len = 8;
	return SSL_TLSEXT_ERR_OK;
}

static void say(SSL *ssl, const void *bytes, size_t len)
{
	size_t n;

	if (SSL_write_ex(ssl, bytes, len, &n) != 1 || n != len)
		_exit(1);
}

static void answer(SSL *ssl, const struct request_head *h, const char *body)
{
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char out[256];

	if (strcmp(h->target, "/sni") == 0) {
		snprintf(out, sizeof(out), "HTTP/1.0 200 OK\r\n\r\n%s",
		         sni != NULL ? sni : "none");
		say(ssl, out, strlen(out));
		SSL_shutdown(ssl);
		_exit(0);
	}
	if (strcmp(h->target, "/cut-off") == 0) {
		say(ssl, "HTTP/1.0 200 OK\r\n\r\nhalf", 23);
		_exit(0);
	}
	snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
	         (size_t)h->content_length);
	say(ssl, out, strlen(out));
	if (h->content_length > 0)
		say(ssl, body, (size_t)h->content_length);
}

static void serve_requests(SSL *ssl)
{
	size_t room = 32u << 20, len = 0, n, used, scanned;
	char *in = malloc(room);
	struct request_head h;

	while (SSL_read_ex(ssl, in + len, room - len, &n) == 1) {
		len += n;
		scanned = 0;
		if (head_parse_request(in, len, &scanned, &used, &h) != HEAD_COMPLETE)
			continue;
		if (len >= used + h.content_length) {
			answer(ssl, &h, in + used);
			len = 0;
		}
		request_head_clear(&h);
	}
}

static void serve_connection(SSL_CTX *context, int fd)
{
	SSL *ssl = SSL_new(context);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		serve_requests(ssl);
	_exit(0);
}

static void serve(int listener)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int fd;

	signal(SIGCHLD, SIG_IGN);
	alarm(60);
	SSL_CTX_use_certificate(context, certificate);
	SSL_CTX_use_PrivateKey(context, key);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (fork() == 0)
			serve_connection(context, fd);
		close(fd);
	}
	_exit(0);
}

/* ---- the tests ---- */

static int setup(void **state)
{
	int listener = open_listener(&port, 8);

	(void)state;
	fcntl(listener, F_SETFL, 0);
	server = fork();
	if (server == 0)
		serve(listener);
	close(listener);
	loop_start();
	dns_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	upstream_destroy(&up);
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	dns_stop();
	loop_stop();
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	return blob_total() == 0 ? 0 : -1;
}

static void reach(const char *host, uint16_t at, const char *roots)
{
	char url[64];
	struct upstream_options options = {.url = url,
	                                   .max_connections = 2,
	                                   .connect_timeout = 2000,
	                                   .ca_file = roots};

	upstream_destroy(&up);
	snprintf(url, sizeof(url), "https://%s:%u", host, at);
	up = upstream_create(&options);
}

static void call_and_wait(struct caller *c, const char *target, struct blob *body)
{
	const struct call call = {.method = "POST",
	                          .target = target,
	                          .body = body,
	                          .timeout = 9000,
	                          .max_reply = 32u << 20};

	caller_clear(c);
	upstream_call(up, &call, on_reply, c, &c->slot);
	assert_int_equal(c->told, 0);
	assert_true(run_until(&c->told));
}

static void assert_said(const char *host, const char *target, const char *expected)
{
	struct caller c = {0};

	reach(host, port, ca_file);
	call_and_wait(&c, target, NULL);
	assert_string_equal(c.detail, "");
	assert_int_equal(c.status, STATUS_OK);
	assert_true(c.sent);
	assert_true(caller_heard(&c, expected));
	caller_clear(&c);
}

static void assert_failed(const char *host, const char *roots, const char *detail)
{
	struct caller c = {0};

	reach(host, port, roots);
	call_and_wait(&c, "/", NULL);
	assert_int_equal(c.status, STATUS_TLS_FAILED);
	assert_false(c.sent);
	if (strstr(c.detail, detail) == NULL)
		assert_string_equal(c.detail, detail);
	caller_clear(&c);
}

static void a_good_certificate_is_accepted_and_the_name_announced(void **state)
{
	(void)state;
	assert_said("good.test", "/sni", "good.test");
	assert_said("127.0.0.1", "/sni", "none");
}

static void a_certificate_for_another_name_is_refused(void **state)
{
	(void)state;
	assert_failed("bad.test", ca_file, "ostname mismatch");
}

static void a_certificate_of_an_unknown_ca_is_refused(void **state)
{
	(void)state;
	assert_failed("good.test", NULL, "unable to get local issuer certificate");
}

static void roots_that_cannot_be_read_let_nobody_in(void **state)
{
	(void)state;
	assert_failed("good.test", "/nonexistent/ca.pem", "");
}

static void a_connection_is_used_again(void **state)
{
	struct blob *body = blob_create("hello", 5);
	struct caller c = {0};

	(void)state;
	reach("good.test", port, ca_file);
	for (int i = 0; i < 4; i++) {
		call_and_wait(&c, "/", body);
		assert_int_equal(c.status, STATUS_OK);
		assert_true(caller_heard(&c, "hello"));
		run_for(10); /* session tickets that come meanwhile are no reason to close
		              */
	}
	caller_clear(&c);
	assert_int_equal(upstream_figures(up).connects, 1);
	assert_int_equal(upstream_figures(up).reused, 3);
	blob_unref(&body);
}

static void twenty_megabytes_go_both_ways(void **state)
{
	struct blob *body = big_body(20u << 20);
	struct caller c = {0};

	(void)state;
	reach("good.test", port, ca_file);
	for (int i = 0; i < 2; i++) {
		call_and_wait(&c, "/", body);
		assert_int_equal(c.status, STATUS_OK);
		assert_true(same_bytes(c.body, body));
		caller_clear(&c);
	}
	assert_int_equal(upstream_figures(up).connects, 1);
	blob_unref(&body);
}

static void an_end_without_goodbye_is_cut_off(void **state)
{
	struct caller c = {0};

	(void)state;
	reach("good.test", port, ca_file);
	call_and_wait(&c, "/cut-off", NULL);
	assert_int_equal(c.status, STATUS_BROKEN);
	assert_true(c.sent);
	assert_null(c.body);
	caller_clear(&c);
}

/* A stream whose receiver takes nothing for a while: what TLS has read ahead must not be
 * forgotten. */
static struct {
	struct op *slot;
	bool takes;
	size_t taken;
	int ended;
	enum status status;
} rx;

static void on_head(void *arg, struct reply_head *head)
{
	(void)arg;
	assert_int_equal(head->http, 200);
}

static void on_data(void *arg, struct evbuffer *data)
{
	(void)arg;
	if (!rx.takes)
		return;
	rx.taken += evbuffer_get_length(data);
	evbuffer_drain(data, evbuffer_get_length(data));
}

static void on_end(void *arg, const struct reply *reply)
{
	(void)arg;
	rx.ended++;
	rx.status = reply->status;
}

static void a_slow_receiver_gets_everything(void **state)
{
	static const struct upstream_receiver receiver = {on_head, on_data, on_end};
	struct blob *body = big_body(400000);
	const struct call call = {
	        .method = "POST", .target = "/", .body = body, .timeout = 5000};

	(void)state;
	memset(&rx, 0, sizeof(rx));
	reach("good.test", port, ca_file);
	upstream_stream(up, &call, &receiver, NULL, &rx.slot);
	run_for(300);
	assert_int_equal(rx.ended, 0);
	rx.takes = true;
	upstream_resume(rx.slot);
	assert_true(run_until(&rx.ended));
	assert_int_equal(rx.status, STATUS_OK);
	assert_int_equal(rx.taken, 400000);
	blob_unref(&body);
}

static void serve_garbage(struct guest *g, const struct request *r)
{
	(void)g;
	(void)r;
}

static void on_plain_guest(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write(bev, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void plain_http_is_no_tls(void **state)
{
	struct instance plain;
	struct caller c = {0};
	const struct call call = {.method = "GET", .target = "/", .timeout = 5000};

	(void)state;
	instance_start(&plain, serve_garbage);
	reach("127.0.0.1", plain.port, ca_file);
	upstream_call(up, &call, on_reply, &c, &c.slot);
	while (plain.accepted == 0)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	bufferevent_setcb(TAILQ_FIRST(&plain.guests)->bev, on_plain_guest, NULL,
	                  on_guest_gone, TAILQ_FIRST(&plain.guests));
	assert_true(run_until(&c.told));
	assert_int_equal(c.status, STATUS_TLS_FAILED);
	assert_false(c.sent);
	caller_clear(&c);
	run_for(10);
	instance_stop(&plain);
}

static void silence_in_the_handshake_is_timed_out(void **state)
{
	struct upstream_options options = {
	        .max_connections = 2, .connect_timeout = 150, .ca_file = ca_file};
	const struct call call = {.method = "GET", .target = "/", .timeout = 5000};
	struct caller c = {0};
	char url[64];
	uint16_t at;
	int listener = open_listener(&at, 8);

	(void)state;
	snprintf(url, sizeof(url), "https://good.test:%u", at);
	options.url = url;
	up = upstream_create(&options);
	upstream_call(up, &call, on_reply, &c, &c.slot);
	assert_true(run_until(&c.told));
	assert_int_equal(c.status, STATUS_TIMED_OUT);
	assert_false(c.sent);
	caller_clear(&c);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(a_good_certificate_is_accepted_and_the_name_announced),
	        TEST(a_certificate_for_another_name_is_refused),
	        TEST(a_certificate_of_an_unknown_ca_is_refused),
	        TEST(roots_that_cannot_be_read_let_nobody_in),
	        TEST(a_connection_is_used_again),
	        TEST(twenty_megabytes_go_both_ways),
	        TEST(an_end_without_goodbye_is_cut_off),
	        TEST(a_slow_receiver_gets_everything),
	        TEST(plain_http_is_no_tls),
	        TEST(silence_in_the_handshake_is_timed_out),
	};

	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
