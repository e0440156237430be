/* SPDX-License-Identifier: MIT */
/* main.c - shmbus: one command-line tool, a table of sub-commands. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "text.h"

const struct command *const commands[] = {
	&command_top,   &command_ls,     &command_show,       &command_snapshot,
	&command_watch, &command_log,    &command_record,     &command_hist,
	&command_check, &command_doctor, &command_completion, NULL,
};

static void usage(FILE *out)
{
	fputs("Usage: shmbus COMMAND [OPTION]...\n\nReads what a shmbus-agent publishes.\n\n", out);
	for (size_t i = 0; commands[i] != NULL; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nAfter the command all take --bus NAME (default: $SHMBUS_BUS, else \"default\")\n"
	      "and -h, --help. 'shmbus help COMMAND' is the same. Before it: -h, --help;\n"
	      "-V, --version.\n"
	      "Exit status: 0; 1 where there is nothing to read, no such session, or something\n"
	      "is wrong; 2 for what is not allowed; check: as monitoring plugins.\n",
	      out);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; commands[i] != NULL; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* No usage here: it would push the message out of sight. */
static int refuse(const char *word)
{
	if (word[0] == '-')
		fprintf(stderr, "shmbus: %s is not allowed here: a command comes first\n", word);
	else
		fprintf(stderr, "shmbus: there is no command \"%s\"\n", word);
	fputs("Commands:", stderr);
	for (size_t i = 0; commands[i] != NULL; i++)
		fprintf(stderr, " %s", commands[i]->name);
	fputs("\nTry 'shmbus --help'.\n", stderr);
	return EXIT_USAGE;
}

static int run(int argc, char **argv)
{
	const struct command *command;

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
	if (strcmp(argv[1], "help") == 0) {
		command = find(argv[2]);
		if (command == NULL)
			return refuse(argv[2]);
		fputs(command->help, stdout);
		return 0;
	}
	command = find(argv[1]);
	if (command == NULL)
		return refuse(argv[1]);
	return command->run(command, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status, error;

	text_setup();
	signal(SIGPIPE, SIG_DFL); /* a reader of our output that leaves ends us, quietly */
	output_begin();
	status = run(argc, argv);
	error = output_end();
	if (error == 0)
		return status;
	fprintf(stderr, "shmbus: cannot write the output: %s\n", strerror(-error));
	return EXIT_FAILURE;
}
