/* SPDX-License-Identifier: MIT */
/* measure.h - the values of a snapshot that a rule is about. */
#ifndef SHMBUS_READERS_MEASURE_H
#define SHMBUS_READERS_MEASURE_H

#include "document.h"
#include "rule.h"

#define MEASURE_LABEL_SIZE 256

struct measured {
	char label[MEASURE_LABEL_SIZE]; /* SERVICE/SESSION:METRIC.STAT */
	double value, limit;            /* in ns, bytes, parts of 1, or as they are */
	enum dimension dimension;       /* never DIMENSION_UNIT */
	bool grows;                     /* a counter */
	bool negative;                  /* the value may be below 0 */
};

/* Calls `take` for each value that a rule is about. Returns how many there are; *mismatch is then
 * true where the limit's unit does not fit a metric's, which is left out. */
typedef void (*measure_take)(const struct measured *measured, void *data);
size_t measure(const struct rule *rule, const struct document *document, measure_take take,
	       void *data, bool *mismatch);

/*
 * What a timer is, by the words of its stage and of its name; the first that fits:
 *
 *   e2e      e2e, endtoend, end_to_end, end-to-end, end.to.end
 *   timing   jitter, timing, drift, skew; and NAME.wait beside a timer NAME with a period: how
 *            late a periodic thread woke up
 *   latency  latency
 *
 * `periodic`: it is such a NAME.wait.
 */
enum metric_class { CLASS_NONE, CLASS_E2E, CLASS_TIMING, CLASS_LATENCY };
enum metric_class metric_classify(const char *stage, const char *name, bool periodic);

#endif /* SHMBUS_READERS_MEASURE_H */
