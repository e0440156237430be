/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

#include "options.h"

#define MS 1000000ull
#define S 1000000000ull

static const char help[] =
	"Usage: shmbus-agent [OPTION]...\n"
	"\n"
	"Drains the metrics of every session on a bus, aggregates them and publishes\n"
	"snapshots for the readers (shmbus top, shmbus-gateway). Runs in the foreground\n"
	"until SIGTERM or SIGINT; one agent a bus.\n"
	"\n"
	"  -b, --bus NAME            the bus (default: $SHMBUS_BUS, else \"default\")\n"
	"  -i, --interval TIME       between snapshots: 20ms to 60s (default 1s)\n"
	"  -d, --drain TIME          between drains under load: 1ms to 1s (default 10ms)\n"
	"      --stale-after TIME    a session without a sign of life is stale: 100ms to\n"
	"                            1h (default 5s)\n"
	"      --ttl TIME            ended and lost sessions stay visible: 0s to 30d\n"
	"                            (default 1h)\n"
	"      --max-sessions N      sessions at once, ended ones included: 1 to 65536\n"
	"                            (default 4096)\n"
	"      --max-metrics N       metric names in the totals of the bus: 1 to 65536\n"
	"                            (default 1024); the rest is one overflow entry\n"
	"      --window N            samples in an exact window: 10 to 65536\n"
	"                            (default 1000)\n"
	"      --allow-uid USER      also drain producers of this user (name, number or\n"
	"                            \"all\"); may be repeated up to 16 times\n"
	"      --allow-group GROUP   also drain producers that let this group (name or\n"
	"                            number) write to their segments: $SHMBUS_GROUP of\n"
	"                            theirs; may be repeated up to 16 times\n"
	"      --snapshot-mode MODE  who may read snapshots: 0600, 0640 or 0644\n"
	"                            (default 0644, with --snapshot-group 0640)\n"
	"      --snapshot-group GROUP\n"
	"                            the group of snapshots (name or number)\n"
	"      --no-seccomp          do not filter system calls\n"
	"      --handover            take the bus over from the agent that has it\n"
	"  -v, --verbose             say when sessions come and go\n"
	"  -h, --help                this text\n"
	"  -V, --version             the version\n"
	"\n"
	"TIME is a number with a unit: 500ms, 1s, 15m, 1h, 7d.\n"
	"\n"
	"Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot run (another agent has\n"
	"the bus, no shared memory), 2 for an option that is not allowed.\n"
	"\n"
	"Examples:\n"
	"  shmbus-agent                                the bus \"default\"\n"
	"  shmbus-agent --bus studio --interval 100ms  ten snapshots a second\n"
	"  shmbus-agent --handover                     after an upgrade\n";

enum {
	OPTION_STALE = 256,
	OPTION_TTL,
	OPTION_SESSIONS,
	OPTION_METRICS,
	OPTION_WINDOW,
	OPTION_UID,
	OPTION_GID,
	OPTION_MODE,
	OPTION_SNAPSHOT_GROUP,
	OPTION_NO_SECCOMP,
	OPTION_HANDOVER,
};

