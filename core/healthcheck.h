/* core/healthcheck.h - `chromatid healthcheck --alive`: is the proxy on this machine
 * alive? */
#ifndef CORE_HEALTHCHECK_H
#define CORE_HEALTHCHECK_H

/* Asks http://127.0.0.1:$PORT/health and prints the answer. The exit code: 0 if it is 200
 * within 3 s, else 1. */
int healthcheck_run(void);

#endif
