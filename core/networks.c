/* core/networks.c - pure: lists of networks. An IPv4 address is the IPv6 address that
 * stands for it, so that both ways of writing it are one. */
#include "core/networks.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define V4_BEGINS 96u

static bool parse_address(const char *text, unsigned char out[16], unsigned *least)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	*least = V4_BEGINS;
	memcpy(out, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, text, out + sizeof(mapped)) == 1)
		return true;
	*least = 0;
	return inet_pton(AF_INET6, text, out) == 1;
}

/* "", or a slash and how many bits count; at least one does. */
static bool parse_bits(const char *text, unsigned *bits)
{
	size_t len = strlen(text);
	unsigned long n;

	*bits = 128;
	if (len == 0)
		return true;
	if (len < 2 || len > 4 || strspn(text + 1, "0123456789") != len - 1)
		return false;
	n = strtoul(text + 1, NULL, 10);
	*bits = (unsigned)n;
	return n > 0;
}

static bool parse_one(struct network *out, const char *text, size_t len)
{
	char address[64];
	size_t end;
	unsigned least;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	end = strcspn(address, "/");
	if (!parse_bits(address + end, &out->bits))
		return false;
	address[end] = '\0';
	if (!parse_address(address, out->bytes, &least))
		return false;
	if (end < len)
		out->bits += least;
	return out->bits <= 128;
}

bool networks_parse(struct networks *out, const char *text)
{
	size_t len;

	out->n = 0;
	while (text != NULL && *(text += strspn(text, " ,")) != '\0') {
		len = strcspn(text, " ,");
		if (out->n == NETWORKS_MOST ||
		    !parse_one(&out->list[out->n++], text, len)) {
			out->n = 0;
			return false;
		}
		text += len;
	}
	return true;
}

static bool is_in(const struct network *net, const unsigned char bytes[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	unsigned char mask = (unsigned char)(0xff << (8 - rest));

	if (memcmp(net->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || ((net->bytes[whole] ^ bytes[whole]) & mask) == 0;
}

bool networks_have(const struct networks *list, const char *address)
{
	unsigned char bytes[16];
	unsigned least;

	if (list->n == 0 || !parse_address(address, bytes, &least))
		return false;
	for (unsigned i = 0; i < list->n; i++)
		if (is_in(&list->list[i], bytes))
			return true;
	return false;
}
