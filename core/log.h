/* core/log.h - structured lines, one event per line, to standard error.
 *
 * JSON when standard error is not a terminal, logfmt on one (LOG_FORMAT overrides).
 * Who, what, why. Never bodies, documents, embeddings, tokens or URL passwords.
 *
 *	log_info("health", "instance %s: %s -> %s (%s)", name, was, now, why);
 *	log_line(LOG_INFO, "access", (struct log_field[]){{"op", op, 0}, {"status", NULL,
 *		 200}, {0}}, "%s %s", method, path);
 *
 * The first argument is the event: one word, lower case, greppable. Lines that are the
 * same in everything but the time within a second are folded into one with a count
 * ("repeated": how many more). If nobody reads standard error lines are dropped, and
 * counted, rather than waited for. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT };

/* Extra keys of a line. An array of them ends with a NULL key. A NULL text means the
 * number is meant, LOG_THOUSANDTHS the number divided by a thousand, LOG_ABSENT that
 * there is nothing to say. */
extern const char log_thousandths[], log_absent[];
#define LOG_THOUSANDTHS log_thousandths
#define LOG_ABSENT log_absent
struct log_field {
	const char *key;
	const char *text;
	int64_t number;
};

void log_start(enum log_level least, enum log_format format, const char *proxy);
void log_line(enum log_level level, const char *event, const struct log_field *fields,
              const char *format, ...) __attribute__((format(printf, 4, 5)));
bool log_wants(enum log_level level);
/* Says how often the last line was repeated, if it was. For a once-a-second tick and the
 * end; the next line does it too. */
void log_flush(void);
uint64_t log_count(enum log_level level); /* lines written so far */
uint64_t log_dropped(void);

#define log_debug(event, ...) log_line(LOG_DEBUG, event, NULL, __VA_ARGS__)
#define log_info(event, ...) log_line(LOG_INFO, event, NULL, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_WARN, event, NULL, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_ERROR, event, NULL, __VA_ARGS__)

#endif
