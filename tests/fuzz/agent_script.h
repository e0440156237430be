/* SPDX-License-Identifier: MIT */
/*
 * agent_script.h - what the agent does with a hostile segment: attach, drain, fold, commit, encode,
 * and decode again as a reader does. Whatever the producer did, the account is exact and the
 * document is one that readers take.
 */
#ifndef SHMBUS_TESTS_AGENT_SCRIPT_H
#define SHMBUS_TESTS_AGENT_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

/* Runs a script, each of its steps so many times; at an attach the agent starts anew. */
void agent_script_run(const uint8_t *data, size_t size, int times);

#endif /* SHMBUS_TESTS_AGENT_SCRIPT_H */
