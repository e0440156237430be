/* SPDX-License-Identifier: MIT */
/* options.h - what the agent can be told, by flags. */
#ifndef SHMBUS_AGENT_OPTIONS_H
#define SHMBUS_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmbus/types.h>

#define OPTIONS_UIDS_MAX 16

struct options {
	char bus[SHMBUS_BUS_SIZE];
	uint64_t interval_ns;    /* between snapshots */
	uint64_t drain_ns;       /* between drains while there is work */
	uint64_t stale_after_ns; /* without a sign of life a session becomes stale */
	uint64_t ttl_ns;         /* ended and lost sessions stay this long */
	uint32_t sessions_max;   /* shown at once, ended ones included */
	uint32_t metrics_max;    /* names in the bus totals */
	uint32_t window;         /* samples in an exact window, unless the metric says */
	mode_t snapshot_mode;    /* who may read snapshots */
	bool allow_all;          /* producers of any user */
	uint32_t uid_count;      /* else the agent's own and these */
	uid_t uids[OPTIONS_UIDS_MAX];
	bool handover;
	bool verbose;
};

enum options_outcome {
	OPTIONS_RUN,
	OPTIONS_EXIT_OK,    /* --help, --version */
	OPTIONS_EXIT_USAGE, /* said on stderr what is allowed */
};

enum options_outcome options_parse(int argc, char **argv, struct options *out);

/* Whether segments of a user are drained. */
bool options_uid_allowed(const struct options *options, uid_t uid);

#endif /* SHMBUS_AGENT_OPTIONS_H */
