/* SPDX-License-Identifier: MIT */
/*
 * engine.h - three threads: disk decodes ahead, audio works at the device's pace and never
 * waits for the others, sink takes what was played.
 */
#ifndef PLAYER_ENGINE_H
#define PLAYER_ENGINE_H

#include "metrics.h"
#include "options.h"

/* Plays until the time is over or *stop is set. Returns an exit status. */
int engine_run(const struct options *options, struct metrics *metrics, _Atomic bool *stop);

#endif /* PLAYER_ENGINE_H */
