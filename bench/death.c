/* SPDX-License-Identifier: MIT */
/*
 * death.c - how soon the agent knows that a producer was killed. The clock runs from before the
 * signal until the segment is gone: by then the agent has seen the free lock, read the rings to
 * their ends and committed what they held, so that death was seen earlier still.
 */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "load.h"

#define SHM_DIRECTORY "/dev/shm"
#define PATIENCE_MS 10000
#define SAMPLES 100u
#define CAPACITY 1024u

struct producer {
	_Atomic int ready; /* 1, or a negative errno */
	pid_t pid;
	char segment[80];
};

/* Records a little, and waits for its end. */
static void produce(struct producer *producer, const char *bus)
{
	struct shmbus_session_options options = {.bus = bus, .service = "bench"};
	struct shmbus_writer_options writer_options = {.capacity = CAPACITY};
	struct shmbus_metric_options timer = {.name = "timer", .kind = SHMBUS_TIMER};
	struct shmbus_session *session;
	struct shmbus_writer *writer = NULL;
	shmbus_metric metric = 0;
	int error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	error = shmbus_session_open(&options, &session);
	if (!error)
		error = shmbus_writer_open(session, &writer_options, &writer);
	if (!error)
		error = shmbus_metric_define(session, &timer, &metric);
	for (uint32_t i = 0; !error && i < SAMPLES; i++)
		shmbus_record_value(writer, metric, i);
	snprintf(producer->segment, sizeof(producer->segment), "%s",
		 shmbus_session_segment(session));
	atomic_store(&producer->ready, error ? error : 1);
	for (;;)
		pause();
}

/* Waits until a producer's samples were taken, or its patience ends. */
static int taken_wait(const struct producer *producer)
{
	struct shmbus_consumer *consumer;
	int error = -ETIMEDOUT;

	for (int i = 0; atomic_load(&producer->ready) == 0 && i < PATIENCE_MS; i++)
		usleep(1000);
	if (atomic_load(&producer->ready) <= 0)
		return atomic_load(&producer->ready) == 0 ? -ETIMEDOUT : producer->ready;
	consumer = malloc(sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	if (shmbus_consumer_attach(consumer, producer->segment) != 0) {
		free(consumer);
		return -ENOENT;
	}
	for (int i = 0; error && i < PATIENCE_MS; i++) {
		if (atomic_load(consumer->writers[0]->head) == SAMPLES)
			error = 0;
		else
			usleep(1000);
	}
	shmbus_consumer_detach(consumer);
	free(consumer);
	return error;
}

/* Whether a batch of events tells that a file of /dev/shm is gone. */
static bool deleted(const char *events, ssize_t size, const char *name)
{
	for (ssize_t at = 0; at < size;) {
		struct inotify_event event;

		memcpy(&event, events + at, sizeof(event));
		if (event.len > 0 && strcmp(events + at + sizeof(event), name) == 0)
			return true;
		at += (ssize_t)(sizeof(event) + event.len);
	}
	return false;
}

/* Kills a producer, and waits for the end of its segment; the time between in ms. */
static int kill_one(struct producer *producer, int watch, double *ms)
{
	char events[16384];
	uint64_t start = bench_now_ns();
	bool gone = false;

	kill(producer->pid, SIGKILL);
	while (!gone) {
		struct pollfd poll_fd = {.fd = watch, .events = POLLIN};

		if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
			return -ETIMEDOUT;
		gone = deleted(events, read(watch, events, sizeof(events)), producer->segment + 1);
	}
	*ms = (double)(bench_now_ns() - start) / 1e6;
	waitpid(producer->pid, NULL, 0);
	producer->pid = 0;
	return 0;
}

static void figures(struct bench *bench, double *ms, uint32_t count)
{
	double p99 = bench_quantile(ms, count, 0.99), max = bench_quantile(ms, count, 1);

	bench_note(bench, "%u producers, killed one after the other", count);
	bench_figure(bench, "death.ms", "from the kill to the segment's removal", "ms", ms, count);
	bench_figure(bench, "death_p99_ms", "the same, p99", "ms", &p99, 1);
	bench_figure(bench, "death.max_ms", "the same, at most", "ms", &max, 1);
}

/* Makes them all, and kills them when the agent has taken what they recorded. */
static int measure(struct bench *bench, const char *bus, struct producer *producers, double *ms,
		   uint32_t count)
{
	int watch = inotify_init1(IN_CLOEXEC), error = 0;

	if (watch < 0 || inotify_add_watch(watch, SHM_DIRECTORY, IN_DELETE) < 0)
		error = -errno;
	for (uint32_t i = 0; !error && i < count; i++) {
		/* The child shares the page, so it must not store its own 0 there. */
		pid_t pid = fork();

		if (pid == 0)
			produce(&producers[i], bus);
		if (pid < 0)
			error = -errno;
		else
			producers[i].pid = pid;
	}
	for (uint32_t i = 0; !error && i < count; i++)
		error = taken_wait(&producers[i]);
	for (uint32_t i = 0; !error && i < count; i++)
		error = kill_one(&producers[i], watch, &ms[i]);
	if (!error)
		figures(bench, ms, count);
	for (uint32_t i = 0; i < count; i++) {
		if (producers[i].pid > 0) {
			kill(producers[i].pid, SIGKILL);
			waitpid(producers[i].pid, NULL, 0);
		}
	}
	if (watch >= 0)
		close(watch);
	return error;
}

static int death_run(struct bench *bench)
{
	const struct load_options options = {.sessions = 1, .timers = 1, .capacity = CAPACITY};
	uint32_t count = (uint32_t)bench_rounds(bench, 300, 2000);
	struct producer *producers = bench_shared_alloc(count * sizeof(*producers));
	double *ms = calloc(count, sizeof(*ms));
	struct load *load = NULL;
	int error = producers && ms ? load_start(&options, &load) : -ENOMEM;

	if (!error) {
		error = measure(bench, load->bus, producers, ms, count);
		/* It removes what is left of those that an error has spared. */
		sleep(1);
	}
	load_stop(load);
	if (producers)
		bench_shared_free(producers, count * sizeof(*producers));
	free(ms);
	return error;
}

const struct bench_part bench_part_death = {"death", "how soon a producer's death is seen",
					    death_run, true};
