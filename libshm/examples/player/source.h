/* SPDX-License-Identifier: MIT */
/* source.h - audio files, one after the other for ever, as mono frames at the device's rate. */
#ifndef PLAYER_SOURCE_H
#define PLAYER_SOURCE_H

#include <stdint.h>

#include "metrics.h"
#include "options.h"

struct source;

/* Finds the files. NULL, with a message, where there is none that can be decoded. */
struct source *source_open(const struct options *options, struct metrics *metrics);
void source_close(struct source *source);

/* Fills `frames` mono samples. Returns false where no file can be read any more. The disk
 * thread: reads files, allocates, tells the bus how long it took. */
bool source_read(struct source *source, float *out, uint32_t frames);

#endif /* PLAYER_SOURCE_H */
