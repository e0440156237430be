/* SPDX-License-Identifier: MIT */
/* snapshot.c - shmbus snapshot: the whole document, as JSON or as it is. */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "options.h"

struct wanted {
	bool msgpack;
	bool compact;
	double wait_s;
};

static const char help[] =
	"Usage: shmbus snapshot [--json|--msgpack] [--compact] [--wait SECONDS]\n"
	"                       [--bus NAME]\n\n"
	"Prints the newest snapshot. The keys are described in shmbus-snapshot(5).\n\n"
	"  --json           as JSON (the default)\n"
	"  --msgpack        the document's bytes as they are\n"
	"  --compact        JSON without spaces, in one line\n"
	"  --wait SECONDS   wait so long for a first snapshot (0 to 3600)\n\n"
	"Example:\n"
	"  shmbus snapshot | jq '.sessions[] | {id, state, dropped_total}'\n";

static const struct option own_options[] = {{"json", no_argument, NULL, 'j'},
					    {"msgpack", no_argument, NULL, 'm'},
					    {"compact", no_argument, NULL, 'c'},
					    {"wait", required_argument, NULL, 'w'},
					    {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	struct wanted *wanted = data;
	char *end;

	switch (option) {
	case 'j':
		wanted->msgpack = false;
		return true;
	case 'm':
		wanted->msgpack = true;
		return true;
	case 'c':
		wanted->compact = true;
		return true;
	default:
		wanted->wait_s = strtod(value, &end);
		if (*end == '\0' && end != value && wanted->wait_s >= 0 && wanted->wait_s <= 3600)
			return true;
		return not_allowed("--wait", value, "0 to 3600 seconds");
	}
}

static int run(const struct command *command, int argc, char **argv)
{
	struct wanted wanted = {0};
	struct newest newest;
	const char *bus;
	int status = options_parse(command, argc, argv, "", own_options, take, &wanted, &bus);

	if (status >= 0)
		return status;
	status = newest_open(&newest, bus, wanted.wait_s);
	if (status != 0)
		return status;
	if (wanted.msgpack) {
		fwrite(newest.document.snapshot.data, 1, newest.document.snapshot.size, stdout);
	} else {
		json_print(stdout, &newest.document.root, wanted.compact ? 0 : 2);
		putchar('\n');
	}
	newest_close(&newest);
	return 0;
}

const struct command command_snapshot = {"snapshot", "print the newest snapshot as JSON or msgpack",
					 help, run, NULL};
