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

static void signals_catch(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaction(numbers[i], &action, NULL);
}

int main(int argc, char **argv)
{
	struct engine *engine;
	struct metrics metrics;
	struct options options;
	int status = options_parse(argc, argv, &options);

	if (status >= 0)
		return status;
	signals_catch();
	/* First, so that a mistyped file is no session in the agent's list. */
	engine = engine_new(&options);
	if (engine == NULL)
		return 1;
	status = metrics_open(&metrics, &options);
	if (status == 0) {
		status = engine_run(engine, &metrics, &stop);
		metrics_close(&metrics, &options);
	}
	engine_free(engine);
	return status;
}
