/* SPDX-License-Identifier: MIT */
/* ls.c - shmbus ls: one line a session. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format.h"
#include "json.h"
#include "options.h"

static const char help[] =
	"Usage: shmbus ls [--json] [--bus NAME]\n\n"
	"Lists the sessions, the oldest first.\n\n"
	"  STATE    running, stale (no sign of life), ended (said goodbye), lost (died)\n"
	"  SERVICE  the program; ID: this session of it; PID: in its own pid namespace\n"
	"  UPTIME   since it was opened; AGE: since its last sign of life\n"
	"  WRITERS  threads that record; METRICS: that are defined\n"
	"  SAMPLES  aggregated; DROPS: refused because a ring was full\n\n"
	"  --json   the sessions of the snapshot, as a JSON array\n";

static const struct option table[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	(void)option, (void)value;
	*(bool *)data = true;
	return true;
}

static void session_line(const msgpack_object *session, uint64_t now_ns)
{
	char state[16], service[64], id[64], uptime[FORMAT_SIZE], age[FORMAT_SIZE];
	char samples[FORMAT_SIZE], drops[FORMAT_SIZE];
	uint64_t start = member_u64(session, "start_time_unix_ns", now_ns);
	uint64_t end = member_u64(session, "end_time_unix_ns", now_ns);
	const msgpack_object *elements;

	printf("%-8s %-14.14s %-24.24s %8.0f %8s %8s %7zu %7zu %9s %9s\n",
	       member_text(session, "state", state, sizeof state),
	       member_text(session, "service", service, sizeof service),
	       member_text(session, "id", id, sizeof id), member_real(session, "pid", 0),
	       format_duration(uptime, end > start ? (double)(end - start) : 0),
	       format_duration(age, member_real(session, "age_ns", NAN)),
	       member_array(session, "writers", &elements),
	       member_array(session, "metrics", &elements),
	       format_count(samples, member_real(session, "aggregated_total", NAN)),
	       format_count(drops, member_real(session, "dropped_total", NAN)));
}

static void print_lines(const struct document *document)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint64_t now_ns = member_u64(&document->root, "time_unix_ns", 0);

	printf("%-8s %-14s %-24s %8s %8s %8s %7s %7s %9s %9s\n", "STATE", "SERVICE", "ID", "PID",
	       "UPTIME", "AGE", "WRITERS", "METRICS", "SAMPLES", "DROPS");
	for (size_t i = 0; i < count; i++)
		session_line(&sessions[i], now_ns);
	if (!document->snapshot.agent_running)
		fprintf(stderr, "shmbus: no agent is running: this is the last snapshot\n");
}

static int run(const struct command *command, int argc, char **argv)
{
	struct shmbus_snapshot_reader *reader;
	struct document document;
	bool json = false;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "", table, take, &json, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader);
	if (status != 0)
		return status;
	error = document_read(&document, reader);
	if (error != 0) {
		read_failed(error, bus);
		shmbus_snapshot_close(reader);
		return EXIT_FAILURE;
	}
	if (json) {
		if (member(&document.root, "sessions") != NULL)
			json_print(stdout, member(&document.root, "sessions"), 2);
		else
			fputs("[]", stdout);
		putchar('\n');
	} else {
		print_lines(&document);
	}
	document_free(&document);
	shmbus_snapshot_close(reader);
	return 0;
}

const struct command command_ls = {"ls", "list the sessions", help, run, 0};
