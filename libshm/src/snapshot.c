/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - copy the newest document out of the agent's log. The agent may overwrite old
 * bytes at any time; it says so in `reclaimed` first. So: copy, then look at `reclaimed`; what
 * was overtaken is copied again from a newer document.
 *
 * The file is read, not mapped: whoever cuts it short must not raise SIGBUS in its readers.
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
#define AHEAD_SIZE 32768u /* small items come in rows, one reading for many */
#define SMALL_SIZE 256u
#define LOG_SIZE_MAX (1ull << 32)

struct shmbus_snapshot_reader {
	char name[SHMBUS_SEGMENT_NAME_SIZE];
	char agent_path[128];
	int fd; /* -1 while there is none */
	uint64_t file_size;
	uint64_t log_offset;
	uint64_t log_size;
	uint64_t position; /* of the index of the last document that was copied; 0: of none */
	dev_t device;
	ino_t inode;
	uint8_t *document;
	size_t document_size;
	struct shmbus_snapshot_extent *extents;
	size_t extents_size;
	uint8_t ahead[AHEAD_SIZE]; /* what follows the last small item that was read */
	uint64_t ahead_offset;
	size_t ahead_size;
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
	reader->fd = -1;
	shmbus__agent_path(reader->agent_path, sizeof reader->agent_path, name);
	*out = reader;
	return 0;
}

static void file_leave(struct shmbus_snapshot_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
}

