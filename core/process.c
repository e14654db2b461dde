/* core/process.c - reads /proc/self. */
#include "core/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"

#define CPU_OVER_US 1000000u

/* The numbers of /proc/self/stat, counted as in proc(5). */
enum { FIRST = 3, UTIME = 14, STIME = 15, STARTED = 22, VIRTUAL = 23, RESIDENT = 24 };

static size_t read_file(const char *path, char *out, size_t room)
{
	FILE *f = fopen(path, "re");
	size_t n;

	out[0] = '\0';
	if (f == NULL)
		return 0;
	n = fread(out, 1, room - 1, f);
	out[n] = '\0';
	fclose(f);
	return n;
}

/* The second field is our name in brackets and may hold anything: begin behind it. */
static bool read_stat(uint64_t values[RESIDENT + 1])
{
	char text[1024];
	char *at, *end;

	read_file("/proc/self/stat", text, sizeof(text));
	at = strrchr(text, ')');
	if (at == NULL || strlen(at) < 4)
		return false;
	at += 3; /* ") S": the third field is a letter */
	for (int field = FIRST + 1; field <= RESIDENT; field++) {
		values[field] = strtoull(at, &end, 10);
		if (end == at)
			return false;
		at = end;
	}
	return true;
}

static uint64_t read_peak(void)
{
	char text[4096];
	const char *at;

	read_file("/proc/self/status", text, sizeof(text));
	at = strstr(text, "\nVmHWM:");
	return at != NULL ? strtoull(at + 7, NULL, 10) * 1024 : 0;
}

static uint64_t count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

/* Since the last time it was asked, or the start; asked again within a second, what was
 * said before. */
static double cpu_percent(double seconds, uint64_t started_us)
{
	static uint64_t at_us;
	static double at_seconds, percent;
	uint64_t now_us = clock_us();

	if (at_us == 0)
		at_us = started_us;
	if (now_us - at_us >= CPU_OVER_US) {
		percent = (seconds - at_seconds) * 1e8 / (double)(now_us - at_us);
		at_us = now_us;
		at_seconds = seconds;
	}
	return percent;
}

/* Said once, so that it does not move when the wall clock is set. */
static int64_t started_wall_ms(uint64_t ticks, uint64_t ticks_a_second)
{
	static int64_t started;

	if (started == 0)
		started = clock_wall_ms() -
		          (int64_t)(clock_ms() - ticks * 1000 / ticks_a_second);
	return started;
}

void process_figures(struct process_figures *out)
{
	uint64_t stat[RESIDENT + 1] = {0};
	uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
	struct rlimit files = {0, 0};

	*out = (struct process_figures){.resident_peak = read_peak(),
	                                .open_files = count_files()};
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		out->most_files = files.rlim_cur;
	if (!read_stat(stat))
		return;
	out->virtual = stat[VIRTUAL];
	out->resident = stat[RESIDENT] * (uint64_t)sysconf(_SC_PAGESIZE);
	out->cpu_seconds = (double)(stat[UTIME] + stat[STIME]) / (double)ticks;
	out->cpu_percent = cpu_percent(out->cpu_seconds, stat[STARTED] * 1000000 / ticks);
	out->started_wall_ms = started_wall_ms(stat[STARTED], ticks);
	if (out->resident_peak < out->resident)
		out->resident_peak = out->resident;
}
