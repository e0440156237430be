/* SPDX-License-Identifier: MIT */
/* buslock.h - one agent a bus: a lock that the kernel frees however the agent ends. */
#ifndef SHMBUS_AGENT_BUSLOCK_H
#define SHMBUS_AGENT_BUSLOCK_H

/*
 * Takes /dev/shm/shmbus.<bus>.agent. Returns a descriptor to keep open for life; -EBUSY where
 * another agent holds it, whose line ("pid 123, version 0.1.0") is then in `holder`; or -errno.
 */
int buslock_take(const char *bus, char *holder, unsigned holder_size);

#endif /* SHMBUS_AGENT_BUSLOCK_H */
