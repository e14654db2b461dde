/* http/cors.c - browsers, and pages of other origins in them (CORS_ALLOW_ORIGINS).
 *
 * A browser asks with OPTIONS before it sends what a form could not send, and shows an
 * answer to its page only if the answer says so. Administration is never allowed to
 * pages of other origins. */
#include <string.h>

#include "core/mem.h"
#include "http/access.h"

#define REMEMBERED "600" /* seconds, by the browser */

static struct {
	const char *origins; /* as in the settings; NULL: none */
	bool any;
} cors;

void cors_start(const char *origins)
{
	cors.origins = origins;
	cors.any = origins != NULL && headers_list_has(origins, "*");
}

static const char *allowed_origin(const struct request_head *head)
{
	const char *origin;

	if (cors.origins == NULL)
		return NULL;
	origin = headers_get(&head->headers, "origin");
	if (origin == NULL || strchr(origin, ',') != NULL)
		return NULL;
	if (cors.any)
		return "*";
	return headers_list_has(cors.origins, origin) ? origin : NULL;
}

static bool is_for_pages(const struct request_head *head, const char *method)
{
	struct route r;
	enum access_need need;

	route_parse(&r, method, head->target);
	need = access_need(&r);
	route_clear(&r);
	return need != ACCESS_ADMIN;
}

static void add_origin(const char *origin, struct headers *to)
{
	headers_add(to, "access-control-allow-origin", origin);
	if (origin[0] != '*')
		headers_add(to, "vary", "Origin");
}

bool cors_preflight(const struct request_head *head, struct refusal *out)
{
	const char *origin, *method, *wanted;

	if (cors.origins == NULL || strcmp(head->method, "OPTIONS") != 0)
		return false;
	origin = allowed_origin(head);
	method = headers_get(&head->headers, "access-control-request-method");
	if (origin == NULL || method == NULL || !is_for_pages(head, method))
		return false;
	out->http = 204;
	add_origin(origin, &out->headers);
	headers_add(&out->headers, "access-control-allow-methods",
	            "GET, HEAD, POST, PUT, PATCH, DELETE");
	wanted = headers_get(&head->headers, "access-control-request-headers");
	if (wanted != NULL)
		headers_add(&out->headers, "access-control-allow-headers", wanted);
	headers_add(&out->headers, "access-control-max-age", REMEMBERED);
	return true;
}

void cors_add(const struct request_head *head, struct headers *answer)
{
	const char *origin = allowed_origin(head);

	if (origin == NULL || !is_for_pages(head, head->method))
		return;
	add_origin(origin, answer);
	headers_add(answer, "access-control-expose-headers",
	            "chroma-trace-id, retry-after, server-timing, x-request-id, "
	            "x-chromatid-seq, x-chromatid-instance, x-chromatid-outcome, "
	            "x-chromatid-stale, x-chromatid-leader");
}
