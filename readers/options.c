/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <shmbus/producer.h>

#include "clean.h"
#include "format.h"
#include "options.h"

#define OPTIONS_MAX 16

static const struct option common[] = {
	{"bus", required_argument, NULL, 'B'},
	{"help", no_argument, NULL, 'h'},
};

/* What is allowed: the help up to its first empty line. */
static int usage_line(const struct command *command)
{
	const char *end = strstr(command->help, "\n\n");

	fprintf(stderr, "%.*s\nTry 'shmbus %s --help'.\n", (int)(end - command->help),
		command->help, command->name);
	return EXIT_USAGE;
}

/* Where options_each() wants to know what a command takes, not to run it. */
static option_each each;
static void *each_data;

void options_each(const struct command *command, option_each tell, void *data)
{
	char name[] = "shmbus", *argv[] = {name, NULL};

	each = tell;
	each_data = data;
	command->run(command, 1, argv);
	each = NULL;
}

static int tell_each(const char *short_own, const struct option *table)
{
	for (; table->name != NULL; table++) {
		bool letter = table->val > 0 && table->val < 128 &&
			      (table->val == 'h' || strchr(short_own, table->val) != NULL);

		each(table, letter ? table->val : 0, each_data);
	}
	return 0;
}

static int operands_check(const struct command *command, int given, char **operands,
			  const char *title)
{
	const char *word = command->operand;
	int taken = 0;

	while (word != NULL && *word != '\0') {
		int length = (int)strcspn(word, " ");

		if (length > 3 && strncmp(word + length - 3, "...", 3) == 0)
			return -1;
		if (taken == given && *word != '[') {
			fprintf(stderr, "%s: %.*s is missing\n", title, length, word);
			return usage_line(command);
		}
		taken += taken < given;
		word += length + (int)strspn(word + length, " ");
	}
	if (taken == given)
		return -1;
	fprintf(stderr, "%s: unexpected \"%s\"\n", title, operands[taken]);
	return usage_line(command);
}

int options_parse(const struct command *command, int argc, char **argv, const char *short_own,
		  const struct option *own, option_take take, void *data, const char **bus)
{
	struct option table[OPTIONS_MAX + 3] = {{0}};
	char letters[64];
	static char title[40]; /* getopt_long() begins its messages with it */
	int count = 0, option;

	memcpy(table, common, sizeof common);
	count = (int)(sizeof common / sizeof common[0]);
	for (; own != NULL && own->name != NULL && count < OPTIONS_MAX; own++)
		table[count++] = *own;
	if (each != NULL)
		return tell_each(short_own, table);
	snprintf(letters, sizeof letters, "h%s", short_own);
	snprintf(title, sizeof title, "shmbus %s", command->name);
	argv[0] = title;
	*bus = NULL;
	optind = 1;
	while ((option = getopt_long(argc, argv, letters, table, NULL)) != -1) {
		switch (option) {
		case 'B':
			*bus = optarg;
			break;
		case 'h':
			fputs(command->help, stdout);
			return 0;
		case '?':
			return usage_line(command);
		default:
			if (!take(option, optarg, data))
				return EXIT_USAGE;
		}
	}
	return operands_check(command, argc - optind, argv + optind, title);
}

int reader_open(const char *bus, struct shmbus_snapshot_reader **out)
{
	int error = shmbus_snapshot_open(bus, out);

	if (error == 0)
		return 0;
	fprintf(stderr, "shmbus: %s\n", shmbus_strerror(error));
	return error == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

const char *bus_name(const char *bus)
{
	if (bus == NULL)
		bus = secure_getenv("SHMBUS_BUS");
	return bus == NULL || bus[0] == '\0' ? "default" : bus;
}

const char *read_failure(int error, const char *bus, char *out, size_t size)
{
	if (error == -ENOENT && bus_agent(bus) == 1)
		snprintf(out, size,
			 "the agent of bus \"%s\" has not published yet: wait, or look whether it "
			 "is "
			 "stopped",
			 bus);
	else if (error == -ENOENT)
		snprintf(out, size,
			 "no agent has published on bus \"%s\": start one with 'shmbus-agent "
			 "--bus %s'",
			 bus, bus);
	else if (error == -EBADMSG)
		snprintf(out, size, "the snapshot of bus \"%s\" is damaged: start its agent again",
			 bus);
	else if (error == -EACCES)
		snprintf(out, size,
			 "the snapshot of bus \"%s\" is not for this user: ask as the agent's "
			 "owner, or give the agent --snapshot-mode 0644",
			 bus);
	else
		snprintf(out, size, "%s", shmbus_strerror(error));
	return out;
}

void read_failed(int error, const char *bus)
{
	char text[256];

	fprintf(stderr, "shmbus: %s\n", read_failure(error, bus, text, sizeof text));
}

bool snapshot_stale(const struct shmbus_snapshot *snapshot)
{
	return snapshot->age_ns > 3 * snapshot->interval_ns + 500000000u;
}

void note_age(const struct shmbus_snapshot *snapshot, const char *bus)
{
	char age[FORMAT_SIZE];

	format_duration(age, (double)snapshot->age_ns);
	if (!snapshot->agent_running)
		fprintf(stderr,
			"shmbus: no agent is running on bus \"%s\": this is its last snapshot, %s "
			"old\n",
			bus, age);
	else if (snapshot_stale(snapshot))
		fprintf(stderr, "shmbus: the snapshot is %s old: the agent is stopped or starved\n",
			age);
}

static int read_waiting(struct document *document, struct shmbus_snapshot_reader *reader,
			double wait_s)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int error;

	while ((error = document_read(document, reader)) == -ENOENT && wait_s > 0) {
		nanosleep(&pause, NULL);
		wait_s -= 0.02;
	}
	return error;
}

int newest_open(struct newest *newest, const char *bus, double wait_s)
{
	int error, status = reader_open(bus, &newest->reader);

	if (status != 0)
		return status;
	newest->bus = bus_name(bus);
	error = read_waiting(&newest->document, newest->reader, wait_s);
	if (error != 0) {
		read_failed(error, newest->bus);
		shmbus_snapshot_close(newest->reader);
		return EXIT_FAILURE;
	}
	note_age(&newest->document.snapshot, newest->bus);
	return 0;
}

void newest_close(struct newest *newest)
{
	document_free(&newest->document);
	shmbus_snapshot_close(newest->reader);
}

bool not_allowed(const char *option, const char *value, const char *allowed)
{
	fprintf(stderr, "shmbus: %s %s is not allowed: %s\n", option, value, allowed);
	return false;
}
