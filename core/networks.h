/* core/networks.h - pure: a list of addresses and networks, as TRUSTED_PROXIES has them:
 * "10.0.0.0/8, 192.168.1.5, fd00::/8, ::1". */
#ifndef CORE_NETWORKS_H
#define CORE_NETWORKS_H

#include <stdbool.h>

#define NETWORKS_MOST 64u

struct networks {
	unsigned n;
	struct network {
		unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
		unsigned bits;
	} list[NETWORKS_MOST];
};

/* NULL is an empty list. False: it is not such a list; then `out` is empty. */
bool networks_parse(struct networks *out, const char *text);
/* What is no address is in none. */
bool networks_have(const struct networks *list, const char *address);

#endif
