/* SPDX-License-Identifier: MIT */
/*
 * refused.h - the files that discovery has refused, so that scans need not open them again and
 * again. A file is known by its name, its inode and the time of its last change: one that was
 * replaced or written to since is another. Only a mark of 64 bits is kept, in a set that cannot
 * grow without end; one thread.
 */
#ifndef SHMBUS_AGENT_REFUSED_H
#define SHMBUS_AGENT_REFUSED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <ck_hs.h>

#define REFUSED_MAX 65536u /* marks; 2 MiB at the most */
/* Where these are full, the last so many are remembered too, and at most twice as many: more than
 * the events that the kernel holds for an agent, and the looks of the scans meanwhile. */
#define REFUSED_LATELY 32768u

struct refused {
	ck_hs_t marks;
	uint64_t seed;     /* so that nobody can make two files with one mark */
	uint64_t count;    /* of marks */
	uint64_t found;    /* of them, since the last refused_age() */
	bool full_before;  /* at that */
	ck_hs_t lately[2]; /* marks that found no room: the younger ones, and those before */
	uint32_t young;    /* which of the two */
	uint64_t young_count;
};

/* Returns 0, -ENOMEM, or what getrandom(2) says. */
int refused_init(struct refused *refused);
void refused_free(struct refused *refused);

enum refused_why {
	REFUSED_FOR_GOOD,
	REFUSED_UNFINISHED,
	REFUSED_NO_ROOM, /* which a change of the file does not make: its mark stays the same */
};

/* The mark of a file, for a reason. */
uint64_t refused_mark(const struct refused *refused, uint64_t key, const struct stat *status,
		      enum refused_why why);

bool refused_has(struct refused *refused, uint64_t mark);

/* Whether a mark found no room in the set, and is one of the last that did not. */
bool refused_lately(struct refused *refused, uint64_t mark);

/* Where the set is full it is left as it is. */
void refused_put(struct refused *refused, uint64_t mark);

/* No further file can be remembered. */
bool refused_full(const struct refused *refused);

/* After each scan: a full set of files that are mostly gone begins anew. */
void refused_age(struct refused *refused);

#endif /* SHMBUS_AGENT_REFUSED_H */
