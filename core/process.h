/* core/process.h - what this process takes: memory, time, descriptors. From /proc/self,
 * which answers from memory; no call here can wait. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H

#include <stdint.h>

struct process_figures {
	uint64_t resident, resident_peak, virtual; /* bytes */
	double cpu_seconds;
	double cpu_percent; /* of one core, over the last second or more */
	int64_t started_wall_ms;
	uint64_t open_files, most_files;
};

/* What cannot be read is 0. */
void process_figures(struct process_figures *out);

#endif
