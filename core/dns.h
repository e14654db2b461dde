/* core/dns.h - host names to addresses without ever blocking the loop (evdns).
 *
 * IP literals and names of the hosts file answer at once (but still from the loop).
 * Answers are kept 30 s; when a later look-up fails the last good address is used. */
#ifndef CORE_DNS_H
#define CORE_DNS_H

#include "core/op.h"
#include "core/status.h"

struct sockaddr_storage;

/* n addresses, valid only inside the callback; STATUS_NOT_RESOLVED: n is 0. Ports are 0.
 */
typedef void(dns_fn)(void *arg, enum status s, const struct sockaddr_storage *addresses,
                     int n);

void dns_start(void);
void dns_stop(void);
void dns_resolve(const char *host, dns_fn *done, void *arg, struct op **slot);

#endif
