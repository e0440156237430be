/* SPDX-License-Identifier: MIT */
/* health_private.h - what the verdict is made of. Private to health.c and health_api.c. */
#ifndef SHMBUS_GATEWAY_HEALTH_PRIVATE_H
#define SHMBUS_GATEWAY_HEALTH_PRIVATE_H

#include "bus_health.h"
#include "health.h"
#include "probe.h"

struct health_verdict {
	enum probe_status status;
	struct bus_health bus;
	bool dropped_recently;
	size_t services[3]; /* by enum probe_status */
};

struct health {
	struct gateway *gateway;
	struct probes *probes;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t start_unix_ns;

	/* Drops, as the last snapshot had them, and when they were last found to be more. */
	bool dropped_known;
	uint64_t dropped;
	uint64_t dropped_ns; /* CLOCK_MONOTONIC; 0: never */

	/* What the sessions of one snapshot are is found once. */
	uint64_t bus_version;
	struct bus_health bus;
};

struct health_verdict health_judge(struct health *health);

/* ["name", ...] of critical services that have failed. */
void health_critical_write(struct health *health, struct body *out);

/* {"total", "healthy", "degraded", "failed"} */
void health_services_write(const struct health_verdict *verdict, struct body *out);

#endif /* SHMBUS_GATEWAY_HEALTH_PRIVATE_H */
