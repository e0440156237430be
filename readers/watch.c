/* SPDX-License-Identifier: MIT */
/* watch.c - shmbus watch: sessions as a stream of JSON, a line each for every snapshot. */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "find.h"
#include "options.h"
#include "watch_line.h"

static const char help[] =
	"Usage: shmbus watch [-d SECONDS] [-n COUNT] [--wait SECONDS] [--bus NAME]\n"
	"                    SESSION\n\n"
	"Follows a session: a JSON object a line, once a second, until the session ends\n"
	"or is lost. SESSION is its id, the beginning of its id, or the name of its\n"
	"segment; of several sessions of one id the newest. A pattern (* ? [...]) of ids\n"
	"follows all that are not over yet, and those that come, until none is left.\n\n"
	"  -d, --delay SECONDS  between lines (0 to 3600, 1 by default); 0: each snapshot\n"
	"  -n, --count COUNT    end after so many snapshots (1 to 1000000)\n"
	"  --wait SECONDS       wait so long (0 to 31536000) for an agent and a session;\n"
	"                       with a pattern for a next one too\n\n"
	"The keys are described in shmbus(1); the most important:\n"
	"  seq, gap     number of the snapshot, and how many before it were not seen\n"
	"  session_id, attempt_id, source, provider, model, labels, states, gauges\n"
	"  queue        of the fullest ring: depth, high_water, capacity\n"
	"  backlog      samples in all rings; dropped: what they had no room for\n"
	"  real_time_factor, timers with average_10, the mean over the last 10 lines\n"
	"  final        true: the session is over, and this its last line\n\n"
	"Exit status: 0 the session is over, or nobody reads any more; 1 there is no such\n"
	"session; 2 what is not allowed.\n\n"
	"Examples:\n"
	"  shmbus watch studio | jq '[.seq, .backlog, .real_time_factor]'\n"
	"  shmbus watch --wait 60 'voice-*' >>voice.jsonl\n";

static const struct option own_options[] = {{"delay", required_argument, NULL, 'd'},
					    {"count", required_argument, NULL, 'n'},
					    {"wait", required_argument, NULL, 'w'},
					    {NULL, 0, NULL, 0}};

struct followed {
	char id[80];
	char segment[96];
	struct trails trails;
	bool here; /* in this snapshot */
	bool over;
};

struct watching {
	const char *bus;
	const char *wanted;
	bool pattern;
	double delay_s;
	double wait_s;
	uint64_t count; /* 0: without end */
	struct followed *each;
	size_t followed;
	size_t living;
	uint64_t shown;      /* snapshots of which there was a line */
	bool line_here;      /* of this one there was */
	double patience_end; /* while nothing lives */
	int trouble;         /* said already */
	bool looked;
	bool read; /* a snapshot was */
	bool done;
	int status;
};

static double number(const char *value, double low, double high)
{
	char *end;
	double parsed = strtod(value, &end);

	return *end == '\0' && end != value && parsed >= low && parsed <= high ? parsed : -1;
}

static bool take(int option, const char *value, void *data)
{
	struct watching *watching = data;

	switch (option) {
	case 'd':
		watching->delay_s = number(value, 0, 3600);
		return watching->delay_s >= 0 || not_allowed("--delay", value, "0 to 3600 seconds");
	case 'n':
		if (strspn(value, "0123456789") != strlen(value) || number(value, 1, 1e6) < 1)
			return not_allowed("--count", value, "1 to 1000000");
		watching->count = strtoull(value, NULL, 10);
		return true;
	default:
		watching->wait_s = number(value, 0, 31536000);
		return watching->wait_s >= 0 ||
		       not_allowed("--wait", value, "0 to 31536000 seconds");
	}
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void stop(struct watching *watching, int status)
{
	watching->done = true;
	watching->status = status;
}

/* ---- what is followed ---- */

static struct followed *followed_find(struct watching *watching, const msgpack_object *session)
{
	char segment[96];

	member_text(session, "segment", segment, sizeof segment);
	for (size_t i = 0; i < watching->followed; i++)
		if (strcmp(watching->each[i].segment, segment) == 0)
			return &watching->each[i];
	return NULL;
}

static struct followed *follow(struct watching *watching, const msgpack_object *session)
{
	struct followed *each =
		realloc(watching->each, (watching->followed + 1) * sizeof *watching->each);
	struct followed *followed;

	if (each == NULL)
		return NULL;
	watching->each = each;
	followed = &each[watching->followed++];
	*followed = (struct followed){.here = false};
	member_text(session, "id", followed->id, sizeof followed->id);
	member_text(session, "segment", followed->segment, sizeof followed->segment);
	watching->living++;
	return followed;
}

static void followed_end(struct watching *watching, struct followed *followed)
{
	followed->over = true;
	trails_free(&followed->trails);
	if (--watching->living != 0)
		return;
	watching->patience_end = now_s() + watching->wait_s;
	if (!watching->pattern)
		stop(watching, 0);
}

static void followed_show(struct watching *watching, struct watch_line *line,
			  struct followed *followed, const msgpack_object *session)
{
	line->final = session_over(session);
	watching->line_here = true;
	watch_line_print(stdout, line, session, &followed->trails);
	if (line->final)
		followed_end(watching, followed);
}

/* Those that left the snapshot: a last line of each that was not over, and no memory more. */
static void followed_leave(struct watching *watching, struct watch_line *line)
{
	size_t kept = 0;

	line->final = true;
	for (size_t i = 0; i < watching->followed; i++) {
		struct followed *followed = &watching->each[i];

		if (!followed->here && !followed->over) {
			watch_line_gone(stdout, line, followed->id, followed->segment);
			watching->line_here = true;
			followed_end(watching, followed);
		}
		if (followed->here)
			watching->each[kept++] = *followed;
	}
	watching->followed = kept;
}

/* ---- a snapshot ---- */

static bool is_wanted(const struct watching *watching, const msgpack_object *session)
{
	char id[80];

	return watching->pattern && !session_over(session) &&
	       fnmatch(watching->wanted, member_text(session, "id", id, sizeof id), 0) == 0;
}

/* One session by its name, once; from then on it is known by its segment. */
static void find_one(struct watching *watching, const struct document *document)
{
	const msgpack_object *session;
	enum found found = session_find(document, watching->wanted, &session);

	if (found == FOUND_ONE) {
		follow(watching, session);
	} else if (found == FOUND_SEVERAL) {
		session_not_found(found, document, watching->wanted);
		stop(watching, EXIT_FAILURE);
	}
}

static void show(struct watching *watching, const struct document *document, uint64_t gap)
{
	struct watch_line line = {.bus = watching->bus, .document = document, .gap = gap};
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);

	watching->line_here = false;
	if (!watching->pattern && watching->followed == 0)
		find_one(watching, document);
	for (size_t i = 0; i < watching->followed; i++)
		watching->each[i].here = false;
	for (size_t i = 0; i < count; i++) {
		struct followed *followed = followed_find(watching, &sessions[i]);

		if (followed == NULL && is_wanted(watching, &sessions[i]))
			followed = follow(watching, &sessions[i]);
		if (followed == NULL)
			continue;
		followed->here = true;
		if (!followed->over)
			followed_show(watching, &line, followed, &sessions[i]);
	}
	followed_leave(watching, &line);
	watching->shown += watching->line_here;
}

