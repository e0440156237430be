/* SPDX-License-Identifier: MIT */
/*
 * agent_life.h - an agent's life without threads and without discovery: what its drain thread, its
 * publisher and its reaper do at a tick, in turn, by a clock that the caller moves. Each life
 * begins with what the checkpoint of the bus holds.
 */
#ifndef SHMBUS_TESTS_AGENT_LIFE_H
#define SHMBUS_TESTS_AGENT_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"

struct agent_life;

/* The agent's clocks, in seconds; they stand still by themselves. */
void agent_life_time(uint64_t seconds);

/* Begins with the checkpoint of the bus. */
struct agent_life *agent_life_begin(const char *bus);
struct agent *agent_life_agent(struct agent_life *life);

/* Whether it has said that it left out a part of the checkpoint, or all of it. */
bool agent_life_damage(const struct agent_life *life);

/* Takes up a segment with this key. Returns 0 or -errno. */
int agent_life_attach(struct agent_life *life, uint64_t key);

/* Drain, checkpoint, snapshot, reaper; a second passes. */
void agent_life_tick(struct agent_life *life);

/* Ends where it stands: what is not committed is gone. */
void agent_life_end(struct agent_life *life);

#endif /* SHMBUS_TESTS_AGENT_LIFE_H */
