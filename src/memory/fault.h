/* SPDX-License-Identifier: Apache-2.0
 * Fault points at which a test build can be killed. */
#ifndef APIPOOL_MEMORY_FAULT_H
#define APIPOOL_MEMORY_FAULT_H

/* Only a build with APIPOOL_FAULTS has fault points; "make faults" makes one in obj/faults. A
 * process that reaches a fault point kills itself with SIGKILL if the name of the point is
 *
 *   in the environment variable APIPOOL_FAULT, as NAME, or as NAME:N for the Nth time in this
 *   process, or
 *   in the file that the environment variable APIPOOL_FAULT_FILE names; the process removes the
 *   file first, so only one process dies.
 *
 * Fault points lie where the segment's lock is held and the data that it guards is inconsistent. */

#ifdef APIPOOL_FAULTS

#define APIPOOL_FAULT(name) apipool_fault(name)

/** Kills the process if this point was asked for. */
void apipool_fault(const char *name);

#else

#define APIPOOL_FAULT(name) ((void)0)

#endif

#endif
