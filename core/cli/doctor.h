/* core/cli/doctor.h - what the files of `chromatid doctor` share. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "core/cli/cli_private.h"
#include "health/health.h"

enum finding { FINDING_GOOD, FINDING_NOTE, FINDING_WRONG };

/* What the log says an instance bears. */
struct doctor_marker {
	char *name;
	struct uuid id;
	bool marked; /* it was written there */
};

struct doctor {
	const struct cli *c;
	struct conf conf;
	json_t *findings;
	bool wrong; /* something is */
	/* of the log, as far as it could be asked */
	struct uuid cluster; /* text is "" if it is not known */
	struct doctor_marker markers[CONF_MAX_INSTANCES];
	unsigned n_markers;
	struct uuid seen[CONF_MAX_INSTANCES]; /* what instances bear */
	unsigned n_seen;
};

/* One line: what it is about, what was found. `mend` (NULL: nothing is to be done) says
 * how it is set right. */
void doctor_find(struct doctor *d, enum finding level, const char *about,
                 const char *mend, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

void doctor_log(struct doctor *d);       /* doctor_log.c: PostgreSQL */
void doctor_instances(struct doctor *d); /* doctor_instances.c */
void doctor_port(struct doctor *d);      /* doctor_port.c */

/* Pure. Two sessions at once: `told` is the process the server named when the first was
 * opened; first, second, again: who served the first, then the second in a transaction,
 * then the first again. */
enum pooler { POOLER_NONE, POOLER_OF_SESSIONS, POOLER_OF_TRANSACTIONS };
enum pooler doctor_pooler(int64_t told, int64_t first, int64_t second, int64_t again);

#endif
