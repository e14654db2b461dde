/* http/access.c - who may do what.
 *
 * A token comes as `Authorization: Bearer`, as the password of `Authorization: Basic`
 * (or all of "user:password"), as X-Chroma-Token or X-Api-Key; Chroma's own clients send
 * one of these. What is kept of the settings' tokens is their digests, and what comes is
 * compared with all of them, byte by byte to the end: how long that takes tells nothing.
 *
 * Without API_TOKEN and READ_TOKEN clients need none, as with Chroma. Without ADMIN_TOKEN
 * who administers must be on this machine, and no page in a browser there: so a change
 * must say that it is JSON (a page cannot, without asking first: cors.c), the host it
 * was sent to must not be a name that anybody else could have made, and nothing may have
 * passed it on. */
#include "http/access.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/digest.h"
#include "core/log.h"
#include "http/exchange.h"

#define CREDENTIALS_MOST 1024u /* of Basic, encoded */

enum { READER, WRITER, ADMINISTRATOR, TOKENS };

static const char *const names[TOKENS] = {"READ_TOKEN", "API_TOKEN", "ADMIN_TOKEN"};
static const enum access_need rights[TOKENS] = {ACCESS_READ, ACCESS_WRITE, ACCESS_ADMIN};

static struct {
	bool set[TOKENS];
	struct digest digests[TOKENS];
	bool closed;             /* clients need a token */
	bool guarded;            /* and so does who only looks */
	struct networks proxies; /* TRUSTED_PROXIES */
	uint64_t failures;
} access_rules;

static struct digest digest_text(const char *s, size_t len)
{
	return digest_of(&(struct digest_part){s, len}, 1);
}

static void take_token(unsigned k, const char *token)
{
	access_rules.set[k] = token != NULL;
	if (token != NULL)
		access_rules.digests[k] = digest_text(token, strlen(token));
}

void access_start(const struct conf *conf)
{
	access_rules.failures = 0;
	networks_parse(&access_rules.proxies, conf->trusted_proxies);
	take_token(READER, conf->read_token);
	take_token(WRITER, conf->api_token);
	take_token(ADMINISTRATOR, conf->admin_token);
	access_rules.closed = access_rules.set[READER] || access_rules.set[WRITER];
	access_rules.guarded = access_rules.closed && conf->status_auth;
	if (!access_rules.closed)
		log_warn("start", "neither API_TOKEN nor READ_TOKEN is set: whoever "
		                  "reaches this port reads and writes everything");
}

uint64_t access_failures(void)
{
	return access_rules.failures;
}

/* --- what it needs ----------------------------------------------------------------- */

enum access_need access_need(const struct route *r)
{
	switch (r->kind) {
	case ROUTE_HEALTH:
	case ROUTE_READY:
	case ROUTE_HEARTBEAT:
	case ROUTE_HEALTHCHECK:
	case ROUTE_V1_HEARTBEAT:
	case ROUTE_UI: /* without data */
		return ACCESS_OPEN;
	case ROUTE_STATUS:
	case ROUTE_WAL_STATUS:
	case ROUTE_METRICS:
	case ROUTE_TIMELINE:
		return ACCESS_LOOK;
	case ROUTE_NONE:
	case ROUTE_WRONG_METHOD:
	case ROUTE_BAD_PATH:
	case ROUTE_IDENTITY:
	case ROUTE_ANY_INSTANCE:
	case ROUTE_CRN:
	case ROUTE_V1:
	case ROUTE_GET_TENANT:
	case ROUTE_LIST_DATABASES:
	case ROUTE_GET_DATABASE:
	case ROUTE_LIST_COLLECTIONS:
	case ROUTE_COUNT_COLLECTIONS:
	case ROUTE_GET_COLLECTION:
	case ROUTE_GET_COLLECTION_ID:
	case ROUTE_READ_ITEMS:
	case ROUTE_MAPPINGS:
	case ROUTE_STATUS_COLLECTIONS:
		return ACCESS_READ;
	default:
		return route_is_ours(r->kind) ? ACCESS_ADMIN : ACCESS_WRITE;
	}
}

