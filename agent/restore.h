/* SPDX-License-Identifier: MIT */
/* restore.h - the last agent's checkpoint, taken up again: main(), before any thread runs. */
#ifndef SHMBUS_AGENT_RESTORE_H
#define SHMBUS_AGENT_RESTORE_H

#include "agent.h"

/*
 * Makes sessions, totals and counters what they were at the last commit of the agent before.
 * Sessions whose producers live go on from the sample after the last one that counts; those
 * whose segments are gone are lost. What makes no sense is left out, with a message.
 * Returns 0; or -ENOMEM, -EMFILE or -ENFILE after a message, with the checkpoint as it was:
 * sessions that live must not be lost because this agent may have less than the last one had.
 */
int restore(struct agent *agent);

#endif /* SHMBUS_AGENT_RESTORE_H */
