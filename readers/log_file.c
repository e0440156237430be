/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log_file.h"
#include "log_record.h"
#include "log_state.h"

uint64_t log_now_unix_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *name_of(const struct log_file *file)
{
	return file->path != NULL ? file->path : "the output";
}

/* ---- opening ---- */

static int file_open(struct log_file *file)
{
	struct stat status;
	int error = 0;
	/* Nonblocking, so that a FIFO of that name does not hang us. */
	int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		      0644);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -ENOTSUP;
	if (error != 0) {
		close(fd);
		return error;
	}
	file->fd = fd;
	return 0;
}

int log_file_open(struct log_file *file, bool append)
{
	int error;

	file->last = &file->first;
	file->fd = STDOUT_FILENO;
	if (file->path == NULL)
		return 0;
	error = file_open(file);
	if (error != 0 || append)
		return error;
	log_state_forget(file);
	return ftruncate(file->fd, 0) == 0 ? 0 : -errno;
}

void log_file_reopen(struct log_file *file)
{
	if (file->path == NULL || file->fd < 0)
		return;
	log_state_save(file); /* what is in the old file will not be looked for there */
	close(file->fd);
	file->fd = -1;
}

/* Whether the path still leads to what is open. */
static bool in_place(const struct log_file *file)
{
	struct stat ours, named;

	return fstat(file->fd, &ours) == 0 && stat(file->path, &named) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* ---- rotation ---- */

static int rotated_name(const struct log_file *file, unsigned number, char out[PATH_MAX])
{
	int length = number == 0 ? snprintf(out, PATH_MAX, "%s", file->path)
				 : snprintf(out, PATH_MAX, "%s.%u", file->path, number);

	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int rotate_names(const struct log_file *file)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (file->rotate_keep == 0)
		return unlink(file->path) == 0 ? 0 : -errno;
	if (rotated_name(file, file->rotate_keep, to) != 0)
		return -ENAMETOOLONG;
	for (unsigned i = file->rotate_keep; i-- > 0;) {
		rotated_name(file, i, from);
		if (rename(from, to) != 0 && errno != ENOENT)
			return -errno;
		memcpy(to, from, sizeof to);
	}
	return 0;
}

/* A file that cannot be moved away grows on: too large is better than lost. */
static void rotate_if_full(struct log_file *file, size_t more)
{
	struct stat status;
	int error;

	if (file->rotate_size == 0 || fstat(file->fd, &status) != 0 || status.st_size == 0 ||
	    (uint64_t)status.st_size + more <= file->rotate_size)
		return;
	log_state_save(file);
	error = rotate_names(file);
	if (error != 0 && error != file->rotate_error)
		fprintf(stderr, "shmbus: cannot rotate %s: %s; it grows on\n", file->path,
			strerror(-error));
	file->rotate_error = error;
	if (error == 0) {
		close(file->fd);
		file->fd = -1;
	}
}

/* ---- writing ---- */

/* All of it or nothing: what a full disk took of a line is given back. */
static int write_regular(int fd, const char *text, size_t size)
{
	size_t done = 0;
	ssize_t more = 0;
	int error;
	off_t at;

	while (done < size && (more = write(fd, text + done, size - done)) > 0)
		done += (size_t)more;
	if (done == size)
		return 0;
	error = more < 0 ? errno : ENOSPC;
	if (done == 0)
		return -error;
	at = lseek(fd, 0, SEEK_CUR) - (off_t)done;
	if (at < 0 || ftruncate(fd, at) != 0 || lseek(fd, at, SEEK_SET) < 0)
		return -EIO;
	return -error;
}

/* To a pipe or a terminal: as long as its reader takes, unless we shall end. */
static int write_stream(struct log_file *file, const char *text, size_t size)
{
	sigset_t before;
	int error = 0;

	sigprocmask(SIG_UNBLOCK, &file->interrupts, &before);
	while (size > 0 && error == 0) {
		ssize_t done = write(file->fd, text, size);

		if (done >= 0) {
			text += done;
			size -= (size_t)done;
		} else if (errno != EINTR) {
			error = -errno;
		}
		if (size > 0 && file->stopping()) {
			file->cut_off = true;
			error = -EINTR;
		}
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return error;
}

static int write_text(struct log_file *file, const char *text, size_t size)
{
	struct stat status;
	int error = 0;

	if (file->path != NULL)
		rotate_if_full(file, size);
	if (file->fd < 0)
		error = file_open(file);
	if (error == 0 && fstat(file->fd, &status) != 0)
		error = -errno;
	if (error != 0)
		return error;
	return S_ISREG(status.st_mode) ? write_regular(file->fd, text, size)
				       : write_stream(file, text, size);
}

static void failed(struct log_file *file, int error)
{
	file->failures++;
	if (file->cut_off)
		return;
	if (file->error == 0)
		file->error_since_unix_ns = log_now_unix_ns();
	if (file->error != -error)
		fprintf(stderr,
			"shmbus: cannot write %s: %s; records wait in memory, and it is tried "
			"again\n",
			name_of(file), strerror(-error));
	file->error = -error;
	file->error_failures++;
}

/* The fault is over where this can be written too. */
static int write_gap(struct log_file *file)
{
	struct record_context context = {.bus = file->bus, .time_unix_ns = log_now_unix_ns()};
	struct record_gap gap = {.what = "write",
				 .reason = strerror(file->error),
				 .since_unix_ns = file->error_since_unix_ns,
				 .failures = file->error_failures,
				 .records_dropped = file->error_dropped};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int error;

	if (out == NULL)
		return -ENOMEM;
	record_gap(out, &context, &gap);
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	error = write_text(file, text, size);
	free(text);
	if (error != 0)
		return error;
	fprintf(stderr, "shmbus: writing %s again\n", name_of(file));
	file->records++;
	file->error = 0;
	file->error_failures = 0;
	file->error_dropped = 0;
	return 0;
}

static void line_done(struct log_file *file, struct log_line *line)
{
	struct seen_entry *entry = line->key != NULL ? seen_find(file->seen, line->key) : NULL;

	if (entry != NULL) {
		entry->written = true;
		file->unsaved = true;
	}
	file->records++;
	file->first = line->next;
	if (file->first == NULL)
		file->last = &file->first;
	file->queued_bytes -= line->size;
	free(line->key);
	free(line);
}

void log_file_flush(struct log_file *file)
{
	int error = 0;

	if (file->cut_off || (file->first == NULL && file->error == 0 && file->fd >= 0))
		return;
	if (file->path != NULL && file->fd >= 0 && !in_place(file))
		log_file_reopen(file);
	if (file->fd < 0)
		error = file_open(file);
	while (error == 0 && (file->first != NULL || file->error != 0)) {
		if (file->first != NULL)
			error = write_text(file, file->first->text, file->first->size);
		if (error == 0 && file->first != NULL)
			line_done(file, file->first);
		/* Not before it: a disk may have room for this short line and for no other. */
		if (error == 0 && file->error != 0)
			error = write_gap(file);
	}
	if (error != 0)
		failed(file, error);
}

/* ---- the queue ---- */

static struct log_line *line_new(const char *text, size_t size, const char *key)
{
	struct log_line *line = malloc(sizeof *line + size);

	if (line == NULL)
		return NULL;
	*line = (struct log_line){.size = size};
	memcpy(line->text, text, size);
	if (key == NULL)
		return line;
	line->key = strdup(key);
	if (line->key != NULL)
		return line;
	free(line);
	return NULL;
}

bool log_file_put(struct log_file *file, const char *text, size_t size, const char *key)
{
	struct log_line *line = NULL;

	if (file->queued_bytes + size > LOG_QUEUE_MAX)
		log_file_flush(file);
	if (file->queued_bytes + size <= LOG_QUEUE_MAX)
		line = line_new(text, size, key);
	if (line == NULL) {
		file->error_dropped += key == NULL;
		return false;
	}
	*file->last = line;
	file->last = &line->next;
	file->queued_bytes += size;
	return true;
}

size_t log_file_waiting(const struct log_file *file)
{
	size_t count = 0;

	for (const struct log_line *line = file->first; line != NULL; line = line->next)
		count++;
	return count;
}

void log_file_close(struct log_file *file)
{
	while (file->first != NULL) {
		struct log_line *line = file->first;

		file->first = line->next;
		free(line->key);
		free(line);
	}
	if (file->path != NULL && file->fd >= 0)
		close(file->fd);
}
