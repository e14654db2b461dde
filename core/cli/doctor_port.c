/* core/cli/doctor_port.c - the port of the proxy: free, or our proxy runs there, and then
 * it is asked how it is. Whether an instance takes writes can only be said by who writes:
 * the proxy does, a doctor does not. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cli/doctor.h"

#define OURS "ChromaDB Load Balancer"

/* 0, or an errno: bound for a moment, and let go. */
static int try_port(int port)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
	                               .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;
	const int on = 1;

	if (fd < 0)
		return errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		error = errno;
	close(fd);
	return error;
}

static void look_at_free_port(struct doctor *d)
{
	int error = d->conf.listen == NULL ? try_port(d->conf.port) : 0;

	if (error != 0)
		doctor_find(d, FINDING_WRONG, "proxy",
		            "Set PORT to one that is free and that this user may use",
		            "no proxy answers, and port %d cannot be used: %s",
		            d->conf.port, strerror(error));
	else
		doctor_find(d, FINDING_NOTE, "proxy", NULL,
		            "none runs here; its port can be used. Whether the instances "
		            "take "
		            "writes is seen once it runs");
}

static void look_at_status(struct doctor *d, const json_t *status)
{
	json_t *reasons = health_reasons(status);
	const json_t *reason;
	size_t k;

	doctor_find(d, FINDING_GOOD, "proxy", NULL, "it runs, version %s",
	            json_text_of(status, "version"));
	json_array_foreach(reasons, k, reason)
	{
		doctor_find(d, FINDING_WRONG, "proxy",
		            "OPERATIONS.md says what to do about it", "%s",
		            json_string_value(reason));
	}
	if (json_array_size(reasons) == 0)
		doctor_find(d, FINDING_GOOD, "proxy", NULL,
		            "all is well, the instances take writes");
	json_decref(reasons);
}

void doctor_port(struct doctor *d)
{
	struct answer a;
	bool good = ask("GET", "/status", NULL, &a);
	json_t *status = good ? answer_json(&a) : NULL;

	if (a.status != STATUS_OK)
		look_at_free_port(d);
	else if (strstr(json_text_of(status, "service"), OURS) != NULL)
		look_at_status(d, status);
	else if (a.http == 401 || a.http == 403)
		doctor_find(d, FINDING_NOTE, "proxy", NULL,
		            "something runs there that wants a token (CHROMATID_TOKEN)");
	else
		doctor_find(d, FINDING_WRONG, "proxy",
		            "Set PORT to one that is free, or end what runs there",
		            "something else than a proxy of ours answers at its port "
		            "(HTTP %d)",
		            a.http);
	json_decref(status);
	answer_clear(&a);
}
