/* SPDX-License-Identifier: MIT */
/* keeper.h - measurements that are stopped in the middle leave nothing behind. */
#ifndef SHMBUS_BENCH_KEEPER_H
#define SHMBUS_BENCH_KEEPER_H

/*
 * Lets a process of its own call `body`. When that process ends, in whatever way, so do those that
 * it started, and what its bus had in shared memory goes. SIGINT, SIGTERM and SIGHUP end it.
 * Returns what `body` returned, 128 and the signal that ended it, or 1 where no process can be had.
 */
int keeper_run(int (*body)(void *data), void *data);

#endif /* SHMBUS_BENCH_KEEPER_H */
