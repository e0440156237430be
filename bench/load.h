/* SPDX-License-Identifier: MIT */
/*
 * load.h - a real agent, on a bus and a processor of its own, and many sessions of this process
 * that it drains.
 */
#ifndef SHMBUS_BENCH_LOAD_H
#define SHMBUS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

#define LOAD_TIMERS_MAX 64u

struct load_options {
	uint32_t sessions;
	uint32_t timers;      /* in each */
	uint32_t capacity;    /* of their rings; 0: the default */
	const char *interval; /* between snapshots; NULL: the agent's default */
};

struct load_session {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timers[LOAD_TIMERS_MAX];
};

struct load {
	struct load_options options;
	char bus[SHMBUS_BUS_SIZE];
	pid_t agent;
	uint64_t random;
	struct shmbus_snapshot_reader *reader;
	struct load_session *sessions;
};

/* Starts the agent and opens the sessions, then waits until it has found all of them. Returns 0,
 * or a negative errno after a message. */
int load_start(const struct load_options *options, struct load **out);

/* Kills the agent and starts another one; the time until its first snapshot, which has all that the
 * last one had, read every 5 ms. */
int load_restart(struct load *load, double *ms);

/* Starts an agent that takes the bus over, and does not wait for it: *before is the one that it
 * takes it from, whose end the caller waits for. */
int load_hand_over(struct load *load, pid_t *before);

/* Closes the sessions and stops the agent, which leaves nothing behind. NULL is allowed. */
void load_stop(struct load *load);

/* One sample of a few hundred microseconds, never the same twice. */
static inline void load_record(struct load *load, uint32_t session, uint32_t timer)
{
	struct load_session *to = &load->sessions[session];

	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	shmbus_record_value(to->writer, to->timers[timer], 100000 + load->random % 400000);
}

/* One sample to each timer of the first so many sessions. */
void load_record_all(struct load *load, uint32_t sessions);

/* Until a time of bench_now_ns(). */
void load_sleep_until(uint64_t ns);

/*
 * Records for so many seconds, on an absolute schedule: `hz` times a second a sample to each
 * session, to its timers in turn, or to all of them. hz 0: nothing.
 */
void load_run(struct load *load, uint32_t hz, bool all_timers, double seconds);

/* What the sessions' own accounts say. */
void load_account(const struct load *load, uint64_t *recorded, uint64_t *dropped);

/* The processor time that the agent has used, in seconds, with all its threads. */
int load_cpu_seconds(const struct load *load, double *out);

/* The agent's resident memory, and the part of it that no file and no segment backs. */
int load_memory_kib(const struct load *load, double *resident, double *own);

/* Space that the bus takes in /dev/shm, by what it is for. */
struct load_space {
	double sessions_kib;
	double checkpoint_kib;
	double snapshot_kib;
};

int load_space_read(const struct load *load, struct load_space *out);

/* What the agent says of itself in its newest snapshot. */
struct load_numbers {
	uint64_t seq;
	uint64_t publish_ns;       /* of the snapshot before */
	uint64_t encoded_sessions; /* for this one */
	uint64_t sessions_active;
	uint64_t samples_total;
	uint64_t dropped_total;
};

int load_numbers_decode(const struct shmbus_snapshot *snapshot, struct load_numbers *out);
int load_numbers_read(const struct load *load, struct load_numbers *out);

#endif /* SHMBUS_BENCH_LOAD_H */
