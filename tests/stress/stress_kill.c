/* SPDX-License-Identifier: MIT */
/*
 * stress_kill.c - producers are killed at random instructions, again and again. What they had
 * published is all there, in order and once; pairs are whole; what they attempted is accounted for
 * but for the one attempt that was under way; and the kernel says that they are dead.
 *
 *	stress_kill [SEED [KILLS [LANES]]]
 *
 * Lanes are processes that kill side by side. Most children write into a session that their lane
 * holds open (victim.h), with one writer or with a thread for each of three; one in sixteen opens
 * a session of its own, is attached to by its name, and must be seen dead by its lock.
 *
 * A ring that nobody drains is full in microseconds, and then there is nothing to tear. So most
 * children play the agent too, and give their ring's slots back every few attempts; what lies
 * behind the head when they die is read. Others are drained by their lane, or by nobody.
 *
 * What a child attempts follows from the number of the attempt, and that number stands in a
 * ledger, a page of the test's own, before the attempt begins. The hot path does not pay for it.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "victim.h"

#if defined(__SANITIZE_THREAD__)
#define KILLS 200
#define WHOLE_EVERY 1 /* ThreadSanitizer wants its fork handlers to run */
#elif defined(__SANITIZE_ADDRESS__)
#define KILLS 1000
#define WHOLE_EVERY 16
#else
#define KILLS 50000
#define WHOLE_EVERY 16
#endif

#ifdef EXPECT_CAUGHT /* what is wrong with the ring that this is compiled with */
static const char *const planted = EXPECT_CAUGHT;
#else
static const char *const planted = NULL;
#endif

#define HELPER_SECONDS_MAX (12 * 3600) /* no forked one outlives a long run */
#define ATTEMPTS_ORDER_MAX 14          /* a child lives for at most about 2^14 attempts */
#define LANES_EACH 4 /* lanes for each processor: most of them wait for a child to get going */
#define ADDED 3
#define GIVEN_BACK_EVERY 64

static const uint32_t capacities[VICTIM_WRITERS] = {256, 4096, 256};

enum drained { BY_ITSELF, BY_ITSELF_TOO, BY_LANE, BY_NOBODY, DRAINED_KINDS };

struct begun {
	_Alignas(64) _Atomic uint64_t attempts;
};

struct tally {
	_Atomic uint64_t kills;
	_Atomic uint64_t samples;
	_Atomic uint64_t in_flight;   /* deaths that an attempt did not survive */
	_Atomic uint64_t disorder;    /* samples that are not the next one, or garbage */
	_Atomic uint64_t halves;      /* pairs of which only one was there */
	_Atomic uint64_t unaccounted; /* samples: attempted != recorded + dropped + in flight */
	_Atomic uint64_t slots;       /* slots that hold what they were not given */
	_Atomic uint64_t undead;
};

/* One lane's, shared with its children and with the main program. */
struct lane {
	struct begun begun[VICTIM_WRITERS];
	_Atomic int ready;
	enum drained drained;
	char segment[80];
	struct tally tally;
};

static struct lane *lane; /* of this process */
static struct victim victim;
static struct shmbus_consumer mine, whole; /* the lane's session, and a child's own */

/* ---- the children ---- */

enum attempt { PLAIN, TIMED, CYCLE, ADD, PLAIN_AGAIN, CYCLE_AGAIN, SET, XRUN, KINDS };

/* Every sample holds how many were recorded before it, and the attempt's number as its time.
 * Returns how many samples it recorded. */
static uint64_t attempt(struct shmbus_writer *writer, struct shmbus_cycle *cycle, uint64_t number,
			uint64_t recorded)
{
	uint64_t when = number << SHMBUS_TAG_TICK_SHIFT;

	switch ((enum attempt)(number % KINDS)) {
	case PLAIN:
	case PLAIN_AGAIN:
		return shmbus_record_value_at(writer, victim.plain, recorded, when);
	case TIMED:
		return shmbus_record_at(writer, victim.timed, when - recorded, when);
	case CYCLE:
	case CYCLE_AGAIN:
		return 2 * shmbus_cycle(writer, cycle, when - recorded, when, when + recorded + 1,
					VICTIM_QUANTUM);
	case ADD:
		shmbus_add(writer, victim.counter, ADDED);
		return 0;
	case SET:
		shmbus_set(writer, victim.gauge, (int64_t)number);
		return 0;
	case XRUN:
		shmbus_xrun(writer, cycle);
		return 0;
	default:
		return 0;
	}
}

