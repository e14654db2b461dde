/* core/lag.h - how late the loop is: everything waits for its turn, so this is the delay
 * that every client and instance feels on top of their own. */
#ifndef CORE_LAG_H
#define CORE_LAG_H

#include <stdint.h>

struct lag_figures {
	uint64_t last_us;
	uint64_t max_us; /* of the last ten seconds */
	uint64_t sum_us; /* since the start */
	uint64_t looks;  /* how often it was measured */
};

void lag_start(void);
void lag_stop(void);
void lag_figures(struct lag_figures *out);

#endif