/* --- what it carries --------------------------------------------------------------- */

/* Which of our tokens it is, by bit. */
static unsigned known(const char *token, size_t len)
{
	struct digest d = digest_text(token, len);
	unsigned found = 0;

	for (unsigned k = 0; k < TOKENS; k++) {
		unsigned char different = access_rules.set[k] ? 0 : 1;

		for (size_t i = 0; i < DIGEST_LEN; i++)
			different |= d.bytes[i] ^ access_rules.digests[k].bytes[i];
		found |= (different == 0 ? 1u : 0u) << k;
	}
	return found;
}

static unsigned known_credentials(const char *encoded)
{
	size_t len = strlen(encoded);
	unsigned char plain[CREDENTIALS_MOST];
	const char *colon;
	int n;

	if (len == 0 || len % 4 != 0 || len > CREDENTIALS_MOST)
		return 0;
	n = EVP_DecodeBlock(plain, (const unsigned char *)encoded, (int)len);
	n -= (encoded[len - 1] == '=') + (encoded[len - 2] == '=');
	if (n <= 0)
		return 0;
	colon = memchr(plain, ':', (size_t)n);
	if (colon == NULL)
		return known((char *)plain, (size_t)n);
	return known((char *)plain, (size_t)n) |
	       known(colon + 1, (size_t)((char *)plain + n - colon - 1));
}

/* Behind the name of the scheme; NULL: it is another. */
static const char *after_scheme(const char *value, const char *scheme)
{
	size_t len = strlen(scheme);

	if (strncasecmp(value, scheme, len) != 0 || value[len] != ' ')
		return NULL;
	return value + len + strspn(value + len, " ");
}

static unsigned known_authorization(const char *value)
{
	const char *token = after_scheme(value, "Bearer");

	if (token != NULL)
		return known(token, strlen(token));
	token = after_scheme(value, "Basic");
	return token != NULL ? known_credentials(token) : 0;
}

static unsigned tokens_of(const struct request_head *head)
{
	struct header f;
	const char *bare;
	unsigned found = 0;
	size_t at = 0;

	while (headers_next(&head->headers, &at, &f)) {
		if (header_named(&f, "authorization")) {
			found |= known_authorization(f.value);
		} else if (header_named(&f, "x-chroma-token") ||
		           header_named(&f, "x-api-key")) {
			bare = after_scheme(f.value, "Bearer");
			bare = bare != NULL ? bare : f.value;
			found |= known(bare, strlen(bare));
		}
	}
	return found;
}

/* The one of them that may do most. */
static int best_of(unsigned tokens)
{
	for (int k = TOKENS - 1; k >= 0; k--)
		if ((tokens >> k & 1) != 0)
			return k;
	return -1;
}

const char *access_who(const struct request_head *head)
{
	int best = best_of(tokens_of(head));

	return best >= 0 ? names[best] : "no token";
}

/* --- where it comes from ----------------------------------------------------------- */

/* A page whose name was made to mean 127.0.0.1 is sent here by the browser, but with its
 * own name as the host. */
