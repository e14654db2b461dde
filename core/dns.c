/* core/dns.c - host names to addresses without ever blocking the loop.
 *
 * The happy path:
 *   dns_resolve    an IP literal, or a name looked up in the last 30 s: answered at once
 *                  otherwise one question per name goes to evdns, however many wait
 *   on_answer      the name keeps its addresses; everybody who waits gets them
 *
 * When it does not go well:
 *   - the resolver fails and the name has been known: the old addresses are used, and
 *     the next question is asked a little later
 *   - the resolver is slow and the name has been known: nobody waits longer than
 *     PATIENCE for something they already have
 *   - the resolver fails and the name is unknown: NOT_RESOLVED, nothing is kept
 *   - dns_stop() with questions open: they are taken back; who waits gets NOT_RESOLVED */
#include "core/dns.h"

#include <assert.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"

#define KEEP 30000u       /* an answer is good for that long */
#define KEEP_FAILED 5000u /* so long is an old answer used after a failed look-up */
#define PATIENCE 500u     /* so long does a known name wait for a fresh answer */
#define MAX_ADDRESSES 16
#define MAX_NAME 253u

struct addresses {
	int n;
	struct sockaddr_storage list[MAX_ADDRESSES];
};

/* One who asked. */
struct lookup {
	struct op op;
	dns_fn *done;
	void *arg;
	enum status status;
	struct addresses found;
	struct name *name; /* waits there, or NULL */
	TAILQ_ENTRY(lookup) link;
};

/* One name that was ever asked for: a handful, they come from the configuration. */
struct name {
	char *host;
	struct addresses known; /* the last good answer */
	msec good_until;
	bool asking;
	struct evdns_getaddrinfo_request *request; /* NULL if not asking */
	struct timer patience;
	TAILQ_HEAD(lookup_list, lookup) waiting;
	TAILQ_ENTRY(name) link;
};

static struct evdns_base *resolver;
static TAILQ_HEAD(name_list, name) names = TAILQ_HEAD_INITIALIZER(names);

static void on_remark(int is_warning, const char *text)
{
	if (is_warning)
		log_warn("dns", "%s", text);
	else
		log_debug("dns", "%s", text);
}

