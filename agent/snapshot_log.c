/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot_log.h"

#define LOG_OFFSET 4096u

static int file_make(const struct snapshot_log *log, char *path, size_t path_size, uint64_t size)
{
	int fd, error;

	/* One name: whoever holds the bus may take away what an earlier agent left in the making.
	 */
	snprintf(path, path_size, "%s.new", log->path);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	do
		error = posix_fallocate(fd, 0, (off_t)(LOG_OFFSET + size));
	while (error == EINTR);
	/* The group first: the mode is not for the one before. */
	if (error == 0 && log->group != (gid_t)-1 && fchown(fd, (uid_t)-1, log->group) != 0)
		error = errno;
	if (error == 0 && fchmod(fd, log->mode) != 0)
		error = errno;
	if (error == 0)
		return fd;
	close(fd);
	unlink(path);
	return -error;
}

/* Makes a file of a size, whole and empty. It takes the place of the one there when it holds its
 * first document, so that readers never find none. */
static int file_replace(struct snapshot_log *log, uint64_t size)
{
	struct shmbus_snapshot_header *header;
	char path[128];
	void *map;
	int error, fd = file_make(log, path, sizeof path, size);

	if (fd < 0)
		return fd;
	/* Its memory is reserved. It is mapped as it is written, and ahead of that once a first
	 * document is there: nobody waits then. */
	map = mmap(NULL, LOG_OFFSET + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	error = map == MAP_FAILED ? -errno : 0;
	close(fd);
	if (error != 0)
		goto fail;
	header = map;
	header->magic = SHMBUS_SNAPSHOT_MAGIC;
	header->version = SHMBUS_SNAPSHOT_VERSION;
	header->log_offset = LOG_OFFSET;
	header->log_size = size;
	log->old_header = log->header;
	log->old_size = log->size;
	log->header = header;
	log->bytes = (uint8_t *)map + LOG_OFFSET;
	log->size = size;
	log->position = SHMBUS_LINE_SIZE; /* 0 means none */
	log->touched = 0;
	log->placed = false;
	return 0;

fail:
	unlink(path);
	return error;
}

/* The last sequence number that readers of the bus have seen. */
static uint64_t seq_found(const struct snapshot_log *log)
{
	struct shmbus_snapshot_header header;
	uint64_t index, seq = 0;
	int fd = open(log->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
	    header.magic == SHMBUS_SNAPSHOT_MAGIC &&
	    header.version >> 16 == SHMBUS_SNAPSHOT_MAJOR && header.log_size != 0) {
		index = atomic_load_explicit(&header.index, memory_order_relaxed);
		if (index == 0 || pread(fd, &seq, sizeof seq,
					(off_t)(header.log_offset + index % header.log_size)) !=
					  (ssize_t)sizeof seq)
			seq = 0;
	}
	close(fd);
	return seq;
}

int snapshot_log_open(struct snapshot_log *log, const char *bus, mode_t mode, gid_t group,
		      uint64_t size)
{
	memset(log, 0, sizeof *log);
	log->mode = mode;
	log->group = group;
	snprintf(log->name, sizeof log->name, "/" SHMBUS_PREFIX "%s." SHMBUS_SNAPSHOT_SUFFIX, bus);
	snprintf(log->path, sizeof log->path, "/dev/shm%s", log->name);
	log->seq = seq_found(log);
	return file_replace(log, size);
}

void snapshot_log_leave(struct snapshot_log *log)
{
	if (log->old_header != NULL)
		munmap(log->old_header, LOG_OFFSET + log->old_size);
	log->old_header = NULL;
}

void snapshot_log_close(struct snapshot_log *log)
{
	snapshot_log_leave(log);
	if (log->header != NULL)
		munmap(log->header, LOG_OFFSET + log->size);
	log->header = NULL;
}

int snapshot_log_grow(struct snapshot_log *log, uint64_t size)
{
	uint64_t larger = log->size;

	while (larger < size)
		larger *= 2;
	return file_replace(log, larger);
}

uint64_t snapshot_log_carry(struct snapshot_log *log, uint64_t position, uint64_t size)
{
	const uint8_t *old = (const uint8_t *)log->old_header + LOG_OFFSET;

	return snapshot_log_append(log, old + (position & (log->old_size - 1)), size);
}

bool snapshot_log_old(const struct snapshot_log *log, uint64_t position)
{
	return log->position - position > log->size / 2;
}

/* Takes room for `size` bytes in one piece, and tells readers what is about to go. Returns where it
 * is in the log. */
static uint64_t room_take(struct snapshot_log *log, uint64_t size)
{
	uint64_t offset = log->position & (log->size - 1);
	uint64_t position, end, reclaimed;

	position = log->position + (size > log->size - offset ? log->size - offset : 0);
	end = position + size;
	reclaimed = atomic_load_explicit(&log->header->reclaimed, memory_order_relaxed);
	/* What was reclaimed for something that was undone stays so: it has been written over. */
	if (end > log->size && end - log->size > reclaimed) {
		atomic_store_explicit(&log->header->reclaimed, end - log->size,
				      memory_order_relaxed);
		/* R-reclaim release fence: who sees a byte written below sees `reclaimed` too;
		 * pairs with A-reclaim in libshm/src/snapshot.c. */
		atomic_thread_fence(memory_order_release);
	}
	size = (size + 7) & ~7ull;
	log->position = position + size;
	log->written += size;
	return position;
}

uint64_t snapshot_log_append(struct snapshot_log *log, const void *bytes, uint64_t size)
{
	uint64_t position = room_take(log, size);

	memcpy(snapshot_log_bytes(log, position), bytes, (size_t)size);
	return position;
}

uint64_t snapshot_log_forward(struct snapshot_log *log, uint64_t position, uint64_t size)
{
	const uint8_t *from = snapshot_log_bytes(log, position);
	uint64_t forwarded = room_take(log, size);

	memmove(snapshot_log_bytes(log, forwarded), from, (size_t)size);
	return forwarded;
}

static int file_place(struct snapshot_log *log)
{
	char path[128];

	snprintf(path, sizeof path, "%s.new", log->path);
	if (rename(path, log->path) != 0)
		return -errno;
	log->placed = true;
	return 0;
}

int snapshot_log_publish(struct snapshot_log *log, const struct shmbus_snapshot_extent *extents,
			 uint64_t count, uint64_t time_unix_ns, uint64_t time_monotonic_ns,
			 uint64_t interval_ns)
{
	struct shmbus_snapshot_index index = {
		.seq = ++log->seq,
		.time_unix_ns = time_unix_ns,
		.time_monotonic_ns = time_monotonic_ns,
		.interval_ns = interval_ns,
		.extent_count = count,
	};
	uint64_t size = count * sizeof *extents;
	uint64_t position = room_take(log, sizeof index + size);
	uint8_t *to = snapshot_log_bytes(log, position);

	for (uint64_t i = 0; i < count; i++)
		index.document_size += extents[i].size;
	memcpy(to, &index, sizeof index);
	memcpy(to + sizeof index, extents, (size_t)size);
	/* R-index release: the document is whole; pairs with A-index in libshm/src/snapshot.c. */
	atomic_store_explicit(&log->header->index, position, memory_order_release);
	return log->placed ? 0 : file_place(log);
}

void snapshot_log_touch(struct snapshot_log *log)
{
	uint64_t from = log->touched > log->position ? log->touched : log->position;
	uint64_t to = log->position + log->size / 4;

	from &= ~(uint64_t)(LOG_OFFSET - 1);
	to = to < log->size ? to : log->size;
	if (from >= to)
		return;
	/* Where the kernel has no such thing, pages are mapped one after the other. */
	madvise(log->bytes + from, to - from, MADV_POPULATE_WRITE);
	log->touched = to;
}
