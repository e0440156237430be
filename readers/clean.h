/* SPDX-License-Identifier: MIT */
/* clean.h - the files of a bus in /dev/shm, and whether their owners live. */
#ifndef SHMBUS_READERS_CLEAN_H
#define SHMBUS_READERS_CLEAN_H

#include <stdbool.h>
#include <stdint.h>

struct bus_files {
	uint32_t alive; /* segments whose producer lives */
	uint32_t dead;  /* segments whose producer is gone */
	uint64_t bytes; /* of all the bus' files */
	bool agent;     /* an agent holds the bus */
	bool unknown;   /* whether one does could not be found out */
};

/* Looks at the files of a bus, by name exactly; foreign names are not touched. */
void bus_files_look(const char *bus, struct bus_files *out);

/* Removes what nobody holds: nothing while an agent runs, never a living producer's segment.
 * Prints each name; returns how many could not be removed. */
int bus_files_clean(const char *bus);

#endif /* SHMBUS_READERS_CLEAN_H */