static const struct option long_options[] = {
	{"bus", required_argument, NULL, 'b'},
	{"interval", required_argument, NULL, 'i'},
	{"drain", required_argument, NULL, 'd'},
	{"stale-after", required_argument, NULL, OPTION_STALE},
	{"ttl", required_argument, NULL, OPTION_TTL},
	{"max-sessions", required_argument, NULL, OPTION_SESSIONS},
	{"max-metrics", required_argument, NULL, OPTION_METRICS},
	{"window", required_argument, NULL, OPTION_WINDOW},
	{"allow-uid", required_argument, NULL, OPTION_UID},
	{"allow-group", required_argument, NULL, OPTION_GID},
	{"snapshot-mode", required_argument, NULL, OPTION_MODE},
	{"snapshot-group", required_argument, NULL, OPTION_SNAPSHOT_GROUP},
	{"no-seccomp", no_argument, NULL, OPTION_NO_SECCOMP},
	{"handover", no_argument, NULL, OPTION_HANDOVER},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static bool usage_error(const char *option, const char *value, const char *allowed)
{
	fprintf(stderr, "shmbus-agent: %s %s is not allowed: %s\n", option, value, allowed);
	return false;
}

static bool number_parse(const char *text, const char **rest, uint64_t *out)
{
	char *end;

	errno = 0;
	if (!isdigit((unsigned char)text[0]))
		return false;
	*out = strtoull(text, &end, 10);
	*rest = end;
	return errno == 0;
}

static bool time_parse(const char *option, const char *text, uint64_t min_ns, uint64_t max_ns,
		       const char *allowed, uint64_t *out)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"us", 1000},  {"ms", MS},      {"s", S},
		     {"m", 60 * S}, {"h", 3600 * S}, {"d", 86400 * S}};
	const char *unit;
	uint64_t number;

	if (!number_parse(text, &unit, &number))
		return usage_error(option, text, allowed);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(unit, units[i].name) != 0 && !(number == 0 && unit[0] == '\0'))
			continue;
		if (number > max_ns / units[i].ns || number * units[i].ns < min_ns)
			break;
		*out = number * units[i].ns;
		return true;
	}
	return usage_error(option, text, allowed);
}

static bool count_parse(const char *option, const char *text, uint32_t min, uint32_t max,
			const char *allowed, uint32_t *out)
{
	const char *rest;
	uint64_t number;

	if (!number_parse(text, &rest, &number) || *rest != '\0' || number < min || number > max)
		return usage_error(option, text, allowed);
	*out = (uint32_t)number;
	return true;
}

/* Users and groups alike; the largest number means none. */
static bool id_parse(const char *text, uint32_t *out)
{
	const char *rest;
	uint64_t number;

	if (!number_parse(text, &rest, &number) || *rest != '\0' || number >= UINT32_MAX)
		return false;
	*out = (uint32_t)number;
	return true;
}

static bool group_parse(const char *option, const char *text, gid_t *out)
{
	const struct group *group;

	if (id_parse(text, out))
		return true;
	group = getgrnam(text);
	if (group == NULL)
		return usage_error(option, text, "no such group; a name or a number");
	*out = group->gr_gid;
	return true;
}

static bool gid_add(const char *text, struct options *out)
{
	if (out->gid_count == OPTIONS_IDS_MAX)
		return usage_error("--allow-group", text, "at most 16 groups");
	if (!group_parse("--allow-group", text, &out->gids[out->gid_count]))
		return false;
	out->gid_count++;
	return true;
}

static bool uid_add(const char *text, struct options *out)
{
	struct passwd *user;

	if (strcmp(text, "all") == 0) {
		out->allow_all = true;
		return true;
	}
	if (out->uid_count == OPTIONS_IDS_MAX)
		return usage_error("--allow-uid", text, "at most 16 users, or \"all\"");
	if (id_parse(text, &out->uids[out->uid_count])) {
		out->uid_count++;
		return true;
	}
	user = getpwnam(text);
	if (user == NULL)
		return usage_error("--allow-uid", text, "no such user; a name, a number or all");
	out->uids[out->uid_count++] = user->pw_uid;
	return true;
}

static bool mode_parse(const char *text, struct options *out)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*end != '\0' || (mode != 0600 && mode != 0640 && mode != 0644))
		return usage_error("--snapshot-mode", text, "0600, 0640 or 0644");
	out->snapshot_mode = (mode_t)mode;
	return true;
}