void dns_start(void)
{
	evdns_set_log_fn(on_remark);
	resolver = evdns_base_new(loop_base(), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (resolver == NULL)
		abort();
	/* A missing or empty resolv.conf is no reason not to start: it then asks
	 * 127.0.0.1, and the hosts file is read in any case. */
	evdns_base_resolv_conf_parse(resolver, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	evdns_base_set_option(resolver, "timeout:", "2");
	evdns_base_set_option(resolver, "attempts:", "2");
	/* Some resolvers never answer for AAAA: an A alone is then enough. */
	evdns_base_set_option(resolver, "getaddrinfo-allow-skew:", "0.5");
}

static void on_lookup_done(struct op *op)
{
	struct lookup *l = (struct lookup *)op;

	l->done(l->arg, l->status, l->found.list, l->found.n);
}

static void release_lookup(struct op *op)
{
	free(op);
}

/* The one way a look-up ends. */
static void finish(struct lookup *l, const struct addresses *found)
{
	if (l->name != NULL)
		TAILQ_REMOVE(&l->name->waiting, l, link);
	l->name = NULL;
	if (found != NULL)
		l->found = *found;
	l->status = l->found.n > 0 ? STATUS_OK : STATUS_NOT_RESOLVED;
	op_end(&l->op);
}

static void abandon_lookup(struct op *op)
{
	finish((struct lookup *)op, NULL);
}

static void finish_all(struct name *name)
{
	timer_stop(&name->patience);
	while (!TAILQ_EMPTY(&name->waiting))
		finish(TAILQ_FIRST(&name->waiting), &name->known);
}

static bool parse_literal(const char *host, struct addresses *found)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	if (evutil_inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		memcpy(&found->list[0], &v4, sizeof(v4));
	else if (evutil_inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		memcpy(&found->list[0], &v6, sizeof(v6));
	else
		return false;
	found->n = 1;
	return true;
}

static struct name *find_name(const char *host)
{
	struct name *name;

	TAILQ_FOREACH (name, &names, link)
		if (strcasecmp(name->host, host) == 0)
			return name;
	name = mem_new(struct name);
	name->host = mem_string(host);
	TAILQ_INIT(&name->waiting);
	TAILQ_INSERT_TAIL(&names, name, link);
	return name;
}

static void take_addresses(struct addresses *to, const struct evutil_addrinfo *from)
{
	to->n = 0;
	for (; from != NULL && to->n < MAX_ADDRESSES; from = from->ai_next) {
		if (from->ai_addrlen > sizeof(to->list[0]))
			continue;
		memset(&to->list[to->n], 0, sizeof(to->list[0]));
		memcpy(&to->list[to->n], from->ai_addr, from->ai_addrlen);
		to->n++;
	}
}

/* Comes at once, from inside evdns_getaddrinfo(), for names of the hosts file. */
static void on_answer(int error, struct evutil_addrinfo *answer, void *arg)
{
	struct name *name = arg;

	name->asking = false;
	name->request = NULL;
	if (error == 0 && answer != NULL) {
		take_addresses(&name->known, answer);
		name->good_until = clock_ms() + KEEP;
	} else {
		name->good_until = clock_ms() + KEEP_FAILED;
	}
	if (answer != NULL)
		evutil_freeaddrinfo(answer);
	finish_all(name);
}

static void ask(struct name *name)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
	                                .ai_socktype = SOCK_STREAM};
	struct evdns_getaddrinfo_request *request;

	name->asking = true;
	request = evdns_getaddrinfo(resolver, name->host, NULL, &hints, on_answer, name);
	if (name->asking)
		name->request = request;
}

static void on_patience_over(void *arg)
{
	struct name *name = arg;

	name->good_until = clock_ms() + KEEP_FAILED;
	finish_all(name);
}

static void wait_for(struct name *name, struct lookup *l)
{
	l->name = name;
	TAILQ_INSERT_TAIL(&name->waiting, l, link);
	if (name->known.n > 0 && !timer_running(&name->patience))
		timer_start(&name->patience, PATIENCE, on_patience_over, name);
	if (!name->asking)
		ask(name);
}

void dns_resolve(const char *host, dns_fn *done, void *arg, struct op **slot)
{
	struct lookup *l = mem_new(struct lookup);
	struct name *name;

	assert(resolver != NULL);
	l->op.deliver = on_lookup_done;
	l->op.release = release_lookup;
	l->op.abandon = abandon_lookup;
	l->done = done;
	l->arg = arg;
	op_begin(&l->op, slot);
	if (host[0] == '\0' || strlen(host) > MAX_NAME ||
	    parse_literal(host, &l->found)) {
		finish(l, NULL);
		return;
	}
	name = find_name(host);
	if (name->known.n > 0 && clock_ms() < name->good_until)
		finish(l, &name->known);
	else
		wait_for(name, l);
}

/* evdns answers a question taken back on a later turn, and frees it only then. */
static void take_back_questions(void)
{
	struct name *name;
	bool any = false;

	TAILQ_FOREACH (name, &names, link) {
		finish_all(name);
		if (name->request == NULL)
			continue;
		any = true;
		evdns_getaddrinfo_cancel(name->request);
		name->request = NULL;
	}
	if (any)
		event_base_loop(loop_base(), EVLOOP_NONBLOCK);
}

void dns_stop(void)
{
	struct name *name;

	if (resolver == NULL)
		return;
	take_back_questions();
	evdns_base_free(resolver, 0);
	resolver = NULL;
	while ((name = TAILQ_FIRST(&names)) != NULL) {
		TAILQ_REMOVE(&names, name, link);
		timer_stop(&name->patience);
		free(name->host);
		free(name);
	}
}
