/* SPDX-License-Identifier: MIT */
/* format.h - numbers for people, in at most 8 columns. */
#ifndef SHMBUS_READERS_FORMAT_H
#define SHMBUS_READERS_FORMAT_H

#include <stddef.h>

#define FORMAT_SIZE 24

/* Each writes to `out` and returns it; a NaN becomes "-". */
const char *format_duration(char out[FORMAT_SIZE], double ns);   /* 1.23ms */
const char *format_bytes(char out[FORMAT_SIZE], double bytes);   /* 12.3MiB */
const char *format_count(char out[FORMAT_SIZE], double count);   /* 99999, 123k */
const char *format_percent(char out[FORMAT_SIZE], double ratio); /* 12.3% */
/* What one of a UCUM unit of time is in ns, 0 for other units. */
double format_unit_ns(const char *unit);
/* A value in a metric's UCUM unit: times and bytes with a unit that fits, else a count. */
const char *format_value(char out[FORMAT_SIZE], double value, const char *unit);
/* The unit where format_value() does not write it, without UCUM's signs; "" where there is none.
 * out: as large as the unit. */
const char *format_unit(char *out, const char *unit);

#endif /* SHMBUS_READERS_FORMAT_H */
