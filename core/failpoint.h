/* core/failpoint.h - named places where a test build can be made to stop.
 *
 * CHROMATID_FAILPOINT=name[:nth] in the environment of a build with CHROMATID_FAILPOINTS
 * ends the process by SIGKILL when it comes to that place for the nth time (1 at first):
 * what a crash at exactly that step leaves behind can then be looked at. In every other
 * build a failpoint is nothing at all. */
#ifndef CORE_FAILPOINT_H
#define CORE_FAILPOINT_H

#ifdef CHROMATID_FAILPOINTS
void failpoint(const char *name);
#define FAILPOINT(name) failpoint(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
