/* SPDX-License-Identifier: MIT */
/*
 * stress_step.c - a producer is killed at each instruction of each call of the hot path, one after
 * the other, and what it leaves is held against what the call may leave: nothing, then all of it.
 *
 * For each call and for k = 0, 1, 2, ... a fresh child is stepped to the call, then k instructions
 * further, and killed. What is then in the ring and in the slots must be one of the call's stages,
 * never an earlier one than after fewer instructions, and in the end the last one.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "victim.h"

#ifdef EXPECT_CAUGHT /* what is wrong with the ring that this is compiled with */
static const char *const planted = EXPECT_CAUGHT;
#else
static const char *const planted = NULL;
#endif

#define CAPACITY 64u
#define STEPS_MAX 100000u /* to the call, and through it */
#define NO_PTRACE 77
#define WHEN (1000ull << SHMBUS_TAG_TICK_SHIFT)
#define BEGUN 1
#define ENDED 2
#define STAGES_MAX 3
#define ABSENT SHMBUS_SLOT_ABSENT

/* What is there of a call. */
struct stage {
	uint64_t records;
	uint64_t dropped;
	uint64_t counter;
	uint64_t xruns;
	uint64_t gauge;
};

struct call {
	const char *name;
	void (*run)(struct shmbus_writer *writer);
	uint32_t filled; /* samples recorded before */
	uint32_t head;   /* and this many of them given back */
	bool pending;    /* a correlation id waits for room */
	uint32_t stage_count;
	struct stage stages[STAGES_MAX];
};

static struct victim victim;
static struct shmbus_consumer consumer;
static _Atomic int *where; /* is the child: 0, BEGUN, ENDED */

/* ---- the calls, in the child ---- */

static void run_record(struct shmbus_writer *writer)
{
	shmbus_record(writer, victim.timed, 0);
}

static void run_record_at(struct shmbus_writer *writer)
{
	shmbus_record_at(writer, victim.timed, 0, WHEN);
}

static void run_record_value_at(struct shmbus_writer *writer)
{
	shmbus_record_value_at(writer, victim.timed, WHEN, WHEN);
}

static void run_cycle(struct shmbus_writer *writer)
{
	shmbus_cycle(writer, &victim.cycle, 0, WHEN, 3 * WHEN, VICTIM_QUANTUM);
}

static void run_cycle_quantum(struct shmbus_writer *writer)
{
	shmbus_cycle(writer, &victim.cycle, 0, WHEN, 3 * WHEN, 2 * VICTIM_QUANTUM);
}

static void run_add(struct shmbus_writer *writer)
{
	shmbus_add(writer, victim.counter, 3);
}

static void run_xrun(struct shmbus_writer *writer)
{
	shmbus_xrun(writer, &victim.cycle);
}

static void run_set(struct shmbus_writer *writer)
{
	shmbus_set(writer, victim.gauge, 5);
}

static void run_correlate(struct shmbus_writer *writer)
{
	shmbus_correlate(writer, WHEN);
}

#define NOTHING                                                                                    \
	{                                                                                          \
		0, 0, 0, 0, ABSENT                                                                 \
	}
#define RECORDS(n)                                                                                 \
	{                                                                                          \
		n, 0, 0, 0, ABSENT                                                                 \
	}
#define DROPPED(n)                                                                                 \
	{                                                                                          \
		0, n, 0, 0, ABSENT                                                                 \
	}

