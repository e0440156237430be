/* SPDX-License-Identifier: MIT */
/*
 * snapshot_log.h - where snapshots are written: the log of struct shmbus_snapshot_header.
 *
 * A document is a list of extents. What did not change since the last document keeps its extent,
 * so a tick costs what has changed. What has grown old, half the log, is written again by the
 * publisher before it could be overwritten. The publisher alone uses this; readers only map the
 * file, so none of them can delay it.
 */
#ifndef SHMBUS_AGENT_SNAPSHOT_LOG_H
#define SHMBUS_AGENT_SNAPSHOT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmbus/layout.h>

struct snapshot_log {
	char name[80];
	char path[96];
	mode_t mode;
	gid_t group; /* (gid_t)-1: the process' own */
	struct shmbus_snapshot_header *header;
	uint8_t *bytes;
	uint64_t size;     /* of the log: a power of two */
	uint64_t position; /* bytes ever written */
	bool placed;       /* under its name */
	uint64_t seq;      /* of the newest document; goes on from the last agent's */
	/* While the log moves to a larger file: the one before. */
	struct shmbus_snapshot_header *old_header;
	uint64_t old_size;
};

/* Makes the file under a temporary name and takes up the sequence number of the one that is in
 * place. Group (gid_t)-1: the process' own. Returns 0 or -errno. */
int snapshot_log_open(struct snapshot_log *log, const char *bus, mode_t mode, gid_t group,
		      uint64_t size);

/* Unmaps; the file stays for readers that come after the agent. */
void snapshot_log_close(struct snapshot_log *log);

/*
 * Moves to a new file of at least this size: every extent that is still wanted is carried over,
 * then the old file is left. Returns 0, or -errno with the log as it was.
 */
int snapshot_log_grow(struct snapshot_log *log, uint64_t size);
uint64_t snapshot_log_carry(struct snapshot_log *log, uint64_t position, uint64_t size);
void snapshot_log_leave(struct snapshot_log *log);

/* Appends bytes and says where; `size` is at most a quarter of the log. */
uint64_t snapshot_log_append(struct snapshot_log *log, const void *bytes, uint64_t size);

/* A copy of an extent at the end of the log. */
uint64_t snapshot_log_forward(struct snapshot_log *log, uint64_t position, uint64_t size);

/* An extent that has not been reclaimed. */
static inline const uint8_t *snapshot_log_bytes(const struct snapshot_log *log, uint64_t position)
{
	return log->bytes + (position & (log->size - 1));
}

/* Whether an extent is so old that it must be forwarded before this tick's writing. */
bool snapshot_log_old(const struct snapshot_log *log, uint64_t position);

/* Makes the document of these extents the newest, and puts its file in place where that is new.
 * Returns 0, or -errno where it cannot be put in place. */
int snapshot_log_publish(struct snapshot_log *log, const struct shmbus_snapshot_extent *extents,
			 uint64_t count, uint64_t time_unix_ns, uint64_t time_monotonic_ns,
			 uint64_t interval_ns);

#endif /* SHMBUS_AGENT_SNAPSHOT_LOG_H */
