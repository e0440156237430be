/* SPDX-License-Identifier: MIT */
/*
 * log.c - shmbus log: each snapshot is read, so that each session is seen when it is over; what
 * is to be said of it becomes lines, and log_file.c sees to it that they are written once.
 */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "log_file.h"
#include "log_options.h"
#include "log_record.h"
#include "log_state.h"

#define S_NS 1000000000u
#define MS_NS 1000000u

enum agent_state { AGENT_MISSING, AGENT_GONE, AGENT_STALE, AGENT_RUNNING };

static const char *const agent_states[] = {"missing", "gone", "stale", "running"};

struct log {
	struct log_options options;
	const char *bus;
	struct log_file file;
	struct seen seen;
	bool begun; /* the first look is done */

	enum agent_state agent;
	uint64_t agent_start_unix_ns; /* which agent it is */
	uint64_t seq;                 /* of the last document; 0: none yet */
	uint64_t seen_unix_ns;        /* its time */
	uint64_t saved_ns;
	bool save_said;

	struct record_interval interval;
	uint64_t interval_began_ns;
	uint64_t intervals;
	uint64_t samples; /* at the begin of the interval */
	uint64_t dropped;
	bool samples_known;
};

static volatile sig_atomic_t got_leave, got_reopen;

static void on_signal(int number)
{
	if (number == SIGHUP)
		got_reopen = 1;
	else
		got_leave = 1;
}

static bool stopping(void)
{
	return got_leave != 0;
}

/* They are let in only while we sleep, or wait for who reads our output. */
static void signals_hold(struct log *log, sigset_t *before)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigemptyset(&log->file.interrupts);
	sigaddset(&log->file.interrupts, SIGINT);
	sigaddset(&log->file.interrupts, SIGTERM);
	if (log->options.file != NULL) /* else a terminal that is gone ends us */
		sigaddset(&log->file.interrupts, SIGHUP);
	sigprocmask(SIG_BLOCK, &log->file.interrupts, before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (log->options.file != NULL)
		sigaction(SIGHUP, &action, NULL);
	signal(SIGXFSZ, SIG_IGN); /* a limit is an error that lasts, as a full disk is */
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S_NS + (uint64_t)now.tv_nsec;
}

/* ---- lines ---- */

/* A record in the making; finish() puts it among those that are to be written. */
struct record {
	FILE *out;
	char *text;
	size_t size;
	struct record_context context;
};

static bool record_open(struct log *log, const msgpack_object *root, struct record *record)
{
	*record = (struct record){
		.context = {.bus = log->bus, .time_unix_ns = log_now_unix_ns(), .root = root}};
	record->out = open_memstream(&record->text, &record->size);
	return record->out != NULL;
}

static bool record_finish(struct log *log, struct record *record, const char *key)
{
	bool taken = fclose(record->out) == 0 &&
		     log_file_put(&log->file, record->text, record->size, key);

	free(record->text);
	return taken;
}

static void put_event(struct log *log, const msgpack_object *root, const char *event)
{
	struct record record;

	if (!record_open(log, root, &record))
		return;
	record_event(record.out, &record.context, event, agent_states[log->agent]);
	record_finish(log, &record, NULL);
}

/* ---- sessions ---- */

static void throttle(struct log *log, const msgpack_object *root, const msgpack_object *session,
		     struct seen_entry *entry)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	uint64_t every = log->options.every;

	if (!seen_counts(entry, (uint32_t)count))
		return;
	for (size_t i = 0; i < count; i++) {
		uint64_t now = member_u64(&metrics[i], "count", 0), last = entry->counts[i];
		struct record record;
		char name[128];

		entry->counts[i] = now;
		member_text(&metrics[i], "name", name, sizeof name);
		if (now / every <= last / every ||
		    (log->options.metric != NULL && fnmatch(log->options.metric, name, 0) != 0))
			continue;
		if (!log->begun || !record_open(log, root, &record))
			continue; /* what was before us is no news */
		record_throttle(record.out, &record.context, session, &metrics[i], every);
		record_finish(log, &record, NULL);
	}
}

