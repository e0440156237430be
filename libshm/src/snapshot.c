/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - copy the newest document out of the agent's log. The agent may overwrite old
 * bytes at any time; it says so in `reclaimed` first. So: copy, then look at `reclaimed`; what
 * was overtaken is copied again from a newer document.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/snapshot.h>

#include "internal.h"

#define TRIES 100
#define LOG_SIZE_MAX (1ull << 32)

struct shmbus_snapshot_reader {
	char name[SHMBUS_SEGMENT_NAME_SIZE];
	char agent_path[128];
	const struct shmbus_snapshot_header *header; /* NULL while there is none */
	size_t map_size;
	uint64_t log_size;
	const uint8_t *log;
	dev_t device;
	ino_t inode;
	uint8_t *document;
	size_t document_size;
	struct shmbus_snapshot_extent *extents;
	size_t extents_size;
};

int shmbus_snapshot_open(const char *bus, struct shmbus_snapshot_reader **out)
{
	char name[SHMBUS_BUS_SIZE];
	struct shmbus_snapshot_reader *reader;
	int error = shmbus__bus_resolve(bus, name);

	*out = NULL;
	if (error != 0)
		return error;
	reader = calloc(1, sizeof *reader);
	if (reader == NULL)
		return shmbus__fail(-ENOMEM, "no memory for a snapshot reader");
	snprintf(reader->name, sizeof reader->name, "/" SHMBUS_PREFIX "%s." SHMBUS_SNAPSHOT_SUFFIX,
		 name);
	shmbus__agent_path(reader->agent_path, sizeof reader->agent_path, name);
	*out = reader;
	return 0;
}

static void snapshot_unmap(struct shmbus_snapshot_reader *reader)
{
	if (reader->header != NULL)
		munmap((void *)(uintptr_t)reader->header, reader->map_size);
	reader->header = NULL;
}

void shmbus_snapshot_close(struct shmbus_snapshot_reader *reader)
{
	if (reader == NULL)
		return;
	snapshot_unmap(reader);
	free(reader->document);
	free(reader->extents);
	free(reader);
}

/* ---- the file ---- */

static int header_check(const struct shmbus_snapshot_reader *reader,
			const struct shmbus_snapshot_header *header, uint64_t file_size)
{
	if (header->magic != SHMBUS_SNAPSHOT_MAGIC)
		return shmbus__fail(-EBADMSG, "%s is not a snapshot", reader->name);
	if (header->version >> 16 != SHMBUS_SNAPSHOT_MAJOR)
		return shmbus__fail(-EPROTO,
				    "snapshot version %u.%u; this program reads %u.x: use the "
				    "programs of one release",
				    header->version >> 16, header->version & 0xffffu,
				    SHMBUS_SNAPSHOT_MAJOR);
	if (header->log_offset < sizeof *header || header->log_offset % 8 != 0 ||
	    header->log_size == 0 || header->log_size > LOG_SIZE_MAX ||
	    (header->log_size & (header->log_size - 1)) != 0 ||
	    header->log_offset + header->log_size > file_size)
		return shmbus__fail(-EBADMSG, "%s is damaged: start the agent again", reader->name);
	return 0;
}

