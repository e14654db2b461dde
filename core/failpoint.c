/* core/failpoint.c - stop exactly here; only in builds with CHROMATID_FAILPOINTS. */
#include "core/failpoint.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

static struct {
	bool known;
	const char *wanted; /* name[:nth]; "" if none */
	size_t name_len;
	unsigned long nth, passed;
} point;

static void read_wish(void)
{
	const char *colon;

	point.known = true;
	point.wanted = getenv("CHROMATID_FAILPOINT");
	if (point.wanted == NULL)
		point.wanted = "";
	colon = strchr(point.wanted, ':');
	point.name_len = strcspn(point.wanted, ":");
	point.nth = colon != NULL ? strtoul(colon + 1, NULL, 10) : 1;
}

void failpoint(const char *name)
{
	if (!point.known)
		read_wish();
	if (strlen(name) != point.name_len ||
	    memcmp(name, point.wanted, point.name_len) != 0)
		return;
	if (++point.passed != point.nth)
		return;
	log_warn("failpoint", "%s", name);
	kill(getpid(), SIGKILL);
}
