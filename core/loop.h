/* core/loop.h - the one event loop and how it ends. */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <stdbool.h>

struct event_base;

typedef void(loop_signal_fn)(int signal);

void loop_start(void);                  /* the base exists from here on */
void loop_run(loop_signal_fn *on_stop); /* until loop_end(); SIGTERM, SIGINT -> on_stop */
void loop_end(void);                    /* loop_run() returns after this turn */
void loop_stop(void);                   /* frees the base */
struct event_base *loop_base(void);

#endif
