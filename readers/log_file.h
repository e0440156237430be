/* SPDX-License-Identifier: MIT */
/*
 * log_file.h - lines into a file or standard output, each with one write(2). What cannot be written
 * waits in memory, up to a limit, and is tried again. A file that was moved away or removed is
 * opened anew; one that grows too large moves on to FILE.1, FILE.2, ...
 */
#ifndef SHMBUS_READERS_LOG_FILE_H
#define SHMBUS_READERS_LOG_FILE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log_seen.h"

#define LOG_QUEUE_MAX (16u << 20) /* bytes that may wait */

struct log_line {
	struct log_line *next;
	size_t size;
	char *key; /* of a finished session; else NULL */
	char text[];
};

struct log_file {
	const char *path; /* NULL: standard output */
	const char *bus;
	struct seen *seen;      /* whose entries are marked as written */
	sigset_t interrupts;    /* signals that may end a wait for a reader of standard output */
	bool (*stopping)(void); /* whether one of them asked to end */
	int fd;                 /* -1: to be opened */
	uint64_t rotate_size;
	unsigned rotate_keep;
	struct log_line *first, **last;
	size_t queued_bytes;
	bool cut_off;            /* asked to end while a reader did not read: no more is written */
	bool unsaved;            /* FILE.state does not know all that was written */
	int save_error;          /* errno of the last try to save that, 0: none */
	uint64_t finished_total; /* sessions that the bus had finished, in the last document */
	bool finished_known;
	/* The fault that lasts: errno, 0 without one. */
	int error;
	uint64_t error_since_unix_ns;
	uint64_t error_failures;
	uint64_t error_dropped;
	int rotate_error;
	uint64_t records;
	uint64_t failures;
};

/* Opens it: at its end or, without `append`, empty. The first failure is for the caller to see:
 * a negative errno, -EWOULDBLOCK where another log has it. */
int log_file_open(struct log_file *file, bool append);

/* Takes a line, of a finished session with its key. False: there is no room, and it was not taken.
 * What is no session's and is not taken is counted for the next gap. */
bool log_file_put(struct log_file *file, const char *line, size_t size, const char *key);

/* Writes what waits, as far as it goes. */
void log_file_flush(struct log_file *file);

/* Opens the file anew: it may be another one. */
void log_file_reopen(struct log_file *file);

/* What waits and was not written. */
size_t log_file_waiting(const struct log_file *file);
void log_file_close(struct log_file *file);

/* Wall clock. */
uint64_t log_now_unix_ns(void);

#endif /* SHMBUS_READERS_LOG_FILE_H */
