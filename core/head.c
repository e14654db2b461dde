/* core/head.c - one HTTP/1 message head, parsed strictly.
 *
 * The happy path:
 *   find_end            walk the lines up to the empty one; no byte in them may be a
 *                       control character, each ends with CR LF and with nothing else
 *   read_request_line / read_status_line
 *   read_fields         name, colon, value; into `headers`
 *   read_lengths        what Content-Length and Transfer-Encoding say, if they agree
 *   then what the two kinds of head make of it: framing, keep-alive
 * When it does not go well:
 *   - not all there: only the lines seen so far are judged, so that a peer that speaks
 *     something else hears so at its first line; nothing is kept
 *   - refused: the status to answer with. Two readers of one head that disagree are how
 *     requests are smuggled, so whatever could be read in two ways is refused. */
#include "core/head.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

enum {
	BAD_REQUEST = 400,
	TARGET_TOO_LONG = 414,
	FIELDS_TOO_LARGE = 431,
	NOT_IMPLEMENTED = 501,
	VERSION_NOT_SUPPORTED = 505,
};

struct limits {
	size_t bytes;
	size_t line;
};

static const struct limits request_limits = {HEAD_MAX_BYTES, HEAD_MAX_LINE};
static const struct limits reply_limits = {HEAD_REPLY_MAX_BYTES, HEAD_REPLY_MAX_BYTES};

/* A line without its end. */
struct line {
	const char *at;
	size_t len;
};

/* ---- where the head ends ---- */

/* How many of eight bytes come before the first control character, and so before the end
 * of the line; looked at all at once. */
static size_t plain_of_eight(const char *eight)
{
	const uint64_t ones = UINT64_MAX / 0xff, tops = ones << 7;
	uint64_t bytes, below_space, delete, odd;

	memcpy(&bytes, eight, sizeof(bytes));
	bytes = le64toh(bytes);
	below_space = (bytes - ones * 0x20) & ~bytes;
	delete = bytes ^ ones * 0x7f; /* 0 where there is one */
	delete = (delete - ones) & ~delete;
	odd = (below_space | delete) & tops; /* the lowest one is one, for certain */
	return odd == 0 ? 8 : (size_t)__builtin_ctzll(odd) / 8;
}

