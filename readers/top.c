/* SPDX-License-Identifier: MIT */
/* top.c - shmbus top: a live table of sessions and their timers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "options.h"
#include "screen.h"
#include "text.h"
#include "top_print.h"
#include "top_view.h"

static const char help[] =
	"Usage: shmbus top [-b|-j] [-n COUNT] [-d SECONDS] [--once] [-f TEXT]\n"
	"                  [--ascii] [--no-color] [--bus NAME]\n\n"
	"Shows the sessions and their timers, live. ? lists the keys; q or Ctrl-C ends\n"
	"it, Ctrl-Z stops it.\n\n"
	"  -b, --batch          plain text, one table after the other\n"
	"  -j, --json           a line of JSON for each table\n"
	"  -n, --count COUNT    end after so many tables (1 to 1000000)\n"
	"  -d, --delay SECONDS  between tables: 0.1 to 3600 (default 1)\n"
	"      --once           one table: -b -n 1\n"
	"  -f, --filter TEXT    what has TEXT in its name, or fits a glob with * ? [\n"
	"      --ascii          no other characters\n"
	"      --no-color       as with $NO_COLOR\n\n"
	"SESSION  STATE; CPU: part of one core; MEM: resident memory; DROPS: samples\n"
	"         refused, a ring was full; AGE: since the last sign of life;\n"
	"         B/Q, ERR: the largest and the sum of its cycles\n"
	"CYCLE    QUANT: frames a cycle; RATE: frames a second; WAIT: awake - signal;\n"
	"         BUSY: finish - awake; W/Q, B/Q: parts of the quantum;\n"
	"         ERR: xruns, missed deadlines\n"
	"TIMER    COUNT: samples ever; RATE: a second, over 10 s; MEAN, P50, P99, MAX:\n"
	"         of all; TARGET: met or MISSED\n"
	"VALUE    KIND; RATE: of a counter; VALUE\n"
	"WRITER   RING: its samples; USED: now; HIGH: the most ever; DROPS; SAMPLES\n\n"
	"WAIT and BUSY are means of the last samples. A dash: no value. A + ends what\n"
	"was cut; columns that do not fit the window are left out.\n\n"
	"Examples:\n"
	"  shmbus top --once --filter 'decode*'\n"
	"  shmbus top --json -d 10 | jq '.sessions[] | {id, dropped}'\n\n"
	"Exit status: 0; 1 where a table without a screen could not be read; 2 for what\n"
	"is not allowed.\n";

struct wanted {
	bool batch, json, ascii, plain;
	uint64_t count; /* 0: for ever */
	double delay_s;
	const char *filter;
};

static const struct option own_options[] = {{"batch", no_argument, NULL, 'b'},
					    {"json", no_argument, NULL, 'j'},
					    {"count", required_argument, NULL, 'n'},
					    {"delay", required_argument, NULL, 'd'},
					    {"once", no_argument, NULL, 'o'},
					    {"filter", required_argument, NULL, 'f'},
					    {"ascii", no_argument, NULL, 'a'},
					    {"no-color", no_argument, NULL, 'c'},
					    {NULL, 0, NULL, 0}};

#define FILTER_MAX (sizeof((struct top_state *)0)->filter - 1)

static bool take(int option, const char *value, void *data)
{
	struct wanted *wanted = data;
	char *end = NULL;

	switch (option) {
	case 'j':
		wanted->json = true; /* and no screen */
		wanted->batch = true;
		return true;
	case 'b':
		wanted->batch = true;
		return true;
	case 'o':
		wanted->batch = true;
		wanted->count = 1;
		return true;
	case 'a':
		wanted->ascii = true;
		return true;
	case 'c':
		wanted->plain = true;
		return true;
	case 'f':
		wanted->filter = value;
		return strlen(value) <= FILTER_MAX ||
		       not_allowed("--filter", value, "at most 63 bytes");
	case 'n':
		wanted->count = strtoull(value, &end, 10);
		if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && wanted->count >= 1 &&
		    wanted->count <= 1000000)
			return true;
		return not_allowed("--count", value, "1 to 1000000");
	default:
		wanted->delay_s = strtod(value, &end);
		if (*end == '\0' && end != value && wanted->delay_s >= 0.1 &&
		    wanted->delay_s <= 3600)
			return true;
		return not_allowed("--delay", value, "0.1 to 3600 seconds");
	}
}

/* ---- documents that stay ---- */

struct kept {
	bool there;
	uint8_t *bytes;
	struct document document;
};

static void kept_free(struct kept *kept)
{
	if (kept->there) {
		document_free(&kept->document);
		free(kept->bytes);
	}
	*kept = (struct kept){0};
}

