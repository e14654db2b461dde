/* core/events.c - a ring of the last changes of state.
 *
 * An instance that has lost its disk makes a line for each of its collections: of such
 * words only the last few in a row are kept, or they would push out what came before. */
#include "core/events.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"

static struct {
	struct kept_event ring[EVENTS_KEPT];
	unsigned next, count;
	events_fn *listener;
} events;

static const struct word {
	const char *text;
	bool many; /* it may come by the thousand */
} words[] = {
        {"adopt", false},     {"auth", true},      {"export", false},
        {"failover", false},  {"health", false},   {"lease", false},
        {"operator", false},  {"postgres", false}, {"quarantine", true},
        {"rebuild", true},    {"recover", false},  {"resync", true},
        {"retention", false}, {"start", false},    {"stop", false},
        {"strangers", false}, {"verify", true},
};

/* NULL: not one that is kept. */
static const struct word *kept_word(const char *event)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(event, words[i].text) == 0)
			return &words[i];
	return NULL;
}

bool events_keep(const char *event)
{
	return kept_word(event) != NULL;
}

static struct kept_event *at(unsigned i)
{
	return &events.ring[(events.next + 2 * EVENTS_KEPT - 1 - i) % EVENTS_KEPT];
}

static struct kept_event *newest(void)
{
	return at(0);
}

/* How many of the newest have that word. */
static unsigned run_of(const struct word *word)
{
	unsigned n = 0;

	while (n < events.count && events_get(n)->event == word->text)
		n++;
	return n;
}

static bool is_repeated(const struct kept_event *e)
{
	return events.count > 0 && newest()->event == e->event &&
	       strcmp(newest()->text, e->text) == 0;
}

/* The oldest of the run goes, the others move up. */
static void shorten_run(void)
{
	for (unsigned i = EVENTS_RUN - 1; i > 0; i--)
		*at(i) = *at(i - 1);
}

void events_add(const char *event, const char *text)
{
	const struct word *word = kept_word(event);
	struct kept_event e = {.wall_ms = clock_wall_ms(), .times = 1};

	if (word == NULL)
		return;
	e.event = word->text;
	snprintf(e.text, sizeof(e.text), "%s", text);
	if (is_repeated(&e)) {
		e.times += newest()->times;
	} else if (word->many && run_of(word) >= EVENTS_RUN) {
		shorten_run();
	} else {
		events.next = (events.next + 1) % EVENTS_KEPT;
		events.count += events.count < EVENTS_KEPT ? 1 : 0;
	}
	*newest() = e;
	if (events.listener != NULL)
		events.listener(word->text, text, word->many);
}

const struct kept_event *events_get(unsigned i)
{
	return i < events.count ? at(i) : NULL;
}

void events_add_older(const struct kept_event *e)
{
	const struct word *word = kept_word(e->event);

	if (word == NULL || events.count == EVENTS_KEPT)
		return;
	*at(events.count) = *e;
	at(events.count++)->event = word->text;
}

void events_listen(events_fn *fn)
{
	events.listener = fn;
	for (unsigned i = events.count; fn != NULL && i > 0; i--)
		fn(at(i - 1)->event, at(i - 1)->text, kept_word(at(i - 1)->event)->many);
}