/* Looks for the end of the line at `at`; *n is its length, or how much of it there is. */
static int find_line_end(const char *bytes, size_t len, size_t at, size_t *n)
{
	size_t start = at, plain = 8;

	while (len - at >= 8 && plain == 8)
		at += plain = plain_of_eight(bytes + at);
	for (; at < len; at++) {
		unsigned char c = (unsigned char)bytes[at];

		*n = at - start;
		if (c == '\r') {
			if (at + 1 == len)
				return HEAD_INCOMPLETE;
			return bytes[at + 1] == '\n' ? HEAD_COMPLETE : BAD_REQUEST;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return BAD_REQUEST;
	}
	*n = at - start;
	return HEAD_INCOMPLETE;
}

/* `start` is where the first line begins; *scanned is moved from line to line. */
static int find_end(const struct limits *max, const char *bytes, size_t len, size_t start,
                    size_t *scanned, size_t *end)
{
	size_t at = *scanned > start ? *scanned : start;

	for (;;) {
		size_t n;
		int r = find_line_end(bytes, len, at, &n);

		if (r > 0)
			return r;
		if (n > max->line)
			return at == start ? TARGET_TOO_LONG : FIELDS_TOO_LARGE;
		if (r == HEAD_INCOMPLETE)
			return len >= max->bytes ? FIELDS_TOO_LARGE : HEAD_INCOMPLETE;
		at += n + 2;
		if (at > max->bytes)
			return FIELDS_TOO_LARGE;
		if (n == 0) {
			*end = at;
			return HEAD_COMPLETE;
		}
		*scanned = at;
	}
}

/* The line at *at; to be used only where find_end() has found that line's end. */
static struct line next_line(const char *bytes, size_t *at)
{
	const char *from = bytes + *at;
	struct line line = {from, (size_t)((const char *)rawmemchr(from, '\r') - from)};

	*at += line.len + 2;
	return line;
}

/* ---- the first line ---- */

/* Takes what stands before the next space off the line, and the space. */
static struct line take_word(struct line *line)
{
	const char *space = memchr(line->at, ' ', line->len);
	struct line word = {line->at, line->len};

	if (space != NULL)
		word.len = (size_t)(space - line->at);
	line->at += word.len + (space != NULL);
	line->len -= word.len + (space != NULL);
	return word;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int read_version(struct line word, int *minor)
{
	if (word.len != 8 || memcmp(word.at, "HTTP/", 5) != 0 || !is_digit(word.at[5]) ||
	    word.at[6] != '.' || !is_digit(word.at[7]))
		return BAD_REQUEST;
	if (word.at[5] != '1' || word.at[7] > '1')
		return VERSION_NOT_SUPPORTED;
	*minor = word.at[7] - '0';
	return 0;
}

/* The length of a dot, plain or escaped, at the start of a segment's rest; 0: it is none.
 */
static size_t dot_length(const char *at, size_t len)
{
	if (len > 0 && at[0] == '.')
		return 1;
	return len >= 3 && (memcmp(at, "%2e", 3) == 0 || memcmp(at, "%2E", 3) == 0) ? 3
	                                                                            : 0;
}

/* A segment that is `.` or `..`: who resolves it arrives elsewhere than who does not. */
static bool is_dots(const char *segment, size_t len)
{
	size_t first = dot_length(segment, len);
	size_t second = dot_length(segment + first, len - first);

	return first > 0 && first + second == len;
}

static bool has_dots(struct line path)
{
	const char *at = path.at, *end = path.at + path.len;

	while (at < end) {
		const char *from = at + 1;
		const char *slash = memchr(from, '/', (size_t)(end - from));
		const char *stop = slash != NULL ? slash : end;

		if (is_dots(from, (size_t)(stop - from)))
			return true;
		at = stop;
	}
	return false;
}

/* Origin-form in visible ASCII. A fragment has no place in it, and those who get one
 * nevertheless cut it off or do not. */
static bool is_target(struct line word)
{
	struct line path = word;
	const char *query;

	if (word.len == 0 || word.at[0] != '/')
		return false;
	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] < 0x21 || word.at[i] > 0x7e || word.at[i] == '#')
			return false;
	query = memchr(word.at, '?', word.len);
	if (query != NULL)
		path.len = (size_t)(query - word.at);
	return !has_dots(path);
}

static int read_request_line(struct line line, struct request_head *head)
{
	struct line method = take_word(&line);
	struct line target = take_word(&line);
	int refused = read_version(line, &head->minor);

	if (!headers_is_token(method.at, method.len))
		return BAD_REQUEST;
	if (refused != 0)
		return refused;
	if (method.len >= sizeof(head->method))
		return NOT_IMPLEMENTED;
	if (!is_target(target))
		return BAD_REQUEST;
	memcpy(head->method, method.at, method.len);
	head->target = mem_substring(target.at, target.len);
	return 0;
}

static int read_status_line(struct line line, struct reply_head *head)
{
	int refused = read_version(take_word(&line), &head->minor);
	struct line code = take_word(&line);

	if (refused != 0)
		return refused;
	if (code.len != 3 || !is_digit(code.at[0]) || !is_digit(code.at[1]) ||
	    !is_digit(code.at[2]))
		return BAD_REQUEST;
	head->http =
	        (code.at[0] - '0') * 100 + (code.at[1] - '0') * 10 + code.at[2] - '0';
	return head->http >= 100 && head->http <= 599 ? 0 : BAD_REQUEST;
}

/* ---- the fields ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A folded line begins with a blank, which no name may hold. */
static int read_field(struct line line, struct headers *headers)
{
	const char *colon = memchr(line.at, ':', line.len);
	const char *value, *end = line.at + line.len;

	if (colon == NULL || !headers_is_token(line.at, (size_t)(colon - line.at)))
		return BAD_REQUEST;
	value = colon + 1;
	while (value < end && is_blank(*value))
		value++;
	while (end > value && is_blank(end[-1]))
		end--;
	if (headers->count == HEAD_MAX_FIELDS)
		return FIELDS_TOO_LARGE;
	headers_addn(headers, line.at, (size_t)(colon - line.at), value,
	             (size_t)(end - value));
	return 0;
}

