/* SPDX-License-Identifier: MIT */
/*
 * event.h - an event count (ck_ec): threads sleep until something has happened since they last
 * looked, or until a deadline. To miss nothing: read the value, look for work, then wait.
 */
#ifndef SHMBUS_AGENT_EVENT_H
#define SHMBUS_AGENT_EVENT_H

#include <stdint.h>

#include <ck_ec.h>

struct event {
	struct ck_ec32 count;
};

void event_init(struct event *event);

/* The count to hand to event_wait(). */
uint32_t event_value(const struct event *event);

/* Wakes all who wait. Any thread; a system call only where somebody sleeps. */
void event_signal(struct event *event);

/* Sleeps until the count differs from `seen` or CLOCK_MONOTONIC reaches the deadline. */
void event_wait(struct event *event, uint32_t seen, uint64_t deadline_ns);

#endif /* SHMBUS_AGENT_EVENT_H */
