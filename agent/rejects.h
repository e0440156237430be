/* SPDX-License-Identifier: MIT */
/*
 * rejects.h - segments that were refused, by reason, and the last few of them by name.
 * Discovery and drain write (under a small lock of their own: it is a cold path), the publisher
 * reads through a ck_sequence and so never makes them wait.
 */
#ifndef SHMBUS_AGENT_REJECTS_H
#define SHMBUS_AGENT_REJECTS_H

#include <pthread.h>
#include <stdint.h>

#include <ck_sequence.h>

enum reject_cause {
	REJECT_LAYOUT,   /* another layout version */
	REJECT_INVALID,  /* not a segment, or one that lies */
	REJECT_OWNER,    /* of a user who is not allowed */
	REJECT_LIMIT,    /* one session too many */
	REJECT_RESOURCE, /* no memory, descriptors or mappings left */
	REJECT_FAULT,    /* accepted, and later found broken */
	REJECT_CAUSES,
};

#define REJECTS_KEPT 16

struct reject {
	char segment[80];
	char reason[96];
};

struct rejects_view {
	uint64_t counts[REJECT_CAUSES];
	uint64_t total; /* the last REJECTS_KEPT of them are in `last`, at number % REJECTS_KEPT */
	struct reject last[REJECTS_KEPT];
};

struct rejects {
	pthread_mutex_t writers;
	uint64_t span_ns; /* since when lines are counted */
	uint32_t lines;   /* in the log since then; also under the lock */
	ck_sequence_t sequence;
	struct rejects_view view;
};

extern const char *const reject_cause_names[REJECT_CAUSES];

void rejects_init(struct rejects *rejects);
void rejects_add(struct rejects *rejects, enum reject_cause cause, const char *segment,
		 const char *reason);
void rejects_read(struct rejects *rejects, struct rejects_view *out);

#endif /* SHMBUS_AGENT_REJECTS_H */
