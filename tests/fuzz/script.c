/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "script.h"

#define LATER_MAX 8

struct change {
	uint8_t operation; /* SCRIPT_WRITE or SCRIPT_SIZE */
	uint32_t offset;   /* or the size */
	uint16_t length;
	const uint8_t *bytes;
};

struct later {
	struct change change;
	uint32_t reads; /* until it happens */
};

static struct {
	const uint8_t *at;
	size_t left;
	int steps;
	uint32_t later_count;
	struct later later[LATER_MAX];
} script;

/* The thread that races. */
static struct {
	bool wanted;
	bool running;
	_Atomic bool stop;
	pthread_t thread;
	pthread_mutex_t lock; /* of the script's later changes */
} race = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int file = -1;
static char file_name[80];

/* The linker puts these two in the place of pread(2). */
ssize_t __real_pread(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *buffer, size_t size, off_t offset);

_Noreturn void promise_broken(const char *condition, const char *where, int line)
{
	fprintf(stderr, "%s:%d: broken promise: %s\n", where, line, condition);
	abort();
}

/* ---- the file ---- */

const char *script_bus(void)
{
	static char bus[32];
	const char *base = getenv("SHMBUS_BUS");

	if (bus[0] == '\0')
		snprintf(bus, sizeof bus, "%.20s-%d", base != NULL ? base : "fuzz", (int)getpid());
	return bus;
}

static void file_remove(void)
{
	shm_unlink(file_name);
}

void script_file(const char *ending, char name[80])
{
	if (file < 0) {
		snprintf(file_name, sizeof file_name, "/shmbus.%s.%s", script_bus(), ending);
		file = shm_open(file_name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (file < 0) {
			perror(file_name);
			exit(2);
		}
		atexit(file_remove);
	}
	memcpy(name, file_name, sizeof file_name);
}

int script_descriptor(void)
{
	return file;
}

static void must(bool done, const char *what)
{
	if (done)
		return;
	perror(what);
	exit(2);
}

/* Leaves no holes below `size`, as a library that reserves its space; what a script leaves out of
 * an image is zeros. */
static bool fill(uint32_t size)
{
	return size == 0 || posix_fallocate(file, 0, size) == 0;
}

static void apply(const struct change *change)
{
	uint32_t room;

	if (change->operation == SCRIPT_SIZE) {
		uint32_t size = change->offset % (SCRIPT_FILE_MAX + 1);

		must(ftruncate(file, size) == 0 && fill(size), "ftruncate");
		return;
	}
	room = SCRIPT_FILE_MAX - change->offset % SCRIPT_FILE_MAX;
	must(pwrite(file, change->bytes, change->length < room ? change->length : room,
		    change->offset % SCRIPT_FILE_MAX) >= 0,
	     "pwrite");
	must(fill(change->offset % SCRIPT_FILE_MAX), "posix_fallocate");
}

/* ---- the script ---- */

void script_begin(const uint8_t *data, size_t size)
{
	memset(&script, 0, sizeof script);
	script.at = data;
	script.left = size;
	must(ftruncate(file, 0) == 0, "ftruncate");
}

uint64_t script_number(size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes && script.left > 0; i++) {
		number |= (uint64_t)*script.at++ << 8 * i;
		script.left--;
	}
	return number;
}

void script_end(void)
{
	if (!race.running)
		return;
	atomic_store(&race.stop, true);
	pthread_join(race.thread, NULL);
	race.running = false;
}

static struct change change_parse(uint8_t operation)
{
	struct change change = {.operation = operation, .offset = (uint32_t)script_number(4)};

	if (operation == SCRIPT_SIZE)
		return change;
	change.length = (uint16_t)script_number(2);
	if (change.length > script.left)
		change.length = (uint16_t)script.left;
	change.bytes = script.at;
	script.at += change.length;
	script.left -= change.length;
	return change;
}

/* ---- in another thread ---- */

void script_race(void)
{
	race.wanted = true;
}

/* Makes a change, and takes it back: the bytes that were there, or the size. */
static void to_and_fro(const struct change *change)
{
	uint8_t bytes[256];
	struct change back = *change;
	struct stat status;
	ssize_t got;

	must(fstat(file, &status) == 0, "fstat");
	if (change->operation == SCRIPT_SIZE) {
		back.offset = (uint32_t)status.st_size;
	} else {
		got = __real_pread(file, bytes,
				   change->length < sizeof bytes ? change->length : sizeof bytes,
				   change->offset % SCRIPT_FILE_MAX);
		must(got >= 0, "pread");
		back.bytes = bytes;
		back.length = (uint16_t)got;
	}
	apply(change);
	apply(&back);
}

static void *race_run(void *unused)
{
	(void)unused;
	while (!atomic_load(&race.stop)) {
		struct later later[LATER_MAX];
		uint32_t count;

		pthread_mutex_lock(&race.lock);
		count = script.later_count;
		memcpy(later, script.later, sizeof later);
		pthread_mutex_unlock(&race.lock);
		for (uint32_t i = 0; i < count; i++)
			to_and_fro(&later[i].change);
	}
	return NULL;
}

static void race_start(void)
{
	if (race.running)
		return;
	atomic_store(&race.stop, false);
	must(pthread_create(&race.thread, NULL, race_run, NULL) == 0, "pthread_create");
	race.running = true;
}

static void later_parse(void)
{
	uint32_t reads = (uint32_t)script_number(1);
	uint8_t operation = (uint8_t)script_number(1) & 1;
	struct later later = {.change = change_parse(operation), .reads = reads};

	pthread_mutex_lock(&race.lock);
	if (script.later_count < LATER_MAX)
		script.later[script.later_count++] = later;
	pthread_mutex_unlock(&race.lock);
	if (race.wanted)
		race_start();
}

int script_step(int steps)
{
	while (script.left > 0 && script.steps < SCRIPT_STEPS_MAX) {
		uint8_t operation = (uint8_t)script_number(1) & 15;
		struct change change;

		if (operation == SCRIPT_LATER) {
			later_parse();
			continue;
		}
		if (operation >= SCRIPT_STEP) {
			script.steps++;
			return (operation - SCRIPT_STEP) % steps;
		}
		change = change_parse(operation);
		apply(&change);
	}
	return -1;
}

/* ---- in the middle of a step ---- */

ssize_t __wrap_pread(int fd, void *buffer, size_t size, off_t offset)
{
	uint32_t kept = 0;

	if (race.wanted)
		return __real_pread(fd, buffer, size, offset);
	for (uint32_t i = 0; i < script.later_count; i++) {
		struct later later = script.later[i];

		if (later.reads-- == 0) {
			apply(&later.change);
		} else {
			script.later[kept++] = later;
		}
	}
	script.later_count = kept;
	return __real_pread(fd, buffer, size, offset);
}

/* ---- SIGBUS ---- */

static void (*guard_handler)(int number);

static void on_sigbus(int number)
{
	guard_handler(number); /* comes back only where no guard stood */
	abort();
}

void script_guard_init(void)
{
	struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER}, before = {0};

	if (guard_handler != NULL)
		return;
	must(guard_init() == 0 && sigaction(SIGBUS, &action, &before) == 0, "sigaction");
	guard_handler = before.sa_handler;
}