/* clang-format off */
static const struct call calls[] = {
	{"record", run_record, 0, 0, false, 2, {NOTHING, RECORDS(1)}},
	{"record_at", run_record_at, 0, 0, false, 2, {NOTHING, RECORDS(1)}},
	{"record_value_at", run_record_value_at, 0, 0, false, 2, {NOTHING, RECORDS(1)}},
	{"record_at, the last of a lap", run_record_at, 63, 0, false, 2, {NOTHING, RECORDS(1)}},
	{"record_at, the first of a lap", run_record_at, 64, 40, false, 2, {NOTHING, RECORDS(1)}},
	{"record_at, a full ring", run_record_at, 64, 0, false, 2, {NOTHING, DROPPED(1)}},
	{"record_at, an id before it", run_record_at, 64, 40, true, 3,
		{NOTHING, RECORDS(1), RECORDS(2)}},
	{"cycle", run_cycle, 0, 0, false, 2, {NOTHING, RECORDS(2)}},
	{"cycle, the last of a lap", run_cycle, 62, 0, false, 2, {NOTHING, RECORDS(2)}},
	{"cycle, a lap between", run_cycle, 63, 40, false, 2, {NOTHING, RECORDS(2)}},
	{"cycle, the first of a lap", run_cycle, 64, 64, false, 2, {NOTHING, RECORDS(2)}},
	{"cycle, room for one", run_cycle, 63, 0, false, 2, {NOTHING, DROPPED(2)}},
	{"cycle, a full ring", run_cycle, 64, 0, false, 2, {NOTHING, DROPPED(2)}},
	{"cycle, an id before it", run_cycle, 64, 40, true, 3, {NOTHING, RECORDS(1), RECORDS(3)}},
	{"cycle, a new quantum", run_cycle_quantum, 0, 0, false, 3,
		{NOTHING, RECORDS(1), RECORDS(3)}},
	{"cycle, a new quantum, a lap between", run_cycle_quantum, 62, 62, false, 3,
		{NOTHING, RECORDS(1), RECORDS(3)}},
	{"correlate", run_correlate, 0, 0, false, 2, {NOTHING, RECORDS(1)}},
	{"add", run_add, 0, 0, false, 2, {NOTHING, {0, 0, 3, 0, ABSENT}}},
	{"xrun", run_xrun, 0, 0, false, 2, {NOTHING, {0, 0, 0, 1, ABSENT}}},
	{"set", run_set, 0, 0, false, 2, {NOTHING, {0, 0, 0, 0, 5}}},
};
/* clang-format on */

static uint64_t filler_tag(uint64_t number)
{
	return shmbus_tag_make(victim.plain, 0, number << SHMBUS_TAG_TICK_SHIFT);
}

/* Where all is ready it stops itself; it is not run from there, but stepped. */
static void child(const struct call *call)
{
	struct shmbus_writer *writer = victim.writers[0];

	victim_leash();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(NO_PTRACE);
	for (uint64_t i = 0; i < call->filled; i++)
		shmbus_record_value_at(writer, victim.plain, i, i << SHMBUS_TAG_TICK_SHIFT);
	if (call->pending)
		shmbus_correlate(writer, WHEN);
	shmbus_ring_release(victim_head(writer), call->head);
	syscall(SYS_kill, getpid(), SIGSTOP);
	atomic_store(where, BEGUN);
	call->run(writer);
	atomic_store(where, ENDED);
	_exit(EXIT_SUCCESS);
}

/* ---- the killer ---- */

/* Lets the child execute one instruction; false where it did something else than that. */
static bool step(pid_t pid)
{
	int status;

	return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
	       WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

/* Makes a child and steps it to the call. */
static pid_t child_at_call(const struct call *call)
{
	int status;
	pid_t pid;

	atomic_store(where, 0);
	pid = _Fork();
	if (pid == 0)
		child(call);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		tap_bail("cannot fork");
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PTRACE)
		return 0;
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		tap_bail("%s: the child did not stop", call->name);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL);
	for (uint32_t i = 0; atomic_load(where) == 0; i++)
		if (i == STEPS_MAX || !step(pid))
			tap_bail("%s: cannot step to the call", call->name);
	return pid;
}

/* Kills a child after k instructions, or at the end of the call; returns whether that came first.
 */
static bool child_kill_after(const struct call *call, uint32_t k)
{
	pid_t pid = child_at_call(call);
	bool ended;

	for (uint32_t i = 0; i < k && atomic_load(where) != ENDED; i++)
		if (!step(pid))
			tap_bail("%s: cannot step", call->name);
	ended = atomic_load(where) == ENDED;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ended;
}

/* ---- what it left ---- */