static bool option_apply(int option, const char *value, struct options *out)
{
	switch (option) {
	case 'b':
		if (strlen(value) >= sizeof out->bus)
			return usage_error("--bus", value, "1 to 31 of A-Z a-z 0-9 _ -");
		strcpy(out->bus, value);
		return true;
	case 'i':
		return time_parse("--interval", value, 20 * MS, 60 * S, "20ms to 60s",
				  &out->interval_ns);
	case 'd':
		return time_parse("--drain", value, MS, S, "1ms to 1s", &out->drain_ns);
	case OPTION_STALE:
		return time_parse("--stale-after", value, 100 * MS, 3600 * S, "100ms to 1h",
				  &out->stale_after_ns);
	case OPTION_TTL:
		return time_parse("--ttl", value, 0, 30 * 86400 * S, "0s to 30d", &out->ttl_ns);
	case OPTION_SESSIONS:
		return count_parse("--max-sessions", value, 1, 65536, "1 to 65536",
				   &out->sessions_max);
	case OPTION_METRICS:
		return count_parse("--max-metrics", value, 1, 65536, "1 to 65536",
				   &out->metrics_max);
	case OPTION_WINDOW:
		return count_parse("--window", value, 10, SHMBUS_WINDOW_MAX, "10 to 65536",
				   &out->window);
	case OPTION_UID:
		return uid_add(value, out);
	case OPTION_GID:
		return gid_add(value, out);
	case OPTION_SNAPSHOT_GROUP:
		out->snapshot_group = true;
		return group_parse("--snapshot-group", value, &out->snapshot_gid);
	default:
		return mode_parse(value, out);
	}
}

/* The library knows the rule for bus names; a reader of snapshots is the cheapest way to it. */
static bool bus_resolve(struct options *out)
{
	struct shmbus_snapshot_reader *reader;
	const char *bus = out->bus[0] != '\0' ? out->bus : getenv("SHMBUS_BUS");
	int error = shmbus_snapshot_open(bus, &reader);

	if (error != 0) {
		fprintf(stderr, "shmbus-agent: %s\n", shmbus_strerror(error));
		return false;
	}
	shmbus_snapshot_close(reader);
	if (bus == NULL || bus[0] == '\0')
		bus = "default";
	if (bus != out->bus)
		strcpy(out->bus, bus); /* checked above: it fits */
	return true;
}

enum options_outcome options_parse(int argc, char **argv, struct options *out)
{
	int option;

	*out = (struct options){
		.interval_ns = S,
		.drain_ns = 10 * MS,
		.stale_after_ns = 5 * S,
		.ttl_ns = 3600 * S,
		.sessions_max = 4096,
		.metrics_max = 1024,
		.window = SHMBUS_WINDOW_DEFAULT,
	};
	while ((option = getopt_long(argc, argv, "b:i:d:vhV", long_options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help, stdout);
			return OPTIONS_EXIT_OK;
		case 'V':
			printf("shmbus-agent %s\n", SHMBUS_VERSION_STRING);
			return OPTIONS_EXIT_OK;
		case 'v':
			out->verbose = true;
			break;
		case OPTION_HANDOVER:
			out->handover = true;
			break;
		case OPTION_NO_SECCOMP:
			out->no_seccomp = true;
			break;
		case '?':
			fputs("Try 'shmbus-agent --help'.\n", stderr);
			return OPTIONS_EXIT_USAGE;
		default:
			if (!option_apply(option, optarg, out))
				return OPTIONS_EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "shmbus-agent: unexpected \"%s\"; try 'shmbus-agent --help'\n",
			argv[optind]);
		return OPTIONS_EXIT_USAGE;
	}
	if (out->snapshot_mode == 0)
		out->snapshot_mode = out->snapshot_group ? 0640 : 0644;
	return bus_resolve(out) ? OPTIONS_RUN : OPTIONS_EXIT_USAGE;
}

bool options_owner_allowed(const struct options *options, uid_t uid, gid_t gid, mode_t mode)
{
	if (mode & S_IWOTH)
		return false;
	if (options->allow_all || uid == geteuid())
		return true;
	for (uint32_t i = 0; i < options->uid_count; i++)
		if (options->uids[i] == uid)
			return true;
	/* Only a member of a group can have given it the file. */
	for (uint32_t i = 0; i < options->gid_count && (mode & S_IWGRP) != 0; i++)
		if (options->gids[i] == gid)
			return true;
	return false;
}
