/* SPDX-License-Identifier: MIT */
/*
 * turns.h - two threads that take turns with one plain state: the giver, who changes it, and the
 * taker, who reads it. Wait-free on both sides; who finds that it is not its turn looks later.
 *
 *   R-given  release: `given`, after the state was changed  pairs with A-given in turns_taken()
 *   R-done   release: `done`, after the state was read      pairs with A-done in turns_possible()
 */
#ifndef SHMBUS_AGENT_TURNS_H
#define SHMBUS_AGENT_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct turns {
	_Atomic(uint64_t) given;
	_Atomic(uint64_t) done;
};

/* Whether the taker has done with the last turn. The giver. */
static inline bool turns_possible(const struct turns *turns)
{
	/* A-done acquire: the taker reads the state no more. */
	return atomic_load_explicit(&turns->done, memory_order_acquire) ==
	       /* relaxed: only the giver writes it. */
	       atomic_load_explicit(&turns->given, memory_order_relaxed);
}

/* Hands the state over. The giver, when it is its turn. */
static inline void turns_give(struct turns *turns)
{
	/* relaxed: only the giver writes it. */
	uint64_t given = atomic_load_explicit(&turns->given, memory_order_relaxed);

	/* R-given release: the state is whole. */
	atomic_store_explicit(&turns->given, given + 1, memory_order_release);
}

/* The number of the last turn that was given. The taker: it has it where that is a new one. */
static inline uint64_t turns_taken(const struct turns *turns)
{
	/* A-given acquire: the state is whole. */
	return atomic_load_explicit(&turns->given, memory_order_acquire);
}

/* Gives the state back. The taker, with the number of its turn. */
static inline void turns_done(struct turns *turns, uint64_t taken)
{
	/* R-done release: the state is read no more. */
	atomic_store_explicit(&turns->done, taken, memory_order_release);
}

#endif /* SHMBUS_AGENT_TURNS_H */
