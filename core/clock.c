/* core/clock.c - the only place that asks what time it is. */
#include "core/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t clock_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

msec clock_ms(void)
{
	return clock_us() / 1000u;
}

int64_t clock_wall_ms(void)
{
	return (int64_t)(read_us(CLOCK_REALTIME) / 1000u);
}

int64_t clock_wall_seconds(void)
{
	return (int64_t)(read_us(CLOCK_REALTIME_COARSE) / 1000000u);
}

const char *clock_iso(int64_t wall_ms, char out[CLOCK_ISO_BYTES])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	unsigned ms = (unsigned)(wall_ms % 1000) % 1000u;
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(out, CLOCK_ISO_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_ISO_BYTES - n, ".%03uZ", ms);
	return out;
}
