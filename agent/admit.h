/* SPDX-License-Identifier: MIT */
/* admit.h - one file that has the name of a segment of this bus: a session, or why not. The
 * discovery thread alone. */
#ifndef SHMBUS_AGENT_ADMIT_H
#define SHMBUS_AGENT_ADMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "refused.h"

#define SHM_DIR "/dev/shm"

struct agent;

struct admission {
	struct agent *agent;
	struct refused refused;
	bool unfinished; /* a segment was seen that is not whole yet */
};

/* A name in the directory that has the form of this bus' segments. */
struct found {
	uint64_t key;
	char path[128];
	const char *segment; /* shm_open(3)'s name: the end of the path */
	struct stat status; /* of before it is opened: what changes after that is looked at again */
};

/* Whether a file was refused for good and has not changed since. */
bool refused_for_good(struct admission *admission, const struct found *found);

/*
 * Whether a file that has not changed since was opened in vain, but may pass later: its producer
 * is at work on it, or there was no room. Only scans look at such a one again. Events do not,
 * which may be the answer to our own closing of it.
 */
bool refused_for_now(struct admission *admission, const struct found *found);

/* Whether a file that has not changed since was refused for good a moment ago, and there was no
 * room to remember it for longer: the event that our closing of it made is no reason to open it
 * again. */
bool refused_just_now(struct admission *admission, const struct found *found);

/* Makes a session of it, or remembers and says why not. */
void admit(struct admission *admission, const struct found *found);

#endif /* SHMBUS_AGENT_ADMIT_H */
