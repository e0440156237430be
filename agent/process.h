/* SPDX-License-Identifier: MIT */
/* process.h - CPU time and memory of a producer, from /proc. The reaper alone. */
#ifndef SHMBUS_AGENT_PROCESS_H
#define SHMBUS_AGENT_PROCESS_H

#include <sys/types.h>

#include "session.h"

struct process_usage {
	uint64_t cpu_ns;
	uint64_t start_jiffies;
	uint64_t rss_bytes;
	uid_t uid;
};

/* What was read of processes in one sweep: many sessions may be of one process. */
#define PROCESS_LOOKS 64u

struct process_looks {
	uint32_t budget; /* files that may still be read */
	struct process_look {
		bool taken;
		int32_t pid;
		int error;
		struct process_usage usage;
	} looks[PROCESS_LOOKS]; /* by pid modulo their number */
};

/* Samples a session's process, where that is known already or there is budget left. The pid is the
 * producer's word: it counts only while a process of that pid belongs to the segment's owner, and
 * stays the same one. */
void process_sample(struct session *session, uint64_t now_ns, struct process_looks *looks);

/* The agent's own: CPU time in ns, resident memory in bytes. */
uint64_t process_self_cpu_ns(void);
uint64_t process_self_rss_bytes(void);

#endif /* SHMBUS_AGENT_PROCESS_H */
