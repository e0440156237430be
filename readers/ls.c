/* SPDX-License-Identifier: MIT */
/* ls.c - shmbus ls: one line a session. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format.h"
#include "json.h"
#include "options.h"
#include "table.h"

static const char help[] =
	"Usage: shmbus ls [--json] [--bus NAME]\n\n"
	"Lists the sessions, the oldest first.\n\n"
	"  STATE    running, stale (no sign of life), ended (said goodbye), lost (died)\n"
	"  SERVICE  the program; ID: this session of it; PID: in its own pid namespace\n"
	"  UPTIME   since it was opened; AGE: since its last sign of life\n"
	"  WRITERS  threads that record; METRICS: that are defined\n"
	"  SAMPLES  aggregated; DROPS: refused because a ring was full\n\n"
	"A + ends what was cut to fit the window; columns that do not fit are left out.\n"
	"Where the output is no terminal all is shown.\n\n"
	"  --json   the sessions of the snapshot, as a JSON array\n";

static const struct option own_options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	(void)option, (void)value;
	*(bool *)data = true;
	return true;
}

static void session_row(struct table *table, const msgpack_object *session, uint64_t now_ns)
{
	char text[128], number[FORMAT_SIZE];
	uint64_t start = member_u64(session, "start_time_unix_ns", now_ns);
	uint64_t end = member_u64(session, "end_time_unix_ns", now_ns);
	const msgpack_object *elements;

	table_cell(table, "%s", member_text(session, "state", text, sizeof text));
	table_cell(table, "%s", member_text(session, "service", text, sizeof text));
	table_cell(table, "%s", member_text(session, "id", text, sizeof text));
	table_cell(table, "%.0f", member_real(session, "pid", 0));
	table_cell(table, "%s", format_duration(number, end > start ? (double)(end - start) : 0));
	table_cell(table, "%s", format_duration(number, member_real(session, "age_ns", NAN)));
	table_cell(table, "%zu", member_array(session, "writers", &elements));
	table_cell(table, "%zu", member_array(session, "metrics", &elements));
	table_cell(table, "%s",
		   format_count(number, member_real(session, "aggregated_total", NAN)));
	table_cell(table, "%s", format_count(number, member_real(session, "dropped_total", NAN)));
}

static void print_table(const struct document *document, const char *bus)
{
	static const char *const titles[] = {"STATE", "~SERVICE", "~ID",      ">PID",     ">UPTIME",
					     ">AGE",  ">WRITERS", ">METRICS", ">SAMPLES", ">DROPS"};
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint64_t now_ns = member_u64(&document->root, "time_unix_ns", 0);
	struct table table;

	table_begin(&table, titles, (int)(sizeof titles / sizeof titles[0]));
	for (size_t i = 0; i < count; i++)
		session_row(&table, &sessions[i], now_ns);
	table_end(&table);
	if (count == 0)
		fprintf(stderr, "shmbus: no session on bus \"%s\"\n", bus);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct newest newest;
	bool json = false;
	const char *bus;
	int status = options_parse(command, argc, argv, "", own_options, take, &json, &bus);

	if (status >= 0)
		return status;
	status = newest_open(&newest, bus, 0);
	if (status != 0)
		return status;
	if (json) {
		if (member(&newest.document.root, "sessions") != NULL)
			json_print(stdout, member(&newest.document.root, "sessions"), 2);
		else
			fputs("[]", stdout);
		putchar('\n');
	} else {
		print_table(&newest.document, newest.bus);
	}
	newest_close(&newest);
	return 0;
}

const struct command command_ls = {"ls", "list the sessions", help, run, NULL};