/* Returns whether it is seen to be over for the first time. */
static bool look(struct log *log, const msgpack_object *root, const msgpack_object *session)
{
	char key[RECORD_KEY_SIZE];
	struct seen_entry *entry = seen_add(&log->seen, record_key(session, key));
	struct record record;
	bool fresh;

	if (entry == NULL)
		return false;
	entry->present = true;
	if (!record_finished(session)) {
		if (log->options.every != 0)
			throttle(log, root, session, entry);
		return false;
	}
	fresh = !entry->finished;
	entry->finished = true;
	if (!entry->queued && record_open(log, root, &record)) {
		record_session(record.out, &record.context, session);
		entry->queued = record_finish(log, &record, key);
	}
	return fresh;
}

/* The bus counts all that were ever over: what came and left between two documents shows there. */
static void account(struct log *log, const msgpack_object *root, uint64_t fresh)
{
	const msgpack_object *totals = member(root, "totals");
	uint64_t now =
		member_u64(totals, "sessions_ended", 0) + member_u64(totals, "sessions_lost", 0);
	bool known = log->file.finished_known && now >= log->file.finished_total;
	uint64_t over = known ? now - log->file.finished_total : fresh;
	struct record_gap gap = {.what = "sessions",
				 .reason = "they left the snapshot before it was read",
				 .since_unix_ns = log->seen_unix_ns,
				 .sessions_unseen = over > fresh ? over - fresh : 0};
	struct record record;

	log->interval.sessions_finished += over;
	log->file.finished_total = now;
	log->file.finished_known = true;
	if (gap.sessions_unseen == 0 || !record_open(log, root, &record))
		return;
	record_gap(record.out, &record.context, &gap);
	record_finish(log, &record, NULL);
}

static void read_document(struct log *log, const struct document *document)
{
	const msgpack_object *root = &document->root, *sessions = NULL;
	size_t count = member_array(root, "sessions", &sessions);
	const msgpack_object *agent = member(root, "agent");
	uint64_t fresh = 0, seq = document->snapshot.seq;

	log->interval.snapshots_read++;
	if (log->seq != 0 && seq > log->seq + 1)
		log->interval.snapshots_missed += seq - log->seq - 1;
	for (size_t i = 0; i < count; i++)
		fresh += look(log, root, &sessions[i]);
	seen_tick(&log->seen);
	account(log, root, fresh);
	log->seq = seq;
	log->seen_unix_ns = document->snapshot.time_unix_ns;
	if (log->samples_known)
		return;
	log->samples = member_u64(agent, "samples_total", 0);
	log->dropped = member_u64(agent, "dropped_total", 0);
	log->samples_known = true;
}

/* ---- the agent ---- */

static enum agent_state agent_now(const struct shmbus_snapshot *snapshot, int error)
{
	if (error != 0)
		return AGENT_MISSING;
	if (!snapshot->agent_running)
		return AGENT_GONE;
	return snapshot_stale(snapshot) ? AGENT_STALE : AGENT_RUNNING;
}

static void agent_say(const struct log *log, const struct document *document, int error)
{
	if (error != 0)
		read_failed(error, log->bus);
	else if (log->agent != AGENT_RUNNING)
		note_age(&document->snapshot, log->bus);
	else if (log->begun)
		fprintf(stderr, "shmbus: the agent of bus \"%s\" publishes again\n", log->bus);
}

/* Its state is another one, or it is another agent. `root`: NULL where nothing new was read. */
static void agent_follow(struct log *log, const struct document *document,
			 const msgpack_object *root, int error)
{
	enum agent_state state = agent_now(&document->snapshot, error);
	uint64_t start =
		member_u64(member(root, "agent"), "start_time_unix_ns", log->agent_start_unix_ns);
	bool other = start != log->agent_start_unix_ns;

	if (log->begun && state == log->agent && !other)
		return;
	if (!log->begun || state != log->agent) {
		log->agent = state;
		agent_say(log, document, error);
	}
	log->agent_start_unix_ns = start;
	put_event(log, root, log->begun ? "agent" : "start");
}

