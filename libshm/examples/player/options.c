/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char help[] =
	"Usage: shmbus-player [OPTION]... [FILE|FOLDER]...\n\n"
	"Plays audio files block by block, at the pace of a device that nobody hears, and records\n"
	"what that costs: the example producer of shmbus. It plays WAV, AIFF, FLAC, Ogg and what\n"
	"else libsndfile reads, of a FOLDER all that can be played, again and again; without\n"
	"arguments the files of /usr/share/sounds/alsa (Debian: alsa-utils).\n\n"
	"      --bus NAME           the bus (default: $SHMBUS_BUS, else \"default\")\n"
	"      --service NAME       (default: player)\n"
	"      --id ID              the session's name\n"
	"      --label KEY=VALUE    up to 8 times\n"
	"      --quantum FRAMES     a cycle: 16 to 4096 (default 128)\n"
	"      --rate HZ            of the device: 8000 to 192000 (default 48000)\n"
	"      --seconds N          end after so long: 0 to 86400 (default 0: at a signal)\n"
	"      --impulse-ms N       length of the convolution: 1 to 2000 (default 120)\n"
	"      --overload PERCENT   work until so much of the quantum is used: 1 to 1000\n"
	"      --overload-every N   only in every Nth cycle: 1 to 1000000 (default 1)\n"
	"      --ring SAMPLES       of each writer (default 16384)\n"
	"      --realtime           ask for SCHED_FIFO and locked memory\n"
	"      --output FILE        write what is played to a WAV file, mono, 16 bits\n"
	"      --report             at the end, print the writers' accounts as JSON\n"
	"      --quiet              no other output\n"
	"  -h, --help               this text\n\n"
	"It ends at SIGINT, SIGTERM or SIGHUP. Exit status: 0; 1 where it cannot play or write; 2\n"
	"where an option is not allowed.\n\n"
	"Example:\n"
	"  shmbus-player --seconds 10 --overload 130 --overload-every 4\n";

enum {
	OPTION_BUS = 256,
	OPTION_SERVICE,
	OPTION_ID,
	OPTION_LABEL,
	OPTION_QUANTUM,
	OPTION_RATE,
	OPTION_SECONDS,
	OPTION_IMPULSE,
	OPTION_OVERLOAD,
	OPTION_EVERY,
	OPTION_RING,
	OPTION_REALTIME,
	OPTION_OUTPUT,
	OPTION_REPORT,
	OPTION_QUIET,
};

static const struct option table[] = {{"bus", 1, NULL, OPTION_BUS},
				      {"service", 1, NULL, OPTION_SERVICE},
				      {"id", 1, NULL, OPTION_ID},
				      {"label", 1, NULL, OPTION_LABEL},
				      {"quantum", 1, NULL, OPTION_QUANTUM},
				      {"rate", 1, NULL, OPTION_RATE},
				      {"seconds", 1, NULL, OPTION_SECONDS},
				      {"impulse-ms", 1, NULL, OPTION_IMPULSE},
				      {"overload", 1, NULL, OPTION_OVERLOAD},
				      {"overload-every", 1, NULL, OPTION_EVERY},
				      {"ring", 1, NULL, OPTION_RING},
				      {"realtime", 0, NULL, OPTION_REALTIME},
				      {"output", 1, NULL, OPTION_OUTPUT},
				      {"report", 0, NULL, OPTION_REPORT},
				      {"quiet", 0, NULL, OPTION_QUIET},
				      {"help", 0, NULL, 'h'},
				      {NULL, 0, NULL, 0}};

static bool number(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end != '\0' || value < min || value > max) {
		fprintf(stderr, "shmbus-player: %s %s is not allowed: %u to %u\n", name, text, min,
			max);
		return false;
	}
	*out = (uint32_t)value;
	return true;
}

/* The library checks the rest; to it an empty name stands for the default. */
static bool bus(const char *text, struct options *out)
{
	out->bus = text;
	if (text[0] != '\0')
		return true;
	fprintf(stderr, "shmbus-player: --bus \"\" is not allowed: 1 to %u of A-Z a-z 0-9 _ -\n",
		SHMBUS_BUS_SIZE - 1);
	return false;
}

static bool label(char *text, struct options *out)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || out->label_count == 8) {
		fprintf(stderr,
			"shmbus-player: --label %s is not allowed: KEY=VALUE, up to 8 times\n",
			text);
		return false;
	}
	*equals = '\0';
	out->labels[out->label_count++] = (struct shmbus_label){text, equals + 1};
	return true;
}

static bool seconds(const char *text, struct options *out)
{
	char *end;

	out->seconds = strtod(text, &end);
	if (isdigit((unsigned char)text[0]) && *end == '\0' && out->seconds <= 86400)
		return true;
	fprintf(stderr, "shmbus-player: --seconds %s is not allowed: 0 to 86400\n", text);
	return false;
}

static bool apply(int option, char *value, struct options *out)
{
	switch (option) {
	case OPTION_BUS:
		return bus(value, out);
	case OPTION_SERVICE:
		out->service = value;
		return true;
	case OPTION_ID:
		out->id = value;
		return true;
	case OPTION_OUTPUT:
		out->output = value;
		return true;
	case OPTION_REALTIME:
		out->realtime = true;
		return true;
	case OPTION_REPORT:
		out->report = true;
		return true;
	case OPTION_QUIET:
		out->quiet = true;
		return true;
	case OPTION_LABEL:
		return label(value, out);
	case OPTION_SECONDS:
		return seconds(value, out);
	case OPTION_QUANTUM:
		return number("--quantum", value, 16, QUANTUM_MAX, &out->quantum);
	case OPTION_RATE:
		return number("--rate", value, 8000, 192000, &out->rate_hz);
	case OPTION_IMPULSE:
		return number("--impulse-ms", value, 1, 2000, &out->impulse_ms);
	case OPTION_OVERLOAD:
		return number("--overload", value, 1, 1000, &out->overload_percent);
	case OPTION_EVERY:
		return number("--overload-every", value, 1, 1000000, &out->overload_every);
	case OPTION_RING:
		return number("--ring", value, 1, SHMBUS_RING_MAX, &out->ring);
	default:
		return false;
	}
}

int options_parse(int argc, char **argv, struct options *out)
{
	int option;

	*out = (struct options){
		.service = "player",
		.quantum = 128,
		.rate_hz = 48000,
		.impulse_ms = 120,
		.overload_every = 1,
	};
	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option == '?')
			fputs("Try 'shmbus-player --help'.\n", stderr);
		if (option == '?' || !apply(option, optarg, out))
			return 2;
	}
	out->paths = argv + optind;
	out->path_count = argc - optind;
	return -1;
}
