/* SPDX-License-Identifier: MIT */
/* expose_unit.h - UCUM units as Prometheus has them: base units, in words. */
#ifndef SHMBUS_GATEWAY_EXPOSE_UNIT_H
#define SHMBUS_GATEWAY_EXPOSE_UNIT_H

#include <math.h>
#include <stdbool.h>

#define UNIT_NAME_SIZE 48

struct unit {
	char name[UNIT_NAME_SIZE]; /* "seconds", "bytes_per_second"; "" where there is none */
	double factor;             /* what one of it is in the base unit */
	bool time;                 /* it is a time */
};

/* A unit that is not known keeps its letters and digits as its name; annotations ({frame}) are
 * left out. */
void unit_of(const char *ucum, struct unit *out);

/* A value in the base unit, rounded once where the factor is one of so many parts. */
static inline double unit_scale(double value, double factor)
{
	double parts = round(1 / factor);

	return 1 / parts == factor ? value / parts : value * factor;
}

/* Text as a part of a name: letters and digits, each run of something else one underscore, none at
 * the ends. Returns out, cut to `size`. */
char *name_part(const char *text, char *out, unsigned int size);

#endif /* SHMBUS_GATEWAY_EXPOSE_UNIT_H */