/* ---- intervals ---- */

static void status_line(const struct log *log, const msgpack_object *root)
{
	const msgpack_object *agent = member(root, "agent"), *totals = member(root, "totals");
	char f[5][FORMAT_SIZE];

	fprintf(stderr,
		"shmbus %s: agent %s, CPU %s, Mem %s; sessions: %s active, %" PRIu64
		" finished; samples %s, dropped %s; records %" PRIu64 ", failed writes %" PRIu64
		"\n",
		log->bus, agent_states[log->agent],
		format_percent(f[0], member_real(agent, "cpu_ratio", NAN)),
		format_bytes(f[1], member_real(agent, "rss_bytes", NAN)),
		format_count(f[4], member_real(totals, "sessions_active", NAN)),
		log->interval.sessions_finished,
		format_count(f[2], log->interval.deltas ? (double)log->interval.aggregated : NAN),
		format_count(f[3], log->interval.deltas ? (double)log->interval.dropped : NAN),
		log->file.records, log->file.failures);
}

/* What the agent counted in the interval; unknown where its counts went back. */
static void interval_deltas(struct log *log, const msgpack_object *root)
{
	const msgpack_object *agent = member(root, "agent");
	uint64_t samples = member_u64(agent, "samples_total", 0);
	uint64_t dropped = member_u64(agent, "dropped_total", 0);

	if (agent == NULL)
		return;
	log->interval.deltas =
		log->samples_known && samples >= log->samples && dropped >= log->dropped;
	log->interval.aggregated = samples - log->samples;
	log->interval.dropped = dropped - log->dropped;
	log->samples = samples;
	log->dropped = dropped;
	log->samples_known = true;
}

static void interval_begin(struct log *log, uint64_t now_ns)
{
	log->interval = (struct record_interval){.start_unix_ns = log_now_unix_ns()};
	log->interval_began_ns = now_ns;
}

static void interval_end(struct log *log, const msgpack_object *root, uint64_t now_ns)
{
	struct record record;

	/* A document that is older than the interval says nothing about it. */
	if (log->interval.snapshots_read == 0)
		root = NULL;
	interval_deltas(log, root);
	log->interval.agent_state = agent_states[log->agent];
	log->interval.duration_ns = now_ns - log->interval_began_ns;
	log->interval.records = log->file.records;
	log->interval.write_failures = log->file.failures;
	if (record_open(log, root, &record)) {
		record_interval(record.out, &record.context, &log->interval);
		record_finish(log, &record, NULL);
	}
	if (log->options.status)
		status_line(log, root);
	log->intervals++;
	interval_begin(log, now_ns);
}

/* ---- the loop ---- */

static void flush(struct log *log, uint64_t now_ns)
{
	if (got_reopen) {
		got_reopen = 0;
		log_file_reopen(&log->file);
	}
	log_file_flush(&log->file);
	if (!log->file.unsaved || log->file.error != 0 || now_ns - log->saved_ns < S_NS)
		return;
	log_state_save(&log->file);
	log->saved_ns = now_ns;
	if (log->file.save_error != 0 && !log->save_said)
		fprintf(stderr,
			"shmbus: cannot write %s.state: %s; a log that is started again may "
			"repeat records of older files\n",
			log->file.path, strerror(log->file.save_error));
	log->save_said = log->file.save_error != 0;
}

