/* core/webhook.h - messages for people, to a URL that takes {"text": ...} (Slack, and
 * others that understand the same).
 *
 * Nobody waits for it: messages go one after the other, are tried again some times, and
 * are dropped when there are too many. What is wrong is said once in the log, and when it
 * is over. The path of the URL is a secret and never said. */
#ifndef CORE_WEBHOOK_H
#define CORE_WEBHOOK_H

#include <stdint.h>

struct webhook;

/* NULL if the URL is good, else what is wrong (freed by the caller; nothing of it). */
char *webhook_check_url(const char *url);
struct webhook *webhook_create(const char *url);
void webhook_destroy(struct webhook **hook);               /* takes NULL, sets NULL */
void webhook_send(struct webhook *hook, const char *text); /* takes a NULL hook */

struct webhook_figures {
	uint64_t sent, failed, dropped; /* failed: tries */
};
struct webhook_figures webhook_figures(const struct webhook *hook); /* takes NULL */

#endif
