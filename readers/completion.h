/* SPDX-License-Identifier: MIT */
/* completion.h - what may come next on a command line, from the commands' own tables. */
#ifndef SHMBUS_READERS_COMPLETION_H
#define SHMBUS_READERS_COMPLETION_H

#include <stdio.h>

#include "options.h"

/* What an option's value, or an operand, is: a word of the help, such as FILE. */
enum value_kind {
	VALUE_OTHER,
	VALUE_NONE,
	VALUE_BUS,
	VALUE_SESSION,
	VALUE_SESSION_OR_FILE,
	VALUE_METRIC,
	VALUE_TIMER,
	VALUE_FILE,
	VALUE_STATUS,
	VALUE_SHELL,
};

/* The kind of an option's value, by the word that stands behind the option in the help. */
enum value_kind option_value_kind(const struct command *command, const struct option *option);

/* The first line of what the help says of an option; "" where it says nothing. Returns out. */
const char *option_summary(const struct command *command, const char *name, char *out, size_t size);

/* Prints what may stand in place of the last of the words that follow "shmbus": one a line, after a
 * tab what it is. A line "\tfiles" asks for names of files. `all`: the commands, then NULL. */
void completion_print(FILE *out, const struct command *const *all, int count, char **words);

extern const char completion_bash[], completion_zsh[];

#endif /* SHMBUS_READERS_COMPLETION_H */
