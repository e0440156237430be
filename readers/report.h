/* SPDX-License-Identifier: MIT */
/* report.h - the line of a monitoring plugin: STATUS - text | performance data. */
#ifndef SHMBUS_READERS_REPORT_H
#define SHMBUS_READERS_REPORT_H

#include "verdict.h"

/* The status of the last look. `missing`: where a rule has no value. */
enum level report_level(const struct verdicts *verdicts, const struct ruleset *set,
			enum level missing);

/* Prints it, in one line of 8 KiB at most; `verbose`: then a line for each value. */
void report_print(struct verdicts *verdicts, const struct ruleset *set, enum level missing,
		  bool verbose);

#endif /* SHMBUS_READERS_REPORT_H */