/* The record with a number among those of a call. */
static bool record_right(const struct call *call, uint64_t number, uint64_t value, uint64_t tag)
{
	const uint64_t flags = (1u << SHMBUS_TAG_TIME_SHIFT) - 1;
	bool pair = call->run == run_cycle || call->run == run_cycle_quantum;

	if (call->run == run_correlate || (call->pending && number == 0))
		return value == WHEN && (tag & flags) == SHMBUS_CONTROL << SHMBUS_TAG_METRIC_SHIFT;
	if (call->run == run_cycle_quantum && number == 0)
		return value == ((uint64_t)victim.cycle.busy << 32 | 2 * VICTIM_QUANTUM) &&
		       tag == shmbus_tag_make(SHMBUS_CONTROL, SHMBUS_CONTROL_QUANTUM, WHEN);
	if (call->pending || call->run == run_cycle_quantum)
		number--;
	if (pair && number == 1)
		return value == 2 * WHEN &&
		       tag == shmbus_tag_make(victim.cycle.busy, SHMBUS_TAG_TICKS, 3 * WHEN);
	if (pair)
		return value == WHEN &&
		       tag == shmbus_tag_make(victim.cycle.wait, SHMBUS_TAG_TICKS, WHEN);
	/* From 0 to now: the end is the duration. */
	if (call->run == run_record)
		return value != 0 && tag == shmbus_tag_make(victim.timed, SHMBUS_TAG_TICKS, value);
	return value == WHEN &&
	       tag == shmbus_tag_make(victim.timed,
				      call->run == run_record_at ? SHMBUS_TAG_TICKS : 0, WHEN);
}

/* Reads the ring from the head on; false where something is there that was never recorded. */
static bool ring_read(const struct call *call, uint64_t *records)
{
	struct shmbus_ring_consumer *ring = &consumer.writers[0]->ring;
	uint64_t value, tag;
	bool right = true;

	for (ring->position = call->head; ring->position < call->head + CAPACITY &&
					  shmbus_ring_peek(ring, ring->position, &value, &tag);
	     ring->position++) {
		tag &= ~(uint64_t)SHMBUS_TAG_PHASE;
		if (ring->position < call->filled)
			right = right && value == ring->position && tag == filler_tag(value);
		else
			right = right &&
				record_right(call, ring->position - call->filled, value, tag);
	}
	*records = ring->position - call->filled;
	return right && ring->position >= call->filled;
}

/* Which stage of the call the shared memory is in, or -1. */
static int stage_found(const struct call *call)
{
	const struct shmbus_consumer_writer *seen = consumer.writers[0];
	struct stage found = {
		.dropped = atomic_load(&seen->block->dropped_full),
		.counter = atomic_load(&seen->slots[victim.counter]),
		.xruns = atomic_load(&seen->slots[victim.cycle.xruns]),
		.gauge = atomic_load(&seen->slots[victim.gauge]),
	};

	if (!ring_read(call, &found.records) || atomic_load(&seen->block->dropped_head) != 0)
		return -1;
	for (uint32_t i = 0; i < call->stage_count; i++)
		if (memcmp(&found, &call->stages[i], sizeof found) == 0)
			return (int)i;
	return -1;
}

/* Returns whether the call can be killed anywhere. */
static bool call_check(const struct call *call)
{
	uint32_t reached = 0;
	int stage = 0, last = (int)call->stage_count - 1;
	bool ended = false;
	uint32_t k;

	for (k = 0; !ended; k++) {
		int found;

		if (k == STEPS_MAX)
			tap_bail("%s does not end", call->name);
		ended = child_kill_after(call, k);
		found = stage_found(call);
		victim_reset(&victim, 0, consumer.writers[0]);
		if (found < stage || found > stage + 1 || (k == 0 && found != 0)) {
			tap_diag("%s: killed after %u instructions it leaves stage %d after %d",
				 call->name, k, found, stage);
			return false;
		}
		if (found > stage)
			reached = k;
		stage = found;
	}
	/* The last step is into ENDED. */
	tap_diag("%s: %u instructions, all there after %u", call->name, k - 1, reached);
	return stage == last;
}

static bool ptrace_allowed(void)
{
	pid_t pid = child_at_call(&calls[0]);

	if (pid == 0)
		return false;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	victim_reset(&victim, 0, consumer.writers[0]);
	return true;
}

int main(void)
{
	const uint32_t capacities[VICTIM_WRITERS] = {CAPACITY, CAPACITY, CAPACITY};
	uint32_t wrong = 0;

	where = victim_page(sizeof *where);
	victim_open(&victim, capacities);
	victim_attach(&consumer, shmbus_session_segment(victim.session));
	if (!ptrace_allowed()) {
		shmbus_session_close(victim.session);
		return tap_skip_all("ptrace(2) is not allowed here");
	}
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		bool right = call_check(&calls[i]);

		wrong += !right;
		if (planted == NULL)
			tap_ok(right, "%s: nothing, then all of it", calls[i].name);
	}
	if (planted != NULL)
		tap_ok(wrong > 0, "caught: %s", planted);
	shmbus_consumer_detach(&consumer);
	shmbus_session_close(victim.session);
	return tap_done();
}
