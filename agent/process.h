/* SPDX-License-Identifier: MIT */
/* process.h - CPU time and memory of a producer, from /proc. The reaper alone. */
#ifndef SHMBUS_AGENT_PROCESS_H
#define SHMBUS_AGENT_PROCESS_H

#include "session.h"

/* Samples a session's process. The pid is the producer's word: it counts only while a process
 * of that pid belongs to the segment's owner, and stays the same one. */
void process_sample(struct session *session, uint64_t now_ns);

/* The agent's own: CPU time in ns, resident memory in bytes. */
uint64_t process_self_cpu_ns(void);
uint64_t process_self_rss_bytes(void);

#endif /* SHMBUS_AGENT_PROCESS_H */
