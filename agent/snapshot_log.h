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
	uint64_t position; /* where the next byte goes, counted from the file's beginning */
	uint64_t written;  /* bytes since snapshot_log_begin() */
	uint64_t held;     /* where snapshot_log_undo() goes back to */
	uint64_t touched;  /* bytes of it whose pages are mapped, of those to be written next */
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

/*
 * A document begins. All that is written for it should be roomy, at most a quarter of the log: then
 * nothing of the newest document is overwritten. What is appended after the last of begin and hold
 * can be undone, for as long as the document is not published.
 */
static inline void snapshot_log_hold(struct snapshot_log *log)
{
	log->held = log->position;
}

static inline void snapshot_log_begin(struct snapshot_log *log)
{
	log->written = 0;
	snapshot_log_hold(log);
}

static inline bool snapshot_log_roomy(const struct snapshot_log *log, uint64_t bytes)
{
	return log->written + bytes <= log->size / 4;
}

static inline void snapshot_log_undo(struct snapshot_log *log)
{
	log->position = log->held;
}

/* Appends bytes and says where; `size` is at most a quarter of the log. */
uint64_t snapshot_log_append(struct snapshot_log *log, const void *bytes, uint64_t size);

/* A copy of an extent at the end of the log. */
uint64_t snapshot_log_forward(struct snapshot_log *log, uint64_t position, uint64_t size);

/* An extent that has not been reclaimed. */
static inline uint8_t *snapshot_log_bytes(const struct snapshot_log *log, uint64_t position)
{
	return log->bytes + (position & (log->size - 1));
}

/* Whether an extent is so old that it must be forwarded before a document is written. */
bool snapshot_log_old(const struct snapshot_log *log, uint64_t position);

/* Makes the document of these extents the newest, and puts its file in place where that is new.
 * Returns 0, or -errno where it cannot be put in place. */
int snapshot_log_publish(struct snapshot_log *log, const struct shmbus_snapshot_extent *extents,
			 uint64_t count, uint64_t time_unix_ns, uint64_t time_monotonic_ns,
			 uint64_t interval_ns);

/* Maps the pages of a new log that the next document will be written to, all at once, which takes
 * less time than one after the other and is no part of publishing. */
void snapshot_log_touch(struct snapshot_log *log);

#endif /* SHMBUS_AGENT_SNAPSHOT_LOG_H */
