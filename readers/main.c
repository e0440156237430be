/* SPDX-License-Identifier: MIT */
/* main.c - shmbus: one command-line tool, a table of sub-commands. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const struct command *const commands[] = {
	&command_top, &command_ls, &command_show, &command_snapshot, &command_doctor,
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void usage(FILE *out)
{
	fputs("Usage: shmbus COMMAND [OPTION]...\n\nReads what a shmbus-agent publishes.\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nAll take --bus NAME (default: $SHMBUS_BUS, else \"default\") and -h, --help.\n"
	      "Before a command: -h, --help; -V, --version.\n"
	      "Exit status: 0; 1 where there is nothing to read; 2 for what is not allowed.\n",
	      out);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status;

	signal(SIGPIPE, SIG_DFL); /* a reader of our output that leaves ends us, quietly */
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("shmbus %s\n", SHMBUS_VERSION_STRING);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "help") == 0 && find(argv[2]) != NULL) {
		fputs(find(argv[2])->help, stdout);
		return 0;
	}
	command = find(argv[1]);
	if (command == NULL) {
		fprintf(stderr, "shmbus: there is no command \"%s\"\n\n", argv[1]);
		usage(stderr);
		return EXIT_USAGE;
	}
	status = command->run(command, argc - 1, argv + 1);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "shmbus: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}
