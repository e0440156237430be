/* SPDX-License-Identifier: MIT */
/*
 * history.h - frames, of which each is written once and shared by all who get it, and the last of
 * them, for those who come back.
 */
#ifndef SHMBUS_GATEWAY_HISTORY_H
#define SHMBUS_GATEWAY_HISTORY_H

#include "frame.h"

#define HISTORY_FRAMES_MAX 64u
#define HISTORY_BYTES_MAX (16u << 20) /* of all histories together */

struct frame {
	unsigned int references;
	enum frame_type type;
	bool final;
	uint64_t seq;
	uint64_t missed;  /* snapshots that the gateway had not seen until then, in all */
	uint64_t time_ns; /* CLOCK_MONOTONIC, when it came */
	size_t size;
	char *text; /* what follows the head */
};

/* Takes the body's bytes; one reference. NULL without memory, or of a failed body. */
struct frame *frame_new(enum frame_type type, struct body *body);
struct frame *frame_share(struct frame *frame);
void frame_drop(struct frame *frame); /* NULL is allowed */

struct history {
	struct frame *frames[HISTORY_FRAMES_MAX]; /* a ring */
	size_t first, count;
	size_t *bytes; /* of all histories that share the bound */
};

/* Takes a reference of its own. The oldest go where it gets too much; the newest stays. */
void history_add(struct history *history, struct frame *frame);
void history_clear(struct history *history);

struct frame *history_newest(const struct history *history); /* NULL where there is none */

/* What a client that had all up to `last` is to get. */
struct resume {
	struct frame
		*frames[HISTORY_FRAMES_MAX]; /* references of the history's; the oldest first */
	uint64_t gaps[HISTORY_FRAMES_MAX];
	size_t count;
	uint64_t missed;  /* as of the last frame that it then has */
	uint64_t time_ns; /* likewise */
};

/*
 * The frames after `last`, no denser than one in `interval_ns` (less `slack_ns`); the final one is
 * always there. Where the history does not reach back so far, the newest alone, whose gap is what
 * lies between. Returns false where `last` is of another time: a client that starts anew.
 */
bool history_after(const struct history *history, uint64_t last, uint64_t interval_ns,
		   uint64_t slack_ns, struct resume *out);

#endif /* SHMBUS_GATEWAY_HISTORY_H */
