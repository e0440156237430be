/* SPDX-License-Identifier: MIT */
/*
 * shmbus/snapshot.h - read the newest snapshot that the agent of a bus has published.
 *
 * A snapshot is one msgpack document (shmbus-snapshot(5)). Reading is a copy out of shared
 * memory: it makes nobody wait, the agent included, and what is returned is whole or nothing.
 * A reader belongs to one thread. The functions do system calls and allocate: not real-time.
 */
#ifndef SHMBUS_SNAPSHOT_H
#define SHMBUS_SNAPSHOT_H

#include <shmbus/types.h>

SHMBUS_BEGIN_DECLS

struct shmbus_snapshot_reader;

struct shmbus_snapshot {
	const uint8_t *data;   /* the msgpack document; valid until the next read or close */
	size_t size;           /* its bytes */
	uint64_t seq;          /* grows by one a publish tick: a gap tells what was not seen */
	uint64_t time_unix_ns; /* when it was published, CLOCK_REALTIME */
	uint64_t age_ns;       /* since it was published, CLOCK_MONOTONIC */
	uint64_t interval_ns;  /* the agent's publish interval: age far beyond it is stale */
	bool agent_running;    /* an agent holds this bus now */
};

/*
 * Opens a reader on a bus (NULL: $SHMBUS_BUS, else "default"). It needs no agent yet.
 * Returns 0, -EINVAL (a bad bus name) or -ENOMEM.
 */
SHMBUS_PUBLIC int shmbus_snapshot_open(const char *bus, struct shmbus_snapshot_reader **out);

/*
 * Copies out the newest snapshot. Follows an agent that was restarted by itself.
 *
 * Returns 0, or -ENOENT (no agent has published on this bus), -EACCES (the snapshot's mode does
 * not admit this user), -EPROTO (a layout of another version), -EBADMSG (not a snapshot, or a
 * damaged one, or one that was cut short in the middle of the read), -EAGAIN (overtaken by the
 * publisher 100 times in a row), -ENOMEM, or what shm_open(3) and pread(2) say. *out is untouched
 * after an error.
 */
SHMBUS_PUBLIC int shmbus_snapshot_read(struct shmbus_snapshot_reader *reader,
				       struct shmbus_snapshot *out);

/* Closes the reader; NULL is allowed. */
SHMBUS_PUBLIC void shmbus_snapshot_close(struct shmbus_snapshot_reader *reader);

/*
 * A watch calls back for each new snapshot, from the program's own event loop: wait until its
 * descriptor is readable (poll(2), epoll(7), any loop), then dispatch. No thread is made. A watch
 * belongs to one thread.
 */
struct shmbus_snapshot_watch;

/* `gap`: snapshots between this one and the one before it that were published and not seen. The
 * snapshot is valid until the callback returns; the callback may not close the watch. */
typedef void (*shmbus_snapshot_callback)(const struct shmbus_snapshot *snapshot, uint64_t gap,
					 void *data);

/*
 * Opens a watch on a bus (NULL as above) that calls back every interval_ns at most; 0, and what is
 * less than the agent's own interval: once for each snapshot, soon after it was published. It
 * needs no agent yet. Returns 0, -EINVAL (a bad bus name, no callback), -ENOMEM, or what
 * timerfd_create(2) says.
 */
SHMBUS_PUBLIC int shmbus_snapshot_watch_open(const char *bus, uint64_t interval_ns,
					     shmbus_snapshot_callback callback, void *data,
					     struct shmbus_snapshot_watch **out);

/* A descriptor that is readable when it is time to dispatch. It is the watch's: not to be read or
 * closed. */
SHMBUS_PUBLIC int shmbus_snapshot_watch_fd(const struct shmbus_snapshot_watch *watch);

/*
 * Looks, and calls back where there is a new snapshot. Never waits: before its time it does
 * nothing. Returns 1 (called back), 0 (nothing new), -ESTALE (nothing new for more than three of
 * the agent's intervals: it is gone, stopped or starved), or what shmbus_snapshot_read() returns,
 * -ENOENT where no agent has published yet. After any of them go on: the watch looks again by
 * itself, and follows an agent that returns.
 */
SHMBUS_PUBLIC int shmbus_snapshot_watch_dispatch(struct shmbus_snapshot_watch *watch);

/* Closes the watch; NULL is allowed. */
SHMBUS_PUBLIC void shmbus_snapshot_watch_close(struct shmbus_snapshot_watch *watch);

SHMBUS_END_DECLS

#endif /* SHMBUS_SNAPSHOT_H */
