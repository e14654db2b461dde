/* core/notify.h - what a service manager is told (sd_notify(3)), over $NOTIFY_SOCKET:
 * ready, alive, stopping. Without that variable all of it does nothing. */
#ifndef CORE_NOTIFY_H
#define CORE_NOTIFY_H

#include <stdbool.h>

/* READY=1 once `ready` is true, for good; WATCHDOG=1 while the loop turns, if the manager
 * wants it (WATCHDOG_USEC). */
void notify_start(bool (*ready)(void));
void notify_stopping(void); /* STOPPING=1 */
void notify_stop(void);

#endif
