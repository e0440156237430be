/* SPDX-License-Identifier: MIT */
/*
 * log.c - a line is put into a buffer, and a thread of its own writes it: whoever reads standard
 * error may stop to, and neither drain nor publisher may wait for that. What finds the buffer
 * full is counted, and said when there is room again.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define BUFFER_SIZE (128u << 10) /* over a thousand lines */
#define END_WAIT_S 1             /* for the last lines, when the agent ends */

static const char *log_bus = "";
static bool log_verbose;

/* Of each line its bytes alone, the newline included. */
static struct {
	pthread_mutex_t lock; /* held to copy, never to write */
	pthread_cond_t more;
	pthread_cond_t over;
	pthread_t thread;
	char buffers[2][BUFFER_SIZE]; /* one is filled while the other is written */
	uint32_t filled;              /* which */
	size_t size;                  /* of that one */
	uint64_t refused;             /* lines since the last that found room */
	bool held;                    /* until the thread is there */
	bool running;
	bool stop;
	bool ended;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t lost;

uint64_t log_lost(void)
{
	return atomic_load_explicit(&lost, memory_order_relaxed);
}

void log_setup(const char *bus, bool verbose)
{
	log_bus = bus;
	log_verbose = verbose;
}

static void lost_count(uint64_t lines)
{
	atomic_fetch_add_explicit(&lost, lines, memory_order_relaxed);
}

/* One write(2) a line, so that lines of programs with the same standard error do not mix. */
static void line_write(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDERR_FILENO, text, size);

		if (written >= 0) {
			text += written;
			size -= (size_t)written;
		} else if (errno == EAGAIN) {
			poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
		} else if (errno != EINTR) {
			lost_count(1); /* there is nobody to tell */
			return;
		}
	}
}

static void lines_write(const char *text, size_t size)
{
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t length = end != NULL ? (size_t)(end - text) + 1 : size;

		line_write(text, length);
		text += length;
		size -= length;
	}
}

static void *write_thread(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&queue.lock);
	while (queue.size > 0 || !queue.stop) {
		const char *text = queue.buffers[queue.filled];
		size_t size = queue.size;
		uint64_t refused = queue.refused;

		if (size == 0) {
			pthread_cond_wait(&queue.more, &queue.lock);
			continue;
		}
		queue.filled ^= 1;
		queue.size = 0;
		queue.refused = 0;
		pthread_mutex_unlock(&queue.lock);
		lines_write(text, size);
		if (refused != 0)
			log_line("left out %llu lines: standard error was not read",
				 (unsigned long long)refused);
		pthread_mutex_lock(&queue.lock);
	}
	queue.ended = true;
	pthread_cond_signal(&queue.over);
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

void log_hold(void)
{
	queue.held = true;
}

int log_start(void)
{
	pthread_condattr_t attributes;
	int error;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.more, NULL);
	pthread_cond_init(&queue.over, &attributes);
	pthread_condattr_destroy(&attributes);
	error = pthread_create(&queue.thread, NULL, write_thread, NULL);
	queue.running = error == 0;
	queue.held = false;
	if (error != 0)
		lines_write(queue.buffers[queue.filled], queue.size);
	return -error;
}

void log_stop(void)
{
	struct timespec limit;
	int error = 0;

	if (!queue.running)
		return;
	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_sec += END_WAIT_S;
	pthread_mutex_lock(&queue.lock);
	queue.stop = true;
	pthread_cond_signal(&queue.more);
	while (!queue.ended && error == 0)
		error = pthread_cond_timedwait(&queue.over, &queue.lock, &limit);
	pthread_mutex_unlock(&queue.lock);
	/* A thread that hangs in write(2) ends with the process. */
	if (error == 0)
		pthread_join(queue.thread, NULL);
}

static void line_queue(const char *text, size_t size)
{
	pthread_mutex_lock(&queue.lock);
	if (size <= BUFFER_SIZE - queue.size) {
		memcpy(queue.buffers[queue.filled] + queue.size, text, size);
		queue.size += size;
		if (queue.running)
			pthread_cond_signal(&queue.more);
	} else {
		queue.refused++;
		lost_count(1);
	}
	pthread_mutex_unlock(&queue.lock);
}

__attribute__((format(printf, 1, 0))) static void line(const char *format, va_list arguments)
{
	char text[512];
	int start = snprintf(text, sizeof text, "shmbus-agent[%s]: ", log_bus);
	int length = vsnprintf(text + start, sizeof text - (size_t)start - 1, format, arguments);
	size_t end = (size_t)start + (size_t)length;

	if (length < 0)
		return;
	if (end > sizeof text - 2)
		end = sizeof text - 2;
	text[end] = '\n';
	if (queue.running || queue.held)
		line_queue(text, end + 1);
	else
		line_write(text, end + 1);
}

void log_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
}

void log_detail(const char *format, ...)
{
	va_list arguments;

	if (!log_verbose)
		return;
	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
}
