/* SPDX-License-Identifier: MIT */
/* format.h - numbers for people, in at most 8 columns. */
#ifndef SHMBUS_READERS_FORMAT_H
#define SHMBUS_READERS_FORMAT_H

#include <stddef.h>

#define FORMAT_SIZE 24

/* Each writes to `out` and returns it; a NaN becomes "-". */
const char *format_duration(char out[FORMAT_SIZE], double ns);   /* 1.23ms */
const char *format_bytes(char out[FORMAT_SIZE], double bytes);   /* 12.3M */
const char *format_count(char out[FORMAT_SIZE], double count);   /* 12.3k */
const char *format_percent(char out[FORMAT_SIZE], double ratio); /* 12.3% */
/* A value in a metric's unit: durations where that is ns. */
const char *format_value(char out[FORMAT_SIZE], double value, const char *unit);

#endif /* SHMBUS_READERS_FORMAT_H */
