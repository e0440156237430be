/* SPDX-License-Identifier: MIT */
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "event.h"

static int ops_gettime(const struct ck_ec_ops *ops, struct timespec *out)
{
	(void)ops;
	return clock_gettime(CLOCK_MONOTONIC, out);
}

/* ck_ec waits in steps of its own and looks at the caller's deadline only between them. */
static _Thread_local struct timespec caller_deadline;

static bool earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static void ops_wait32(const struct ck_ec_wait_state *state, const uint32_t *address,
		       uint32_t expected, const struct timespec *deadline)
{
	(void)state;
	if (deadline == NULL || earlier(&caller_deadline, deadline))
		deadline = &caller_deadline;
	/* The BITSET form takes an absolute time of CLOCK_MONOTONIC. */
	syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline,
		NULL, FUTEX_BITSET_MATCH_ANY);
}

static void ops_wake32(const struct ck_ec_ops *ops, const uint32_t *address)
{
	(void)ops;
	syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

/* No spinning: the agent's first duty is to stay out of the way. */
static const struct ck_ec_ops ops = {
	.gettime = ops_gettime,
	.wait32 = ops_wait32,
	.wake32 = ops_wake32,
	.busy_loop_iter = 1,
	.initial_wait_ns = 2000000000u,
};

static const struct ck_ec_mode mode = {.ops = &ops, .single_producer = false};

void event_init(struct event *event)
{
	ck_ec32_init(&event->count, 0);
}

uint32_t event_value(const struct event *event)
{
	return ck_ec32_value(&event->count);
}

void event_signal(struct event *event)
{
	ck_ec32_inc(&event->count, &mode);
}

void event_wait(struct event *event, uint32_t seen, uint64_t deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};

	caller_deadline = deadline;
	ck_ec32_wait(&event->count, &mode, seen, &deadline);
}
