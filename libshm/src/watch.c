/* SPDX-License-Identifier: MIT */
/*
 * watch.c - new snapshots, called back. The agent publishes through a mapping, of which inotify
 * says nothing, and it wakes nobody, so that readers without number cost it nothing. So a timer:
 * each snapshot says when the next one is due, and the watch looks shortly after that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <shmbus/snapshot.h>

#include "internal.h"

#define PAUSE_MIN_NS 1000000u      /* after the time that a snapshot is due, and to look again */
#define PAUSE_MAX_NS 250000000u    /* where nothing has come for long */
#define STALE_NS 500000000u        /* beyond three intervals */
#define WAIT_MAX_NS 3600000000000u /* whatever a snapshot says of its interval */

struct shmbus_snapshot_watch {
	struct shmbus_snapshot_reader *reader;
	shmbus_snapshot_callback callback;
	void *data;
	int timer;
	uint64_t wanted_ns;    /* between two calls */
	uint64_t due_ns;       /* when the timer fires */
	uint64_t seq;          /* of the last snapshot; 0: none yet */
	uint64_t published_ns; /* when it was, CLOCK_MONOTONIC */
	uint64_t interval_ns;  /* the agent's */
	uint64_t pause_ns;     /* before the next look, where this one finds nothing */
};

static void timer_arm(struct shmbus_snapshot_watch *watch, uint64_t due_ns)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ns / 1000000000u),
					       .tv_nsec = (long)(due_ns % 1000000000u)}};

	watch->due_ns = due_ns;
	timerfd_settime(watch->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int shmbus_snapshot_watch_open(const char *bus, uint64_t interval_ns,
			       shmbus_snapshot_callback callback, void *data,
			       struct shmbus_snapshot_watch **out)
{
	struct shmbus_snapshot_watch *watch;
	int error;

	*out = NULL;
	if (callback == NULL)
		return shmbus__fail(-EINVAL, "a watch needs a callback");
	watch = calloc(1, sizeof *watch);
	if (watch == NULL)
		return shmbus__fail(-ENOMEM, "no memory for a watch");
	error = shmbus_snapshot_open(bus, &watch->reader);
	if (error != 0)
		goto failed_open;
	watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (watch->timer < 0) {
		error = shmbus__fail(-errno, "no timer for a watch: %s", strerror(errno));
		goto failed_timer;
	}
	watch->callback = callback;
	watch->data = data;
	watch->wanted_ns = interval_ns < WAIT_MAX_NS ? interval_ns : WAIT_MAX_NS;
	watch->pause_ns = PAUSE_MIN_NS;
	timer_arm(watch, shmbus__monotonic_ns());
	*out = watch;
	return 0;

failed_timer:
	shmbus_snapshot_close(watch->reader);
failed_open:
	free(watch);
	return error;
}

void shmbus_snapshot_watch_close(struct shmbus_snapshot_watch *watch)
{
	if (watch == NULL)
		return;
	close(watch->timer);
	shmbus_snapshot_close(watch->reader);
	free(watch);
}

int shmbus_snapshot_watch_fd(const struct shmbus_snapshot_watch *watch)
{
	return watch->timer;
}

/* Looks again soon, and then less and less often. A look without a new snapshot reads a few bytes,
 * so two or three of them are cheaper than to know how long the agent needs to publish. */
static void look_again(struct shmbus_snapshot_watch *watch, uint64_t now)
{
	timer_arm(watch, now + watch->pause_ns);
	if (watch->pause_ns < PAUSE_MAX_NS)
		watch->pause_ns *= 2;
}

static int nothing_new(struct shmbus_snapshot_watch *watch, uint64_t now)
{
	uint64_t age_ns = now > watch->published_ns ? now - watch->published_ns : 0;

	look_again(watch, now);
	if (age_ns <= 3 * watch->interval_ns + STALE_NS)
		return 0;
	return shmbus__fail(-ESTALE,
			    "nothing new for %.1f s: the agent is gone, stopped or starved",
			    (double)age_ns / 1e9);
}

/* The next look: when the program wants one, or when a snapshot is due. */
static void look_next(struct shmbus_snapshot_watch *watch, uint64_t now)
{
	uint64_t due_ns;

	if (watch->wanted_ns > watch->interval_ns) {
		due_ns = watch->due_ns + watch->wanted_ns;
		timer_arm(watch, due_ns > now ? due_ns : now + watch->wanted_ns);
		return;
	}
	due_ns = watch->published_ns + watch->interval_ns;
	timer_arm(watch, (due_ns > now ? due_ns : now) + PAUSE_MIN_NS);
}

static void take(struct shmbus_snapshot_watch *watch, const struct shmbus_snapshot *snapshot,
		 uint64_t now)
{
	watch->pause_ns = PAUSE_MIN_NS;
	watch->seq = snapshot->seq;
	watch->published_ns = now - (snapshot->age_ns < now ? snapshot->age_ns : now);
	watch->interval_ns =
		snapshot->interval_ns < WAIT_MAX_NS ? snapshot->interval_ns : WAIT_MAX_NS;
	look_next(watch, now);
}

int shmbus_snapshot_watch_dispatch(struct shmbus_snapshot_watch *watch)
{
	struct shmbus_snapshot snapshot;
	uint64_t expired, gap = 0, now;
	int error;

	if (read(watch->timer, &expired, sizeof expired) != sizeof expired)
		return 0; /* before its time */
	now = shmbus__monotonic_ns();
	if (!shmbus__snapshot_changed(watch->reader))
		return nothing_new(watch, now);
	error = shmbus_snapshot_read(watch->reader, &snapshot);
	if (error != 0) {
		look_again(watch, now);
		return error;
	}
	if (snapshot.seq == watch->seq)
		return nothing_new(watch, now);
	/* An agent that found nothing of the one before begins anew with 1. */
	if (watch->seq != 0 && snapshot.seq > watch->seq)
		gap = snapshot.seq - watch->seq - 1;
	take(watch, &snapshot, now);
	watch->callback(&snapshot, gap, watch->data);
	return 1;
}
