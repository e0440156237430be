/* SPDX-License-Identifier: MIT */
/* options.h - what the sub-commands share: options, the reader, exit statuses. */
#ifndef SHMBUS_READERS_OPTIONS_H
#define SHMBUS_READERS_OPTIONS_H

#include <getopt.h>

#include "document.h"

#define EXIT_USAGE 2

/* Called for each option but --bus and --help; false: not allowed, and said so. */
typedef bool (*option_take)(int option, const char *value, void *data);

struct command {
	const char *name;
	const char *summary;
	const char *help;
	int (*run)(const struct command *command, int argc, char **argv);
	/* What must stand beside options, a word each; then what may: [WORD], [WORD]... NULL:
	 * nothing. Completion knows SESSION, METRIC, TIMER and SHELL. */
	const char *operand;
};

/* All commands, in the order of the help; ends with NULL. */
extern const struct command *const commands[];

/* Parses a sub-command's options: `own` beside the common ones. Returns -1 to go on, else the
 * exit status. *bus is NULL where none was given. */
int options_parse(const struct command *command, int argc, char **argv, const char *short_own,
		  const struct option *own, option_take take, void *data, const char **bus);

/* Calls `tell` for each option that a command takes, from the tables that getopt_long() gets.
 * `letter`: its short form, 0 where it has none. */
typedef void (*option_each)(const struct option *option, int letter, void *data);
void options_each(const struct command *command, option_each tell, void *data);

/* Opens a reader; prints why not. Returns 0 or an exit status. */
int reader_open(const char *bus, struct shmbus_snapshot_reader **out);

/* The bus that a command reads: what was given, else the environment, else "default". */
const char *bus_name(const char *bus);

/* The newest snapshot of a bus, for a command that looks once. */
struct newest {
	struct shmbus_snapshot_reader *reader;
	struct document document;
	const char *bus; /* its name */
};

/* Opens and reads it, waits so long for a first one, and notes its age; prints why not. Returns
 * 0, or an exit status: then there is nothing to close. */
int newest_open(struct newest *newest, const char *bus, double wait_s);
void newest_close(struct newest *newest);

/* Why there is no snapshot, and what to do. Returns out. */
const char *read_failure(int error, const char *bus, char *out, size_t size);
void read_failed(int error, const char *bus); /* the same, on stderr */

/* Whether a snapshot is so old that a running agent must be stopped or starved. */
bool snapshot_stale(const struct shmbus_snapshot *snapshot);

/* Says on stderr where a snapshot is the last one of an agent that is gone, or stale. */
void note_age(const struct shmbus_snapshot *snapshot, const char *bus);

/* "shmbus NAME: ..." on stderr; returns false, for option_take. */
bool not_allowed(const char *option, const char *value, const char *allowed);

extern const struct command command_ls, command_show, command_snapshot, command_top, command_doctor;
extern const struct command command_watch, command_record, command_log;
extern const struct command command_hist, command_check, command_completion;

#endif /* SHMBUS_READERS_OPTIONS_H */
