/* SPDX-License-Identifier: MIT */
/*
 * probe_state.h - what a service's probes say of it. No network, no clock: results go in, states
 * come out.
 *
 *	FAILED    the last 3 probes failed, or more
 *	HEALTHY   the last 3 succeeded, or none failed yet
 *	DEGRADED  else
 */
#ifndef SHMBUS_GATEWAY_PROBE_STATE_H
#define SHMBUS_GATEWAY_PROBE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_ROW 3 /* so many alike in a row decide */
#define PROBE_ERROR_SIZE 192

enum probe_status { PROBE_HEALTHY, PROBE_DEGRADED, PROBE_FAILED };

/* All zero: nothing was probed yet. */
struct probe_state {
	uint64_t checks;
	uint64_t failures_total;
	uint64_t failures_row;       /* in a row, up to the last probe */
	uint64_t successes_row;      /* likewise */
	uint64_t last_check_unix_ns; /* 0: none yet; so below */
	uint64_t last_success_unix_ns;
	uint64_t last_failure_unix_ns;
	uint64_t latency_ns;               /* of the last success */
	char last_error[PROBE_ERROR_SIZE]; /* of the last failure; "": none yet */
};

void probe_succeeded(struct probe_state *state, uint64_t time_unix_ns, uint64_t latency_ns);
void probe_failed(struct probe_state *state, uint64_t time_unix_ns, const char *error);

enum probe_status probe_status(const struct probe_state *state);
const char *probe_status_name(enum probe_status status); /* "HEALTHY", ... */

/* ---- groups ---- */

/* What stands in for each other. Usable is what has not failed. */
struct probe_member {
	bool fallback;
	enum probe_status status;
};

/* Which of them is active: the first usable primary, else the first usable fallback, else
 * `count`. */
size_t probe_active(const struct probe_member *members, size_t count);

#endif /* SHMBUS_GATEWAY_PROBE_STATE_H */
