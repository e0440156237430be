/* SPDX-License-Identifier: MIT */
/*
 * peer.h - what shmbus is measured beside: one way to record an event each, in one file each,
 * built where its package is there.
 */
#ifndef SHMBUS_BENCH_PEER_H
#define SHMBUS_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct peer {
	/* Returns 0, or -1 with a reason. */
	int (*open)(char *reason, size_t size);
	/* Records so many events; ns: nanoseconds for each. Returns 0 or -1. */
	int (*run)(uint32_t events, double *ns);
	void (*close)(void);
};

extern const struct peer peer_ck;
extern const struct peer peer_lttng;
extern const struct peer peer_pcp;
extern const struct peer peer_prometheus;
extern const struct peer peer_python;
extern const struct peer peer_statsd;

/* ---- child.c: a peer that is a program of its own. It answers each line with a number of
 * events by one with the nanoseconds that they took ---- */

struct peer_child {
	int pid;
	int to;
	int from;
};

int peer_child_start(struct peer_child *child, char *const argv[]);
int peer_child_run(const struct peer_child *child, uint32_t events, double *ns);
void peer_child_stop(struct peer_child *child);

#ifdef __cplusplus
}
#endif

#endif /* SHMBUS_BENCH_PEER_H */
