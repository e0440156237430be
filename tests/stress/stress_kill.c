/* SPDX-License-Identifier: MIT */
/*
 * stress_kill.c - producers are killed at random instructions, again and again. What they had
 * published is all there, in order and once; what they attempted is accounted for but for the one
 * attempt that was under way; and the kernel says that they are dead.
 *
 * The ledger is a page of this program, so that the hot path does not pay for it.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "tap.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define KILLS 100
#else
#define KILLS 1000
#endif
#define CAPACITY 256

struct ledger {
	_Atomic uint64_t attempts;
	_Atomic int ready;
	char segment[80];
};

static struct ledger *ledger;

/* Records how many samples it has recorded, for ever. */
static void child(void)
{
	struct shmbus_writer_options options = {.capacity = CAPACITY};
	struct shmbus_metric_options timer = {.name = "n", .kind = SHMBUS_TIMER};
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric metric;
	uint64_t recorded = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	shmbus_session_open(NULL, &session);
	shmbus_writer_open(session, &options, &writer);
	shmbus_metric_define(session, &timer, &metric);
	snprintf(ledger->segment, sizeof ledger->segment, "%s", shmbus_session_segment(session));
	atomic_store(&ledger->ready, 1);
	for (uint64_t attempts = 1;; attempts++) {
		atomic_store_explicit(&ledger->attempts, attempts, memory_order_relaxed);
		recorded += shmbus_record_value_at(writer, metric, recorded, recorded);
	}
}

struct tally {
	uint64_t samples;
	uint64_t disorder;
	uint64_t unaccounted; /* rounds with more than one attempt in flight */
	uint64_t undead;
};

static void drain(struct shmbus_consumer_writer *writer, uint64_t *next, struct tally *tally)
{
	uint64_t value, tag;

	while (shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag)) {
		tally->disorder += value != *next;
		(*next)++;
		writer->ring.position++;
	}
	shmbus_ring_release(writer->head, writer->ring.position);
}

/* Drains for a random while, kills, drains the rest. */
static void round_run(struct shmbus_consumer *consumer, unsigned *seed, struct tally *tally)
{
	struct timespec while_ns = {.tv_nsec = rand_r(seed) % 300000};
	struct shmbus_consumer_writer *writer;
	uint64_t next = 0, accounted, attempts;
	pid_t pid;

	atomic_store(&ledger->ready, 0);
	atomic_store(&ledger->attempts, 0);
	pid = fork();
	if (pid == 0)
		child();
	while (!atomic_load(&ledger->ready))
		;
	if (shmbus_consumer_attach(consumer, ledger->segment) != 0)
		tap_bail("cannot attach to %s: %s", ledger->segment, consumer->reason);
	writer = &consumer->writers[0];
	drain(writer, &next, tally);
	nanosleep(&while_ns, NULL);
	drain(writer, &next, tally);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tally->undead += shmbus_consumer_alive(consumer) != 0;
	drain(writer, &next, tally);
	attempts = atomic_load(&ledger->attempts);
	accounted = next + atomic_load(&writer->block->dropped_full);
	tally->unaccounted += attempts - accounted > 1;
	tally->samples += next;
	shm_unlink(consumer->segment);
	shmbus_consumer_detach(consumer);
}

int main(int argc, char **argv)
{
	struct shmbus_consumer *consumer = calloc(1, sizeof *consumer);
	unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : (unsigned)time(NULL);
	struct tally tally = {0};

	tap_diag("seed %u: run with it again as the argument", seed);
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (ledger == MAP_FAILED || consumer == NULL)
		tap_bail("no memory");
	for (int i = 0; i < KILLS; i++)
		round_run(consumer, &seed, &tally);
	tap_ok(tally.samples > KILLS, "%d kills, %llu samples", KILLS,
	       (unsigned long long)tally.samples);
	tap_ok(tally.disorder == 0, "every published sample once and in order");
	tap_ok(tally.unaccounted == 0, "attempted = recorded + dropped, but for one in flight");
	tap_ok(tally.undead == 0, "the kernel freed every lock");
	free(consumer);
	return tap_done();
}
