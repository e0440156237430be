/* SPDX-License-Identifier: MIT */
/* main.c - shmbus-player: see options.c for what it does, metrics.c for what it records. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "engine.h"

static _Atomic bool stop;

static void on_signal(int number)
{
	(void)number;
	atomic_store_explicit(&stop, true, memory_order_relaxed);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct metrics metrics;
	struct options options;
	int status = options_parse(argc, argv, &options);

	if (status >= 0)
		return status;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	metrics_open(&metrics, &options);
	if (!options.quiet)
		fprintf(stderr, "shmbus-player: session %s, %u frames at %u Hz\n",
			shmbus_session_id(metrics.session), options.quantum, options.rate_hz);
	status = engine_run(&options, &metrics, &stop);
	metrics_close(&metrics, &options);
	return status;
}
