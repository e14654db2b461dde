/* http/forwarded.c - pure: who asks, where proxies of ours (TRUSTED_PROXIES) stand in
 * front of us.
 *
 * Each of them adds whom it heard from at the end of X-Forwarded-For. So it is read from
 * the end: what a proxy of ours says is believed, what is said by anybody else is not,
 * and whoever wrote the rest of that header may have written anything. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "http/access.h"

#define HOPS_MOST 32u

/* "1.2.3.4", "1.2.3.4:56", "::1", "[::1]:56", as it is written best; false: none. */
static bool read_address(const char *s, size_t len, char out[ADDRESS_BYTES])
{
	char text[ADDRESS_BYTES + 8];
	unsigned char bytes[16];
	char *begin = text, *end;

	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	if (text[0] == '[') {
		begin++;
		end = strchr(begin, ']');
		if (end == NULL)
			return false;
		*end = '\0';
	} else if ((end = strchr(text, ':')) != NULL && strchr(end + 1, ':') == NULL) {
		*end = '\0';
	}
	if (inet_pton(AF_INET, begin, bytes) == 1)
		return inet_ntop(AF_INET, bytes, out, ADDRESS_BYTES) != NULL;
	return inet_pton(AF_INET6, begin, bytes) == 1 &&
	       inet_ntop(AF_INET6, bytes, out, ADDRESS_BYTES) != NULL;
}

/* The header may come several times: it is one list. */
static void collect(const struct headers *h, struct text *list)
{
	struct header f;
	size_t at = 0;

	while (headers_next(h, &at, &f)) {
		if (!header_named(&f, "x-forwarded-for"))
			continue;
		text_adds(list, list->len > 0 ? "," : "");
		text_adds(list, f.value);
	}
}

/* Takes the last one off the list; false: it is no address, or there is none. */
static bool take_last(struct text *list, char out[ADDRESS_BYTES])
{
	const char *comma = list->len > 0 ? memrchr(list->s, ',', list->len) : NULL;
	size_t begin = comma != NULL ? (size_t)(comma - list->s) + 1 : 0;
	size_t end = list->len;

	list->len = comma != NULL ? begin - 1 : 0;
	while (begin < end && strchr(" \t", list->s[begin]) != NULL)
		begin++;
	while (begin < end && strchr(" \t", list->s[end - 1]) != NULL)
		end--;
	return begin < end && read_address(list->s + begin, end - begin, out);
}

void forwarded_for(const struct networks *trusted, const char *peer,
                   const struct headers *h, char out[ADDRESS_BYTES])
{
	struct text list = {0};
	char hop[ADDRESS_BYTES];

	snprintf(out, ADDRESS_BYTES, "%s", peer);
	if (trusted->n == 0 || !networks_have(trusted, peer))
		return;
	collect(h, &list);
	for (unsigned n = 0; n < HOPS_MOST && networks_have(trusted, out); n++) {
		if (!take_last(&list, hop))
			break;
		memcpy(out, hop, sizeof(hop));
	}
	text_clear(&list);
}
