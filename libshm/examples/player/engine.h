/* SPDX-License-Identifier: MIT */
/*
 * engine.h - three threads: disk decodes ahead, audio works at the device's pace and never
 * waits for the others, sink takes what was played.
 */
#ifndef PLAYER_ENGINE_H
#define PLAYER_ENGINE_H

#include "metrics.h"
#include "options.h"

struct engine;

/* Finds the files and makes ready to play. NULL, with a message, where that fails. */
struct engine *engine_new(const struct options *options);
void engine_free(struct engine *engine);

/* Plays until the time is over or *stop is set. Returns an exit status. */
int engine_run(struct engine *engine, struct metrics *metrics, _Atomic bool *stop);

#endif /* PLAYER_ENGINE_H */
