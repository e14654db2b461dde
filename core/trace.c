/* core/trace.c - traceparent: read, made, written. */
#include "core/trace.h"

#include <string.h>

#include "core/random.h"

#define VERSION_AT 0u
#define ID_AT 3u
#define SPAN_AT 36u
#define FLAGS_AT 53u
#define TRACE_LEN 55u
#define SAMPLED 1u /* without us an instance that traces would have begun one */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_bytes(const char *hex, unsigned char *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static char *write_bytes(char *out, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	return out;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* What later versions add stands behind another dash. */
static bool is_whole(const char *text, size_t len, unsigned char version)
{
	if (len < TRACE_LEN || version == 0xff ||
	    (len > TRACE_LEN && (version == 0 || text[TRACE_LEN] != '-')))
		return false;
	return text[ID_AT - 1] == '-' && text[SPAN_AT - 1] == '-' &&
	       text[FLAGS_AT - 1] == '-';
}

bool trace_parse(struct trace *t, const char *text, size_t len)
{
	unsigned char version;

	*t = (struct trace){.set = false};
	if (len < TRACE_LEN || !read_bytes(text + VERSION_AT, &version, 1) ||
	    !is_whole(text, len, version))
		return false;
	t->set = read_bytes(text + ID_AT, t->id, sizeof(t->id)) &&
	         read_bytes(text + SPAN_AT, t->span, sizeof(t->span)) &&
	         read_bytes(text + FLAGS_AT, &t->flags, 1) &&
	         !is_zero(t->id, sizeof(t->id)) && !is_zero(t->span, sizeof(t->span));
	return t->set;
}

static void make(unsigned char *out, size_t n)
{
	uint64_t part;

	for (size_t i = 0; i < n; i += sizeof(part)) {
		part = random_id();
		memcpy(out + i, &part, sizeof(part));
	}
	out[0] |= (unsigned char)is_zero(out, n);
}

void trace_begin(struct trace *t, const char *parent)
{
	if (parent == NULL || !trace_parse(t, parent, strlen(parent))) {
		make(t->id, sizeof(t->id));
		t->flags = SAMPLED;
		t->set = true;
	}
	make(t->span, sizeof(t->span));
}

const char *trace_text(const struct trace *t, char out[TRACE_BYTES])
{
	char *at = out;

	out[0] = '\0';
	if (!t->set)
		return out;
	memcpy(at, "00-", 3);
	at = write_bytes(at + 3, t->id, sizeof(t->id));
	*at++ = '-';
	at = write_bytes(at, t->span, sizeof(t->span));
	*at++ = '-';
	*write_bytes(at, &t->flags, 1) = '\0';
	return out;
}

const char *trace_id(const struct trace *t, char out[TRACE_ID_BYTES])
{
	out[0] = '\0';
	if (t->set)
		*write_bytes(out, t->id, sizeof(t->id)) = '\0';
	return out;
}
