/* SPDX-License-Identifier: MIT */
/* metrics.h - all that the player tells the bus, in one place. */
#ifndef PLAYER_METRICS_H
#define PLAYER_METRICS_H

#include <shmbus/producer.h>

#include "options.h"

struct metrics {
	struct shmbus_session *session;
	/* One writer for each thread. */
	struct shmbus_writer *disk;
	struct shmbus_writer *audio;
	struct shmbus_writer *sink;

	shmbus_metric decode;
	shmbus_metric read;
	shmbus_metric process;
	shmbus_metric convolve;
	shmbus_metric write;
	shmbus_metric latency;
	struct shmbus_cycle cycle;
	shmbus_metric frames;
	shmbus_metric cycles;
	shmbus_metric media_time;
	shmbus_metric queue_depth;
	shmbus_metric level;
	shmbus_metric state;
};

enum player_state { STATE_STARTING, STATE_PLAYING, STATE_DRAINING, STATE_STOPPED };

/*
 * Opens the session. Returns 0, or an exit status, with a message, where a name that the user
 * chose is not allowed. Where the machine has no room for metrics it says so once, and the
 * player plays on without.
 */
int metrics_open(struct metrics *metrics, const struct options *options);

/* Closes it; with --report prints the writers' accounts first. */
void metrics_close(struct metrics *metrics, const struct options *options);

#endif /* PLAYER_METRICS_H */
