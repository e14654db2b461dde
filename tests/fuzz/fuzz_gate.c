/* tests/fuzz/fuzz_gate.c - any bytes, on a real connection, through gate and libevhtp.
 *
 * The same bytes are sent twice: at once, and in segments whose lengths come from the
 * input's first byte. However they are cut, the same requests with the same bodies must
 * come up, and nothing may stay behind. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/text.h"
#include "http/server.h"

#define MAX_INPUT 30000u /* below the limits that depend on how much comes at once */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct text told;

static bool on_head(const struct client *client, const struct request_head *head,
                    size_t *max_body, struct refusal *out)
{
	(void)client;
	*max_body = 100;
	out->http = 403;
	return head->target[1] != 'r';
}

static void on_too_large(const struct request_head *head, struct refusal *out)
{
	text_addf(&told, "too large %s\n", head->target);
	out->http = 413;
}

/* There is no limit that it could be told for. */
static void on_no_room(const struct request_head *head, struct refusal *out)
{
	(void)head;
	(void)out;
	abort();
}

/* Which number may depend on how much of the head is there. */
static void on_malformed(int http, struct refusal *out)
{
	text_adds(&told, "malformed\n");
	out->http = http;
}

static void on_request(struct client *client, const struct request_head *head,
                       struct blob *body)
{
	text_addf(&told, "%s %s %zu ", head->method, head->target, head->headers.count);
	text_add(&told, blob_bytes(body), blob_len(body));
	text_addc(&told, '\n');
	client_reply(client, 200, NULL, body);
}

static void on_told(void *arg)
{
	(void)arg;
	abort(); /* every answer is given at once */
}

static const struct server_handler handler = {
        .on_head = on_head,
        .on_too_large = on_too_large,
        .on_no_room = on_no_room,
        .on_malformed = on_malformed,
        .on_request = on_request,
        .on_gone = on_told,
        .on_drained = on_told,
};

static void start_once(void)
{
	static bool started;
	struct server_options options = {.listen = "127.0.0.1",
	                                 .max_body = 100,
	                                 .idle_timeout = 60000,
	                                 .head_timeout = 60000,
	                                 .max_clients = 16,
	                                 .handler = &handler};

	if (started)
		return;
	started = true;
	loop_start();
	if (server_start(&options) != NULL)
		abort();
}

static void turn(void)
{
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)server_port()),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct linger reset = {.l_onoff = 1}; /* leaves no TIME_WAIT behind */
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const void *)&to, sizeof(to)) != 0)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	while (server_connections() == 0)
		turn();
	return fd;
}

static void send_in_segments(const uint8_t *bytes, size_t len, unsigned seed)
{
	static char ignored[65536];
	int fd = dial();

	while (len > 0 && server_connections() > 0) {
		size_t n = seed == 0 ? len : 1 + seed % 23;

		seed = seed * 5 % 251;
		n = n < len ? n : len;
		send(fd, bytes, n, MSG_NOSIGNAL);
		bytes += n;
		len -= n;
		turn();
		turn();
		recv(fd, ignored, sizeof(ignored), MSG_DONTWAIT);
	}
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 100 && server_connections() > 0; i++)
		turn();
	close(fd); /* a server that lingers sees it go */
	while (server_connections() > 0)
		turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct text at_once;

	if (len < 2 || len > MAX_INPUT)
		return 0;
	start_once();
	send_in_segments(bytes + 1, len - 1, 0);
	at_once = told;
	told = (struct text){0};
	send_in_segments(bytes + 1, len - 1, 1 + bytes[0] % 250u);
	if (strcmp(text_string(&at_once), text_string(&told)) != 0 ||
	    server_active() != 0 || server_held_bytes() != 0) {
		fprintf(stderr, "at once:\n%sin segments:\n%s", text_string(&at_once),
		        text_string(&told));
		abort();
	}
	text_clear(&at_once);
	text_clear(&told);
	return 0;
}
