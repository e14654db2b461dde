/* Any bytes as a request head and as a reply head.
 *
 * Whatever is accepted must be unambiguous: written down again field by field, it reads
 * the same. And it must not matter in how many pieces it came. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/head.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static void check_fields(const struct headers *h)
{
	struct header f;
	size_t at = 0, n = 0;

	while (headers_next(h, &at, &f)) {
		size_t len = f.value_len;

		must(strlen(f.name) == f.name_len && strlen(f.value) == len);
		must(headers_is_token(f.name, f.name_len));
		for (size_t i = 0; i < len; i++)
			must((unsigned char)f.value[i] >= 0x20 || f.value[i] == '\t');
		must(len == 0 || (strchr(" \t", f.value[0]) == NULL &&
		                  strchr(" \t", f.value[len - 1]) == NULL));
		n++;
	}
	must(n == h->count && n <= HEAD_MAX_FIELDS);
	must(headers_count_of(h, "Content-Length") +
	             headers_count_of(h, "Transfer-Encoding") <=
	     1);
}

static void write_fields(struct text *t, const struct headers *h)
{
	struct header f;
	size_t at = 0;

	while (headers_next(h, &at, &f))
		text_addf(t, "%s:%s\r\n", f.name, f.value);
	text_adds(t, "\r\n");
}

static void must_equal(const struct headers *a, const struct headers *b)
{
	must(a->count == b->count && a->text.len == b->text.len);
	must(a->count == 0 || memcmp(a->text.s, b->text.s, a->text.len) == 0);
}

/* ---- requests ---- */

static void check_request(const struct request_head *head)
{
	struct request_head again;
	size_t scanned = 0, used = 0;
	struct text t = {0};

	must(headers_is_token(head->method, strlen(head->method)));
	must(head->target[0] == '/' && strpbrk(head->target, " \t#\r\n\x7f") == NULL);
	must(head->framing != FRAMING_TO_CLOSE);
	must((head->framing == FRAMING_LENGTH) == (head->content_length > 0));
	check_fields(&head->headers);

	text_addf(&t, "%s %s HTTP/1.%d\r\n", head->method, head->target, head->minor);
	write_fields(&t, &head->headers);
	must(head_parse_request(t.s, t.len, &scanned, &used, &again) == HEAD_COMPLETE);
	must(used == t.len && strcmp(again.target, head->target) == 0);
	must(again.framing == head->framing &&
	     again.content_length == head->content_length);
	must(again.keep_alive == head->keep_alive);
	must_equal(&again.headers, &head->headers);
	request_head_clear(&again);
	text_clear(&t);
}

/* Short ones come byte by byte, long ones in pieces of odd length. */
static size_t step_of(size_t size)
{
	return size / 100 * 2 + 1;
}

static int request_in_steps(const char *bytes, size_t size, size_t *used)
{
	size_t scanned = 0, step = step_of(size);
	int r = HEAD_INCOMPLETE;

	for (size_t n = 0; n < size && r == HEAD_INCOMPLETE;) {
		struct request_head head;

		n = size - n < step ? size : n + step;
		r = head_parse_request(bytes, n, &scanned, used, &head);
		must(scanned <= n);
		request_head_clear(&head);
	}
	return r;
}

static void try_request(const char *bytes, size_t size)
{
	struct request_head head;
	size_t scanned = 0, used = 0, used_in_steps = 0;
	int r = head_parse_request(bytes, size, &scanned, &used, &head), in_steps;

	if (r == HEAD_COMPLETE) {
		must(used <= size && used <= HEAD_MAX_BYTES);
		check_request(&head);
	} else {
		must(head.target == NULL && head.headers.text.s == NULL);
		must(r == HEAD_INCOMPLETE || (r >= 400 && r <= 505));
	}
	request_head_clear(&head);
	in_steps = request_in_steps(bytes, size, &used_in_steps);
	must(in_steps == r || (in_steps > 0 && r > 0)); /* which may be seen first */
	must(r != HEAD_COMPLETE || used == used_in_steps);
}

/* ---- replies ---- */

static void check_reply(const struct reply_head *head, const char *method)
{
	struct reply_head again;
	size_t scanned = 0, used = 0;
	struct text t = {0};

	must(head->http >= 100 && head->http <= 599);
	must(head->framing != FRAMING_TO_CLOSE || !head->keep_alive);
	check_fields(&head->headers);

	text_addf(&t, "HTTP/1.%d %d\r\n", head->minor, head->http);
	write_fields(&t, &head->headers);
	must(head_parse_reply(t.s, t.len, method, &scanned, &used, &again) ==
	     HEAD_COMPLETE);
	must(used == t.len && again.framing == head->framing);
	must(again.content_length == head->content_length);
	must_equal(&again.headers, &head->headers);
	reply_head_clear(&again);
	text_clear(&t);
}

static int reply_in_steps(const char *bytes, size_t size, const char *method,
                          size_t *used)
{
	size_t scanned = 0, step = step_of(size);
	int r = HEAD_INCOMPLETE;

	for (size_t n = 0; n < size && r == HEAD_INCOMPLETE;) {
		struct reply_head head;

		n = size - n < step ? size : n + step;
		r = head_parse_reply(bytes, n, method, &scanned, used, &head);
		must(scanned <= n);
		reply_head_clear(&head);
	}
	return r;
}

static void try_reply(const char *bytes, size_t size, const char *method)
{
	struct reply_head head;
	size_t scanned = 0, used = 0, used_in_steps = 0;
	int r = head_parse_reply(bytes, size, method, &scanned, &used, &head), in_steps;

	if (r == HEAD_COMPLETE)
		check_reply(&head, method);
	reply_head_clear(&head);
	in_steps = reply_in_steps(bytes, size, method, &used_in_steps);
	must(in_steps == r || (in_steps > 0 && r > 0));
	must(r != HEAD_COMPLETE || used == used_in_steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;

	try_request(bytes, size);
	try_reply(bytes, size, "GET");
	try_reply(bytes, size, "HEAD");
	return 0;
}
