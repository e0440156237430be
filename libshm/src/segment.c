/* SPDX-License-Identifier: MIT */
/*
 * segment.c - a session's file in shared memory: made, grown, locked, removed.
 *
 * The file is opened twice. One descriptor is mapped and closed; the other is never mapped and
 * holds an open-file-description lock: the kernel frees it at any death of the process, and a
 * mapping that a forked child inherits cannot keep it held. Closing either one wakes the agent,
 * which watches for IN_CLOSE_WRITE: the first says that the segment is ready, the second that
 * the session is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock_private.h"
#include "internal.h"

size_t shmbus__page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static uint32_t align_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

static int segment_fail(const char *what, const struct shmbus_session *session)
{
	int error = errno;

	return shmbus__fail(-error, "%s " SHMBUS_SHM_DIR "%s: %s%s", what, session->segment,
			    strerror(error),
			    error == ENOSPC ? "; free space there, or ask for smaller rings" : "");
}

/* Reserves the pages, so that no later access finds the file system full (SIGBUS). */
static int reserve(int fd, uint64_t offset, uint64_t size)
{
	int error;

	do
		error = posix_fallocate(fd, (off_t)offset, (off_t)size);
	while (error == EINTR);
	errno = error;
	return error == 0 ? 0 : -1;
}

static int lock_for_life(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &lock);
}

static void geometry_set(struct shmbus_header *header, uint32_t metrics_max)
{
	uint32_t page = (uint32_t)shmbus__page_size();

	header->header_size = sizeof *header;
	header->page_size = page;
	header->labels_offset = sizeof *header;
	header->labels_stride = sizeof(struct shmbus_label_entry);
	header->labels_capacity = SHMBUS_LABELS_MAX;
	header->derived_offset =
		header->labels_offset + header->labels_stride * header->labels_capacity;
	header->derived_stride = sizeof(struct shmbus_derived_entry);
	header->derived_capacity = SHMBUS_DERIVED_MAX;
	header->writers_offset =
		header->derived_offset + header->derived_stride * header->derived_capacity;
	header->writers_stride = sizeof(struct shmbus_writer_entry);
	header->writers_capacity = SHMBUS_WRITERS_MAX;
	header->metrics_offset =
		header->writers_offset + header->writers_stride * header->writers_capacity;
	header->metrics_stride = sizeof(struct shmbus_metric_entry);
	header->metrics_capacity = metrics_max;
	header->heads_offset = align_up(
		header->metrics_offset + header->metrics_stride * header->metrics_capacity, page);
	header->heads_stride = sizeof(struct shmbus_head);
}

static void identity_set(struct shmbus_header *header)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	header->magic = SHMBUS_MAGIC;
	header->start_ticks = shmbus_now();
	header->start_time_unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	header->incarnation = header->start_time_unix_ns;
	header->tick_hz = shmbus__clock_hz();
	header->clock_source = (uint32_t)shmbus_clock_source();
	header->pid = getpid();
	header->tid_main = (uint32_t)gettid();
	atomic_store_explicit(&header->state, SHMBUS_SEGMENT_OPEN, memory_order_relaxed);
	atomic_store_explicit(&header->heartbeat_ticks, header->start_ticks, memory_order_relaxed);
}

/* While the file is still empty: an agent takes such a one for a segment in the making. The group
 * comes first, so that no other one has the mode for an instant. */
static int access_set(int fd, const struct shmbus_session *session,
		      const struct shmbus__access *access)
{
	if (access->group != (gid_t)-1 && fchown(fd, (uid_t)-1, access->group) != 0)
		return shmbus__fail(-errno,
				    "cannot give " SHMBUS_SHM_DIR "%s to group %u: %s; the program "
				    "must run with that group",
				    session->segment, (unsigned)access->group, strerror(errno));
	/* Past the umask, which would silently take the group's right away. */
	if (access->mode != 0 && fchmod(fd, access->mode) != 0)
		return segment_fail("cannot set the mode of", session);
	return 0;
}