/* A document of its own: what a snapshot's bytes lie in goes with the next read. */
static int kept_copy(struct kept *kept, const struct shmbus_snapshot *snapshot, const uint8_t *data)
{
	int error;

	kept_free(kept);
	kept->bytes = malloc(snapshot->size + 1);
	if (kept->bytes == NULL)
		return -ENOMEM;
	memcpy(kept->bytes, data, snapshot->size);
	error = document_decode(&kept->document, kept->bytes, snapshot->size);
	if (error != 0) {
		free(kept->bytes);
		return *kept = (struct kept){0}, error;
	}
	kept->document.snapshot = *snapshot;
	kept->there = true;
	return 0;
}

/* ---- one viewer ---- */

struct viewer {
	struct shmbus_snapshot_reader *reader;
	const struct wanted *wanted;
	const char *bus;
	bool live;
	struct kept now, before, baseline;
	int error; /* of the last read */
	struct top_rows rows;
	struct top_memory *memory;
	struct top_heat heat;
	struct top_state state;
	struct top_view view;
	struct top_wanted asked;
	double paused_at, baseline_at;
	size_t page;
};

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int remake(struct viewer *viewer)
{
	struct top_wanted *asked = &viewer->asked;

	asked->sort = viewer->state.sort;
	asked->reverse = viewer->state.reverse;
	asked->filter = viewer->state.filter;
	asked->baseline = viewer->baseline.there ? &viewer->baseline.document : NULL;
	asked->before = viewer->before.there ? &viewer->before.document : NULL;
	if (!viewer->now.there) {
		viewer->rows.count = 0;
		return 0;
	}
	return top_rows_make(&viewer->rows, &viewer->now.document, asked);
}

/* So many sessions are open at first; more of them would hide one another. */
#define SESSIONS_OPEN 20

/* All rows are remembered, those in closed sessions too: trends are there when they open. */
static int remember(struct viewer *viewer)
{
	const struct top_wanted all = {.filter = "", .open = TOP_TIMERS};
	bool first = top_memory_bus(viewer->memory) == NULL;
	const msgpack_object *sessions = NULL;
	struct top_rows rows = {0};
	int error = top_rows_make(&rows, &viewer->now.document, &all);

	if (error == 0)
		top_memory_take(viewer->memory, &viewer->now.document, &rows);
	if (first &&
	    member_array(&viewer->now.document.root, "sessions", &sessions) > SESSIONS_OPEN)
		top_memory_open_all(viewer->memory, TOP_CLOSED);
	top_rows_free(&rows);
	return error;
}

/* The metric whose latencies are shown: the selected timer, or of the selected session, value's or
 * writer's session, the first that has a deadline, else any. */
static const msgpack_object *heat_metric(const struct top_row *row)
{
	const msgpack_object *metrics = NULL, *found = NULL;
	size_t count = member_array(row->session, "metrics", &metrics);

	if (row->kind == TOP_CYCLE || row->kind == TOP_TIMER)
		return row->object;
	for (size_t i = 0; i < count; i++) {
		if (member(&metrics[i], "histogram") == NULL)
			continue;
		if (member(&metrics[i], "period") != NULL)
			return &metrics[i];
		if (found == NULL)
			found = &metrics[i];
	}
	return found != NULL ? found : row->object;
}

/* A document counts once, and again only where another metric was selected. */
static void take_heat(struct viewer *viewer, bool fresh)
{
	const struct top_row *row;
	const msgpack_object *metric, *before;
	size_t hint = 0;

	top_state_follow(&viewer->state, &viewer->rows, viewer->page);
	if (!viewer->now.there || viewer->rows.count == 0)
		return;
	row = &viewer->rows.rows[viewer->state.at];
	if (!fresh && row->key == viewer->heat.key)
		return;
	metric = heat_metric(row);
	before = top_session_find(viewer->before.there ? &viewer->before.document : NULL,
				  row->session, &hint);
	top_heat_take(&viewer->heat, row->key, &viewer->now.document, metric,
		      top_metric_find(before, metric));
}

/* Reads the newest document. One that was seen already only became older. */
static void look(struct viewer *viewer)
{
	struct shmbus_snapshot snapshot;

	viewer->error = shmbus_snapshot_read(viewer->reader, &snapshot);
	if (viewer->error == 0 && viewer->now.there &&
	    snapshot.time_unix_ns == viewer->now.document.snapshot.time_unix_ns &&
	    snapshot.seq == viewer->now.document.snapshot.seq) {
		viewer->now.document.snapshot = snapshot;
		return;
	}
	kept_free(&viewer->before);
	viewer->before = viewer->now;
	viewer->now = (struct kept){0};
	if (viewer->error == 0)
		viewer->error = kept_copy(&viewer->now, &snapshot, snapshot.data);
	if (viewer->error == 0 && viewer->live)
		viewer->error = remember(viewer);
	if (viewer->error == 0)
		viewer->error = remake(viewer);
	else
		kept_free(&viewer->now);
	if (viewer->live)
		take_heat(viewer, true);
}

