/* SPDX-License-Identifier: MIT */
/*
 * hints.h - from discovery to the reaper, through a ck_ring: "somebody closed this segment, ask
 * whether its producer lives". Keys, not pointers, because a session may be freed meanwhile. A
 * hint that finds no room is dropped: the reaper looks at all sessions regularly anyway.
 */
#ifndef SHMBUS_AGENT_HINTS_H
#define SHMBUS_AGENT_HINTS_H

#include <stdbool.h>
#include <stdint.h>

#include <ck_ring.h>

#define HINTS_CAPACITY 1024

struct hint {
	uint64_t key;
};

CK_RING_PROTOTYPE(hint, hint)

struct hints {
	ck_ring_t ring;
	struct hint slots[HINTS_CAPACITY];
};

static inline void hints_init(struct hints *hints)
{
	ck_ring_init(&hints->ring, HINTS_CAPACITY);
}

/* Discovery alone. */
static inline bool hints_put(struct hints *hints, uint64_t key)
{
	struct hint hint = {key};

	return ck_ring_enqueue_spsc_hint(&hints->ring, hints->slots, &hint);
}

/* The reaper alone. */
static inline bool hints_take(struct hints *hints, uint64_t *key)
{
	struct hint hint;

	if (!ck_ring_dequeue_spsc_hint(&hints->ring, hints->slots, &hint))
		return false;
	*key = hint.key;
	return true;
}

#endif /* SHMBUS_AGENT_HINTS_H */
