/* SPDX-License-Identifier: MIT */
/*
 * outbox.h - what a client of a stream has still to get: references to frames, and how much of the
 * first has been sent. Bounded: who does not take its frames is told apart from the others.
 */
#ifndef SHMBUS_GATEWAY_OUTBOX_H
#define SHMBUS_GATEWAY_OUTBOX_H

#include "history.h"

#define OUTBOX_FRAMES_MAX 16u       /* behind; those of a resume do not count */
#define OUTBOX_BYTES_MAX (4u << 20) /* of them; one frame may be larger */
#define OUTBOX_SIZE (HISTORY_FRAMES_MAX + OUTBOX_FRAMES_MAX + 4u) /* the last: to say goodbye */

enum wire {
	WIRE_SSE,  /* event:, id: and data: around each frame */
	WIRE_PLAIN /* the frame alone */
};

struct outbox {
	enum wire wire;
	struct outbox_entry {
		struct frame *frame;
		uint64_t gap;
		bool replay;
	} entries[OUTBOX_SIZE]; /* a ring */
	size_t first, count;
	size_t behind, behind_bytes; /* of those that do not replay */
	bool begun;                  /* the first has been asked for, so it is sent whole */
	char head[FRAME_HEAD_SIZE + 80];
	size_t head_size;
	size_t sent; /* of the first, with its head and tail */
};

/* Takes a reference of its own. Returns false where the client is too far behind. */
bool outbox_add(struct outbox *outbox, struct frame *frame, uint64_t gap);

/* Likewise, of the history: as many as that can hold, once. */
void outbox_replay(struct outbox *outbox, struct frame *frame, uint64_t gap);

/* Likewise, the last one of all: there is always room. `only`: instead of those not begun. */
void outbox_farewell(struct outbox *outbox, struct frame *frame, bool only);

void outbox_clear(struct outbox *outbox);

/* The bytes to be sent next, those that lie together; 0 where there are none. */
size_t outbox_next(struct outbox *outbox, const char **data);

/* The bytes of the frame that outbox_next() began, as a whole. */
size_t outbox_frame_size(const struct outbox *outbox);

static inline size_t outbox_rest(const struct outbox *outbox)
{
	return outbox_frame_size(outbox) - outbox->sent;
}

/* So many of them have been sent. */
void outbox_sent(struct outbox *outbox, size_t size);

static inline bool outbox_empty(const struct outbox *outbox)
{
	return outbox->count == 0;
}

/* Whether the client may have a part of a frame, so that nothing else can be said yet. */
static inline bool outbox_within(const struct outbox *outbox)
{
	return outbox->begun;
}

#endif /* SHMBUS_GATEWAY_OUTBOX_H */
