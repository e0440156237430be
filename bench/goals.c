/* SPDX-License-Identifier: MIT */
/* goals.c - the figures that shmbus is held to, in the order of the report. */
#include "bench.h"

#include <string.h>

const struct bench_goal bench_goals[] = {
	{"record_bare_ratio", "record", "shmbus_record_at / bare store", "x", 1.8, 1.2, false},
	{"record_clock_ratio", "record", "shmbus_record / shmbus_now", "x", 1.15, 1.05, false},
	{"cold_ratio", "cold", "cold record / cold bare store, 4 MiB between", "x", 2, 1.3, false},
	{"paced_p99_net_ns", "paced", "10 M/s, p99 net of the empty measurement", "ns", 8, 4,
	 false},
	{"saturated_ck_ratio", "saturated", "shmbus / ck_ring, saturated", "x", 5, 8, true},
	{"fold_100_msps", "fold", "fold, 100 sessions x 8 metrics", "M/s", 100, 150, true},
	{"fold_1000_msps", "fold", "fold, 1000 sessions x 8 metrics", "M/s", 60, 100, true},
	{"agent_cpu_100x1k_percent", "agent", "agent, 100 sessions x 1 kHz", "%", 1, 0.4, false},
	{"publish_all_ms", "publish", "publish, 1000 sessions, all dirty", "ms", 10, 3, false},
	{"publish_1pct_ms", "publish", "publish, 1000 sessions, 1 % dirty", "ms", 1, 0.3, false},
	{"metrics_first_byte_ms", "gateway", "/metrics, 1000 sessions, first byte", "ms", 0.2, 0.1,
	 false},
	{"metrics_body_ms", "gateway", "/metrics, 1000 sessions, whole body", "ms", 1.5, 1, false},
	{"memory_session_kib", "memory", "memory of a session, 8 timers", "KiB", 512, 256, false},
	{"death_p99_ms", "death", "a killed producer's segment is gone, p99", "ms", 5, 2, false},
	{"hot_syscalls", "hot", "system calls in 10^8 records", "1", 0, 0, false},
	{"hot_page_faults", "hot", "page faults in 10^8 records", "1", 0, 0, false},
};

const size_t bench_goal_count = sizeof(bench_goals) / sizeof(bench_goals[0]);

const struct bench_goal *bench_goal_find(const char *id)
{
	for (size_t i = 0; i < bench_goal_count; i++)
		if (strcmp(bench_goals[i].id, id) == 0)
			return &bench_goals[i];
	return NULL;
}

bool bench_goal_met(const struct bench_goal *goal, double limit, double value)
{
	return goal->at_least ? value >= limit : value <= limit;
}
