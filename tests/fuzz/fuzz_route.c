/* Any bytes as the target of a request: what a path means is checked against a second
 * reading of it, segment by segment, and against itself, written down again.
 *
 * The first byte chooses the method. What the head parser would not let through is not
 * looked at. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/head.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/utf8.h"
#include "http/route.h"
#include "mapping/mapping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static bool is_sound(const char *target, size_t len)
{
	struct text head = {0};
	struct request_head parsed;
	size_t scanned = 0, used;
	int r;

	text_adds(&head, "GET ");
	text_add(&head, target, len);
	text_adds(&head, " HTTP/1.1\r\nHost: h\r\n\r\n");
	r = head_parse_request(head.s, head.len, &scanned, &used, &parsed);
	request_head_clear(&parsed);
	text_clear(&head);
	return r == HEAD_COMPLETE;
}

/* Segment n of the path (0 is behind the first slash), decoded by sscanf(). */
static char *segment(const char *target, int n)
{
	struct text out = {0};
	unsigned byte;

	for (target++; n > 0; n--)
		target += strcspn(target, "/") + 1;
	for (; *target != '\0' && *target != '/' && *target != '?'; target++) {
		bool hex = target[0] == '%' && strchr("+- \t", target[1]) == NULL &&
		           strspn(target + 1, "0123456789abcdefABCDEF") >= 2 &&
		           sscanf(target + 1, "%2x", &byte) == 1;

		text_addc(&out, hex ? (char)byte : *target);
		target += hex ? 2 : 0;
	}
	text_addc(&out, '\0');
	return text_detach(&out);
}

static void must_be_utf8(const char *s)
{
	size_t len = strlen(s);
	uint32_t c;

	for (size_t at = 0; at < len;) {
		at += utf8_next(s + at, len - at, &c);
		must(c != UTF8_BROKEN);
	}
}

static void check_segment(const char *target, int n, const char *found)
{
	char *expected = segment(target, n);

	must(found != NULL && found[0] != '\0' && strcmp(found, expected) == 0);
	must_be_utf8(found);
	free(expected);
}

/* /api/v2/tenants/{t}/databases/{d}/collections/{c}: numbers 3, 5 and 7. */
static void check_names(const struct route *r, const char *target)
{
	bool by_id = r->kind == ROUTE_GET_COLLECTION_ID;

	if (r->tenant != NULL)
		check_segment(target, 3, r->tenant);
	if (r->database != NULL)
		check_segment(target, 5, r->database);
	if (r->item != NULL && r->tenant != NULL)
		check_segment(target, by_id ? 8 : 7, r->item);
	else if (r->item != NULL)
		check_segment(target, 3, r->item);
	must(r->database == NULL || r->tenant != NULL);
}

static void must_equal(const char *a, const char *b)
{
	must((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
}

/* As it would be sent to an instance, it means the same again. */
static void check_written_again(const struct route *r, const char *method)
{
	struct text path = {0};
	struct route again;

	text_adds(&path, "/api/v2/tenants/");
	rewrite_add_segment(&path, r->tenant);
	text_adds(&path, "/databases/");
	rewrite_add_segment(&path, r->database);
	text_addf(&path, "/collections/%s",
	          r->kind == ROUTE_GET_COLLECTION_ID ? "by-id/" : "");
	rewrite_add_segment(&path, r->item);
	text_adds(&path, r->tail);
	route_parse(&again, method, path.s);
	must(again.kind == r->kind && again.verb == r->verb);
	must_equal(again.tenant, r->tenant);
	must_equal(again.database, r->database);
	must_equal(again.item, r->item);
	must_equal(again.query, r->query);
	must(strcmp(again.tail, r->tail) == 0);
	route_clear(&again);
	text_clear(&path);
}

static void check(const char *method, const char *target)
{
	const char *query = strchr(target, '?');
	struct route r;

	route_parse(&r, method, target);
	must(r.op != NULL && r.query == (query != NULL ? query + 1 : NULL));
	must((r.kind == ROUTE_BAD_PATH) == (r.bad != NULL));
	must((r.kind != ROUTE_WRONG_METHOD) || r.allow[0] != '\0');
	must(strlen(r.allow) + 1 < ROUTE_ALLOW_BYTES);
	must(!r.ours || strncmp(target, "/api/", 5) != 0);
	if (r.kind != ROUTE_BAD_PATH) {
		check_names(&r, target);
		if (r.tenant != NULL && r.database != NULL && r.item != NULL)
			check_written_again(&r, method);
	}
	route_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = {"GET",   "POST", "PUT",     "DELETE",
	                                      "PATCH", "HEAD", "OPTIONS", "post"};
	char *target;

	if (size < 2 || !is_sound((const char *)data + 1, size - 1))
		return 0;
	target = mem_substring((const char *)data + 1, size - 1);
	check(methods[data[0] % 8], target);
	free(target);
	return 0;
}
