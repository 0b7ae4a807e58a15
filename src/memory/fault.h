/* SPDX-License-Identifier: Apache-2.0
 * Points at which a build made for tests can be killed. */
#ifndef APIPOOL_MEMORY_FAULT_H
#define APIPOOL_MEMORY_FAULT_H

/* Without APIPOOL_FAULTS, which "make faults" defines for a second build in obj/faults, none of this exists.
 * With it, the process that comes to a point kills itself with SIGKILL, if the point's name is
 *
 *   in the environment variable APIPOOL_FAULT, as NAME, or as NAME:N for the Nth time in this process, or
 *   in a file that the environment variable APIPOOL_FAULT_FILE names; the process removes the file first, so
 *   that it dies alone.
 *
 * Points lie where the segment's lock is held, and what it guards is torn. */

#ifdef APIPOOL_FAULTS

#define APIPOOL_FAULT(name) apipool_fault(name)

/** Dies, if this is the point that was asked for. */
void apipool_fault(const char *name);

#else

#define APIPOOL_FAULT(name) ((void)0)

#endif

#endif
