/* SPDX-License-Identifier: MIT */
#ifndef SHMBUS_READERS_LOG_OPTIONS_H
#define SHMBUS_READERS_LOG_OPTIONS_H

#include "options.h"

struct log_options {
	const char *file;
	const char *metric; /* a pattern of names; NULL: all */
	uint64_t every;     /* 0: no throttled records */
	uint64_t count;     /* intervals; 0: without end */
	uint64_t rotate_size;
	unsigned rotate_keep;
	double interval_s;
	bool append;
	bool status;
	bool hook;
};

extern const char log_help[];

/* As options_parse(). */
int log_options_parse(const struct command *command, int argc, char **argv,
		      struct log_options *options, const char **bus);

#endif /* SHMBUS_READERS_LOG_OPTIONS_H */
