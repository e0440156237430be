/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_options.h"

const char log_help[] =
	"Usage: shmbus log [--file FILE] [--append] [--interval SECONDS] [--every N]\n"
	"                  [--metric PATTERN] [--rotate-size SIZE] [--rotate-keep N]\n"
	"                  [--count N] [--status] [--hook] [--bus NAME]\n\n"
	"Writes JSON Lines until SIGTERM or SIGINT: a record for each session that is\n"
	"over, with its final numbers, and one for each interval. Every line is an\n"
	"object, written at once; its \"event\" says what it is: start, interval,\n"
	"session, throttle, agent, gap, end.\n\n"
	"  --file FILE          to this file, not to standard output; SIGHUP opens it\n"
	"                       anew, and so does its being moved away\n"
	"  --append             go on at the end of FILE; sessions that it has already\n"
	"                       are not repeated\n"
	"  --interval SECONDS   between interval records: 0.1 to 86400 (default 60)\n"
	"  --every N            also a record each N cycles or samples of each timer of a\n"
	"                       session (1 to 1000000000000)\n"
	"  --metric PATTERN     only of timers with such names, as a shell matches files\n"
	"  --rotate-size SIZE   before FILE is larger it becomes FILE.1: 4K to 1T, with\n"
	"                       K, M, G or T for powers of 1024\n"
	"  --rotate-keep N      so many older files: 0 to 1000 (default 5)\n"
	"  --count N            end after so many intervals (1 to 1000000)\n"
	"  --status             a line for people on standard error each interval\n"
	"  --hook               do nothing unless SHMBUS_METRICS_JSON=1 is in the\n"
	"                       environment: for scripts and units that always start it\n\n"
	"What cannot be written (a full disk, a directory that is gone) waits in memory,\n"
	"is tried again, and a gap record says so afterwards.\n"
	"Exit status: 0; 1 where the file cannot be opened; 2 for what is not allowed.\n\n"
	"Examples:\n"
	"  shmbus log | jq 'select(.event == \"session\") | {id, targets}'\n"
	"  shmbus log --file metrics.jsonl --append --rotate-size 64M --every 10000\n";

static const struct option own_options[] = {{"file", required_argument, NULL, 'f'},
					    {"append", no_argument, NULL, 'a'},
					    {"interval", required_argument, NULL, 'i'},
					    {"every", required_argument, NULL, 'e'},
					    {"metric", required_argument, NULL, 'm'},
					    {"rotate-size", required_argument, NULL, 's'},
					    {"rotate-keep", required_argument, NULL, 'k'},
					    {"count", required_argument, NULL, 'n'},
					    {"status", no_argument, NULL, 'S'},
					    {"hook", no_argument, NULL, 'H'},
					    {NULL, 0, NULL, 0}};

static bool take_number(const char *text, uint64_t min, uint64_t max, uint64_t *out, char **end)
{
	errno = 0;
	*out = isdigit((unsigned char)text[0]) ? strtoull(text, end, 10) : 0;
	return isdigit((unsigned char)text[0]) && errno == 0 && *out >= min && *out <= max;
}

static bool take_whole(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	return take_number(text, min, max, out, &end) && *end == '\0';
}

static bool take_size(const char *text, uint64_t *out)
{
	static const char prefixes[] = "KMGT";
	const char *prefix;
	char *end;

	if (!take_number(text, 1, 1ull << 40, out, &end))
		return false;
	if (*end != '\0') {
		prefix = strchr(prefixes, *end);
		if (prefix == NULL || end[1] != '\0' || *out > 1ull << 30)
			return false;
		for (; prefix >= prefixes; prefix--)
			*out *= 1024;
	}
	return *out >= 4096 && *out <= 1ull << 40;
}

static bool take_value(int option, const char *value, struct log_options *options)
{
	uint64_t keep;
	char *end;

	switch (option) {
	case 'i':
		options->interval_s = strtod(value, &end);
		if (*end == '\0' && end != value && options->interval_s >= 0.1 &&
		    options->interval_s <= 86400)
			return true;
		return not_allowed("--interval", value, "0.1 to 86400 seconds");
	case 'e':
		if (take_whole(value, 1, 1000000000000, &options->every))
			return true;
		return not_allowed("--every", value, "1 to 1000000000000");
	case 's':
		if (take_size(value, &options->rotate_size))
			return true;
		return not_allowed("--rotate-size", value,
				   "4K to 1T: a number of bytes, or with K, M, G or T behind it");
	case 'k':
		if (!take_whole(value, 0, 1000, &keep))
			return not_allowed("--rotate-keep", value, "0 to 1000");
		options->rotate_keep = (unsigned)keep;
		return true;
	default:
		if (take_whole(value, 1, 1000000, &options->count))
			return true;
		return not_allowed("--count", value, "1 to 1000000");
	}
}

static bool take(int option, const char *value, void *data)
{
	struct log_options *options = data;

	switch (option) {
	case 'f':
		options->file = value;
		return value[0] != '\0' || not_allowed("--file", "\"\"", "the name of a file");
	case 'a':
		return options->append = true;
	case 'm':
		options->metric = value;
		return true;
	case 'S':
		return options->status = true;
	case 'H':
		return options->hook = true;
	default:
		return take_value(option, value, options);
	}
}

/* An option that means nothing without another. */
static bool lacks(bool given, const char *option, bool other_given, const char *other)
{
	if (!given || other_given)
		return false;
	fprintf(stderr, "shmbus: %s is not allowed without %s\n", option, other);
	return true;
}

int log_options_parse(const struct command *command, int argc, char **argv,
		      struct log_options *options, const char **bus)
{
	int status = options_parse(command, argc, argv, "", own_options, take, options, bus);
	bool to_file = options->file != NULL;

	if (status >= 0)
		return status;
	if (lacks(options->append, "--append", to_file, "--file") ||
	    lacks(options->rotate_size != 0, "--rotate-size", to_file, "--file") ||
	    lacks(options->rotate_keep != UINT_MAX, "--rotate-keep", options->rotate_size != 0,
		  "--rotate-size") ||
	    lacks(options->metric != NULL, "--metric", options->every != 0, "--every"))
		return EXIT_USAGE;
	if (options->rotate_keep == UINT_MAX)
		options->rotate_keep = 5;
	return -1;
}