/* Said once, until snapshots come again. What waiting does not mend ends it at the start. */
static void say_trouble(struct watching *watching, int error)
{
	char text[256];

	watching->looked = true;
	if (!watching->read && error != -ENOENT) {
		read_failed(error, watching->bus);
		stop(watching, EXIT_FAILURE);
	} else if (error == -ESTALE && watching->trouble != error) {
		fprintf(stderr, "shmbus: bus \"%s\": %s; waiting for it\n", watching->bus,
			shmbus_strerror(error));
	} else if (watching->trouble != error && (watching->read || watching->wait_s > 0)) {
		fprintf(stderr, "shmbus: %s; waiting for it\n",
			read_failure(error, watching->bus, text, sizeof text));
	}
	watching->trouble = error;
}

static void on_snapshot(const struct shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	struct watching *watching = data;
	struct document document = {.snapshot = *snapshot};
	int error = document_decode(&document, snapshot->data, snapshot->size);

	watching->looked = true;
	if (error != 0) {
		say_trouble(watching, error);
		return;
	}
	if (!watching->read)
		note_age(snapshot, watching->bus);
	else if (watching->trouble != 0)
		fprintf(stderr, "shmbus: bus \"%s\": snapshots come again\n", watching->bus);
	watching->trouble = 0;
	watching->read = true;
	show(watching, &document, gap);
	document_free(&document);
	if (fflush(stdout) != 0 || (watching->count != 0 && watching->shown >= watching->count))
		watching->done = true; /* main() says what is wrong with the output */
}

/* ---- the loop ---- */

static void lose_patience(struct watching *watching)
{
	if (watching->shown != 0) {
		stop(watching, 0); /* a pattern of which all are over */
		return;
	}
	if (!watching->read)
		read_failed(watching->trouble, watching->bus);
	else
		session_not_found(FOUND_NONE, NULL, watching->wanted);
	stop(watching, EXIT_FAILURE);
}

/* Until the next look, or the end of patience. */
static int timeout_ms(const struct watching *watching)
{
	double left_s = watching->patience_end - now_s();

	if (watching->living != 0 || !watching->looked)
		return -1;
	return left_s <= 0 ? 0 : left_s < 60 ? (int)(left_s * 1000) + 1 : 60000;
}

static void loop(struct watching *watching, struct shmbus_snapshot_watch *watch)
{
	/* Of our output: whether nobody reads it any more. */
	struct pollfd wait[] = {{.fd = shmbus_snapshot_watch_fd(watch), .events = POLLIN},
				{.fd = STDOUT_FILENO}};
	int result;

	while (!watching->done) {
		if (poll(wait, 2, timeout_ms(watching)) < 0 && errno != EINTR)
			return;
		if ((wait[1].revents & (POLLERR | POLLHUP)) != 0)
			return;
		result = shmbus_snapshot_watch_dispatch(watch);
		if (result < 0)
			say_trouble(watching, result);
		if (!watching->done && watching->looked && watching->living == 0 &&
		    now_s() >= watching->patience_end)
			lose_patience(watching);
	}
}

static int run(const struct command *command, int argc, char **argv)
{
	struct watching watching = {.delay_s = 1};
	struct shmbus_snapshot_watch *watch;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "d:n:", own_options, take, &watching,
					  &bus);

	if (status >= 0)
		return status;
	error = shmbus_snapshot_watch_open(bus, (uint64_t)(watching.delay_s * 1e9), on_snapshot,
					   &watching, &watch);
	if (error != 0) {
		fprintf(stderr, "shmbus: %s\n", shmbus_strerror(error));
		return error == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
	}
	watching.bus = bus_name(bus);
	watching.wanted = argv[optind];
	watching.pattern = strpbrk(watching.wanted, "*?[") != NULL;
	watching.patience_end = now_s() + watching.wait_s;
	loop(&watching, watch);
	for (size_t i = 0; i < watching.followed; i++)
		trails_free(&watching.each[i].trails);
	free(watching.each);
	shmbus_snapshot_watch_close(watch);
	return watching.status;
}

const struct command command_watch = {"watch", "follow a session as lines of JSON", help, run,
				      "SESSION"};
