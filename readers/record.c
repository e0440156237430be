/* SPDX-License-Identifier: MIT */
/* record.c - shmbus record: what comes in some seconds, as one page. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "format.h"
#include "options.h"
#include "record_page.h"

static const char help[] =
	"Usage: shmbus record -o FILE.html [--seconds N] [--bus NAME] [SESSIONS]\n\n"
	"Records what comes in N seconds and writes a page of it: for each timer its\n"
	"distribution, its percentiles, its course and a heat map; drops; the worst\n"
	"samples with their times and correlation ids; the sessions. The page is one\n"
	"file and needs nothing else. SESSIONS is an id, or a pattern (* ? [...]) of\n"
	"ids; without it all are recorded.\n\n"
	"  -o, --output FILE  the page; - is standard output\n"
	"  -s, --seconds N    so long (1 to 86400, 10 by default)\n\n"
	"Ctrl-C and SIGTERM end it early; the page is written then too.\n"
	"Exit status: 0; 1 there is nothing to read, or the page cannot be written;\n"
	"2 what is not allowed.\n\n"
	"Example:\n"
	"  shmbus record -o studio.html --seconds 60 'studio*'\n";

static const struct option own_options[] = {{"output", required_argument, NULL, 'o'},
					    {"seconds", required_argument, NULL, 's'},
					    {NULL, 0, NULL, 0}};

struct recorder {
	struct recording recording;
	struct document document; /* the newest, for the page */
	uint8_t *bytes;           /* of it */
	const char *bus;
	const char *path;
	double seconds;
	bool full;
	int trouble; /* said already */
	int status;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static bool take(int option, const char *value, void *data)
{
	struct recorder *recorder = data;
	char *end;

	if (option == 'o') {
		recorder->path = value;
		return value[0] != '\0' || not_allowed("--output", "\"\"", "a file's name");
	}
	recorder->seconds = strtod(value, &end);
	return (*end == '\0' && end != value && recorder->seconds >= 1 &&
		recorder->seconds <= 86400) ||
	       not_allowed("--seconds", value, "1 to 86400");
}

/* The page shows the newest document, so its bytes must outlive the callback. */
static int document_keep(struct recorder *recorder, const struct shmbus_snapshot *snapshot)
{
	uint8_t *bytes = malloc(snapshot->size);
	struct document document = {.snapshot = *snapshot};
	int error = bytes == NULL ? -ENOMEM : 0;

	if (error == 0) {
		memcpy(bytes, snapshot->data, snapshot->size);
		error = document_decode(&document, bytes, snapshot->size);
	}
	if (error != 0) {
		free(bytes);
		return error;
	}
	if (recorder->bytes != NULL)
		document_free(&recorder->document);
	free(recorder->bytes);
	recorder->document = document;
	recorder->bytes = bytes;
	return 0;
}

static void on_snapshot(const struct shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	struct recorder *recorder = data;
	bool first = recorder->bytes == NULL;
	int error = document_keep(recorder, snapshot);

	if (error != 0) {
		read_failed(error, recorder->bus);
		recorder->full = first; /* there is nothing to go on from */
		return;
	}
	if (first) {
		note_age(snapshot, recorder->bus);
		fprintf(stderr, "shmbus: recording for %g s; Ctrl-C ends it early\n",
			recorder->seconds);
	}
	recorder->trouble = 0;
	recorder->full = !recording_add(&recorder->recording, &recorder->document, gap);
}

/* Whether to go on: not where there is nothing to begin with. */
static bool go_on(struct recorder *recorder, int error)
{
	if (recorder->bytes == NULL) {
		read_failed(error, recorder->bus);
		return false;
	}
	if (recorder->trouble != error)
		fprintf(stderr, "shmbus: bus \"%s\": %s; waiting for it\n", recorder->bus,
			shmbus_strerror(error));
	recorder->trouble = error;
	return true;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The signals come through ppoll() alone, so that none is lost between a look and a sleep. */
static void signals_hold(sigset_t *before)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigdelset(before, SIGINT);
	sigdelset(before, SIGTERM);
}

