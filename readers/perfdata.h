/* SPDX-License-Identifier: MIT */
/* perfdata.h - performance data as the Monitoring Plugins' guidelines have it:
 * 'label'=value[UOM];[warn];[crit];[min];[max] */
#ifndef SHMBUS_READERS_PERFDATA_H
#define SHMBUS_READERS_PERFDATA_H

#include "measure.h"

#define PERF_NUMBER_SIZE 40
#define PERF_RANGE_SIZE (2 * PERF_NUMBER_SIZE + 4)
#define PERF_ITEM_SIZE (2 * MEASURE_LABEL_SIZE + 4 * PERF_RANGE_SIZE)

/* A value in seconds, bytes, percent or as it is: digits, a sign and a point, no more than are
 * needed; "U", undetermined, for what such a number cannot tell. Returns out. */
const char *perf_number(char out[PERF_NUMBER_SIZE], double value, enum dimension dimension);

/* The range outside of which a rule is breached: "10", "~:10", "5:", "@10:"... */
const char *perf_range(char out[PERF_RANGE_SIZE], enum rule_op op, double limit,
		       enum dimension dimension, bool negative);

/* One item. warning, critical: ranges, or "". Quotes in the label are doubled; what a label or a
 * line must not have ('=', '|', a line's end) becomes '_'. */
const char *perf_item(char out[PERF_ITEM_SIZE], const struct measured *measured,
		      const char *warning, const char *critical);

/* The text before the bar: a '|' becomes '/'. */
void perf_text(char *text);

#endif /* SHMBUS_READERS_PERFDATA_H */