/* One look. Returns when to look again, in ns. */
static uint64_t turn(struct log *log, struct shmbus_snapshot_reader *reader)
{
	uint64_t interval_ns = (uint64_t)(log->options.interval_s * S_NS), now_ns, rest;
	struct document document = {0};
	const struct shmbus_snapshot *snapshot = &document.snapshot;
	const msgpack_object *root = NULL;
	int error = shmbus_snapshot_read(reader, &document.snapshot);
	bool fresh = error == 0 &&
		     (snapshot->seq != log->seq || snapshot->time_unix_ns != log->seen_unix_ns);
	bool due = monotonic_ns() - log->interval_began_ns >= interval_ns || stopping();

	if (error == 0 && (fresh || due)) {
		error = document_decode(&document, snapshot->data, snapshot->size);
		root = error == 0 ? &document.root : NULL;
	}
	agent_follow(log, &document, root, error);
	if (fresh && root != NULL)
		read_document(log, &document);
	log->begun = true;
	now_ns = monotonic_ns();
	if (due)
		interval_end(log, root, now_ns);
	if (root != NULL)
		document_free(&document);
	flush(log, now_ns);
	if (error != 0 || log->agent != AGENT_RUNNING)
		rest = S_NS / 10;
	else if (snapshot->age_ns < snapshot->interval_ns) /* just after the next one */
		rest = snapshot->interval_ns - snapshot->age_ns + snapshot->interval_ns / 32;
	else
		rest = snapshot->interval_ns / 8;
	if (log->interval_began_ns + interval_ns < now_ns + rest)
		rest = log->interval_began_ns + interval_ns > now_ns
			       ? log->interval_began_ns + interval_ns - now_ns
			       : 0;
	return rest < 2 * MS_NS ? 2 * MS_NS : rest > S_NS ? S_NS : rest;
}

static int loop(struct log *log, struct shmbus_snapshot_reader *reader)
{
	sigset_t before;
	size_t waiting;

	signals_hold(log, &before);
	interval_begin(log, monotonic_ns());
	for (;;) {
		uint64_t rest_ns = turn(log, reader);
		struct timespec pause = {(time_t)(rest_ns / S_NS), (long)(rest_ns % S_NS)};

		if (stopping() || (log->options.count != 0 && log->intervals == log->options.count))
			break;
		ppoll(NULL, 0, &pause, &before);
	}
	put_event(log, NULL, "end");
	log_file_flush(&log->file);
	waiting = log_file_waiting(&log->file);
	if (log->options.file != NULL)
		log_state_save(&log->file);
	if (waiting == 0)
		return 0;
	fprintf(stderr, "shmbus: %zu records could not be written\n", waiting);
	return EXIT_FAILURE;
}

/* ---- the command ---- */

static int file_begin(struct log *log)
{
	const struct log_options *options = &log->options;
	int error;

	log->file.path = options->file;
	log->file.bus = log->bus;
	log->file.seen = &log->seen;
	log->file.stopping = stopping;
	log->file.rotate_size = options->rotate_size;
	log->file.rotate_keep = options->rotate_keep;
	error = log_file_open(&log->file, options->append);
	if (error == 0) {
		if (options->append)
			log_state_load(&log->file);
		return 0;
	}
	if (error == -EWOULDBLOCK)
		fprintf(stderr, "shmbus: another shmbus log writes to %s\n", options->file);
	else if (error == -ENOTSUP)
		fprintf(stderr, "shmbus: %s is no regular file: write to standard output\n",
			options->file);
	else
		fprintf(stderr, "shmbus: cannot open %s: %s\n", options->file, strerror(-error));
	return EXIT_FAILURE;
}

static bool asked_for(void)
{
	const char *value = getenv("SHMBUS_METRICS_JSON");

	return value != NULL && strcmp(value, "1") == 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct log log = {.options = {.interval_s = 60, .rotate_keep = UINT_MAX}};
	struct shmbus_snapshot_reader *reader;
	int status = log_options_parse(command, argc, argv, &log.options, &log.bus);

	if (status >= 0)
		return status;
	if (log.options.hook && !asked_for())
		return 0;
	status = reader_open(log.bus, &reader);
	if (status != 0)
		return status;
	log.bus = bus_name(log.bus);
	status = file_begin(&log);
	if (status == 0)
		status = loop(&log, reader);
	log_file_close(&log.file);
	seen_free(&log.seen);
	shmbus_snapshot_close(reader);
	return status;
}

const struct command command_log = {"log", "write finished sessions and intervals as JSON Lines",
				    log_help, run, NULL};
