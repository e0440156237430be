/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
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
	bool changed_within;
} script;

static int file = -1;
static char file_name[80];

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

static void later_parse(void)
{
	uint32_t reads = (uint32_t)script_number(1);
	uint8_t operation = (uint8_t)script_number(1) & 1;
	struct later later = {.change = change_parse(operation), .reads = reads};

	if (script.later_count < LATER_MAX)
		script.later[script.later_count++] = later;
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
			script.changed_within = false;
			return (operation - SCRIPT_STEP) % steps;
		}
		change = change_parse(operation);
		apply(&change);
	}
	return -1;
}

bool script_changed_within(void)
{
	return script.changed_within;
}

/* ---- in the middle of a step ---- */

/* The linker puts these two in the place of pread(2). */
ssize_t __real_pread(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *buffer, size_t size, off_t offset);

ssize_t __wrap_pread(int fd, void *buffer, size_t size, off_t offset)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < script.later_count; i++) {
		struct later later = script.later[i];

		if (later.reads-- == 0) {
			apply(&later.change);
			script.changed_within = true;
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
