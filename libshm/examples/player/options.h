/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_OPTIONS_H
#define PLAYER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <shmbus/types.h>

#define QUANTUM_MAX 4096u

struct options {
	const char *bus;
	const char *service;
	const char *id;
	const char *output; /* NULL: nowhere */
	char **paths;
	int path_count;
	uint32_t quantum; /* frames a cycle */
	uint32_t rate_hz;
	uint32_t ring; /* samples; 0: the default */
	uint32_t impulse_ms;
	uint32_t overload_percent; /* of the quantum that the work is stretched to; 0: not */
	uint32_t overload_every;   /* cycles */
	double seconds;            /* 0: until a signal */
	bool realtime;
	bool quiet;
	bool report;
	struct shmbus_label labels[8];
	uint32_t label_count;
};

/* Returns -1 to go on, else the exit status. */
int options_parse(int argc, char **argv, struct options *out);

#endif /* PLAYER_OPTIONS_H */
