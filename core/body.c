/* core/body.c - takes an HTTP/1 body out of a stream of bytes.
 *
 * Bodies of a known length and bodies that end with the connection are pieces as they
 * come. The chunked grammar is walked byte by byte outside the data:
 *
 *   SIZE -> [EXTENSION ->] SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   the chunk of size 0:   SIZE_LF -> TRAILER [-> NAME -> VALUE -> VALUE_LF -> TRAILER]
 *                                  -> LAST_LF -> DONE
 *
 * A byte that does not fit ends in BROKEN, for good. Where the next message begins would
 * then be a guess, and somebody else may guess differently. */
#include "core/body.h"

enum step {
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	NAME,
	VALUE,
	VALUE_LF,
	LAST_LF,
	DONE,
	BROKEN,
};

#define MAX_SIZE_DIGITS 16u /* more would overflow 64 bits */

void body_init(struct body *b, enum head_framing framing, uint64_t content_length)
{
	*b = (struct body){.framing = framing, .step = DATA};
	if (framing == FRAMING_CHUNKED)
		b->step = SIZE;
	if (framing == FRAMING_LENGTH)
		b->left = content_length;
	if (framing == FRAMING_NONE || (framing == FRAMING_LENGTH && content_length == 0))
		b->step = DONE;
}

/* ---- the chunked grammar ---- */

/* What may stand in an extension or a trailer's value. */
static bool is_text(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int digit_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static enum step after_size_digit(struct body *b, unsigned char c)
{
	int value = digit_value(c);

	if (value < 0) {
		if (b->digits == 0)
			return BROKEN;
		return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : BROKEN;
	}
	if (++b->digits > MAX_SIZE_DIGITS)
		return BROKEN;
	b->left = b->left << 4 | (uint64_t)value;
	return SIZE;
}

static enum step after_size_line(struct body *b)
{
	b->line = 0;
	b->digits = 0;
	return b->left > 0 ? DATA : TRAILER;
}

static enum step after_trailer_byte(enum step step, unsigned char c)
{
	switch (step) {
	case TRAILER:
		if (c == '\r')
			return LAST_LF;
		return headers_is_token((const char *)&c, 1) ? NAME : BROKEN;
	case NAME:
		if (c == ':')
			return VALUE;
		return headers_is_token((const char *)&c, 1) ? NAME : BROKEN;
	case VALUE:
		return c == '\r' ? VALUE_LF : is_text(c) ? VALUE : BROKEN;
	case VALUE_LF:
		return c == '\n' ? TRAILER : BROKEN;
	default:
		return c == '\n' ? DONE : BROKEN;
	}
}

/* One byte that is not data. */
static enum step after_byte(struct body *b, unsigned char c)
{
	switch ((enum step)b->step) {
	case SIZE:
	case EXTENSION:
		if (++b->line > BODY_MAX_CHUNK_LINE)
			return BROKEN;
		if (b->step == SIZE)
			return after_size_digit(b, c);
		return c == '\r' ? SIZE_LF : is_text(c) ? EXTENSION : BROKEN;
	case SIZE_LF:
		return c == '\n' ? after_size_line(b) : BROKEN;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BROKEN;
	case DATA_LF:
		return c == '\n' ? SIZE : BROKEN;
	default:
		if (++b->line > BODY_MAX_TRAILER_BYTES)
			return BROKEN;
		return after_trailer_byte((enum step)b->step, c);
	}
}

/* ---- data ---- */

static size_t take_data(struct body *b, size_t len)
{
	if (b->framing == FRAMING_TO_CLOSE)
		return len;
	if (len > b->left)
		len = (size_t)b->left;
	b->left -= len;
	if (b->left == 0)
		b->step = b->framing == FRAMING_CHUNKED ? DATA_CR : DONE;
	return len;
}

static enum body_state state_of(const struct body *b)
{
	if (b->step == BROKEN)
		return BODY_MALFORMED;
	return b->step == DONE ? BODY_COMPLETE : BODY_MORE;
}

size_t body_read(struct body *b, const char *bytes, size_t len, const char **piece,
                 size_t *piece_len, enum body_state *state)
{
	size_t n = 0;

	while (n < len && b->step != DATA && b->step != DONE && b->step != BROKEN)
		b->step = (int)after_byte(b, (unsigned char)bytes[n++]);
	*piece = n > 0 ? bytes + n : bytes; /* which may be NULL when len is 0 */
	*piece_len = 0;
	if (n < len && b->step == DATA)
		*piece_len = take_data(b, len - n);
	*state = state_of(b);
	return n + *piece_len;
}

enum body_state body_at_close(const struct body *b)
{
	if (b->step == DONE || (b->framing == FRAMING_TO_CLOSE && b->step == DATA))
		return BODY_COMPLETE;
	return BODY_MALFORMED;
}
