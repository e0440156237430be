/* SPDX-License-Identifier: MIT */
/*
 * producer.c - a producer that end-to-end tests tell what to do. Each thread has a writer and
 * records the values 1, 2, 3, ... (or 1 to --values, again and again) into the timer "value",
 * and counts them in the counter "done". --every adds a metric of every kind.
 *
 * Before each attempt its number is stored in the ledger, a file that outlives a SIGKILL: what
 * the agent says it aggregated and what the writers dropped must add up to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#define WRITERS_MAX 16

struct thread {
	pthread_t thread;
	struct shmbus_writer *writer;
	_Atomic uint64_t *ledger;
};

static struct {
	const char *id;
	const char *ledger;
	uint32_t writers;
	uint32_t ring;
	uint32_t sessions;
	uint64_t count;
	uint64_t values;
	uint64_t rate_hz; /* 0: as fast as it goes */
	bool hold;
	bool relabel;
	bool every;
	bool fork;
} options = {.writers = 1, .sessions = 1, .count = 1000, .values = UINT64_MAX};

static struct shmbus_session *session;
static shmbus_metric value_metric, done_metric, depth_metric, state_metric;

static void pace(struct timespec *next, uint64_t interval_ns)
{
	next->tv_nsec += (long)interval_ns;
	while (next->tv_nsec >= 1000000000) {
		next->tv_nsec -= 1000000000;
		next->tv_sec++;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

static void *thread_run(void *data)
{
	struct thread *thread = data;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	shmbus_set(thread->writer, state_metric, 1);
	for (uint64_t i = 0; i < options.count; i++) {
		if (thread->ledger != NULL)
			atomic_store_explicit(thread->ledger, i + 1, memory_order_relaxed);
		shmbus_record_value(thread->writer, value_metric, i % options.values + 1);
		shmbus_add(thread->writer, done_metric, 1);
		if (options.rate_hz != 0)
			pace(&next, 1000000000u / options.rate_hz);
	}
	shmbus_set(thread->writer, depth_metric, 7);
	return NULL;
}

static void metrics_define(void)
{
	struct shmbus_metric_options value = {
		.name = "value", .kind = SHMBUS_TIMER, .unit = "1", .target = 900};
	struct shmbus_metric_options done = {.name = "done", .kind = SHMBUS_COUNTER};
	struct shmbus_metric_options depth = {.name = "depth", .kind = SHMBUS_GAUGE};
	struct shmbus_metric_options state = {
		.name = "state", .kind = SHMBUS_STATESET, .text = "idle|busy"};
	struct shmbus_metric_options never = {.name = "never", .kind = SHMBUS_TIMER};
	shmbus_metric unused;

	shmbus_metric_define(session, &value, &value_metric);
	shmbus_metric_define(session, &done, &done_metric);
	shmbus_metric_define(session, &depth, &depth_metric);
	shmbus_metric_define(session, &state, &state_metric);
	shmbus_metric_define(session, &never, &unused);
	shmbus_derived_define(session, &(struct shmbus_derived_options){
					       .name = "value.per.done",
					       .rule = SHMBUS_DERIVE_RATIO,
					       .numerator = &value_metric,
					       .numerator_count = 1,
					       .denominator = &done_metric,
					       .denominator_count = 1,
				       });
}

/* What "value" and its neighbours lack: the other kinds, and every optional part. */
static void every_kind(struct shmbus_writer *writer)
{
	struct shmbus_metric_options timer = {.name = "stage.time",
					      .help = "Decodes a block.",
					      .stage = "decode",
					      .kind = SHMBUS_TIMER,
					      .target = 1000000,
					      .period_ns = 2000000};
	struct shmbus_metric_options size = {.name = "block", .kind = SHMBUS_TIMER, .unit = "By"};
	struct shmbus_metric_options open = {
		.name = "open", .kind = SHMBUS_UPDOWN, .unit = "{file}"};
	struct shmbus_metric_options level = {.name = "level", .kind = SHMBUS_GAUGE, .real = true};
	struct shmbus_metric_options unset = {.name = "unset", .kind = SHMBUS_GAUGE};
	struct shmbus_metric_options build = {
		.name = "build", .kind = SHMBUS_INFO, .text = "1.0 \u00e9t\u00e9"};
	struct shmbus_cycle_options cycle = {.name = "cycle", .rate_hz = 48000, .quantum = 256};
	shmbus_metric timer_metric, size_metric, open_metric, level_metric, unused;
	struct shmbus_cycle beat;

	shmbus_metric_define(session, &timer, &timer_metric);
	shmbus_metric_define(session, &size, &size_metric);
	shmbus_metric_define(session, &open, &open_metric);
	shmbus_metric_define(session, &level, &level_metric);
	shmbus_metric_define(session, &unset, &unused);
	shmbus_metric_define(session, &build, &unused);
	shmbus_cycle_define(session, &cycle, &beat);
	for (uint64_t i = 1; i <= 100; i++) {
		uint64_t now = shmbus_now();

		shmbus_correlate(writer, i);
		shmbus_record_value(writer, timer_metric, i * 30000);
		shmbus_correlate(writer, 0);
		shmbus_record_value(writer, size_metric, i * 1000);
		shmbus_cycle(writer, &beat, now, now, now, 256);
	}
	shmbus_xrun(writer, &beat);
	shmbus_add(writer, open_metric, -3);
	shmbus_set_real(writer, level_metric, -2.5);
}

static int session_start(struct thread *threads)
{
	struct shmbus_label label = {"attempt_id", "first"};
	struct shmbus_session_options so = {
		.service = "producer", .id = options.id, .labels = &label, .label_count = 1};
	struct shmbus_writer_options wo = {.capacity = options.ring};
	int error = shmbus_session_open(&so, &session);

	if (error != 0)
		fprintf(stderr, "producer: %s\n", shmbus_strerror(error));
	metrics_define();
	for (uint32_t i = 0; i < options.writers; i++) {
		int failed = shmbus_writer_open(session, &wo, &threads[i].writer);

		if (failed != 0)
			fprintf(stderr, "producer: %s\n", shmbus_strerror(failed));
		error = error != 0 ? error : failed;
	}
	if (options.every)
		every_kind(threads[0].writer);
	return error;
}

static _Atomic uint64_t *ledger_open(void)
{
	int fd = open(options.ledger, O_RDWR | O_CREAT, 0600);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, 4096) == 0)
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "producer: cannot map %s: %s\n", options.ledger, strerror(errno));
		exit(1);
	}
	close(fd);
	return map;
}