static int read_fields(const char *bytes, size_t at, struct headers *headers)
{
	int refused = 0;

	while (refused == 0) {
		struct line line = next_line(bytes, &at);

		if (line.len == 0)
			break;
		refused = read_field(line, headers);
	}
	return refused;
}

/* ---- how long the body is ---- */

static bool read_number(const char *digits, uint64_t *number)
{
	*number = 0;
	if (*digits == '\0')
		return false;
	for (; *digits != '\0'; digits++) {
		if (!is_digit(*digits) || __builtin_mul_overflow(*number, 10u, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*digits - '0'), number))
			return false;
	}
	return true;
}

struct lengths {
	bool chunked;
	bool has_length;
	uint64_t length;
};

static int read_transfer_encoding(const struct headers *headers, int minor)
{
	const char *value = headers_get(headers, "Transfer-Encoding");

	if (headers_count_of(headers, "Transfer-Encoding") > 1 || minor == 0 ||
	    *value == '\0' || headers_get(headers, "Content-Length") != NULL)
		return BAD_REQUEST;
	return strcasecmp(value, "chunked") == 0 ? 0 : NOT_IMPLEMENTED;
}

static int read_lengths(const struct headers *headers, int minor, struct lengths *out)
{
	const char *length = headers_get(headers, "Content-Length");

	*out = (struct lengths){0};
	if (headers_get(headers, "Transfer-Encoding") != NULL) {
		out->chunked = true;
		return read_transfer_encoding(headers, minor);
	}
	if (length == NULL)
		return 0;
	out->has_length = true;
	if (headers_count_of(headers, "Content-Length") > 1 ||
	    !read_number(length, &out->length))
		return BAD_REQUEST;
	return 0;
}

static enum head_framing framing_of(const struct lengths *lengths,
                                    enum head_framing otherwise)
{
	if (lengths->chunked)
		return FRAMING_CHUNKED;
	if (!lengths->has_length)
		return otherwise;
	return lengths->length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
}

static bool wants_keep_alive(const struct headers *headers, int minor)
{
	if (headers_has_token(headers, "Connection", "close"))
		return false;
	return minor >= 1 || headers_has_token(headers, "Connection", "keep-alive");
}

/* ---- requests ---- */

static size_t skip_empty_lines(const char *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= 2 && bytes[at] == '\r' && bytes[at + 1] == '\n')
		at += 2;
	return at;
}

static int finish_request(struct request_head *head)
{
	size_t hosts = headers_count_of(&head->headers, "Host");
	const char *expect = headers_get(&head->headers, "Expect");
	struct lengths lengths;
	int refused = read_lengths(&head->headers, head->minor, &lengths);

	if (refused != 0)
		return refused;
	if (hosts > 1 || (hosts == 0 && head->minor >= 1))
		return BAD_REQUEST;
	head->framing = framing_of(&lengths, FRAMING_NONE);
	head->content_length = lengths.length;
	head->keep_alive = wants_keep_alive(&head->headers, head->minor);
	head->expect_continue = head->minor >= 1 && expect != NULL &&
	                        strcasecmp(expect, "100-continue") == 0;
	return 0;
}

int head_parse_request(const char *bytes, size_t len, size_t *scanned, size_t *used,
                       struct request_head *head)
{
	size_t at = skip_empty_lines(bytes, len);
	size_t start = at;
	int found = find_end(&request_limits, bytes, len, start, scanned, used);
	int refused = found > 0 ? found : 0;

	*head = (struct request_head){0};
	if (found == HEAD_COMPLETE || (found == HEAD_INCOMPLETE && *scanned > start))
		refused = read_request_line(next_line(bytes, &at), head);
	if (found == HEAD_COMPLETE && refused == 0)
		refused = read_fields(bytes, at, &head->headers);
	if (found == HEAD_COMPLETE && refused == 0)
		refused = finish_request(head);
	if (found != HEAD_COMPLETE || refused != 0)
		request_head_clear(head);
	return refused != 0 ? refused : found;
}

