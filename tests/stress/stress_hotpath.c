/* SPDX-License-Identifier: MIT */
/*
 * stress_hotpath.c - the hot path does no system call and takes no page fault: 10^8 records of
 * all sorts in a process whose every system call but exit_group() is answered with death, with
 * a small ring that is mostly full and a large one that somebody drains.
 *
 * getrusage() cannot be called under the filter, so the parent reads the child's faults from
 * /proc: at a mark before the records and at a mark after them, while the child spins.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "tap.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#define ROUNDS 20000u
#else
#define SANITIZED 0
#define ROUNDS 10000000u
#endif
#define RECORDS_A_ROUND 10u

/* What parent and child tell each other without a system call. */
struct shared {
	_Atomic int phase; /* 1 ready, 2 go, 3 done, 4 leave */
	_Atomic uint64_t accepted;
};

static struct shared *shared;
static struct shmbus_session *session;
static struct shmbus_writer *small, *large;
static struct shmbus_cycle cycle_metric;
static shmbus_metric timer_metric, counter_metric, gauge_metric;

static void phase_wait(int phase)
{
	while (atomic_load(&shared->phase) < phase)
		;
}

static void filter_install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(3);
}

/* Ten records, of all sorts. */
static uint64_t round_record(uint64_t i)
{
	struct shmbus_writer *writer = i % 4 == 0 ? small : large;
	uint64_t start = shmbus_now(), accepted = 0;

	accepted += shmbus_record(writer, timer_metric, start);
	accepted += shmbus_record_at(writer, timer_metric, start, start + i);
	accepted += shmbus_record_value(writer, timer_metric, i);
	accepted += shmbus_record_value_at(writer, timer_metric, i, start);
	accepted += shmbus_cycle(writer, &cycle_metric, start, start + 1, start + 2,
				 64 + (uint32_t)(i >> 20 & 1)) *
		    2u;
	if (i % 64 == 0)
		shmbus_correlate(writer, i);
	shmbus_add(writer, counter_metric, 1);
	shmbus_set(writer, gauge_metric, (int64_t)i);
	shmbus_xrun(writer, &cycle_metric);
	shmbus_heartbeat(session);
	return accepted;
}

static void child(void)
{
	uint64_t accepted = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(300);
	shmbus_session_open(NULL, &session);
	shmbus_writer_open(session, &(struct shmbus_writer_options){.capacity = 64}, &small);
	shmbus_writer_open(session, NULL, &large);
	shmbus_metric_define(session,
			     &(struct shmbus_metric_options){.name = "t", .kind = SHMBUS_TIMER},
			     &timer_metric);
	shmbus_metric_define(session,
			     &(struct shmbus_metric_options){.name = "c", .kind = SHMBUS_COUNTER},
			     &counter_metric);
	shmbus_metric_define(session,
			     &(struct shmbus_metric_options){.name = "g", .kind = SHMBUS_GAUGE},
			     &gauge_metric);
	shmbus_cycle_define(
		session,
		&(struct shmbus_cycle_options){.name = "cycle", .rate_hz = 48000, .quantum = 64},
		&cycle_metric);
	round_record(0); /* what code and stack need is there from now on */
	snprintf((char *)(shared + 1), 128, "%s", shmbus_session_segment(session));
	if (!SANITIZED)
		filter_install();
	atomic_store(&shared->phase, 1);
	phase_wait(2);
	for (uint64_t i = 1; i <= ROUNDS; i++)
		accepted += round_record(i);
	atomic_store(&shared->accepted, accepted);
	atomic_store(&shared->phase, 3);
	phase_wait(4);
	_exit(0);
}

/* Minor and major faults of a process: fields 10 and 12 of proc(5)'s stat. */
static uint64_t faults_of(pid_t pid)
{
	char path[40], text[1024] = "";
	unsigned long long minor = 0, major = 0;
	const char *rest;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fgets(text, sizeof text, file) != NULL && (rest = strrchr(text, ')')) != NULL)
		sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu", &minor, &major);
	fclose(file);
	return minor + major;
}

/* Drains the large ring now and then; the small one never. */
static void drain_until_done(struct shmbus_consumer *consumer)
{
	struct shmbus_consumer_writer *writer = consumer->writers[1];
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t value, tag;

	while (atomic_load(&shared->phase) < 3) {
		while (shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag))
			writer->ring.position++;
		shmbus_ring_release(writer->head, writer->ring.position);
		nanosleep(&pause, NULL);
	}
}

static void parent(pid_t pid)
{
	struct shmbus_consumer *consumer = calloc(1, sizeof *consumer);
	uint64_t before, after;
	int status = 0;

	phase_wait(1);
	if (consumer == NULL || shmbus_consumer_attach(consumer, (char *)(shared + 1)) != 0)
		tap_bail("cannot attach");
	before = faults_of(pid);
	atomic_store(&shared->phase, 2);
	drain_until_done(consumer);
	after = faults_of(pid);
	atomic_store(&shared->phase, 4);
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%u records without a system call%s",
	       ROUNDS * RECORDS_A_ROUND, SANITIZED ? " (no filter under a sanitizer)" : "");
	tap_ok(SANITIZED || after == before, "page faults: %llu",
	       (unsigned long long)(after - before));
	tap_ok(atomic_load(&shared->accepted) > (SANITIZED ? 1000u : 200000u),
	       "the drained ring took more than it holds");
	tap_ok(atomic_load(&consumer->writers[0]->block->dropped_full) > 0,
	       "the full ring dropped and counted");
	shm_unlink(consumer->segment);
	shmbus_consumer_detach(consumer);
	free(consumer);
}

int main(void)
{
	pid_t pid;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		tap_bail("mmap");
	pid = fork();
	if (pid == 0)
		child();
	parent(pid);
	return tap_done();
}