static void report(const struct thread *threads, int error)
{
	printf("{\"error\":%d,\"writers\":[", error);
	for (uint32_t i = 0; i < options.writers; i++) {
		struct shmbus_writer_stats stats;

		shmbus_writer_stats_get(threads[i].writer, &stats);
		printf("%s{\"attempted\":%llu,\"recorded\":%llu,\"dropped\":%llu}",
		       i != 0 ? "," : "", (unsigned long long)stats.attempted,
		       (unsigned long long)stats.recorded, (unsigned long long)stats.dropped);
	}
	printf("]}\n");
	fflush(stdout);
}

static void options_parse(int argc, char **argv)
{
	static const struct option table[] = {
		{"id", 1, NULL, 'i'},       {"ledger", 1, NULL, 'l'}, {"writers", 1, NULL, 'w'},
		{"ring", 1, NULL, 'r'},     {"count", 1, NULL, 'c'},  {"values", 1, NULL, 'v'},
		{"rate", 1, NULL, 'R'},     {"hold", 0, NULL, 'h'},   {"relabel", 0, NULL, 'L'},
		{"sessions", 1, NULL, 's'}, {"every", 0, NULL, 'e'},  {"fork", 0, NULL, 'f'},
		{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;

		switch (option) {
		case 'i':
			options.id = optarg;
			break;
		case 'l':
			options.ledger = optarg;
			break;
		case 'w':
			options.writers = (uint32_t)number;
			break;
		case 'r':
			options.ring = (uint32_t)number;
			break;
		case 'c':
			options.count = number;
			break;
		case 'v':
			options.values = number;
			break;
		case 'R':
			options.rate_hz = number;
			break;
		case 's':
			options.sessions = (uint32_t)number;
			break;
		case 'h':
			options.hold = true;
			break;
		case 'e':
			options.every = true;
			break;
		case 'f':
			options.fork = true;
			break;
		case 'L':
			options.relabel = true;
			break;
		default:
			exit(2);
		}
	}
	if (options.writers < 1 || options.writers > WRITERS_MAX)
		exit(2);
}

/* Many sessions of one small ring each, one after the other or, held, at once. */
static void many(void)
{
	struct thread thread;

	options.writers = 1;
	for (uint32_t i = 0; i < options.sessions; i++) {
		options.id = NULL;
		if (session_start(&thread) != 0)
			exit(1);
		thread.ledger = NULL;
		thread_run(&thread);
		if (!options.hold)
			shmbus_session_close(session);
	}
	puts("{}");
	fflush(stdout);
	if (options.hold)
		getchar();
}

/* A child that does nothing until the test closes its input, and need not end before. */
static void child_start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		getchar();
		_exit(0);
	}
	printf("%d\n", (int)pid);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct thread threads[WRITERS_MAX];
	_Atomic uint64_t *ledger = NULL;
	int error;

	options_parse(argc, argv);
	if (options.sessions > 1) {
		many();
		return 0;
	}
	if (options.ledger != NULL)
		ledger = ledger_open();
	error = session_start(threads);
	if (options.fork)
		child_start();
	for (uint32_t i = 0; i < options.writers; i++) {
		threads[i].ledger = ledger != NULL ? &ledger[i] : NULL;
		pthread_create(&threads[i].thread, NULL, thread_run, &threads[i]);
	}
	for (uint32_t i = 0; i < options.writers; i++)
		pthread_join(threads[i].thread, NULL);
	if (options.relabel)
		shmbus_label_set(session, "attempt_id", "second");
	report(threads, error);
	if (options.hold)
		getchar(); /* until the test closes our input */
	shmbus_session_close(session);
	return 0;
}