static void *live(void *argument)
{
	uint32_t number_of = *(const uint32_t *)argument;
	struct shmbus_writer *writer = victim.writers[number_of];
	/* What the agent may write and a producer has no handle for: see victim_head(). */
	_Atomic uint64_t *head = victim_head(writer);
	uint64_t given_back_every = lane->drained <= BY_ITSELF_TOO ? GIVEN_BACK_EVERY : UINT64_MAX;
	struct shmbus_cycle cycle = victim.cycle;
	uint64_t recorded = 0;

	for (uint64_t number = 1;; number++) {
		/* relaxed: read when this thread is no more. */
		atomic_store_explicit(&lane->begun[number_of].attempts, number,
				      memory_order_relaxed);
		recorded += attempt(writer, &cycle, number, recorded);
		if (number % given_back_every == 0)
			shmbus_ring_release(head, recorded);
	}
	return NULL;
}

/* Lives with writers from `first` on, a thread for each. */
static void child(bool own_session, uint32_t first, uint32_t count)
{
	uint32_t numbers[VICTIM_WRITERS] = {0};
	pthread_t thread;

	victim_leash();
	if (own_session) {
		victim_open(&victim, capacities);
		snprintf(lane->segment, sizeof lane->segment, "%s",
			 shmbus_session_segment(victim.session));
	}
	atomic_store(&lane->ready, 1);
	for (uint32_t i = 0; i < count; i++)
		numbers[i] = first + i;
	for (uint32_t i = 1; i < count; i++)
		if (pthread_create(&thread, NULL, live, &numbers[i]) != 0)
			tap_bail("no thread");
	live(&numbers[0]);
}

/* ---- what is found after them ---- */

/* How many of the attempts 1 to n are of a kind. */
static uint64_t of_kind(uint64_t n, enum attempt kind)
{
	return n < kind ? 0 : (n - kind) / KINDS + (kind != 0);
}

static uint64_t samples_of(uint64_t n)
{
	return of_kind(n, PLAIN) + of_kind(n, PLAIN_AGAIN) + of_kind(n, TIMED) +
	       2 * (of_kind(n, CYCLE) + of_kind(n, CYCLE_AGAIN));
}

static uint64_t gauge_of(uint64_t n)
{
	return n < SET ? SHMBUS_SLOT_ABSENT : n - (n - SET) % KINDS;
}

/* How far a writer's ring was read. */
struct cursor {
	struct shmbus_consumer_writer *seen;
	uint64_t last; /* the newest sample's attempt */
	bool half;     /* its WAIT was read, its BUSY must come next */
};

static bool sample_right(struct cursor *cursor, uint64_t value, uint64_t tag)
{
	uint64_t number = tag >> SHMBUS_TAG_TIME_SHIFT, when = number << SHMBUS_TAG_TICK_SHIFT;
	bool half = cursor->half;

	tag &= ~(uint64_t)SHMBUS_TAG_PHASE;
	cursor->half = false;
	if (value != cursor->seen->ring.position) /* a ring of samples alone */
		return false;
	if (half)
		return tag == shmbus_tag_make(victim.cycle.busy, SHMBUS_TAG_TICKS,
					      (cursor->last << SHMBUS_TAG_TICK_SHIFT) + value);
	if (number <= cursor->last)
		return false;
	cursor->last = number;
	switch ((enum attempt)(number % KINDS)) {
	case PLAIN:
	case PLAIN_AGAIN:
		return tag == shmbus_tag_make(victim.plain, 0, when);
	case TIMED:
		return tag == shmbus_tag_make(victim.timed, SHMBUS_TAG_TICKS, when);
	case CYCLE:
	case CYCLE_AGAIN:
		cursor->half = true;
		return tag == shmbus_tag_make(victim.cycle.wait, SHMBUS_TAG_TICKS, when);
	default:
		return false;
	}
}

