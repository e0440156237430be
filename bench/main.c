/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "machine.h"

/* One line a part. */
/* clang-format off */
static const struct bench_part *const parts[] = {
	&bench_part_record,
	&bench_part_cold,
	&bench_part_paced,
	&bench_part_saturated,
	&bench_part_rings,
	&bench_part_fold,
	&bench_part_agent,
	&bench_part_publish,
	&bench_part_memory,
	&bench_part_scale,
	&bench_part_death,
	&bench_part_restart,
	&bench_part_handover,
	&bench_part_gateway,
	&bench_part_hot,
	&bench_part_peers,
};
/* clang-format on */

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void usage(FILE *out)
{
	fprintf(out,
		"usage: shmbus-bench [OPTION...] [PART...]\n"
		"\n"
		"Measures shmbus, and what it is compared with, in one run. Without PART: all\n"
		"parts that are not marked with *.\n"
		"\n");
	for (size_t i = 0; i < PARTS; i++)
		fprintf(out, "  %-10s%s %s\n", parts[i]->name, parts[i]->by_default ? " " : "*",
			parts[i]->what);
	fprintf(out,
		"\n"
		"  --full          more rounds\n"
		"  --json FILE     all figures with all their samples, and the machine\n"
		"  --report FILE   the same as one HTML page, with plots\n"
		"  --sessions N, --metrics N, --rate HZ, --seconds N\n"
		"                  agent: one load of so many sessions (1000) with so many timers\n"
		"                  each (8), each timer so often (10), for so long (60), instead\n"
		"                  of its own loads\n"
		"  --help          this text\n"
		"\n"
		"How it is measured:\n");
	for (size_t i = 0; machine_method[i]; i++)
		fprintf(out, "  %s\n", machine_method[i]);
	fprintf(out, "\n"
		     "Exit status: 0, 1 where a measurement failed, 2 for bad options.\n");
}

static int number(const char *name, const char *text, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < 1 || value > max) {
		fprintf(stderr, "shmbus-bench: --%s takes a number from 1 to %u, not \"%s\"\n",
			name, max, text);
		return -EINVAL;
	}
	*out = (uint32_t)value;
	return 0;
}

enum { FULL = 256, JSON, REPORT, SESSIONS, METRICS, RATE, SECONDS };

static const struct option long_options[] = {{"full", no_argument, NULL, FULL},
					     {"json", required_argument, NULL, JSON},
					     {"report", required_argument, NULL, REPORT},
					     {"sessions", required_argument, NULL, SESSIONS},
					     {"metrics", required_argument, NULL, METRICS},
					     {"rate", required_argument, NULL, RATE},
					     {"seconds", required_argument, NULL, SECONDS},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};

/* Returns 0, 1 after --help, or -EINVAL after a message. */
static int options_parse(int argc, char **argv, struct bench_options *options)
{
	int option, error = 0;

	*options = (struct bench_options){0};
	while (!error && (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (option) {
		case FULL:
			options->full = true;
			break;
		case JSON:
			options->json_path = optarg;
			break;
		case REPORT:
			options->html_path = optarg;
			break;
		case SESSIONS:
			error = number("sessions", optarg, 10000, &options->sessions);
			break;
		case METRICS:
			error = number("metrics", optarg, 64, &options->metrics);
			break;
		case RATE:
			error = number("rate", optarg, 10000, &options->rate_hz);
			break;
		case SECONDS:
			error = number("seconds", optarg, 3600, &options->seconds);
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			error = -EINVAL;
			break;
		}
	}
	return error;
}

static const struct bench_part *part_find(const char *name)
{
	for (size_t i = 0; i < PARTS; i++)
		if (strcmp(parts[i]->name, name) == 0)
			return parts[i];
	fprintf(stderr, "shmbus-bench: there is no part \"%s\"; see shmbus-bench --help\n", name);
	return NULL;
}

static int part_run(struct bench *bench, const struct bench_part *part)
{
	int error;

	bench_heading(bench, part);
	error = part->run(bench);
	if (error)
		fprintf(stderr, "shmbus-bench: %s: %s\n", part->name, strerror(-error));
	return error;
}

struct run {
	const struct bench_options *options;
	char **names; /* of parts; NULL after the last, or none: the usual ones */
};

static int run(void *data)
{
	const struct run *run = data;
	struct bench *bench;
	int error = bench_create(run->options, &bench);

	if (error) {
		fprintf(stderr, "shmbus-bench: %s\n", strerror(-error));
		return 1;
	}
	bench_header_print(bench);
	for (char **name = run->names; *name; name++)
		error |= part_run(bench, part_find(*name));
	for (size_t i = 0; !run->names[0] && i < PARTS; i++)
		if (parts[i]->by_default)
			error |= part_run(bench, parts[i]);
	error |= bench_report_write(bench);
	bench_destroy(bench);
	return error ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct run all = {.options = &options};
	int result = options_parse(argc, argv, &options);

	if (result)
		return result > 0 ? 0 : 2;
	all.names = argv + optind;
	for (char **name = all.names; *name; name++)
		if (!part_find(*name))
			return 2;
	return keeper_run(run, &all);
}
