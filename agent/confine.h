/* SPDX-License-Identifier: MIT */
/*
 * confine.h - what the agent gives up before it looks at anything that a producer wrote: a fault in
 * it shall not be worth more than what it is there for, some files in /dev/shm.
 */
#ifndef SHMBUS_AGENT_CONFINE_H
#define SHMBUS_AGENT_CONFINE_H

#include <stdint.h>

#include "options.h"

/* The capabilities that the options give a reason to keep, as bits; those that the process does
 * not have are not among them once it is confined. */
uint64_t confine_capabilities(const struct options *options);

/* No new privileges by execve(), no capabilities but those; and where other users' data is read,
 * no core files of it, and no debugger of the same user. Returns 0 or -errno. */
int confine_privileges(const struct options *options);

/* From now on any system call that the agent has no use for ends the process (SIGSYS). Returns 0,
 * -ENOTSUP in a build with a sanitizer, which makes calls of its own, or what seccomp(2) says. */
int confine_calls(const struct options *options);

/* All of it, for the calling thread and those that it starts; says what could not be done. */
void confine(const struct options *options);

#endif /* SHMBUS_AGENT_CONFINE_H */
