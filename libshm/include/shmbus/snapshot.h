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
 * damaged one), -EAGAIN (overtaken by the publisher 100 times in a row), -ENOMEM, or what
 * shm_open(3) and mmap(2) say. *out is untouched after an error. An agent never cuts its file
 * short; where somebody else does so in the middle of a read, there is a SIGBUS.
 */
SHMBUS_PUBLIC int shmbus_snapshot_read(struct shmbus_snapshot_reader *reader,
				       struct shmbus_snapshot *out);

/* Closes the reader; NULL is allowed. */
SHMBUS_PUBLIC void shmbus_snapshot_close(struct shmbus_snapshot_reader *reader);

SHMBUS_END_DECLS

#endif /* SHMBUS_SNAPSHOT_H */
