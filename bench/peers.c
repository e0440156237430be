/* SPDX-License-Identifier: MIT */
/*
 * peers.c - shmbus beside other ways to record an event, in the same run: nanoseconds for each,
 * as multiples of the bare store and of a record. What is missing is said, with its package.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "peers/peer.h"
#include "record.h"
#include "subject.h"

#define ROUNDS_MAX 31
#define BATCHES 20u

#ifndef BENCH_LTTNG
#define peer_lttng_built NULL
#else
#define peer_lttng_built &peer_lttng
#endif
#ifndef BENCH_PCP
#define peer_pcp_built NULL
#else
#define peer_pcp_built &peer_pcp
#endif
#ifndef BENCH_PROMETHEUS
#define peer_prometheus_built NULL
#else
#define peer_prometheus_built &peer_prometheus
#endif

static const struct entry {
	const char *name;
	const char *what;
	const char *package;
	const struct peer *peer; /* NULL: built without it */
	uint32_t events;         /* in a batch */
} entries[] = {
	{"ck_ring", "ck_ring, 16 bytes", "libck-dev", &peer_ck, 16000},
	{"lttng_ust", "LTTng-UST tracepoint", "liblttng-ust-dev", peer_lttng_built, 5000},
	{"pcp_mmv", "PCP MMV, a count and a sum", "libpcp-mmv1-dev", peer_pcp_built, 5000},
	{"prometheus_cpp", "prometheus-cpp, a histogram", "prometheus-cpp-dev",
	 peer_prometheus_built, 5000},
	{"statsd_udp", "statsd, a datagram", "none", &peer_statsd, 200},
	{"python_deque", "Python, a deque behind a lock", "python3", &peer_python, 1000},
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))
#define OWN 4 /* loops of record.h: the bare store, a record, the clock, both */

struct rounds {
	bool open[ENTRIES];
	double own[ROUNDS_MAX][OWN];
	double ns[ENTRIES][ROUNDS_MAX];
};

static void missing(struct bench *bench, const struct entry *entry, const char *reason)
{
	char id[64];

	snprintf(id, sizeof(id), "peer.%s.ratio", entry->name);
	bench_missing(bench, id, entry->what, "%s", reason);
}

static void peers_open(struct bench *bench, struct rounds *rounds)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		char reason[128] = "";

		bench_progress(bench, "%s, starting", entries[i].name);
		rounds->open[i] = false;
		if (!entries[i].peer) {
			snprintf(reason, sizeof(reason), "built without it (Debian: %s)",
				 entries[i].package);
			missing(bench, &entries[i], reason);
		} else if (entries[i].peer->open(reason, sizeof(reason)) != 0) {
			missing(bench, &entries[i], reason);
		} else {
			rounds->open[i] = true;
		}
	}
}

/* The median of some batches, as of the own loops. */
static int batches_run(const struct entry *entry, double *ns)
{
	double batches[BATCHES];

	for (size_t i = 0; i < BATCHES; i++)
		if (entry->peer->run(entry->events, &batches[i]) != 0)
			return -1;
	*ns = bench_quantile(batches, BATCHES, 0.5);
	return 0;
}

static int round_run(struct bench *bench, struct subject *subject, struct rounds *rounds,
		     size_t round)
{
	int error = bench_loops_run(record_loops, OWN, subject, BATCHES, rounds->own[round]);

	for (size_t i = 0; !error && i < ENTRIES; i++) {
		if (!rounds->open[i] || batches_run(&entries[i], &rounds->ns[i][round]) == 0)
			continue;
		missing(bench, &entries[i], "it failed while it was measured");
		entries[i].peer->close();
		rounds->open[i] = false;
	}
	return error;
}

static void peer_report(struct bench *bench, const struct rounds *rounds, size_t i, size_t count)
{
	double bare[ROUNDS_MAX], record[ROUNDS_MAX];
	char id[64], what[96];

	for (size_t round = 0; round < count; round++) {
		bare[round] = rounds->ns[i][round] / rounds->own[round][RECORD_BARE];
		record[round] = rounds->ns[i][round] / rounds->own[round][RECORD_AT];
	}
	snprintf(id, sizeof(id), "peer.%s.ns", entries[i].name);
	bench_figure(bench, id, entries[i].what, "ns", rounds->ns[i], count);
	snprintf(id, sizeof(id), "peer.%s.ratio", entries[i].name);
	snprintf(what, sizeof(what), "  / the bare store");
	bench_figure(bench, id, what, "x", bare, count);
	bench_note(bench, "  a record without its clock is %.3g x cheaper than %s",
		   bench_quantile(record, count, 0.5), entries[i].what);
}

static void rounds_report(struct bench *bench, const struct rounds *rounds, size_t count)
{
	static const char *const ids[OWN] = {"peer.bare.ns", "peer.shmbus.ns", "peer.clock.ns",
					     "peer.shmbus_with_clock.ns"};
	double samples[ROUNDS_MAX];

	for (size_t k = 0; k < OWN; k++) {
		for (size_t round = 0; round < count; round++)
			samples[round] = rounds->own[round][k];
		bench_figure(bench, ids[k], record_loops[k].what, "ns", samples, count);
	}
	for (size_t i = 0; i < ENTRIES; i++)
		if (rounds->open[i])
			peer_report(bench, rounds, i, count);
}

static int peers_run(struct bench *bench)
{
	size_t count = bench_rounds(bench, 11, ROUNDS_MAX);
	static struct rounds rounds;
	struct subject *subject;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (!error)
		error = subject_create(SUBJECT_CAPACITY, &subject);
	if (error)
		return error;
	/* Before this side is pinned, so that daemons are not; a peer's own program is on its
	 * way wherever the kernel puts it. */
	peers_open(bench, &rounds);
	bench_cpu_pin(cpus.producer);
	error = round_run(bench, subject, &rounds, 0); /* warm-up */
	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "round %zu of %zu", round + 1, count);
		error = round_run(bench, subject, &rounds, round);
	}
	bench_cpu_unpin();
	if (!error)
		rounds_report(bench, &rounds, count);
	for (size_t i = 0; i < ENTRIES; i++)
		if (rounds.open[i])
			entries[i].peer->close();
	subject_destroy(subject);
	return error;
}

const struct bench_part bench_part_peers = {"peers", "an event recorded by shmbus and by others",
					    peers_run, true};
