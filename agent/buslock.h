/* SPDX-License-Identifier: MIT */
/* buslock.h - one agent a bus: a lock that the kernel frees however the agent ends. */
#ifndef SHMBUS_AGENT_BUSLOCK_H
#define SHMBUS_AGENT_BUSLOCK_H

#include <stdbool.h>

/*
 * Takes /dev/shm/shmbus.<bus>.agent. Returns a descriptor to keep open for life; -EBUSY where
 * another agent holds it, whose line ("pid 123, version 0.1.0") is then in `holder`; or -errno.
 */
int buslock_take(const char *bus, char *holder, unsigned holder_size);

/*
 * As buslock_take(), but asks the agent that has the bus to end, and waits for it. The word is
 * passed in the file itself, whose closing the other one hears: no signal goes to a pid that may
 * mean somebody else. -ETIMEDOUT where it does not end within ten seconds.
 */
int buslock_take_over(const char *bus, char *holder, unsigned holder_size);

/* Whether another agent asks for the bus. */
bool buslock_wanted(const char *bus);

#endif /* SHMBUS_AGENT_BUSLOCK_H */
