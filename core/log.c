/* core/log.c - structured lines, one write(2) each, to standard error.
 *
 * The happy path:
 *   log_line     put the message together
 *   render       make the line: time, level, event, msg, proxy, then the extra keys
 *   say          the same line as the one before, within a second? then only count it
 *   write_out    one write of at most LINE_MOST bytes
 *
 * When it does not go well:
 *   - what is said holds anything at all: it is escaped, broken UTF-8 is replaced, long
 *     text is cut; the line stays one line of valid JSON or logfmt
 *   - nobody reads standard error: the loop must not wait for it, so the line is dropped,
 *     and the number of dropped lines is said when there is room again */
#include "core/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/events.h"
#include "core/utf8.h"

/* A pipe that poll() calls writable takes this much at once without blocking. */
#define LINE_MOST PIPE_BUF
#define MESSAGE_MOST 2000u /* of the line, after escaping */
#define TEXT_MOST 512u     /* a field's text, after escaping */
#define NUMBER_MOST 24u
#define FOLD_MS 1000u

struct line {
	size_t len;
	size_t stamp; /* bytes before this are the time, which differs in equal lines */
	enum log_level level;
	char s[LINE_MOST];
};

static enum log_level least = LOG_INFO;
static bool json = true;
static char proxy[64];
static uint64_t counts[LOG_ERROR + 1];
static uint64_t dropped, dropped_unsaid;

static struct line last; /* the line said last, while it can still be folded */
static msec last_at;
static uint64_t repeats; /* how often it came again since */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_start(enum log_level level, enum log_format format, const char *proxy_name)
{
	least = level;
	json = format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !isatty(2));
	snprintf(proxy, sizeof(proxy), "%s", proxy_name != NULL ? proxy_name : "");
	last.len = 0;
	repeats = 0;
}

bool log_wants(enum log_level level)
{
	return level >= least;
}

uint64_t log_count(enum log_level level)
{
	return counts[level];
}

uint64_t log_dropped(void)
{
	return dropped;
}

static void put_bytes(struct line *line, const char *s, size_t len)
{
	if (len > sizeof(line->s) - line->len)
		return;
	memcpy(line->s + line->len, s, len);
	line->len += len;
}

static void put(struct line *line, const char *s)
{
	put_bytes(line, s, strlen(s));
}

/* One character of text as it stands inside quotes; returns how many bytes of `s` it
 * took. Control characters could move a terminal's cursor: they are spelled out. */
static size_t escape(const char *s, size_t len, char out[8])
{
	uint32_t c;
	size_t n = utf8_next(s, len, &c);

	if (c == '"' || c == '\\')
		snprintf(out, 8, "\\%c", (char)c);
	else if (c == '\n')
		snprintf(out, 8, "\\n");
	else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		snprintf(out, 8, "\\u%04x", (unsigned)c);
	else if (c == UTF8_BROKEN)
		snprintf(out, 8, "\xef\xbf\xbd");
	else
		snprintf(out, 8, "%.*s", (int)n, s);
	return n;
}

