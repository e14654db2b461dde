/* core/events.c - a ring of the last changes of state. */
#include "core/events.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"

static struct {
	struct kept_event ring[EVENTS_KEPT];
	unsigned next, count;
} events;

/* The word itself, as a constant; NULL: not one that is kept. */
static const char *kept_word(const char *event)
{
	static const char *const words[] = {
	        "adopt",   "health",    "lease", "operator", "postgres",
	        "recover", "retention", "start", "stop",     "strangers"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(event, words[i]) == 0)
			return words[i];
	return NULL;
}

bool events_keep(const char *event)
{
	return kept_word(event) != NULL;
}

static struct kept_event *newest(void)
{
	return &events.ring[(events.next + EVENTS_KEPT - 1) % EVENTS_KEPT];
}

void events_add(const char *event, const char *text)
{
	const char *word = kept_word(event);
	struct kept_event e = {.wall_ms = clock_wall_ms(), .times = 1, .event = word};
	struct kept_event *last = newest();

	if (word == NULL)
		return;
	snprintf(e.text, sizeof(e.text), "%s", text);
	if (events.count > 0 && last->event == word && strcmp(last->text, e.text) == 0) {
		last->wall_ms = e.wall_ms;
		last->times++;
		return;
	}
	events.ring[events.next] = e;
	events.next = (events.next + 1) % EVENTS_KEPT;
	events.count += events.count < EVENTS_KEPT ? 1 : 0;
}

const struct kept_event *events_get(unsigned i)
{
	if (i >= events.count)
		return NULL;
	return &events.ring[(events.next + EVENTS_KEPT - 1 - i) % EVENTS_KEPT];
}
