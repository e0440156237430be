/* SPDX-License-Identifier: MIT */
/* hgrm.h - HdrHistogram's percentile distribution, for the plotters that read it. */
#ifndef SHMBUS_READERS_HGRM_H
#define SHMBUS_READERS_HGRM_H

#include <stdio.h>

#include "buckets.h"

/* Prints Value, Percentile, TotalCount, 1/(1-Percentile), five steps for each halving of the
 * distance to 100 %, and the footer. Values are in the metric's unit, as buckets_quantile() has
 * them; TotalCount: samples up to the end of that one's bucket. */
void hgrm_print(FILE *out, const struct buckets *buckets, double mean, double std);

#endif /* SHMBUS_READERS_HGRM_H */