/* Makes a new file under a name nobody has; returns its descriptor or -1 with errno. */
static int file_create(struct shmbus_session *session)
{
	uint64_t random;

	for (int i = 0; i < 8; i++) {
		int fd;

		if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
			return -1;
		snprintf(session->segment, sizeof session->segment,
			 "/" SHMBUS_PREFIX "%s." SHMBUS_SEGMENT_INFIX "%016llx", session->bus,
			 (unsigned long long)random);
		fd = shm_open(session->segment, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

/* Opens the file a second time and takes the lock; refuses another file under the name. */
static int lock_open(const struct shmbus_session *session, int fd)
{
	struct stat ours, found;
	int lock_fd = shm_open(session->segment, O_RDWR | O_NONBLOCK, 0);

	if (lock_fd < 0)
		return -1;
	if (fstat(fd, &ours) == 0 && fstat(lock_fd, &found) == 0) {
		if (ours.st_ino == found.st_ino && ours.st_dev == found.st_dev &&
		    lock_for_life(lock_fd) == 0)
			return lock_fd;
		if (ours.st_ino != found.st_ino)
			errno = EEXIST;
	}
	close(lock_fd);
	return -1;
}

int shmbus__segment_lock_memory(struct shmbus_session *session, void *start, size_t size)
{
	uint32_t flags;

	if (!session->lock_memory)
		return 0;
	flags = atomic_load_explicit(&session->header->flags, memory_order_relaxed) |
		SHMBUS_FLAG_LOCK_ASKED;
	if (mlock(start, size) != 0)
		flags |= SHMBUS_FLAG_LOCK_FAILED;
	atomic_store_explicit(&session->header->flags, flags, memory_order_relaxed);
	return 0;
}

/* Maps a part of the file with all its pages faulted in for writing. */
static void *map_part(int fd, uint64_t offset, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		    (off_t)offset);
}

int shmbus__segment_create(struct shmbus_session *session,
			   const struct shmbus_session_options *options,
			   const struct shmbus__access *access)
{
	struct shmbus_header plan = {0};
	void *map;
	int fd, error;

	geometry_set(&plan, options->metrics_max);
	session->map_size = align_up(plan.heads_offset + plan.heads_stride * SHMBUS_WRITERS_MAX,
				     plan.page_size);
	fd = file_create(session);
	if (fd < 0)
		return segment_fail("cannot create", session);
	session->lock_fd = lock_open(session, fd);
	if (session->lock_fd < 0) {
		error = segment_fail("cannot lock", session);
		goto fail_file;
	}
	error = access_set(fd, session, access);
	if (error != 0)
		goto fail_lock;
	if (reserve(fd, 0, session->map_size) != 0) {
		error = segment_fail("cannot reserve space in", session);
		goto fail_lock;
	}
	map = map_part(fd, 0, session->map_size);
	if (map == MAP_FAILED) {
		error = segment_fail("cannot map", session);
		goto fail_lock;
	}
	session->header = map;
	session->segment_size = session->map_size;
	geometry_set(session->header, options->metrics_max);
	identity_set(session->header);
	shmbus__segment_lock_memory(session, map, session->map_size);
	close(fd);
	return 0;

fail_lock:
	close(session->lock_fd);
fail_file:
	close(fd);
	shm_unlink(session->segment);
	session->segment[0] = '\0';
	return error;
}

void shmbus__segment_destroy(struct shmbus_session *session, bool keep)
{
	if (!keep)
		shm_unlink(session->segment);
	munmap(session->header, session->map_size);
	if (session->lock_fd >= 0)
		close(session->lock_fd);
}

/*
 * Appends `size` bytes to the file and maps them. The descriptor is a new one each time, because
 * the one that holds the lock must never be mapped; its closing tells the agent to look again.
 */
int shmbus__segment_grow(struct shmbus_session *session, uint64_t size, void **out,
			 uint64_t *offset)
{
	struct stat ours, found;
	void *map = MAP_FAILED;
	int error, fd = shm_open(session->segment, O_RDWR | O_NONBLOCK, 0);

	if (fd < 0)
		return segment_fail("cannot open", session);
	if (fstat(session->lock_fd, &ours) != 0 || fstat(fd, &found) != 0 ||
	    ours.st_ino != found.st_ino) {
		errno = ENOENT;
		error = segment_fail("no longer ours:", session);
		goto out;
	}
	error = 0;
	if (reserve(fd, session->segment_size, size) != 0) {
		error = segment_fail("cannot reserve space in", session);
		goto out;
	}
	map = map_part(fd, session->segment_size, size);
	if (map == MAP_FAILED) {
		error = segment_fail("cannot map", session);
		goto out;
	}
	*out = map;
	*offset = session->segment_size;
	session->segment_size += size;
	shmbus__segment_lock_memory(session, map, size);
out:
	/* The caller publishes the new part and wakes the agent by a heartbeat of its own. */
	close(fd);
	return error;
}
