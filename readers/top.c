/* SPDX-License-Identifier: MIT */
/* top.c - shmbus top: a live table of sessions and their timers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "format.h"
#include "options.h"
#include "screen.h"
#include "text.h"

static const char help[] =
	"Usage: shmbus top [-b] [-n COUNT] [-d SECONDS] [--once] [--bus NAME]\n\n"
	"Shows the sessions and their timers, live. q or Ctrl-C ends it, Ctrl-Z stops it,\n"
	"any other key draws it again.\n\n"
	"  -b, --batch          plain text, one table after the other\n"
	"  -n, --count COUNT    end after so many tables (1 to 1000000)\n"
	"  -d, --delay SECONDS  between tables: 0.1 to 3600 (default 1)\n"
	"      --once           one table: -b -n 1\n\n"
	"Sessions that live come first. cpu: part of one core; mem: resident memory;\n"
	"drops: samples refused, a ring was full; age: since the last sign of life.\n\n"
	"  CYCLE  QUANT     frames a cycle       TIMER  COUNT   samples ever\n"
	"         RATE      frames a second             RATE    a second, over 10 s\n"
	"         WAIT      awake - signal              MEAN, P50, P99, MAX: of all\n"
	"         BUSY      finish - awake              TARGET  met or MISSED\n"
	"         W/Q, B/Q  parts of the quantum\n"
	"         ERR       xruns, missed deadlines\n\n"
	"WAIT and BUSY are means of the last samples. A dash: no value. A + ends what was\n"
	"cut; columns that do not fit the window are left out.\n";

struct wanted {
	bool batch;
	uint64_t count; /* 0: for ever */
	double delay_s;
};

