/* SPDX-License-Identifier: MIT */
/* clean.h - the files of a bus in /dev/shm, and whether their owners live. */
#ifndef SHMBUS_READERS_CLEAN_H
#define SHMBUS_READERS_CLEAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum bus_file_kind {
	BUS_FILE_SEGMENT,    /* of a session */
	BUS_FILE_AGENT,      /* the agent's lock */
	BUS_FILE_SNAPSHOT,   /* what readers read */
	BUS_FILE_CHECKPOINT, /* what the next agent goes on from */
	BUS_FILE_OTHER,      /* begins with the bus' name, and is nothing that we know */
};

enum bus_file_holder {
	BUS_FILE_FREE,    /* nobody holds its lock: a dead producer's, or no agent's */
	BUS_FILE_HELD,    /* its owner lives */
	BUS_FILE_NEW,     /* only just made, not yet locked */
	BUS_FILE_DENIED,  /* not to be found out by this user */
	BUS_FILE_STRANGE, /* no regular file */
};

struct bus_file {
	const char *name; /* in /dev/shm */
	enum bus_file_kind kind;
	enum bus_file_holder holder;
	uid_t uid;
	mode_t mode;
	uint64_t bytes; /* that it takes */
};

/* Calls `each` for the files of a bus, by name; the names of other buses are not looked at. */
void bus_files_each(const char *bus, void (*each)(const struct bus_file *file, void *data),
		    void *data);

/* Whether an agent holds the bus: 1, 0, or -1 where this user cannot find out. */
int bus_agent(const char *bus);

/* Removes what nobody holds: nothing while an agent runs, never a living producer's segment.
 * Prints each name; returns how many could not be removed. */
int bus_files_clean(const char *bus);

#endif /* SHMBUS_READERS_CLEAN_H */