void shmbus_snapshot_close(struct shmbus_snapshot_reader *reader)
{
	if (reader == NULL)
		return;
	file_leave(reader);
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

/* Goes on with another file; its descriptor is the reader's from here on, unless it fails. */
static int file_take(struct shmbus_snapshot_reader *reader, int fd)
{
	struct shmbus_snapshot_header header;
	struct stat status;
	int error;

	if (fstat(fd, &status) != 0)
		return shmbus__fail(-errno, "cannot stat %s: %s", reader->name, strerror(errno));
	if (!S_ISREG(status.st_mode) ||
	    pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
		return shmbus__fail(-EBADMSG, "%s is not a snapshot", reader->name);
	error = header_check(reader, &header, (uint64_t)status.st_size);
	if (error != 0)
		return error;
	file_leave(reader);
	reader->fd = fd;
	reader->file_size = (uint64_t)status.st_size;
	reader->log_offset = header.log_offset;
	reader->log_size = header.log_size;
	reader->position = 0;
	reader->device = status.st_dev;
	reader->inode = status.st_ino;
	return 0;
}

/* Opens the file that bears the name now, unless it is the one that is open already. One that
 * was cut short since is looked at anew. */
static int snapshot_follow(struct shmbus_snapshot_reader *reader)
{
	char path[128];
	struct stat status;
	int fd, error;

	snprintf(path, sizeof path, SHMBUS_SHM_DIR "%s", reader->name);
	if (reader->fd >= 0 && lstat(path, &status) == 0 && status.st_ino == reader->inode &&
	    status.st_dev == reader->device && (uint64_t)status.st_size == reader->file_size)
		return 0;
	fd = shm_open(reader->name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 && errno == ENOENT && reader->fd < 0)
		return shmbus__fail(-ENOENT, "no agent has published on this bus");
	if (fd < 0 && errno == ENOENT)
		return 0; /* the last document is still readable */
	if (fd < 0)
		return shmbus__fail(-errno, "cannot open %s: %s", reader->name, strerror(errno));
	error = file_take(reader, fd);
	if (error != 0)
		close(fd);
	return error;
}

/* ---- the log ---- */

/* Reads a part of the file. 0, -EBADMSG where the file ends before it, or -errno. */
static int part_read(const struct shmbus_snapshot_reader *reader, uint64_t offset, void *out,
		     size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = pread(reader->fd, (uint8_t *)out + done, size - done,
				    (off_t)(offset + done));

		if (got == 0)
			return -EBADMSG;
		if (got < 0 && errno != EINTR)
			return -errno;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* One of the header's numbers. The kernel promises no copy in one piece, so two must agree. */
static int number_read(const struct shmbus_snapshot_reader *reader, uint64_t offset, uint64_t *out)
{
	uint64_t again = 0;
	int error = part_read(reader, offset, out, sizeof *out);

	while (error == 0) {
		error = part_read(reader, offset, &again, sizeof again);
		if (again == *out)
			break;
		*out = again;
	}
	return error;
}

/* Reads an item of the log; items never wrap. */
static int item_read(struct shmbus_snapshot_reader *reader, uint64_t position, void *out,
		     uint64_t size)
{
	uint64_t offset = position & (reader->log_size - 1);
	ssize_t got;

	if (size > reader->log_size - offset)
		return -EBADMSG;
	offset += reader->log_offset;
	if (size > SMALL_SIZE)
		return part_read(reader, offset, out, (size_t)size);
	if (offset < reader->ahead_offset ||
	    offset + size > reader->ahead_offset + reader->ahead_size) {
		got = pread(reader->fd, reader->ahead, AHEAD_SIZE, (off_t)offset);
		reader->ahead_offset = offset;
		reader->ahead_size = got > 0 ? (size_t)got : 0;
		if (got < (ssize_t)size)
			return got < 0 ? -errno : -EBADMSG;
	}
	memcpy(out, reader->ahead + (offset - reader->ahead_offset), (size_t)size);
	return 0;
}

/* 0 when nothing from a position on was overwritten up to now, -EAGAIN, or -errno. */
static int intact(const struct shmbus_snapshot_reader *reader, uint64_t position)
{
	uint64_t reclaimed = 0;
	int error;

	/* A-reclaim acquire: the copies made before are done, and if one of them saw a byte of a
	 * later item, `reclaimed` is seen raised; pairs with R-reclaim in the publisher. */
	atomic_thread_fence(memory_order_acquire);
	error = number_read(reader, offsetof(struct shmbus_snapshot_header, reclaimed), &reclaimed);
	if (error != 0)
		return error;
	return reclaimed <= position ? 0 : -EAGAIN;
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

/* Copies the index and its extents. 0, -EAGAIN when overtaken, -EBADMSG, -ENOMEM, -errno. */
static int index_copy(struct shmbus_snapshot_reader *reader, uint64_t position,
		      struct shmbus_snapshot_index *index)
{
	void *extents = reader->extents;
	size_t size;
	int error;

	if (position % 8 != 0)
		return -EBADMSG;
	error = item_read(reader, position, index, sizeof *index);
	if (error == 0)
		error = intact(reader, position);
	if (error != 0)
		return error;
	if (index->extent_count == 0 || index->document_size == 0 ||
	    index->extent_count > reader->log_size / sizeof(struct shmbus_snapshot_extent) ||
	    index->document_size > reader->log_size)
		return -EBADMSG;
	size = (size_t)index->extent_count * sizeof(struct shmbus_snapshot_extent);
	if (!grow(&extents, &reader->extents_size, size))
		return -ENOMEM;
	reader->extents = extents;
	error = item_read(reader, position + sizeof *index, extents, size);
	return error == 0 ? intact(reader, position) : error;
}

static int document_copy(struct shmbus_snapshot_reader *reader,
			 const struct shmbus_snapshot_index *index)
{
	uint64_t oldest = UINT64_MAX, copied = 0;
	void *document = reader->document;
	int error;

	if (!grow(&document, &reader->document_size, (size_t)index->document_size))
		return -ENOMEM;
	reader->document = document;
	for (uint64_t i = 0; i < index->extent_count; i++) {
		const struct shmbus_snapshot_extent *extent = &reader->extents[i];

		if (extent->size > index->document_size - copied)
			return -EBADMSG;
		error = item_read(reader, extent->position, reader->document + copied,
				  extent->size);
		if (error != 0)
			return error;
		copied += extent->size;
		if (extent->position < oldest)
			oldest = extent->position;
	}
	error = intact(reader, oldest);
	if (error != 0)
		return error;
	return copied == index->document_size ? 0 : -EBADMSG;
}

/* The document whose index is there now. As index_copy(); -ENOENT where there is none yet. */
static int document_try(struct shmbus_snapshot_reader *reader, struct shmbus_snapshot_index *index)
{
	uint64_t position;
	int error;

	reader->ahead_size = 0;
	error = number_read(reader, offsetof(struct shmbus_snapshot_header, index), &position);
	if (error != 0)
		return error;
	if (position == 0)
		return -ENOENT;
	/* A-index acquire: the document is whole; pairs with R-index. */
	atomic_thread_fence(memory_order_acquire);
	error = index_copy(reader, position, index);
	if (error == 0)
		error = document_copy(reader, index);
	if (error == 0)
		reader->position = position;
	/* What looks damaged may have been overwritten in the middle of the look. */
	if (error == -EBADMSG && intact(reader, position) == -EAGAIN)
		error = -EAGAIN;
	return error;
}

static int newest_copy(struct shmbus_snapshot_reader *reader, struct shmbus_snapshot_index *index)
{
	for (int i = 0; i < TRIES; i++) {
		int error = document_try(reader, index);

		switch (error) {
		case 0:
			return 0;
		case -EAGAIN:
			break;
		case -ENOENT:
			return shmbus__fail(error, "the agent has not published yet");
		case -ENOMEM:
			return shmbus__fail(error, "%s: no memory for the document", reader->name);
		case -EBADMSG:
			return shmbus__fail(error, "%s: damaged: start the agent again",
					    reader->name);
		default:
			return shmbus__fail(error, "cannot read %s: %s", reader->name,
					    strerror(-error));
		}
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

uint64_t shmbus__monotonic_ns(void)
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
	now = shmbus__monotonic_ns();
	out->data = reader->document;
	out->size = (size_t)index.document_size;
	out->seq = index.seq;
	out->time_unix_ns = index.time_unix_ns;
	out->interval_ns = index.interval_ns;
	out->age_ns = now > index.time_monotonic_ns ? now - index.time_monotonic_ns : 0;
	out->agent_running = agent_running(reader);
	return 0;
}

bool shmbus__snapshot_changed(struct shmbus_snapshot_reader *reader)
{
	uint64_t position;

	if (snapshot_follow(reader) != 0 ||
	    number_read(reader, offsetof(struct shmbus_snapshot_header, index), &position) != 0)
		return true;
	return position == 0 || position != reader->position;
}
