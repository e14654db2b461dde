/* core/healthcheck.c - `chromatid healthcheck --alive`, for containers without curl. It
 * runs in a process of its own, so it may block. */
#include "core/healthcheck.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_SECONDS 3
#define DEFAULT_PORT 8000

static int connect_here(void)
{
	const char *port = getenv("PORT");
	struct timeval limit = {.tv_sec = TIMEOUT_SECONDS};
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port =
	        htons((uint16_t)(port != NULL ? strtol(port, NULL, 10) : DEFAULT_PORT));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static size_t ask(int fd, char *answer, size_t room)
{
	static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
	                              "Connection: close\r\n\r\n";
	size_t len = 0;
	ssize_t n;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		return 0;
	while (len + 1 < room && (n = recv(fd, answer + len, room - len - 1, 0)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	return len;
}

int healthcheck_run(void)
{
	char answer[4096] = "";
	const char *body;
	int fd = connect_here();

	if (fd < 0) {
		puts("not reachable");
		return 1;
	}
	ask(fd, answer, sizeof(answer));
	close(fd);
	body = strstr(answer, "\r\n\r\n");
	puts(body != NULL ? body + 4 : "no answer");
	return strncmp(answer, "HTTP/1.1 200 ", 13) == 0 ? 0 : 1;
}
