/* SPDX-License-Identifier: MIT */
/* source.h - audio files, one after the other for ever, as mono frames at the device's rate. */
#ifndef PLAYER_SOURCE_H
#define PLAYER_SOURCE_H

#include <stdint.h>

#include "metrics.h"
#include "options.h"

struct source;

/* Finds the files. NULL, with a message, where a named one cannot be played or a folder holds
 * none that can. */
struct source *source_open(const struct options *options);
void source_close(struct source *source);

/* Whether this is one of the files: it must not be written to. */
bool source_has(const struct source *source, const char *path);

/* Fills `frames` mono samples. Returns false, with a message, where no file can be read any
 * more. The disk thread: reads files, allocates, tells the bus how long it took. */
bool source_read(struct source *source, struct metrics *metrics, float *out, uint32_t frames);

#endif /* PLAYER_SOURCE_H */