void request_head_clear(struct request_head *head)
{
	free(head->target);
	headers_clear(&head->headers);
	*head = (struct request_head){0};
}

/* ---- replies ---- */

static bool reply_has_no_body(int http, const char *method)
{
	return http < 200 || http == 204 || http == 304 || strcmp(method, "HEAD") == 0;
}

static int finish_reply(struct reply_head *head, const char *method)
{
	struct lengths lengths;
	int refused = read_lengths(&head->headers, head->minor, &lengths);

	if (refused != 0)
		return refused;
	head->framing = framing_of(&lengths, FRAMING_TO_CLOSE);
	if (reply_has_no_body(head->http, method))
		head->framing = FRAMING_NONE;
	head->has_content_length = lengths.has_length;
	head->content_length = lengths.length;
	head->keep_alive = head->framing != FRAMING_TO_CLOSE &&
	                   wants_keep_alive(&head->headers, head->minor);
	return 0;
}

int head_parse_reply(const char *bytes, size_t len, const char *method, size_t *scanned,
                     size_t *used, struct reply_head *head)
{
	size_t at = 0;
	int found = find_end(&reply_limits, bytes, len, 0, scanned, used);
	int refused = found > 0 ? found : 0;

	*head = (struct reply_head){0};
	if (found == HEAD_COMPLETE || (found == HEAD_INCOMPLETE && *scanned > 0))
		refused = read_status_line(next_line(bytes, &at), head);
	if (found == HEAD_COMPLETE && refused == 0)
		refused = read_fields(bytes, at, &head->headers);
	if (found == HEAD_COMPLETE && refused == 0)
		refused = finish_reply(head, method);
	if (found != HEAD_COMPLETE || refused != 0)
		reply_head_clear(head);
	return refused != 0 ? refused : found;
}

void reply_head_clear(struct reply_head *head)
{
	headers_clear(&head->headers);
	*head = (struct reply_head){0};
}

/* ---- for those who pass heads on ---- */

bool head_is_hop_by_hop(const struct header *f, const char *connection)
{
	if (header_named(f, "Connection") || header_named(f, "Keep-Alive") ||
	    header_named(f, "TE") || header_named(f, "Trailer") ||
	    header_named(f, "Transfer-Encoding") || header_named(f, "Upgrade"))
		return true;
	if ((f->name[0] | 0x20) == 'p' && strncasecmp(f->name, "Proxy-", 6) == 0)
		return true;
	/* A peer must not take the length off its own message. */
	if (connection == NULL || header_named(f, "Content-Length"))
		return false;
	return headers_list_has(connection, f->name);
}

const char *head_reason(int http)
{
	static const struct {
		int http;
		const char *reason;
	} reasons[] = {
	        {100, "Continue"},
	        {200, "OK"},
	        {201, "Created"},
	        {202, "Accepted"},
	        {204, "No Content"},
	        {206, "Partial Content"},
	        {301, "Moved Permanently"},
	        {302, "Found"},
	        {303, "See Other"},
	        {304, "Not Modified"},
	        {307, "Temporary Redirect"},
	        {308, "Permanent Redirect"},
	        {400, "Bad Request"},
	        {401, "Unauthorized"},
	        {403, "Forbidden"},
	        {404, "Not Found"},
	        {405, "Method Not Allowed"},
	        {406, "Not Acceptable"},
	        {408, "Request Timeout"},
	        {409, "Conflict"},
	        {410, "Gone"},
	        {411, "Length Required"},
	        {412, "Precondition Failed"},
	        {413, "Content Too Large"},
	        {414, "URI Too Long"},
	        {415, "Unsupported Media Type"},
	        {417, "Expectation Failed"},
	        {422, "Unprocessable Entity"},
	        {429, "Too Many Requests"},
	        {431, "Request Header Fields Too Large"},
	        {500, "Internal Server Error"},
	        {501, "Not Implemented"},
	        {502, "Bad Gateway"},
	        {503, "Service Unavailable"},
	        {504, "Gateway Timeout"},
	        {505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].http == http)
			return reasons[i].reason;
	return "Unknown";
}
