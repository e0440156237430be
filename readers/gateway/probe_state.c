/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "probe_state.h"

void probe_succeeded(struct probe_state *state, uint64_t time_unix_ns, uint64_t latency_ns)
{
	state->checks++;
	state->successes_row++;
	state->failures_row = 0;
	state->last_check_unix_ns = time_unix_ns;
	state->last_success_unix_ns = time_unix_ns;
	state->latency_ns = latency_ns;
}

void probe_failed(struct probe_state *state, uint64_t time_unix_ns, const char *error)
{
	state->checks++;
	state->failures_total++;
	state->failures_row++;
	state->successes_row = 0;
	state->last_check_unix_ns = time_unix_ns;
	state->last_failure_unix_ns = time_unix_ns;
	snprintf(state->last_error, sizeof state->last_error, "%s", error);
}

enum probe_status probe_status(const struct probe_state *state)
{
	if (state->failures_row >= PROBE_ROW)
		return PROBE_FAILED;
	if (state->failures_total == 0 || state->successes_row >= PROBE_ROW)
		return PROBE_HEALTHY;
	return PROBE_DEGRADED;
}

const char *probe_status_name(enum probe_status status)
{
	static const char *const names[] = {"HEALTHY", "DEGRADED", "FAILED"};

	return names[status];
}

/* ---- groups ---- */

static size_t first_usable(const struct probe_member *members, size_t count, bool fallback)
{
	for (size_t i = 0; i < count; i++)
		if (members[i].fallback == fallback && members[i].status != PROBE_FAILED)
			return i;
	return count;
}

size_t probe_active(const struct probe_member *members, size_t count)
{
	size_t active = first_usable(members, count, false);

	return active < count ? active : first_usable(members, count, true);
}