static const struct option own_options[] = {{"batch", no_argument, NULL, 'b'},
					    {"count", required_argument, NULL, 'n'},
					    {"delay", required_argument, NULL, 'd'},
					    {"once", no_argument, NULL, 'o'},
					    {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	struct wanted *wanted = data;
	char *end = NULL;

	switch (option) {
	case 'b':
		wanted->batch = true;
		return true;
	case 'o':
		wanted->batch = true;
		wanted->count = 1;
		return true;
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

/* ---- the table ---- */

#define STATES 4
static const char *const state_order[STATES] = {"running", "stale", "lost", "ended"};

/* How wide names and ids are: as their longest, as far as the window has room. */
struct widths {
	int id, name;
};

static int wider(const msgpack_object *map, const char *key, int width)
{
	char text[96];
	int columns = text_columns(member_text(map, key, text, sizeof text));

	return columns > width ? columns : width;
}

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

static struct widths widths_of(const struct document *document, const struct page *page)
{
	const msgpack_object *sessions = NULL, *metrics = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	struct widths widths = {8, 8};

	for (size_t i = 0; i < count; i++) {
		size_t timers = member_array(&sessions[i], "metrics", &metrics);

		widths.id = wider(&sessions[i], "id", widths.id);
		for (size_t m = 0; m < timers; m++)
			widths.name = wider(&metrics[m], "name", widths.name);
	}
	/* What stands beside them takes 66 and 62 columns; a narrow window has no room for it. */
	widths.id = clamp(widths.id, 8, page->columns < 80 ? 16 : page->columns - 66);
	widths.name = clamp(widths.name, 8, page->columns < 80 ? 12 : page->columns - 62);
	return widths;
}

static uint32_t sessions_in(const struct document *document, const char *wanted)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint32_t found = 0;
	char state[16];

	for (size_t i = 0; i < count; i++)
		found += strcmp(member_text(&sessions[i], "state", state, sizeof state), wanted) ==
			 0;
	return found;
}

static void print_alarms(struct page *page, const struct document *document, const char *bus)
{
	const struct shmbus_snapshot *snapshot = &document->snapshot;
	double drops = member_real(member(&document->root, "agent"), "dropped_total", 0);
	uint32_t stale = sessions_in(document, "stale");
	char age[FORMAT_SIZE];

	format_duration(age, (double)snapshot->age_ns);
	if (!snapshot->agent_running)
		page_text(page, true,
			  "** NO AGENT for %s: all below is old; 'shmbus-agent --bus %s' **", age,
			  bus);
	else if (snapshot_stale(snapshot))
		page_text(page, true, "** STALE for %s: the agent is stopped or starved **", age);
	if (drops > 0)
		page_text(page, true, "** %.0f SAMPLES WERE DROPPED: a ring was full **", drops);
	if (stale > 0)
		page_text(page, true, "** %u SESSION%s STALE: no sign of life **", stale,
			  stale == 1 ? "" : "S");
}

static void print_header(struct page *page, const struct document *document, const char *bus)
{
	const msgpack_object *agent = member(&document->root, "agent");
	const msgpack_object *totals = member(&document->root, "totals");
	uint64_t now = member_u64(&document->root, "time_unix_ns", 0);
	uint64_t start = member_u64(agent, "start_time_unix_ns", now);
	char f[FORMAT_SIZE];
	struct line line;

	line_begin(&line, page, 0);
	line_format(&line, "shmbus %s ", bus);
	line_format(&line, "%u running ", sessions_in(document, "running"));
	line_format(&line, "%u stale ", sessions_in(document, "stale"));
	line_format(&line, "%.0f lost ", member_real(totals, "sessions_lost", 0));
	line_format(&line, "%.0f ended", member_real(totals, "sessions_ended", 0));
	line_format(&line, "  q: quit");
	page_line(page, &line);
	line_begin(&line, page, 0);
	line_format(&line, "agent cpu %s ",
		    format_percent(f, member_real(agent, "cpu_ratio", NAN)));
	line_format(&line, "rss %s ", format_bytes(f, member_real(agent, "rss_bytes", NAN)));
	line_format(&line, "lag %s ", format_duration(f, member_real(agent, "drain_lag_ns", NAN)));
	line_format(&line, "samples %s ",
		    format_count(f, member_real(agent, "samples_total", NAN)));
	line_format(&line, "up %s", format_duration(f, now > start ? (double)(now - start) : 0));
	page_line(page, &line);
	print_alarms(page, document, bus);
}

static void print_session(struct page *page, const msgpack_object *session, int id_width)
{
	const msgpack_object *memory = member(session, "memory");
	char id[80], service[80], state[16], f[FORMAT_SIZE];
	struct line line;

	line_begin(&line, page, 0);
	line_left(&line, 7, member_text(session, "state", state, sizeof state));
	line_left(&line, id_width, member_text(session, "id", id, sizeof id));
	line_left(&line, 9, member_text(session, "service", service, sizeof service));
	line_format(&line, "cpu %6s", format_percent(f, member_real(session, "cpu_ratio", NAN)));
	line_format(&line, "mem %7s",
		    format_bytes(f, member_real(memory, "process_rss_bytes", NAN)));
	line_format(&line, "drops %5s", format_count(f, member_real(session, "dropped_total", 0)));
	line_format(&line, "age %6s", format_duration(f, member_real(session, "age_ns", NAN)));
	page_line(page, &line);
}

/* The cycle's WAIT has its timer under <name>.wait. */
static const msgpack_object *wait_of(const msgpack_object *session, const char *name)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	char wanted[80], found[80];

	snprintf(wanted, sizeof wanted, "%.64s.wait", name);
	for (size_t i = 0; i < count; i++)
		if (strcmp(member_text(&metrics[i], "name", found, sizeof found), wanted) == 0)
			return &metrics[i];
	return NULL;
}

/* CYCLE and TIMER have the same widths, so that they stand in line. */
static const int cell_widths[] = {7, 6, 7, 7, 7, 7, 6};

#define CELLS 7

static void print_row(struct page *page, int name_width, const char *name,
		      const char *const cells[CELLS])
{
	struct line line;

	line_begin(&line, page, 2);
	line_left(&line, name_width, name);
	for (int i = 0; i < CELLS; i++)
		line_right(&line, cell_widths[i], cells[i]);
	page_line(page, &line);
}

static void print_cycle(struct page *page, const msgpack_object *session,
			const msgpack_object *metric, const char *name, int name_width)
{
	const msgpack_object *period = member(metric, "period");
	const msgpack_object *busy = member(metric, "window");
	const msgpack_object *wait = member(wait_of(session, name), "window");
	/* A cycle too long is a miss and, where the driver tells, an xrun: it is one error. */
	double errors = fmax(member_real(period, "misses", 0), member_real(period, "xruns", 0));
	char f[CELLS][FORMAT_SIZE];
	const char *const cells[CELLS] = {
		format_count(f[0], member_real(period, "quantum", 0)),
		format_count(f[1], member_real(period, "rate_hz", 0)),
		format_duration(f[2], member_real(wait, "mean", NAN)),
		format_duration(f[3], member_real(busy, "mean", NAN)),
		format_percent(f[4], member_real(period, "wait_ratio", NAN)),
		format_percent(f[5], member_real(period, "busy_ratio", NAN)),
		format_count(f[6], errors),
	};

	print_row(page, name_width, name, cells);
}

static const char *target_word(const msgpack_object *metric)
{
	int met = member_bool(member(metric, "target"), "met");

	return met < 0 ? "-" : met > 0 ? "met" : "MISSED";
}

static void print_timer(struct page *page, const msgpack_object *metric, const char *name,
			int name_width)
{
	const msgpack_object *quantiles = member(metric, "quantiles");
	const msgpack_object *recent = member(member(metric, "windows"), "10s");
	char text[16], f[CELLS][FORMAT_SIZE];
	const char *unit = member_text(metric, "unit", text, sizeof text);
	const char *const cells[CELLS] = {
		format_count(f[0], member_real(metric, "count", NAN)),
		format_count(f[1], member_real(recent, "rate", NAN)),
		format_value(f[2], member_real(metric, "mean", NAN), unit),
		format_value(f[3], member_real(quantiles, "p50", NAN), unit),
		format_value(f[4], member_real(quantiles, "p99", NAN), unit),
		format_value(f[5], member_real(metric, "max", NAN), unit),
		target_word(metric),
	};

	print_row(page, name_width, name, cells);
}

/* Cycles first, then timers, each under a heading of its own where there are any. */
static void print_timers(struct page *page, const msgpack_object *session, bool cycles,
			 int name_width)
{
	static const char *const cycle_titles[CELLS] = {"QUANT", "RATE", "WAIT", "BUSY",
							"W/Q",   "B/Q",  "ERR"};
	static const char *const timer_titles[CELLS] = {"COUNT", "RATE", "MEAN",  "P50",
							"P99",   "MAX",  "TARGET"};
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics), printed = 0;

	for (size_t i = 0; i < count; i++) {
		char name[80], kind[16];
		bool cycle = member_u64(member(&metrics[i], "period"), "quantum", 0) != 0;

		member_text(&metrics[i], "name", name, sizeof name);
		if (cycle != cycles ||
		    strcmp(member_text(&metrics[i], "kind", kind, sizeof kind), "timer") != 0)
			continue;
		if (printed++ == 0)
			print_row(page, name_width, cycles ? "CYCLE" : "TIMER",
				  cycles ? cycle_titles : timer_titles);
		if (cycles)
			print_cycle(page, session, &metrics[i], name, name_width);
		else
			print_timer(page, &metrics[i], name, name_width);
	}
}

