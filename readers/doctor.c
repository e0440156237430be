/* SPDX-License-Identifier: MIT */
/* doctor.c - shmbus doctor: what is wrong, and what to do about it. */
#include <errno.h>
#include <pwd.h>
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
#include "table.h"

static const char help[] =
	"Usage: shmbus doctor [--clean] [--bus NAME]\n\n"
	"Checks what a bus needs, one line a check: ok, warn or FAIL, and what to do.\n"
	"Then lists the bus' files in /dev/shm, with what to do where there is anything.\n\n"
	"  MODE     permissions; SIZE: memory that it takes\n"
	"  STATE    live: its owner runs; dead: its producer is gone; new: being made;\n"
	"           left: of an agent that is gone; hidden: not for this user to know;\n"
	"           strange: not made by this shmbus\n"
	"  SESSION  whose segment it is\n\n"
	"  --clean  remove the files of this bus whose owners are gone, and name them.\n"
	"           Needs that no agent runs; what dead producers left undrained is lost\n\n"
	"Exit status: 0 nothing failed, warnings or not; 1 a failure, or something could\n"
	"not be removed; 2 what is not allowed.\n";

static const struct option own_options[] = {{"clean", no_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

static bool failed;

__attribute__((format(printf, 2, 3))) static void say(enum verdict verdict, const char *format, ...)
{
	static const char *const words[] = {"ok  ", "warn", "FAIL"};
	va_list arguments;

	printf("%s  ", words[verdict]);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	failed |= verdict == VERDICT_FAIL;
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
		say(VERDICT_WARN,
		    "descriptors: at most %llu: an agent needs one a session: ulimit -n",
		    (unsigned long long)limit.rlim_max);
	else
		say(VERDICT_OK, "descriptors: enough");
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < 8u << 20)
		say(VERDICT_WARN,
		    "locked memory: at most %llu KiB: raise it (ulimit -l) for lock_memory",
		    (unsigned long long)limit.rlim_cur / 1024);
	else
		say(VERDICT_OK, "locked memory: enough");
}

/* ---- the files ---- */

struct files {
	const struct document *document; /* NULL where there is none */
	int agent;                       /* as bus_agent() has it */
	struct table table;
	uint32_t live, dead, odd;
	uint64_t bytes;
};

/* What the agent said of a segment when it refused it, else "". */
static const char *refusal(const struct document *document, const char *name, char *out,
			   size_t size)
{
	const msgpack_object *rejects = NULL;
	size_t count = document == NULL ? 0
					: member_array(member(&document->root, "agent"), "rejects",
						       &rejects);
	char segment[96];

	out[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		member_text(&rejects[i], "segment", segment, sizeof segment);
		if (segment[0] == '/' && strcmp(segment + 1, name) == 0)
			member_text(&rejects[i], "reason", out, size);
	}
	return out;
}

/* The session of a segment: the newest snapshot knows. */
static const char *session_of(const struct document *document, const char *name, char *out,
			      size_t size)
{
	const msgpack_object *sessions = NULL;
	size_t count = document == NULL ? 0 : member_array(&document->root, "sessions", &sessions);
	char segment[96];

	strcpy(out, "-");
	for (size_t i = 0; i < count; i++) {
		member_text(&sessions[i], "segment", segment, sizeof segment);
		if (segment[0] == '/' && strcmp(segment + 1, name) == 0)
			member_text(&sessions[i], "id", out, size);
	}
	return out;
}

static const char *state_word(const struct bus_file *file, int agent)
{
	static const char *const holders[] = {"dead", "live", "new", "hidden", "strange"};

	if (file->kind == BUS_FILE_OTHER || file->holder == BUS_FILE_STRANGE)
		return "strange";
	if (file->kind == BUS_FILE_SEGMENT)
		return holders[file->holder];
	return agent > 0 ? "live" : agent < 0 ? "hidden" : "left";
}

static const char *segment_advice(const struct bus_file *file, int agent)
{
	if ((file->mode & 022) != 0)
		return "others may write it: chmod go-w";
	if (file->holder == BUS_FILE_DENIED)
		return "ask as its owner, or as root";
	if (file->holder != BUS_FILE_FREE)
		return NULL;
	return agent > 0   ? "nothing: the agent drains and removes it"
	       : agent < 0 ? "ask as the agent's owner"
			   : "start an agent, which drains it, or --clean";
}

/* NULL: nothing is to be done. */
static const char *advice(const struct bus_file *file, int agent)
{
	if (file->kind == BUS_FILE_OTHER || file->holder == BUS_FILE_STRANGE)
		return "not made by this shmbus, and left alone: look what it is";
	if (file->kind == BUS_FILE_SEGMENT)
		return segment_advice(file, agent);
	return agent != 0 ? NULL : "nothing: an agent takes it over, --clean removes it";
}

static void file_row(const struct bus_file *file, void *data)
{
	struct files *files = data;
	struct table *table = &files->table;
	const struct passwd *user = getpwuid(file->uid);
	const char *state = state_word(file, files->agent);
	const char *todo = advice(file, files->agent);
	char text[128], size[FORMAT_SIZE];

	files->bytes += file->bytes;
	files->odd += strcmp(state, "strange") == 0 ||
		      (file->kind == BUS_FILE_SEGMENT && (file->mode & 022) != 0);
	if (file->kind == BUS_FILE_SEGMENT) {
		files->live += file->holder == BUS_FILE_HELD || file->holder == BUS_FILE_NEW;
		files->dead += file->holder == BUS_FILE_FREE;
	}
	table_cell(table, "%s", text_clean(file->name, strlen(file->name), text, sizeof text));
	if (user != NULL)
		table_cell(table, "%s", user->pw_name);
	else
		table_cell(table, "%u", (unsigned)file->uid);
	table_cell(table, "%04o", (unsigned)file->mode & 07777);
	table_cell(table, "%s", format_bytes(size, (double)file->bytes));
	table_cell(table, "%s", state);
	table_cell(table, "%s", session_of(files->document, file->name, text, sizeof text));
	if (*refusal(files->document, file->name, text, sizeof text) != '\0')
		table_note(table, "  refused: %s", text);
	else if (todo != NULL)
		table_note(table, "  %s", todo);
}

static void check_files(const char *bus, const struct document *document)
{
	static const char *const titles[] = {"FILE",  "OWNER", ">MODE",
					     ">SIZE", "STATE", "~SESSION"};
	struct files files = {.document = document, .agent = bus_agent(bus)};
	char text[FORMAT_SIZE];

	table_begin(&files.table, titles, 6);
	bus_files_each(bus, file_row, &files);
	format_bytes(text, (double)files.bytes);
	if (files.dead > 0 && files.agent == 0)
		say(VERDICT_WARN,
		    "segments: %u live, %u dead: start an agent, which drains them, or --clean",
		    files.live, files.dead);
	else
		say(VERDICT_OK, "segments: %u live, %u dead", files.live, files.dead);
	if (files.odd > 0)
		say(VERDICT_WARN, "files: %u to look at, below; %s in all", files.odd, text);
	else
		say(VERDICT_OK, "files: %s in all", text);
	if (files.table.count == 0)
		return;
	putchar('\n');
	table_end(&files.table);
}

static void check_running(const char *bus)
{
	int agent = bus_agent(bus);

	if (agent > 0)
		say(VERDICT_OK, "agent: running on bus \"%s\"", bus);
	else if (agent < 0)
		say(VERDICT_WARN,
		    "agent: /dev/shm/shmbus.%s.agent is not readable: ask as its owner", bus);
	else
		say(VERDICT_FAIL, "agent: none: start one with 'shmbus-agent --bus %s'", bus);
}

/* ---- the snapshot ---- */

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

static void check_snapshot(const struct document *document, int error, const char *bus)
{
	const struct shmbus_snapshot *snapshot = &document->snapshot;
	char age[FORMAT_SIZE], text[256];

	if (error != 0) {
		say(VERDICT_FAIL, "snapshot: %s", read_failure(error, bus, text, sizeof text));
		return;
	}
	format_duration(age, (double)snapshot->age_ns);
	if (!snapshot->agent_running)
		say(VERDICT_WARN, "snapshot: %s old, the last of an agent that is gone", age);
	else if (snapshot_stale(snapshot))
		say(VERDICT_FAIL, "snapshot: %s old: the agent is stopped or starved", age);
	else
		say(VERDICT_OK, "snapshot: %s, %s old", format_bytes(text, (double)snapshot->size),
		    age);
	check_agent(document);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct shmbus_snapshot_reader *reader;
	struct document document;
	bool clean = false;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "", own_options, take, &clean, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader); /* it checks the name */
	if (status != 0)
		return status;
	bus = bus_name(bus);
	if (clean) {
		shmbus_snapshot_close(reader);
		return bus_files_clean(bus) == 0 ? 0 : EXIT_FAILURE;
	}
	error = document_read(&document, reader);
	check_shm();
	check_clock();
	check_limits();
	check_running(bus);
	check_snapshot(&document, error, bus);
	check_files(bus, error == 0 ? &document : NULL);
	if (error == 0)
		document_free(&document);
	shmbus_snapshot_close(reader);
	return failed ? EXIT_FAILURE : 0;
}

const struct command command_doctor = {"doctor", "check what a bus needs; clean up", help, run,
				       NULL};
