/* SPDX-License-Identifier: MIT */
/* bus_health.h - how the sessions of a snapshot are. */
#ifndef SHMBUS_GATEWAY_BUS_HEALTH_H
#define SHMBUS_GATEWAY_BUS_HEALTH_H

#include "body.h"
#include "document.h"

/* For so long a lost session, or a dropped sample, counts against the bus. */
#define BUS_HEALTH_RECENT_NS UINT64_C(300000000000)

struct bus_health {
	uint64_t sessions;
	uint64_t running, stale, ended, lost;
	uint64_t lost_recently;
	uint64_t targets;          /* of timers of sessions that run or are stale */
	uint64_t targets_missed;   /* of them */
	uint64_t sessions_missing; /* such sessions with a missed target */
	uint64_t dropped;          /* samples, ever */
};

/* Of NULL: all zero. */
struct bus_health bus_health_of(const struct document *document);

/*
 * The targets of the bus' timers that measure time, merged over its sessions, as a JSON array:
 *
 *	{"name", "stage"?, "target_ms", "quantile", "met"?, "violations", "violation_ratio"?,
 *	 "actual_ms"?}
 *
 * `actual_ms`: the value at the quantile, where the snapshot has it. Without samples, absent.
 */
void bus_targets_write(struct body *out, const struct document *document);

#endif /* SHMBUS_GATEWAY_BUS_HEALTH_H */