/* What lives before what is history, which may be long. */
static void print_document(struct page *page, const struct document *document, const char *bus)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	struct widths widths = widths_of(document, page);
	char state[16];

	print_header(page, document, bus);
	for (int s = 0; s < STATES; s++) {
		for (size_t i = 0; i < count; i++) {
			if (strcmp(member_text(&sessions[i], "state", state, sizeof state),
				   state_order[s]) != 0)
				continue;
			print_session(page, &sessions[i], widths.id);
			print_timers(page, &sessions[i], true, widths.name);
			print_timers(page, &sessions[i], false, widths.name);
		}
	}
	if (count == 0)
		page_text(page, false, "no session yet");
}

/* ---- the loop ---- */

static int show_once(struct shmbus_snapshot_reader *reader, bool live, const char *bus)
{
	struct document document;
	struct page page;
	char text[256];
	int error = document_read(&document, reader);

	if (error != 0 && !live) {
		read_failed(error, bus);
		return error;
	}
	page_begin(&page);
	if (error == 0) {
		print_document(&page, &document, bus);
		document_free(&document);
	} else {
		page_text(&page, false, "shmbus %s  waiting for a snapshot; q: quit", bus);
		page_text(&page, true, "** %s **", read_failure(error, bus, text, sizeof text));
	}
	page_end(&page);
	fflush(stdout);
	return error;
}

static int loop(struct shmbus_snapshot_reader *reader, const struct wanted *wanted, const char *bus)
{
	bool live = !wanted->batch && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	enum screen_event event = SCREEN_NEXT;
	uint64_t shown = 0;
	int error = 0;

	screen_signals(live);
	if (live)
		screen_begin();
	while (event != SCREEN_LEAVE) {
		error = show_once(reader, live, bus);
		shown += event == SCREEN_NEXT;
		if (shown == wanted->count || ferror(stdout)) /* or the terminal is gone */
			break;
		event = screen_wait(wanted->delay_s, live);
	}
	screen_end();
	return error != 0 && !live ? EXIT_FAILURE : 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct wanted wanted = {.delay_s = 1};
	struct shmbus_snapshot_reader *reader;
	const char *bus;
	int status = options_parse(command, argc, argv, "bn:d:", own_options, take, &wanted, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader);
	if (status != 0)
		return status;
	status = loop(reader, &wanted, bus_name(bus));
	shmbus_snapshot_close(reader);
	return status;
}

const struct command command_top = {"top", "show sessions and timers, live", help, run, NULL};
