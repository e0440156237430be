/* SPDX-License-Identifier: MIT */
/* doctor.c - shmbus doctor: what is wrong, and what to do about it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <shmbus/clock.h>
#include <shmbus/producer.h>

#include "clean.h"
#include "format.h"
#include "options.h"

static const char help[] =
	"Usage: shmbus doctor [--clean] [--bus NAME]\n\n"
	"Checks what a bus needs, one line a check: ok, warn or FAIL, and what to do.\n\n"
	"  --clean   remove the files of this bus whose owners are gone; needs that no agent "
	"runs\n\n"
	"Exit status: 0 all is well, 1 warnings, 2 failures.\n";

static const struct option table[] = {{"clean", no_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

static enum verdict worst;

__attribute__((format(printf, 2, 3))) static void say(enum verdict verdict, const char *format, ...)
{
	static const char *const words[] = {"ok  ", "warn", "FAIL"};
	va_list arguments;

	printf("%s  ", words[verdict]);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	if (verdict > worst)
		worst = verdict;
}

static bool take(int option, const char *value, void *data)
{
	(void)option, (void)value;
	*(bool *)data = true;
	return true;
}

static void check_shm(void)
{
	struct statvfs status;
	char text[FORMAT_SIZE];
	double free_bytes;

	if (statvfs("/dev/shm", &status) != 0) {
		say(VERDICT_FAIL, "/dev/shm: %s: mount a tmpfs there", strerror(errno));
		return;
	}
	free_bytes = (double)status.f_bavail * (double)status.f_frsize;
	format_bytes(text, free_bytes);
	if ((status.f_flag & ST_RDONLY) != 0 || access("/dev/shm", W_OK) != 0)
		say(VERDICT_FAIL, "/dev/shm: not writable for this user: producers run without "
				  "metrics");
	else if (free_bytes < 16e6)
		say(VERDICT_WARN, "/dev/shm: %s free: a session takes about 300K", text);
	else
		say(VERDICT_OK, "/dev/shm: writable, %s free", text);
}

static void check_clock(void)
{
	if (shmbus_clock_source() == SHMBUS_CLOCK_MONOTONIC)
		say(VERDICT_WARN, "clock: CLOCK_MONOTONIC: a read takes about 20 ns; the kernel "
				  "does not keep time by the TSC");
	else
		say(VERDICT_OK, "clock: the processor's counter");
}

static void check_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < 4096)
		say(VERDICT_WARN, "descriptors: at most %llu: an agent needs one a session",
		    (unsigned long long)limit.rlim_max);
	else
		say(VERDICT_OK, "descriptors: enough");
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < 8u << 20)
		say(VERDICT_WARN, "locked memory: at most %llu KiB: raise it for lock_memory",
		    (unsigned long long)limit.rlim_cur / 1024);
	else
		say(VERDICT_OK, "locked memory: enough");
}

static void check_files(const char *bus)
{
	struct bus_files files;
	char text[FORMAT_SIZE];

	bus_files_look(bus, &files);
	if (files.agent)
		say(VERDICT_OK, "agent: running");
	else if (files.unknown)
		say(VERDICT_WARN,
		    "agent: /dev/shm/shmbus.%s.agent is not readable: ask as its owner", bus);
	else
		say(VERDICT_FAIL, "agent: none: start one with 'shmbus-agent --bus %s'", bus);
	say(VERDICT_OK, "segments: %u of living producers, %s in all", files.alive,
	    format_bytes(text, (double)files.bytes));
	if (files.dead > 0 && !files.agent && !files.unknown)
		say(VERDICT_WARN,
		    "segments: %u of dead producers: an agent drains them; --clean removes them",
		    files.dead);
}

static void check_agent(const struct document *document)
{
	const msgpack_object *agent = member(&document->root, "agent");
	const msgpack_object *rejects = NULL;
	size_t count = member_array(agent, "rejects", &rejects);
	double cpu = member_real(agent, "cpu_ratio", 0);
	double drops = member_real(agent, "dropped_total", 0);

	if (cpu > 0.01)
		say(VERDICT_WARN, "agent: %.1f %% of a core: --drain or --interval may be longer",
		    cpu * 100);
	if (drops > 0)
		say(VERDICT_WARN, "drops: %.0f samples: larger rings, or a shorter --drain", drops);
	else
		say(VERDICT_OK, "drops: none");
	for (size_t i = 0; i < count; i++) {
		char segment[80], reason[100];

		say(VERDICT_WARN, "refused %s: %s",
		    member_text(&rejects[i], "segment", segment, sizeof segment),
		    member_text(&rejects[i], "reason", reason, sizeof reason));
	}
}

static void check_snapshot(struct shmbus_snapshot_reader *reader)
{
	struct document document;
	char age[FORMAT_SIZE];
	int error = document_read(&document, reader);

	if (error != 0) {
		say(VERDICT_FAIL, "snapshot: %s",
		    error == -EBADMSG ? "damaged" : shmbus_strerror(error));
		return;
	}
	format_duration(age, (double)document.snapshot.age_ns);
	if (document.snapshot.age_ns > 3 * document.snapshot.interval_ns)
		say(VERDICT_WARN, "snapshot: %s old: the agent is stopped or starved", age);
	else
		say(VERDICT_OK, "snapshot: %zu bytes, %s old", document.snapshot.size, age);
	check_agent(&document);
	document_free(&document);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct shmbus_snapshot_reader *reader;
	bool clean = false;
	const char *bus;
	int status = options_parse(command, argc, argv, "", table, take, &clean, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader); /* it checks the name */
	if (status != 0)
		return status;
	if (bus == NULL)
		bus = getenv("SHMBUS_BUS");
	if (bus == NULL || bus[0] == '\0')
		bus = "default";
	if (clean) {
		shmbus_snapshot_close(reader);
		return bus_files_clean(bus) == 0 ? 0 : EXIT_FAILURE;
	}
	check_shm();
	check_clock();
	check_limits();
	check_files(bus);
	check_snapshot(reader);
	shmbus_snapshot_close(reader);
	return (int)worst;
}

const struct command command_doctor = {"doctor", "check what a bus needs; clean up", help, run, 0};
