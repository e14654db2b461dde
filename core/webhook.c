/* core/webhook.c - messages for people.
 *
 * The happy path:
 *   webhook_send   the message waits behind the others
 *   post           the first one goes
 *   on_posted      2xx: it went, the next one
 *
 * When it does not go well:
 *   - no answer, 429 or 5xx: the same again after 1, 4, 16 and 64 s, then without it
 *   - any other answer: this message is not wanted, the next one
 *   - more than 32 wait: the oldest goes that is not under way. What is newer is of more
 *     use to who was woken up */
#include "core/webhook.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "core/headers.h"
#include "core/json_scan.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/timer.h"
#include "core/upstream.h"

#define WAIT_MOST 32u
#define TRIES 5u
#define AGAIN_MS 1000u
#define TIMEOUT_MS 10000u
#define ANSWER_MOST ((size_t)64 * 1024)

struct message {
	struct blob *body;
	unsigned tries;
	TAILQ_ENTRY(message) link;
};

struct webhook {
	struct upstream *up;
	char *target;
	TAILQ_HEAD(message_list, message) messages; /* the first is under way, or rests */
	unsigned waiting;
	struct op *call;
	struct timer again;
	bool failing; /* and it was said */
	struct webhook_figures figures;
};

/* --- the URL ----------------------------------------------------------------------- */

/* Where the path begins, or the end. NULL: it has no scheme. */
static const char *path_of(const char *url)
{
	const char *host = strstr(url, "://");

	return host != NULL ? host + 3 + strcspn(host + 3, "/?#") : NULL;
}

static bool is_plain(const char *path)
{
	for (; *path != '\0'; path++)
		if (*path <= ' ' || *path > '~' || *path == '#')
			return false;
	return true;
}

/* Scheme, host and port, as the client wants them: http has a port. */
static char *base_of(const char *url, const char *path)
{
	char *base = mem_substring(url, (size_t)(path - url)), *with_port;
	const char *host = strstr(base, "://") + 3;
	const char *bracket = strchr(host, ']');

	if (strncasecmp(base, "http://", 7) != 0 ||
	    strchr(bracket != NULL ? bracket : host, ':') != NULL)
		return base;
	with_port = mem_format("%s:80", base);
	free(base);
	return with_port;
}

char *webhook_check_url(const char *url)
{
	const char *path = path_of(url);
	char *base, *wrong;

	if (path == NULL)
		return mem_string("it must begin with https:// or http://");
	if (!is_plain(path))
		return mem_string("its path is not one of a URL");
	base = base_of(url, path);
	wrong = upstream_check_url(base);
	free(base);
	return wrong;
}

struct webhook *webhook_create(const char *url)
{
	struct webhook *hook = mem_new(struct webhook);
	const char *path = path_of(url);
	char *base = base_of(url, path);

	TAILQ_INIT(&hook->messages);
	hook->up = upstream_create(&(struct upstream_options){.url = base,
	                                                      .max_connections = 1,
	                                                      .connect_timeout = 5000,
	                                                      .idle_timeout = 5000});
	hook->target = mem_format(path[0] == '/' ? "%s" : "/%s", path);
	free(base);
	return hook;
}

/* --- messages ---------------------------------------------------------------------- */

static void message_free(struct message *m)
{
	blob_unref(&m->body);
	free(m);
}

static void drop(struct webhook *hook, struct message *m)
{
	TAILQ_REMOVE(&hook->messages, m, link);
	hook->waiting--;
	message_free(m);
}

static void post_next(void *arg);

static void said(struct webhook *hook, const struct reply *reply)
{
	hook->figures.failed++;
	if (hook->failing)
		return;
	hook->failing = true;
	if (reply->status == STATUS_OK)
		log_warn("webhook", "%s does not take messages: HTTP %d",
		         upstream_url(hook->up), reply->http);
	else
		log_warn("webhook", "%s does not take messages: %s%s%s",
		         upstream_url(hook->up), status_text(reply->status),
		         reply->detail[0] != '\0' ? ": " : "", reply->detail);
}

static bool may_go_later(const struct reply *reply)
{
	return reply->status != STATUS_OK || reply->http == 408 || reply->http == 429 ||
	       reply->http >= 500;
}

static void on_posted(void *arg, const struct reply *reply)
{
	struct webhook *hook = arg;
	struct message *m = TAILQ_FIRST(&hook->messages);
	bool good = reply->status == STATUS_OK && reply->http / 100 == 2;
	unsigned wait_ms = 0;

	if (good) {
		hook->figures.sent++;
		if (hook->failing)
			log_info("webhook", "%s takes messages again",
			         upstream_url(hook->up));
		hook->failing = false;
	} else {
		said(hook, reply);
		wait_ms = AGAIN_MS << (2 * m->tries);
	}
	if (good || !may_go_later(reply) || ++m->tries == TRIES) {
		hook->figures.dropped += good ? 0 : 1;
		drop(hook, m);
	}
	timer_start(&hook->again, wait_ms, post_next, hook);
}

static void post(struct webhook *hook, const struct message *m)
{
	struct headers h = {0};
	struct call call = {.method = "POST",
	                    .target = hook->target,
	                    .headers = &h,
	                    .body = m->body,
	                    .timeout = TIMEOUT_MS,
	                    .max_reply = ANSWER_MOST};

	headers_add(&h, "content-type", "application/json");
	upstream_call(hook->up, &call, on_posted, hook, &hook->call);
	headers_clear(&h);
}

static void post_next(void *arg)
{
	struct webhook *hook = arg;

	if (!TAILQ_EMPTY(&hook->messages))
		post(hook, TAILQ_FIRST(&hook->messages));
}

static struct blob *body_of(const char *text)
{
	struct text json = {0};
	size_t len;

	text_adds(&json, "{\"text\":");
	json_add_quoted(&json, text, strlen(text));
	text_addc(&json, '}');
	len = json.len;
	return blob_adopt(text_detach(&json), len);
}

void webhook_send(struct webhook *hook, const char *text)
{
	struct message *m;

	if (hook == NULL)
		return;
	if (hook->waiting == WAIT_MOST) {
		drop(hook, TAILQ_NEXT(TAILQ_FIRST(&hook->messages), link));
		hook->figures.dropped++;
	}
	m = mem_new(struct message);
	m->body = body_of(text);
	TAILQ_INSERT_TAIL(&hook->messages, m, link);
	hook->waiting++;
	if (hook->call == NULL && !timer_running(&hook->again))
		post_next(hook);
}

struct webhook_figures webhook_figures(const struct webhook *hook)
{
	return hook != NULL ? hook->figures : (struct webhook_figures){0};
}

void webhook_destroy(struct webhook **hook)
{
	struct webhook *old = *hook;
	struct message *next;

	*hook = NULL;
	if (old == NULL)
		return;
	op_cancel(&old->call);
	timer_stop(&old->again);
	for (struct message *m = TAILQ_FIRST(&old->messages); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		message_free(m);
	}
	upstream_destroy(&old->up);
	free(old->target);
	free(old);
}