static bool is_host_of_ours(const char *host)
{
	char name[256];
	size_t len = strcspn(host, ":");
	struct in_addr v4;

	if (host[0] == '[')
		return true; /* an address */
	if (len == 0 || len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return inet_pton(AF_INET, name, &v4) == 1 || strcasecmp(name, "localhost") == 0 ||
	       (len > 10 && strcasecmp(name + len - 10, ".localhost") == 0);
}

void access_address(const struct client *client, const struct request_head *head,
                    char out[ADDRESS_BYTES])
{
	forwarded_for(&access_rules.proxies, client_address(client), &head->headers, out);
}

static bool was_passed_on(const struct headers *h)
{
	return headers_get(h, "forwarded") != NULL ||
	       headers_get(h, "x-forwarded-for") != NULL ||
	       headers_get(h, "x-real-ip") != NULL;
}

/* A proxy on this machine may pass on what comes from anywhere, and not say so: one that
 * is listed is never taken for somebody here. */
static bool is_from_here(const struct client *client, const struct request_head *head)
{
	const char *host = headers_get(&head->headers, "host");

	return client_is_loopback(client) && !was_passed_on(&head->headers) &&
	       !networks_have(&access_rules.proxies, client_address(client)) &&
	       (host == NULL || is_host_of_ours(host));
}

/* What a page cannot send unasked need not say what it is. */
static bool is_typed(const struct request_head *head)
{
	const char *type = headers_get(&head->headers, "content-type");

	if (strcmp(head->method, "POST") != 0)
		return true;
	return type != NULL && write_type_is_json(type);
}

/* --- the answer -------------------------------------------------------------------- */

static enum access_answer judge_by_token(const struct request_head *head,
                                         enum access_need need)
{
	int best = best_of(tokens_of(head));

	if (best < 0)
		return ACCESS_UNKNOWN;
	return rights[best] >= need ? ACCESS_GRANTED : ACCESS_TOO_LITTLE;
}

static enum access_answer judge_by_place(const struct client *client,
                                         const struct request_head *head)
{
	if (!is_from_here(client, head))
		return ACCESS_NOT_HERE;
	return is_typed(head) ? ACCESS_GRANTED : ACCESS_NOT_TYPED;
}

static enum access_need need_of(const struct request_head *head)
{
	struct route r;
	enum access_need need;

	route_parse(&r, head->method, head->target);
	need = access_need(&r);
	route_clear(&r);
	return need;
}

enum access_answer access_judge(const struct client *client,
                                const struct request_head *head)
{
	enum access_need need;

	if (!access_rules.closed && strncmp(head->target, "/api/", 5) == 0)
		return ACCESS_GRANTED; /* nothing there is for administrators */
	need = need_of(head);
	if (need == ACCESS_ADMIN && !access_rules.set[ADMINISTRATOR])
		return judge_by_place(client, head);
	if (need == ACCESS_ADMIN)
		return judge_by_token(head, need);
	if (need == ACCESS_OPEN || !access_rules.closed ||
	    (need == ACCESS_LOOK && !access_rules.guarded))
		return ACCESS_GRANTED;
	return judge_by_token(head, need == ACCESS_LOOK ? ACCESS_READ : need);
}

static const struct {
	int http;
	const char *name, *message;
} answers[] = {
        [ACCESS_UNKNOWN] = {401, "AuthError",
                            "A token is needed, as Authorization: Bearer, "
                            "X-Chroma-Token or X-Api-Key, and this one is none of ours"},
        [ACCESS_TOO_LITTLE] = {403, "AuthorizationError", "This token may not do that"},
        [ACCESS_NOT_HERE] = {403, "AuthorizationError",
                             "Only from the machine the proxy runs on, while no "
                             "ADMIN_TOKEN is set"},
        [ACCESS_NOT_TYPED] = {415, "InvalidArgumentError",
                              "Content-Type must be application/json"},
};

/* What was wanted is told by its kind: a path is a client's text. */
static void tell(enum access_answer answer, const struct client *client,
                 const struct request_head *head)
{
	struct log_field fields[] = {{"status", NULL, answers[answer].http}, {0}};
	char address[ADDRESS_BYTES];
	struct route r;

	access_address(client, head, address);
	route_parse(&r, head->method, head->target);
	log_line(LOG_WARN, "auth", fields, "refused: %s, from %s (%s)", r.op, address,
	         access_who(head));
	route_clear(&r);
}

void access_refuse(enum access_answer answer, const struct client *client,
                   const struct request_head *head, struct refusal *out)
{
	access_rules.failures++;
	http_refuse(out, answers[answer].http, answers[answer].name,
	            answers[answer].message);
	headers_add(&out->headers, "x-chromatid-outcome", "none");
	if (answer == ACCESS_UNKNOWN)
		headers_add(&out->headers, "www-authenticate",
		            "Bearer realm=\"chromatid\"");
	cors_add(head, &out->headers);
	tell(answer, client, head);
}
