/* SPDX-License-Identifier: MIT */
/* record.h - the loops around shmbus' own calls; their context is a struct subject. */
#ifndef SHMBUS_BENCH_RECORD_H
#define SHMBUS_BENCH_RECORD_H

#include "bench.h"

enum record_loop {
	RECORD_BARE,
	RECORD_AT,
	RECORD_CLOCK,
	RECORD_NOW,
	RECORD_CYCLE,
	RECORD_ADD,
	RECORD_SET,
	RECORD_LOOPS,
};

extern const struct bench_loop record_loops[RECORD_LOOPS];

#endif /* SHMBUS_BENCH_RECORD_H */