static void drain(struct cursor *cursor)
{
	struct shmbus_ring_consumer *ring = &cursor->seen->ring;
	uint64_t value, tag;

	while (shmbus_ring_peek(ring, ring->position, &value, &tag)) {
		if (!sample_right(cursor, value, tag))
			lane->tally.disorder++;
		lane->tally.samples++;
		ring->position++;
	}
	shmbus_ring_release(cursor->seen->head, ring->position);
}

static uint64_t slot_of(const struct cursor *cursor, shmbus_metric metric)
{
	return atomic_load(&cursor->seen->slots[metric]);
}

/* Holds what is there against what the ledger allows: all attempts but the last one are done, and
 * the last one is, or has left nothing. */
static void judge(const struct cursor *cursor, uint64_t begun)
{
	struct tally *tally = &lane->tally;
	const struct shmbus_writer_block *block = cursor->seen->block;
	uint64_t done = begun == 0 ? 0 : begun - 1;
	uint64_t accounted = cursor->seen->ring.position + atomic_load(&block->dropped_full);
	uint64_t counter = slot_of(cursor, victim.counter);
	uint64_t xruns = slot_of(cursor, victim.cycle.xruns);
	uint64_t gauge = slot_of(cursor, victim.gauge);

	tally->halves += cursor->half;
	tally->unaccounted += (accounted != samples_of(done) && accounted != samples_of(begun)) ||
			      cursor->last > begun || atomic_load(&block->dropped_head) != 0;
	tally->in_flight += accounted != samples_of(begun);
	tally->slots +=
		(counter != ADDED * of_kind(done, ADD) && counter != ADDED * of_kind(begun, ADD)) ||
		(xruns != of_kind(done, XRUN) && xruns != of_kind(begun, XRUN)) ||
		(gauge != gauge_of(done) && gauge != gauge_of(begun));
}

/* ---- a life ---- */

static void wait_for(pid_t pid, _Atomic int *flag)
{
	while (!atomic_load(flag)) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			tap_bail("a child died by itself");
		sched_yield();
	}
}

/* Lets a child live for a random number of attempts, kills it, and judges what it left. */
static void life(unsigned *seed, bool own_session)
{
	struct shmbus_consumer *consumer = own_session ? &whole : &mine;
	uint32_t first = rand_r(seed) % 2;
	uint32_t count = rand_r(seed) % 16 == 0 ? VICTIM_WRITERS - first : 1;
	uint64_t attempts = (uint64_t)rand_r(seed) % (1u << rand_r(seed) % ATTEMPTS_ORDER_MAX);
	enum drained drained = (enum drained)(rand_r(seed) % DRAINED_KINDS);
	struct cursor cursors[VICTIM_WRITERS] = {0};
	pid_t pid;

	memset(lane->begun, 0, sizeof lane->begun);
	lane->drained = drained;
	atomic_store(&lane->ready, 0);
	pid = own_session ? fork() : _Fork();
	if (pid == 0)
		child(own_session, first, count);
	if (pid < 0)
		tap_bail("cannot fork");
	if (own_session) {
		wait_for(pid, &lane->ready);
		victim_attach(consumer, lane->segment);
	}
	for (uint32_t i = 0; i < count; i++)
		cursors[i].seen = consumer->writers[first + i];
	while (atomic_load(&lane->begun[first].attempts) < attempts) {
		for (uint32_t i = 0; drained == BY_LANE && i < count; i++)
			drain(&cursors[i]);
		sched_yield();
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	lane->tally.kills++;
	for (uint32_t i = 0; i < count; i++) {
		cursors[i].seen->ring.position = atomic_load(cursors[i].seen->head);
		drain(&cursors[i]);
		judge(&cursors[i], atomic_load(&lane->begun[first + i].attempts));
		if (!own_session)
			victim_reset(&victim, first + i, cursors[i].seen);
	}
	if (own_session) {
		lane->tally.undead += shmbus_consumer_alive(consumer) != 0;
		shm_unlink(consumer->segment);
		shmbus_consumer_detach(consumer);
	}
}

static uint64_t faults(const struct tally *tally)
{
	return tally->disorder + tally->halves + tally->unaccounted + tally->slots + tally->undead;
}

static void lane_run(unsigned seed, uint64_t kills)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HELPER_SECONDS_MAX);
	victim_open(&victim, capacities);
	victim_attach(&mine, shmbus_session_segment(victim.session));
	for (uint64_t i = 0; i < kills; i++) {
		life(&seed, i % WHOLE_EVERY == 0);
		if (planted != NULL && faults(&lane->tally) > 0)
			break;
	}
	shmbus_consumer_detach(&mine);
	shmbus_session_close(victim.session);
	exit(EXIT_SUCCESS);
}