/* How much of the text stands inside quotes as it is. */
static size_t plain_length(const char *s, size_t most)
{
	size_t n = 0;

	while (n < most && s[n] >= ' ' && s[n] <= '~' && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

static void put_quoted(struct line *line, const char *s, size_t most)
{
	size_t len = strlen(s), end = line->len + most, at = 0;
	char piece[8];

	put(line, "\"");
	while (at < len) {
		size_t room = line->len < end ? end - line->len : 0;
		size_t plain = plain_length(s + at, room);

		put_bytes(line, s + at, plain);
		at += plain;
		if (at == len)
			break;
		at += escape(s + at, len - at, piece);
		if (line->len + strlen(piece) > end)
			break;
		put(line, piece);
	}
	put(line, "\"");
}

static bool is_bare_word(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~' || strchr("\"=\\", s[i]) != NULL)
			return false;
	return n > 0 && n <= TEXT_MOST;
}

static void put_key(struct line *line, const char *key)
{
	put(line, json ? ",\"" : " ");
	put(line, key);
	put(line, json ? "\":" : "=");
}

static void put_text(struct line *line, const char *key, const char *s, size_t most)
{
	put_key(line, key);
	if (!json && is_bare_word(s))
		put(line, s);
	else
		put_quoted(line, s, most);
}

const char log_thousandths[] = "thousandths", log_absent[] = "absent";

static void put_thousandths(struct line *line, const char *key, int64_t number)
{
	char digits[NUMBER_MOST];

	snprintf(digits, sizeof(digits), "%lld.%03d", (long long)(number / 1000),
	         (int)(number % 1000));
	put_key(line, key);
	put(line, digits);
}

static void put_number(struct line *line, const char *key, int64_t number)
{
	char digits[NUMBER_MOST];

	snprintf(digits, sizeof(digits), "%lld", (long long)number);
	put_key(line, key);
	put(line, digits);
}

/* Room for a whole key and value, and for the end of the line with its count. */
static bool fits(const struct line *line, const char *key, size_t value)
{
	return line->len + strlen(key) + value + 2 * NUMBER_MOST + 16 < sizeof(line->s);
}

static void put_stamp(struct line *line)
{
	char now[CLOCK_ISO_BYTES];

	line->len = 0;
	put(line, json ? "{\"ts\":\"" : "ts=");
	put(line, clock_iso(clock_wall_ms(), now));
	put(line, json ? "\"" : "");
	line->stamp = line->len;
}

static void render(struct line *line, enum log_level level, const char *event,
                   const struct log_field *fields, const char *message)
{
	line->level = level;
	put_stamp(line);
	put_text(line, "level", level_names[level], TEXT_MOST);
	put_text(line, "event", event, TEXT_MOST);
	put_text(line, "msg", message, MESSAGE_MOST);
	if (proxy[0] != '\0')
		put_text(line, "proxy", proxy, TEXT_MOST);
	for (; fields != NULL && fields->key != NULL; fields++) {
		if (!fits(line, fields->key, fields->text ? TEXT_MOST : NUMBER_MOST))
			continue;
		if (fields->text == log_thousandths)
			put_thousandths(line, fields->key, fields->number);
		else if (fields->text == log_absent)
			continue;
		else if (fields->text != NULL)
			put_text(line, fields->key, fields->text, TEXT_MOST);
		else
			put_number(line, fields->key, fields->number);
	}
}

/* poll() first: standard error is shared with who started us, so it is not ours to make
 * non-blocking. */
static bool write_out(const struct line *line)
{
	struct pollfd out = {.fd = 2, .events = POLLOUT};
	ssize_t n;

	if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0)
		return false;
	do
		n = write(2, line->s, line->len);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)line->len;
}

static void finish(struct line *line)
{
	put(line, json ? "}\n" : "\n");
	if (write_out(line)) {
		counts[line->level]++;
		return;
	}
	dropped++;
	dropped_unsaid++;
}

static void say_dropped(void)
{
	struct line line;
	char message[80];

	if (dropped_unsaid == 0)
		return;
	snprintf(message, sizeof(message), "%llu lines dropped: nobody read them",
	         (unsigned long long)dropped_unsaid);
	render(&line, LOG_WARN, "log", NULL, message);
	put(&line, json ? "}\n" : "\n");
	if (!write_out(&line))
		return;
	counts[LOG_WARN]++;
	dropped_unsaid = 0;
}

/* Writes `last`, as of now, with the number of times it came again. */
static void say_repeats(void)
{
	struct line line;

	line.level = last.level;
	put_stamp(&line);
	memcpy(line.s + line.len, last.s + last.stamp, last.len - last.stamp);
	line.len += last.len - last.stamp;
	put_number(&line, "repeated", (int64_t)repeats);
	repeats = 0;
	finish(&line);
}

static void say(const struct line *line)
{
	msec now = clock_ms();
	size_t rest = line->len - line->stamp;
	bool same = last.len > 0 && last.len - last.stamp == rest &&
	            memcmp(last.s + last.stamp, line->s + line->stamp, rest) == 0;

	if (same && now - last_at < FOLD_MS) {
		repeats++;
		return;
	}
	if (same && repeats > 0) {
		repeats++;
		say_repeats();
	} else {
		struct line whole = *line;

		log_flush();
		finish(&whole);
		last = *line;
	}
	last_at = now;
}

void log_flush(void)
{
	if (repeats > 0)
		say_repeats();
}

void log_line(enum log_level level, const char *event, const struct log_field *fields,
              const char *format, ...)
{
	char message[MESSAGE_MOST + 1];
	struct line line;
	va_list args;
	int error = errno;
	bool keep = level > LOG_DEBUG && events_keep(event);

	if (!log_wants(level) && !keep)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (keep)
		events_add(event, message);
	if (log_wants(level)) {
		say_dropped();
		render(&line, level, event, fields, message);
		say(&line);
	}
	errno = error;
}
