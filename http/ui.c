/* http/ui.c - GET /ui: the page for people (ui.html, embedded when built).
 *
 * It holds no data: everything it shows it asks for, like any client, with the token that
 * somebody has typed in. What it may do is said in its head: run its one script and use
 * its one style sheet, known by their SHA-256, and speak to us; nothing else, whatever
 * text of a client's ends up in it. Nobody may show it inside another page, so that no
 * click of an administrator's is led astray. */
#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "http/exchange.h"

extern const unsigned char ui_html[]; /* made by CMakeLists.txt from ui.html */
extern const size_t ui_html_len;

#define HASH_BYTES 32
#define HASH_TEXT 45 /* in base64 */

static struct {
	bool known;
	char tag[2 * DIGEST_LEN + 3]; /* with quotes */
	char policy[640];
} page;

/* --- once -------------------------------------------------------------------------- */

static const char *find(const char *from, const char *what)
{
	const char *html = (const char *)ui_html;
	size_t left = ui_html_len - (size_t)(from - html);

	return memmem(from, left, what, strlen(what));
}

/* Of what stands between the two, which are there once. */
static void hash_between(const char *open, const char *close, char out[HASH_TEXT])
{
	unsigned char hash[HASH_BYTES];
	const char *begin = find((const char *)ui_html, open), *end;

	assert(begin != NULL);
	begin += strlen(open);
	end = find(begin, close);
	assert(end != NULL && find(end, open) == NULL);
	if (EVP_Digest(begin, (size_t)(end - begin), hash, NULL, EVP_sha256(), NULL) != 1)
		abort();
	EVP_EncodeBlock((unsigned char *)out, hash, HASH_BYTES);
}

static void make_policy(void)
{
	char script[HASH_TEXT], style[HASH_TEXT];

	hash_between("<script>", "</script>", script);
	hash_between("<style>", "</style>", style);
	snprintf(
	        page.policy, sizeof(page.policy),
	        "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
	        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
	        "frame-ancestors 'none'; require-trusted-types-for 'script'; "
	        "trusted-types 'none'",
	        script, style);
}

static void make_tag(void)
{
	struct digest d = digest_of(&(struct digest_part){ui_html, ui_html_len}, 1);
	char *to = page.tag;

	*to++ = '"';
	for (size_t i = 0; i < DIGEST_LEN; i++, to += 2)
		snprintf(to, 3, "%02x", d.bytes[i]);
	*to++ = '"';
	*to = '\0';
}

static void know(void)
{
	if (page.known)
		return;
	make_policy();
	make_tag();
	page.known = true;
}

/* --- answering --------------------------------------------------------------------- */

static void add_headers(struct headers *h)
{
	headers_add(h, "content-security-policy", page.policy);
	headers_add(h, "x-content-type-options", "nosniff");
	headers_add(h, "x-frame-options", "DENY");
	headers_add(h, "referrer-policy", "no-referrer");
	headers_add(h, "cross-origin-opener-policy", "same-origin");
	headers_add(h, "cross-origin-resource-policy", "same-origin");
	headers_add(h, "cache-control", "no-cache");
	headers_add(h, "etag", page.tag);
}

/* The browser's copy is still right. */
static bool is_known(const struct exchange *ex)
{
	const char *tags = headers_get(&ex->head->headers, "if-none-match");

	return tags != NULL && strstr(tags, page.tag) != NULL;
}

static void answer(struct exchange *ex)
{
	struct headers h = {0};
	struct blob *body = NULL;

	add_headers(&h);
	if (is_known(ex)) {
		exchange_reply(ex, 304, &h, NULL);
	} else {
		headers_add(&h, "content-type", "text/html; charset=utf-8");
		body = blob_create(ui_html, ui_html_len);
		exchange_reply(ex, 200, &h, body);
	}
	blob_unref(&body);
	headers_clear(&h);
}

void ui_page(struct exchange *ex)
{
	if (!exchange_conf->ui) {
		exchange_error(ex, 404, "NotFoundError", "The page is off (UI)");
		return;
	}
	know();
	answer(ex);
}
