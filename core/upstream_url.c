/* core/upstream_url.c - what the URL of an instance says.
 *
 * host:port, http://host:port, https://host[:port]; an IPv6 address in brackets. Nothing
 * but a slash may follow: paths are the client's. User names and passwords are refused,
 * they have a setting of their own and would otherwise end up in logs. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/upstream_private.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define MAX_HOST 253u

static const char *skip_scheme(const char *url, bool *tls)
{
	*tls = strncasecmp(url, "https://", 8) == 0;
	if (*tls)
		return url + 8;
	return strncasecmp(url, "http://", 7) == 0 ? url + 7 : url;
}

/* The host is at[0..len), *next is what follows. NULL, or what is wrong. */
static const char *take_host(const char **at, size_t *len, const char **next)
{
	if (**at == '[') {
		++*at;
		*len = strspn(*at, DIGITS "abcdefABCDEF:.");
		*next = *at + *len + 1;
		return *len > 0 && (*at)[*len] == ']' ? NULL : "bad IPv6 address";
	}
	*len = strspn(*at, LETTERS DIGITS "-._");
	*next = *at + *len;
	return *len > 0 && *len <= MAX_HOST ? NULL : "no host name";
}

static bool take_port(const char **at, uint16_t *port)
{
	size_t len = strspn(*at, DIGITS);
	unsigned long number = strtoul(*at, NULL, 10);

	if (len == 0 || len > 5 || number == 0 || number > 65535)
		return false;
	*port = (uint16_t)number;
	*at += len;
	return true;
}

static const char *parse(struct upstream_address *a, const char *url)
{
	const char *host = skip_scheme(url, &a->tls), *next, *wrong;
	size_t len;

	if (strchr(host, '@') != NULL)
		return "a user name or password does not belong here";
	if (host == url && strstr(url, "://") != NULL)
		return "only http:// and https:// are understood";
	wrong = take_host(&host, &len, &next);
	if (wrong != NULL)
		return wrong;
	a->port = 443;
	if (*next == ':') {
		next++;
		if (!take_port(&next, &a->port))
			return "bad port";
	} else if (!a->tls) {
		return "no port";
	}
	if (*next != '\0' && strcmp(next, "/") != 0)
		return "nothing may follow host and port";
	a->host = mem_substring(host, len);
	return NULL;
}

char *upstream_address_parse(struct upstream_address *address, const char *url)
{
	const char *wrong;

	*address = (struct upstream_address){0};
	wrong = parse(address, url);
	if (wrong != NULL)
		return mem_string(wrong);
	address->authority =
	        mem_format(strchr(address->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
	                   address->host, address->port);
	return NULL;
}

void upstream_address_clear(struct upstream_address *address)
{
	free(address->host);
	free(address->authority);
	*address = (struct upstream_address){0};
}

char *upstream_check_url(const char *url)
{
	struct upstream_address address;
	char *wrong = upstream_address_parse(&address, url);

	upstream_address_clear(&address);
	return wrong;
}