static void show(struct viewer *viewer)
{
	double now = seconds_now();
	struct top_shown shown = {
		.bus = viewer->bus,
		.document = viewer->now.there ? &viewer->now.document : NULL,
		.rows = &viewer->rows,
		.error = viewer->error,
		.rate = viewer->live ? top_trend_last(top_memory_bus(viewer->memory)) : NAN,
		.paused_s = viewer->state.paused ? now - viewer->paused_at : NAN,
		.since_s = viewer->baseline.there ? now - viewer->baseline_at : NAN,
		.wanted = &viewer->asked,
		.live = viewer->live,
	};
	int columns = window_columns();

	if (!viewer->now.there)
		viewer->rows.count = 0;
	if (viewer->live) {
		viewer->page = top_view_draw(&viewer->view, &shown, &viewer->state, viewer->memory,
					     &viewer->heat);
		return;
	}
	if (!viewer->now.there) {
		read_failed(viewer->error, viewer->bus);
		return;
	}
	if (viewer->wanted->json)
		top_print_json(&shown);
	else
		top_print_text(&shown, columns > 0 ? columns : 200);
	fflush(stdout);
}

/* ---- the loop ---- */

/* False: the user has left. */
static bool act(struct viewer *viewer, enum top_action action)
{
	switch (action) {
	case TOP_QUIT:
		return false;
	case TOP_PAUSE:
		viewer->state.paused = !viewer->state.paused;
		viewer->paused_at = seconds_now();
		return true;
	case TOP_BASELINE:
		if (viewer->now.there)
			kept_copy(&viewer->baseline, &viewer->now.document.snapshot,
				  viewer->now.bytes);
		viewer->baseline_at = seconds_now();
		break;
	case TOP_RESTORE:
		kept_free(&viewer->baseline);
		break;
	case TOP_REMAKE:
		break;
	default:
		take_heat(viewer, false);
		return true;
	}
	viewer->error = remake(viewer);
	take_heat(viewer, false);
	return true;
}

static bool keys(struct viewer *viewer)
{
	int key;

	while ((key = screen_key()) >= 0)
		if (!act(viewer,
			 top_key(&viewer->state, key, &viewer->rows, viewer->memory, viewer->page)))
			return false;
	return true;
}

/* Keys and a new size are answered at once, and do not put off the next table. */
static bool wait_next(struct viewer *viewer, double until)
{
	for (;;) {
		double left = until - seconds_now();

		switch (screen_wait(left > 0 ? left : 0, viewer->live)) {
		case SCREEN_NEXT:
			return true;
		case SCREEN_LEAVE:
			return false;
		case SCREEN_KEYS:
			if (!keys(viewer))
				return false;
			break;
		case SCREEN_REDRAW:
			break;
		}
		if (viewer->live)
			show(viewer);
	}
}

static int loop(struct viewer *viewer)
{
	const struct wanted *wanted = viewer->wanted;
	uint64_t shown = 0;

	screen_signals(viewer->live);
	if (viewer->live) {
		viewer->live = screen_begin();
		if (viewer->live)
			top_view_begin(&viewer->view);
		else
			fputs("shmbus top: this terminal ($TERM) cannot show pages: plain tables\n",
			      stderr);
	}
	for (;;) {
		double until = seconds_now() + wanted->delay_s;

		if (!viewer->state.paused)
			look(viewer);
		show(viewer);
		if (++shown == wanted->count || ferror(stdout) || !wait_next(viewer, until))
			break;
	}
	screen_end();
	return viewer->error != 0 && !viewer->live ? EXIT_FAILURE : 0;
}

static int view(struct viewer *viewer)
{
	const struct wanted *wanted = viewer->wanted;
	const char *no_color = getenv("NO_COLOR");
	int status;

	viewer->live = !wanted->batch && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	viewer->view.colours = !wanted->plain && (no_color == NULL || no_color[0] == '\0');
	viewer->view.blocks = !wanted->ascii && text_unicode();
	viewer->state.strip = true;
	strcpy(viewer->state.filter, wanted->filter);
	viewer->asked.filter = viewer->state.filter;
	viewer->asked.open = wanted->json ? TOP_ALL : TOP_TIMERS;
	viewer->memory = top_memory_new();
	if (viewer->memory == NULL) {
		fputs("shmbus: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	if (viewer->live) {
		viewer->asked.open_of = top_memory_open;
		viewer->asked.data = viewer->memory;
	}
	status = loop(viewer);
	kept_free(&viewer->now);
	kept_free(&viewer->before);
	kept_free(&viewer->baseline);
	top_rows_free(&viewer->rows);
	top_memory_free(viewer->memory);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct wanted wanted = {.delay_s = 1, .filter = ""};
	struct viewer viewer = {.wanted = &wanted};
	const char *bus;
	int status =
		options_parse(command, argc, argv, "bjn:d:f:", own_options, take, &wanted, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &viewer.reader);
	if (status != 0)
		return status;
	viewer.bus = bus_name(bus);
	status = view(&viewer);
	shmbus_snapshot_close(viewer.reader);
	return status;
}

const struct command command_top = {"top", "show sessions and timers, live", help, run, NULL};
