/* SPDX-License-Identifier: MIT */
/* options.h - what the agent can be told, by flags. */
#ifndef SHMBUS_AGENT_OPTIONS_H
#define SHMBUS_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmbus/types.h>

#define OPTIONS_IDS_MAX 16

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
	bool snapshot_group;     /* they belong to this group: */
	gid_t snapshot_gid;
	bool allow_all;     /* producers of any user */
	uint32_t uid_count; /* else the agent's own and these */
	uid_t uids[OPTIONS_IDS_MAX];
	uint32_t gid_count; /* and segments that these groups may write to */
	gid_t gids[OPTIONS_IDS_MAX];
	bool handover;
	bool no_seccomp;
	bool verbose;
};

enum options_outcome {
	OPTIONS_RUN,
	OPTIONS_EXIT_OK,    /* --help, --version */
	OPTIONS_EXIT_USAGE, /* said on stderr what is allowed */
};

enum options_outcome options_parse(int argc, char **argv, struct options *out);

/* Whether a segment with this owner, group and mode is drained; never one that anybody may write
 * to. */
bool options_owner_allowed(const struct options *options, uid_t uid, gid_t gid, mode_t mode);

#endif /* SHMBUS_AGENT_OPTIONS_H */
