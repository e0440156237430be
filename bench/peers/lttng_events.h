/* SPDX-License-Identifier: MIT */
/* lttng_events.h - the tracepoint; LTTng includes this file several times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER shmbus_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_events.h"

#if !defined(SHMBUS_BENCH_LTTNG_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define SHMBUS_BENCH_LTTNG_EVENTS_H

#include <lttng/tracepoint.h>
#include <stdint.h>

/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(
	shmbus_bench, sample,
	LTTNG_UST_TP_ARGS(uint32_t, metric, uint64_t, value),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(uint32_t, metric, metric)
		lttng_ust_field_integer(uint64_t, value, value)
	)
)
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