/* What came since the last look, which may be long ago. */
static void take_last(struct recorder *recorder)
{
	uint64_t seq = recorder->document.snapshot.seq;
	struct shmbus_snapshot_reader *reader;
	struct shmbus_snapshot snapshot;

	if (shmbus_snapshot_open(recorder->bus, &reader) != 0)
		return;
	if (shmbus_snapshot_read(reader, &snapshot) == 0 && snapshot.seq > seq)
		on_snapshot(&snapshot, snapshot.seq - seq - 1, recorder);
	shmbus_snapshot_close(reader);
}

static bool record(struct recorder *recorder, struct shmbus_snapshot_watch *watch)
{
	struct pollfd wait = {.fd = shmbus_snapshot_watch_fd(watch), .events = POLLIN};
	double end_s = now_s() + recorder->seconds, left_s;
	sigset_t before;

	signals_hold(&before);
	while (!interrupted && !recorder->full && (left_s = end_s - now_s()) > 0) {
		struct timespec timeout = {.tv_sec = (time_t)left_s};
		int result;

		timeout.tv_nsec = (long)((left_s - (double)timeout.tv_sec) * 1e9);
		ppoll(&wait, 1, &timeout, &before);
		result = shmbus_snapshot_watch_dispatch(watch);
		if (result < 0 && !go_on(recorder, result))
			return false;
	}
	if (recorder->bytes == NULL)
		return false;
	take_last(recorder);
	return true;
}

static bool page_write(const struct recorder *recorder, FILE *out)
{
	record_page(out, &recorder->recording, &recorder->document, recorder->bus);
	if (fflush(out) == 0 && !ferror(out))
		return true;
	fprintf(stderr, "shmbus: cannot write %s: %s\n", recorder->path, strerror(errno));
	return false;
}

/* The file is opened before the recording, so that nobody records for an hour in vain, and emptied
 * after it, so that an older page stays until there is a newer one. */
static int record_to_file(struct recorder *recorder, struct shmbus_snapshot_watch *watch)
{
	bool own_output = strcmp(recorder->path, "-") == 0;
	bool existed = own_output || access(recorder->path, F_OK) == 0;
	FILE *out = own_output ? stdout : fopen(recorder->path, "ae");
	bool done = false;

	if (out == NULL) {
		fprintf(stderr, "shmbus: cannot write %s: %s\n", recorder->path, strerror(errno));
		return EXIT_FAILURE;
	}
	if (record(recorder, watch)) {
		/* Of a pipe or a device there is nothing to empty. */
		if (!own_output && ftruncate(fileno(out), 0) != 0 && errno != EINVAL)
			fprintf(stderr, "shmbus: cannot empty %s: %s\n", recorder->path,
				strerror(errno));
		done = page_write(recorder, out);
	} else if (!existed) {
		unlink(recorder->path);
	}
	if (!own_output)
		fclose(out);
	return done ? 0 : EXIT_FAILURE;
}

static void say_done(const struct recorder *recorder)
{
	const struct recording *recording = &recorder->recording;
	uint64_t samples = 0;

	for (uint32_t i = 0; i < recording->timer_count; i++)
		samples += recording->timers[i]->recorded.count;
	fprintf(stderr, "shmbus: %s: %u timers, %llu samples in %u snapshots\n", recorder->path,
		recording->timer_count, (unsigned long long)samples, recording->slots);
}

static int run(const struct command *command, int argc, char **argv)
{
	static struct recorder recorder = {.seconds = 10};
	struct shmbus_snapshot_watch *watch;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "o:s:", own_options, take, &recorder,
					  &bus);

	if (status >= 0)
		return status;
	if (recorder.path == NULL) {
		fputs("shmbus record: --output is missing: a file's name, or -\n", stderr);
		return EXIT_USAGE;
	}
	error = shmbus_snapshot_watch_open(
		bus, (uint64_t)(recorder.seconds / (RECORDING_SLOTS - 1) * 1e9), on_snapshot,
		&recorder, &watch);
	if (error != 0) {
		fprintf(stderr, "shmbus: %s\n", shmbus_strerror(error));
		return error == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
	}
	recorder.bus = bus_name(bus);
	recorder.recording.pattern = argv[optind];
	status = record_to_file(&recorder, watch);
	if (status == 0)
		say_done(&recorder);
	if (recorder.bytes != NULL)
		document_free(&recorder.document);
	free(recorder.bytes);
	recording_free(&recorder.recording);
	shmbus_snapshot_watch_close(watch);
	return status;
}

const struct command command_record = {"record", "record some seconds, and write an HTML report",
				       help, run, "[SESSIONS]"};