static int snapshot_map(struct shmbus_snapshot_reader *reader, int fd)
{
	struct shmbus_snapshot_header header;
	struct stat status;
	void *map;
	int error;

	if (fstat(fd, &status) != 0)
		return shmbus__fail(-errno, "cannot stat %s: %s", reader->name, strerror(errno));
	if (!S_ISREG(status.st_mode) ||
	    pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
		return shmbus__fail(-EBADMSG, "%s is not a snapshot", reader->name);
	error = header_check(reader, &header, (uint64_t)status.st_size);
	if (error != 0)
		return error;
	map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return shmbus__fail(-errno, "cannot map %s: %s", reader->name, strerror(errno));
	snapshot_unmap(reader);
	reader->header = map;
	reader->map_size = (size_t)status.st_size;
	reader->log = (const uint8_t *)map + header.log_offset;
	reader->log_size = header.log_size;
	reader->device = status.st_dev;
	reader->inode = status.st_ino;
	return 0;
}

/* Maps the file that bears the name now, unless it is the one that is mapped already. One that
 * was cut short since is looked at anew: touching what it has lost would raise SIGBUS. */
static int snapshot_follow(struct shmbus_snapshot_reader *reader)
{
	char path[128];
	struct stat status;
	int fd, error;

	snprintf(path, sizeof path, SHMBUS_SHM_DIR "%s", reader->name);
	if (reader->header != NULL && lstat(path, &status) == 0 && status.st_ino == reader->inode &&
	    status.st_dev == reader->device && (size_t)status.st_size == reader->map_size)
		return 0;
	fd = shm_open(reader->name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 && errno == ENOENT && reader->header == NULL)
		return shmbus__fail(-ENOENT, "no agent has published on this bus");
	if (fd < 0 && errno == ENOENT)
		return 0; /* the last document is still readable */
	if (fd < 0)
		return shmbus__fail(-errno, "cannot open %s: %s", reader->name, strerror(errno));
	error = snapshot_map(reader, fd);
	close(fd);
	return error;
}

/* ---- the log ---- */

/* Where a span of the log lies, or NULL for one that cannot be: items never wrap. */
static const uint8_t *span(const struct shmbus_snapshot_reader *reader, uint64_t position,
			   uint64_t size)
{
	uint64_t offset = position & (reader->log_size - 1);

	return size <= reader->log_size - offset ? reader->log + offset : NULL;
}

/* Whether nothing from a position on was overwritten up to now. */
static bool intact(const struct shmbus_snapshot_reader *reader, uint64_t position)
{
	/* A-reclaim acquire: the copies made before are done, and if one of them saw a byte of a
	 * later item, `reclaimed` is seen raised; pairs with R-reclaim in the publisher. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&reader->header->reclaimed, memory_order_relaxed) <= position;
}

static bool grow(void **buffer, size_t *size, size_t needed)
{
	void *larger;

	if (*size >= needed)
		return true;
	larger = realloc(*buffer, needed + needed / 4);
	if (larger == NULL)
		return false;
	*buffer = larger;
	*size = needed + needed / 4;
	return true;
}

/* Copies the index and its extents. 0, -EAGAIN when overtaken, -EBADMSG, -ENOMEM. */
static int index_copy(struct shmbus_snapshot_reader *reader, uint64_t position,
		      struct shmbus_snapshot_index *index)
{
	const uint8_t *at = span(reader, position, sizeof *index);
	void *extents = reader->extents;
	size_t size;

	if (at == NULL || position % 8 != 0)
		return -EBADMSG;
	memcpy(index, at, sizeof *index);
	if (!intact(reader, position))
		return -EAGAIN;
	if (index->extent_count == 0 || index->document_size == 0 ||
	    index->extent_count > reader->log_size / sizeof(struct shmbus_snapshot_extent) ||
	    index->document_size > reader->log_size)
		return -EBADMSG;
	size = (size_t)index->extent_count * sizeof(struct shmbus_snapshot_extent);
	at = span(reader, position + sizeof *index, size);
	if (at == NULL)
		return -EBADMSG;
	if (!grow(&extents, &reader->extents_size, size))
		return -ENOMEM;
	reader->extents = extents;
	memcpy(reader->extents, at, size);
	return intact(reader, position) ? 0 : -EAGAIN;
}

static int document_copy(struct shmbus_snapshot_reader *reader,
			 const struct shmbus_snapshot_index *index)
{
	uint64_t oldest = UINT64_MAX, copied = 0;
	void *document = reader->document;

	if (!grow(&document, &reader->document_size, (size_t)index->document_size))
		return -ENOMEM;
	reader->document = document;
	for (uint64_t i = 0; i < index->extent_count; i++) {
		const struct shmbus_snapshot_extent *extent = &reader->extents[i];
		const uint8_t *at = span(reader, extent->position, extent->size);

		if (at == NULL || extent->size > index->document_size - copied)
			return -EBADMSG;
		memcpy(reader->document + copied, at, (size_t)extent->size);
		copied += extent->size;
		if (extent->position < oldest)
			oldest = extent->position;
	}
	if (!intact(reader, oldest))
		return -EAGAIN;
	return copied == index->document_size ? 0 : -EBADMSG;
}

static int newest_copy(struct shmbus_snapshot_reader *reader, struct shmbus_snapshot_index *index)
{
	for (int i = 0; i < TRIES; i++) {
		/* A-index acquire: the document is whole; pairs with R-index. */
		uint64_t position =
			atomic_load_explicit(&reader->header->index, memory_order_acquire);
		int error;

		if (position == 0)
			return shmbus__fail(-ENOENT, "the agent has not published yet");
		error = index_copy(reader, position, index);
		if (error == 0)
			error = document_copy(reader, index);
		if (error == 0)
			return 0;
		/* What looks damaged may have been overwritten in the middle of the look. */
		if (error == -EBADMSG && !intact(reader, position))
			error = -EAGAIN;
		if (error != -EAGAIN)
			return shmbus__fail(error, "%s: %s", reader->name,
					    error == -ENOMEM ? "no memory for the document"
							     : "damaged: start the agent again");
	}
	return shmbus__fail(-EAGAIN, "overtaken by the publisher %d times in a row", TRIES);
}

/* ---- reading ---- */

static bool agent_running(const struct shmbus_snapshot_reader *reader)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(reader->agent_path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	bool running;

	if (fd < 0)
		return false;
	running = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return running;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int shmbus_snapshot_read(struct shmbus_snapshot_reader *reader, struct shmbus_snapshot *out)
{
	struct shmbus_snapshot_index index;
	uint64_t now;
	int error = snapshot_follow(reader);

	if (error == 0)
		error = newest_copy(reader, &index);
	if (error != 0)
		return error;
	now = monotonic_ns();
	out->data = reader->document;
	out->size = (size_t)index.document_size;
	out->seq = index.seq;
	out->time_unix_ns = index.time_unix_ns;
	out->interval_ns = index.interval_ns;
	out->age_ns = now > index.time_monotonic_ns ? now - index.time_monotonic_ns : 0;
	out->agent_running = agent_running(reader);
	return 0;
}