/* ---- the lanes together ---- */

static void tally_add(struct tally *sum, const struct tally *one)
{
	sum->kills += one->kills;
	sum->samples += one->samples;
	sum->in_flight += one->in_flight;
	sum->disorder += one->disorder;
	sum->halves += one->halves;
	sum->unaccounted += one->unaccounted;
	sum->slots += one->slots;
	sum->undead += one->undead;
}

static struct tally tally_of(const struct lane *lanes, unsigned count)
{
	struct tally sum = {0};

	for (unsigned i = 0; i < count; i++)
		tally_add(&sum, &lanes[i].tally);
	return sum;
}

/* Waits for all lanes, and says from time to time how far they are. */
static void lanes_wait(const struct lane *lanes, unsigned count, uint64_t kills)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	unsigned left = count;
	int status;

	for (unsigned moments = 1; left > 0; moments++) {
		if (waitpid(-1, &status, WNOHANG) > 0) {
			if (status != 0)
				tap_bail("a lane failed");
			left--;
			continue;
		}
		if (moments % 500 == 0) {
			struct tally sum = tally_of(lanes, count);

			tap_diag("%llu of %llu kills", (unsigned long long)sum.kills,
				 (unsigned long long)kills);
		}
		nanosleep(&moment, NULL);
	}
}

static void report(struct tally *sum, uint64_t kills)
{
	tap_diag("%llu kills, %llu samples, %llu attempts in flight",
		 (unsigned long long)sum->kills, (unsigned long long)sum->samples,
		 (unsigned long long)sum->in_flight);
	if (planted != NULL) {
		tap_ok(faults(sum) > 0, "caught: %s", planted);
		return;
	}
	tap_ok(sum->kills >= kills && sum->samples > sum->kills, "producers lived and were killed");
	tap_ok(sum->disorder == 0, "every published sample once, whole and in order");
	tap_ok(sum->halves == 0, "no half a pair");
	tap_ok(sum->unaccounted == 0, "attempted = recorded + dropped, but for one in flight");
	tap_ok(sum->slots == 0, "slots hold what was stored, but for one in flight");
	tap_ok(sum->undead == 0, "the kernel freed every lock");
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)time(NULL);
	uint64_t kills = argc > 2 ? strtoull(argv[2], NULL, 10) : KILLS;
	unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10)
				  : LANES_EACH * (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct lane *lanes;
	struct tally sum;

	count = count < 1 ? 1 : count > 64 ? 64 : count;
	tap_diag("again: %s %u %llu %u", argv[0], seed, (unsigned long long)kills, count);
	lanes = victim_page(count * sizeof *lanes);
	for (unsigned i = 0; i < count; i++) {
		lane = &lanes[i];
		if (fork() == 0)
			lane_run(seed + i, kills / count + 1);
	}
	lanes_wait(lanes, count, kills);
	sum = tally_of(lanes, count);
	report(&sum, kills);
	return tap_done();
}
