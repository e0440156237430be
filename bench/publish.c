/* SPDX-License-Identifier: MIT */
/*
 * publish.c - how long a publication takes a real agent, by its own account: 1000 sessions of 8
 * timers each, all of them with new samples, one in a hundred, none. A session is also encoded
 * when samples leave its time windows, or its process has changed; so each publication counts
 * under the number of sessions that it did encode, and others are left out.
 */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

#define SESSIONS 1000u
#define TIMERS 8u
#define SAMPLES_MAX 100
#define INTERVAL "500ms"
#define INTERVAL_NS 500000000u

static const struct kind {
	const char *id;
	const char *what;
	uint32_t dirty;
	uint32_t encoded_min;
	uint32_t encoded_max;
} kinds[] = {
	{"publish_all_ms", "all sessions dirty", SESSIONS, SESSIONS, SESSIONS},
	{"publish_1pct_ms", "1 % of them dirty", SESSIONS / 100, SESSIONS / 100, SESSIONS / 50},
	{"publish.none_ms", "none dirty", 0, 0, 1},
};

/* ---- the observer: a process of its own, as reading snapshots takes time and memory, and a
 * session is encoded again when those of its process have changed. It reads each snapshot once, as
 * readers do: one that looks more often takes the caches away from what is measured. ---- */

struct observer {
	pid_t pid;
	int socket;
};

struct observation {
	int error;
	struct load_numbers numbers;
};

static void decode(const struct shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	struct observation *seen = data;

	(void)gap;
	seen->error = load_numbers_decode(snapshot, &seen->numbers);
}

/* Waits for the snapshot after `seq`, or a later one. */
static void next_wait(struct shmbus_snapshot_watch *watch, uint64_t seq, struct observation *seen)
{
	struct pollfd look = {.fd = shmbus_snapshot_watch_fd(watch), .events = POLLIN};
	uint64_t end = bench_now_ns() + 30 * (uint64_t)INTERVAL_NS;

	while (bench_now_ns() < end) {
		seen->error = -ETIME;
		if (poll(&look, 1, 1000) > 0 && shmbus_snapshot_watch_dispatch(watch) == 1 &&
		    (seen->error || seen->numbers.seq > seq))
			return;
	}
}

static void observe(const struct load *load, int socket)
{
	struct observation seen = {0};
	struct shmbus_snapshot_watch *watch;
	uint64_t seq;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmbus_snapshot_watch_open(load->bus, 0, decode, &seen, &watch) != 0)
		_exit(1);
	while (read(socket, &seq, sizeof(seq)) == sizeof(seq)) {
		next_wait(watch, seq, &seen);
		if (write(socket, &seen, sizeof(seen)) != sizeof(seen))
			break;
	}
	_exit(0);
}

static int observer_start(struct observer *observer, const struct load *load)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
		return -errno;
	observer->pid = fork();
	if (observer->pid == 0) {
		close(sockets[0]);
		observe(load, sockets[1]);
	}
	close(sockets[1]);
	observer->socket = sockets[0];
	if (observer->pid > 0)
		return 0;
	close(sockets[0]);
	return -errno;
}

static void observer_stop(const struct observer *observer)
{
	close(observer->socket);
	waitpid(observer->pid, NULL, 0);
}

static int next_read(const struct observer *observer, uint64_t seq, struct load_numbers *out)
{
	struct observation seen;

	if (write(observer->socket, &seq, sizeof(seq)) != sizeof(seq) ||
	    read(observer->socket, &seen, sizeof(seen)) != sizeof(seen))
		return -ECHILD;
	*out = seen.numbers;
	return seen.error;
}

/* A snapshot says how long the one before it took. */
static int kind_run(struct bench *bench, struct load *load, const struct observer *observer,
		    const struct kind *kind)
{
	size_t wanted = bench_rounds(bench, 12, SAMPLES_MAX), count = 0;
	struct load_numbers before, now;
	double ms[SAMPLES_MAX];
	int error = next_read(observer, 0, &before);

	for (size_t tries = 0; !error && count < wanted && tries < 5 * wanted; tries++) {
		bench_progress(bench, "%s, publication %zu of %zu", kind->what, count + 1, wanted);
		load_record_all(load, kind->dirty);
		error = next_read(observer, before.seq, &now);
		/* The first ones still have what came before. */
		if (!error && tries > 1 && now.seq == before.seq + 1 &&
		    before.encoded_sessions >= kind->encoded_min &&
		    before.encoded_sessions <= kind->encoded_max)
			ms[count++] = (double)now.publish_ns / 1e6;
		before = now;
	}
	if (error)
		return error;
	if (count < wanted / 3 + 1)
		bench_missing(bench, kind->id, kind->what,
			      "only %zu of %zu publications encoded the sessions meant", count,
			      5 * wanted);
	else
		bench_figure(bench, kind->id, kind->what, "ms", ms, count);
	return 0;
}

static int kinds_run(struct bench *bench, struct load *load)
{
	struct observer observer;
	struct load_space space;
	int error = observer_start(&observer, load);

	if (error)
		return error;
	for (size_t i = 0; !error && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		error = kind_run(bench, load, &observer, &kinds[i]);
	observer_stop(&observer);
	if (!error && load_space_read(load, &space) == 0)
		bench_note(bench, "%u sessions x %u timers; the snapshot's file has %.0f MiB",
			   SESSIONS, TIMERS, space.snapshot_kib / 1024);
	return error;
}

static int publish_run(struct bench *bench)
{
	struct load_options options = {
		.sessions = SESSIONS, .timers = TIMERS, .capacity = 1024, .interval = INTERVAL};
	struct bench_cpus cpus;
	struct load *load;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	bench_cpu_pin(cpus.producer);
	bench_progress(bench, "opening");
	error = load_start(&options, &load);
	if (error)
		goto unpin;
	/* Histograms and windows as they are in use; a ring holds what comes in between. */
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 50; k++)
			load_record_all(load, SESSIONS);
		load_run(load, 0, false, 0.3);
	}
	error = kinds_run(bench, load);
	load_stop(load);
unpin:
	bench_cpu_unpin();
	return error;
}

const struct bench_part bench_part_publish = {
	"publish", "how long a publication takes, by the agent's own account", publish_run, true};
