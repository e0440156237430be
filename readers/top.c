/* SPDX-License-Identifier: MIT */
/* top.c - shmbus top: a live table of sessions and their timers. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "format.h"
#include "options.h"

static const char help[] =
	"Usage: shmbus top [-b] [-n COUNT] [-d SECONDS] [--once] [--bus NAME]\n\n"
	"Shows the sessions and their timers, live. q or Ctrl-C ends it.\n\n"
	"  -b, --batch        plain text, one table after the other\n"
	"  -n, --count COUNT  end after so many tables (1 to 1000000)\n"
	"  -d, --delay SEC    between tables: 0.1 to 3600 (default 1)\n"
	"      --once         one table: -b -n 1\n\n"
	"Cycles: QUANT frames a cycle, RATE frames a second, WAIT awake - signal and BUSY\n"
	"finish - awake (means of the last samples), W/Q and B/Q as parts of the quantum, ERR "
	"xruns\n"
	"and missed deadlines. Timers: COUNT samples, RATE a second over 10 s, MEAN, P50, P99, "
	"MAX,\n"
	"TARGET met or MISSED. A dash: no value.\n";

struct wanted {
	bool batch;
	uint64_t count; /* 0: for ever */
	double delay_s;
};

static const struct option table[] = {{"batch", no_argument, NULL, 'b'},
				      {"count", required_argument, NULL, 'n'},
				      {"delay", required_argument, NULL, 'd'},
				      {"once", no_argument, NULL, 'o'},
				      {NULL, 0, NULL, 0}};

static volatile sig_atomic_t stopped;
static bool screen_on;
static struct termios terminal_before;

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
		if (*end == '\0' && wanted->count >= 1 && wanted->count <= 1000000)
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

/* ---- the screen ---- */

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static void screen_begin(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal_before) == 0) {
		raw = terminal_before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout);
	screen_on = true;
}

static void screen_end(void)
{
	if (!screen_on)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
	screen_on = false;
}

struct page {
	int columns;
	int rows; /* left; INT32_MAX in batch mode */
};

static struct page page_begin(bool batch)
{
	struct page page = {.columns = 200, .rows = INT32_MAX};
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		page.columns = size.ws_col;
		page.rows = size.ws_row - 1;
	} else if (!batch) {
		page.columns = 80;
		page.rows = 23;
	}
	if (batch) {
		page.rows = INT32_MAX;
		return page;
	}
	fputs("\033[H", stdout);
	return page;
}

/* Bytes of `text` that fit: a byte is taken for a column, and no character is cut in two. */
static int fitting(const char *text, int columns)
{
	int length = (int)strlen(text);

	if (length <= columns)
		return length;
	while (columns > 0 && ((unsigned char)text[columns] & 0xc0) == 0x80)
		columns--;
	return columns;
}

/* Prints a line, cut to the page, if there is room for one more. */
__attribute__((format(printf, 2, 3))) static void line(struct page *page, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (page->rows <= 0)
		return;
	page->rows--;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	printf("%.*s%s\n", fitting(text, page->columns), text, screen_on ? "\033[K" : "");
}

/* ---- the table ---- */

static uint32_t sessions_in(const struct document *document, const char *wanted)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint32_t found = 0;

	for (size_t i = 0; i < count; i++) {
		char state[16];

		found += strcmp(member_text(&sessions[i], "state", state, sizeof state), wanted) ==
			 0;
	}
	return found;
}

static void print_header(struct page *page, const struct document *document)
{
	const msgpack_object *agent = member(&document->root, "agent");
	const msgpack_object *totals = member(&document->root, "totals");
	const struct shmbus_snapshot *snapshot = &document->snapshot;
	double drops = member_real(agent, "dropped_total", 0);
	uint32_t stale = sessions_in(document, "stale");
	char bus[SHMBUS_BUS_SIZE], f[5][FORMAT_SIZE];

	line(page, "shmbus %s  %u running, %u stale, %.0f ended, %.0f lost",
	     member_text(&document->root, "bus", bus, sizeof bus), sessions_in(document, "running"),
	     stale, member_real(totals, "sessions_ended", 0),
	     member_real(totals, "sessions_lost", 0));
	line(page, "agent cpu %s  rss %s  lag %s  samples %s  snapshot %s old",
	     format_percent(f[0], member_real(agent, "cpu_ratio", NAN)),
	     format_bytes(f[1], member_real(agent, "rss_bytes", NAN)),
	     format_duration(f[2], member_real(agent, "drain_lag_ns", NAN)),
	     format_count(f[3], member_real(agent, "samples_total", NAN)),
	     format_duration(f[4], (double)snapshot->age_ns));
	if (drops > 0)
		line(page, "** %.0f SAMPLES WERE DROPPED **", drops);
	if (stale > 0)
		line(page, "** %u STALE: no sign of life **", stale);
	if (!snapshot->agent_running)
		line(page, "** NO AGENT IS RUNNING: start one with 'shmbus-agent --bus %s' **",
		     bus);
	else if (snapshot->age_ns > 3 * snapshot->interval_ns)
		line(page, "** STALE SNAPSHOT: the agent is stopped or starved **");
}

/* 80 columns with an id of 16; a wider terminal shows more of the id. */
static void print_session(struct page *page, const msgpack_object *session)
{
	const msgpack_object *memory = member(session, "memory");
	int width = page->columns < 80 ? 16 : page->columns > 127 ? 63 : page->columns - 64;
	char id[SHMBUS_ID_SIZE], service[11], state[8], f[4][FORMAT_SIZE];

	line(page, "%-7s %-*s %-10s cpu %6s mem %6s drops %5s age %s",
	     member_text(session, "state", state, sizeof state), width,
	     member_text(session, "id", id, (size_t)width + 1),
	     member_text(session, "service", service, sizeof service),
	     format_percent(f[0], member_real(session, "cpu_ratio", NAN)),
	     format_bytes(f[1], member_real(memory, "process_rss_bytes", NAN)),
	     format_count(f[2], member_real(session, "dropped_total", 0)),
	     format_duration(f[3], member_real(session, "age_ns", NAN)));
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

static void print_cycle(struct page *page, const msgpack_object *session,
			const msgpack_object *metric, const char *name)
{
	const msgpack_object *period = member(metric, "period");
	const msgpack_object *busy = member(metric, "window");
	const msgpack_object *wait = member(wait_of(session, name), "window");
	char f[5][FORMAT_SIZE];

	line(page, "  %-16.16s %6.0f %6.0f %8s %8s %6s %6s %6.0f", name,
	     member_real(period, "quantum", 0), member_real(period, "rate_hz", 0),
	     format_duration(f[0], member_real(wait, "mean", NAN)),
	     format_duration(f[1], member_real(busy, "mean", NAN)),
	     format_percent(f[2], member_real(period, "wait_ratio", NAN)),
	     format_percent(f[3], member_real(period, "busy_ratio", NAN)),
	     member_real(period, "misses", 0) + member_real(period, "xruns", 0));
}

static const char *target_word(const msgpack_object *metric)
{
	int met = member_bool(member(metric, "target"), "met");

	return met < 0 ? "-" : met > 0 ? "met" : "MISSED";
}

static void print_timer(struct page *page, const msgpack_object *metric, const char *name)
{
	const msgpack_object *quantiles = member(metric, "quantiles");
	const msgpack_object *recent = member(member(metric, "windows"), "10s");
	char unit[16], f[6][FORMAT_SIZE];

	member_text(metric, "unit", unit, sizeof unit);
	line(page, "  %-16.16s %7s %6s %8s %8s %8s %8s %6s", name,
	     format_count(f[0], member_real(metric, "count", NAN)),
	     format_count(f[1], member_real(recent, "rate", NAN)),
	     format_value(f[2], member_real(metric, "mean", NAN), unit),
	     format_value(f[3], member_real(quantiles, "p50", NAN), unit),
	     format_value(f[4], member_real(quantiles, "p99", NAN), unit),
	     format_value(f[5], member_real(metric, "max", NAN), unit), target_word(metric));
}

/* Cycles first, then timers, each under a heading of its own where there are any. */
static void print_timers(struct page *page, const msgpack_object *session, bool cycles)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics), printed = 0;

	for (size_t i = 0; i < count; i++) {
		char name[64], kind[16];
		bool cycle = member_u64(member(&metrics[i], "period"), "quantum", 0) != 0;

		member_text(&metrics[i], "name", name, sizeof name);
		if (cycle != cycles ||
		    strcmp(member_text(&metrics[i], "kind", kind, sizeof kind), "timer") != 0)
			continue;
		if (printed++ == 0 && cycles)
			line(page, "  %-16s %6s %6s %8s %8s %6s %6s %6s", "CYCLE", "QUANT", "RATE",
			     "WAIT", "BUSY", "W/Q", "B/Q", "ERR");
		else if (printed == 1)
			line(page, "  %-16s %7s %6s %8s %8s %8s %8s %6s", "TIMER", "COUNT", "RATE",
			     "MEAN", "P50", "P99", "MAX", "TARGET");
		if (cycles)
			print_cycle(page, session, &metrics[i], name);
		else
			print_timer(page, &metrics[i], name);
	}
}

static void print_document(struct page *page, const struct document *document)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);

	print_header(page, document);
	for (size_t i = 0; i < count; i++) {
		print_session(page, &sessions[i]);
		print_timers(page, &sessions[i], true);
		print_timers(page, &sessions[i], false);
	}
}

/* ---- the loop ---- */

static int show_once(struct shmbus_snapshot_reader *reader, bool batch, const char *bus)
{
	struct page page = page_begin(batch);
	struct document document;
	int error = document_read(&document, reader);

	if (error == 0) {
		print_document(&page, &document);
		document_free(&document);
	} else if (error == -ENOENT && !batch) {
		line(&page, "waiting for an agent: start one with 'shmbus-agent --bus %s'", bus);
	} else if (!batch) {
		line(&page, "%s",
		     error == -EBADMSG ? "the snapshot is damaged" : shmbus_strerror(error));
	}
	if (screen_on)
		fputs("\033[J", stdout);
	fflush(stdout);
	return error;
}

/* Sleeps; true where the user wants to leave. Signals come through here alone, so that none is
 * lost between the look at `stopped` and the sleep. */
static bool leave_after(double delay_s, bool keys, const sigset_t *signals)
{
	struct pollfd input = {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN};
	struct timespec delay = {.tv_sec = (time_t)delay_s};
	char key = 0;

	delay.tv_nsec = (long)((delay_s - (double)delay.tv_sec) * 1e9);
	if (ppoll(&input, 1, &delay, signals) > 0 && read(STDIN_FILENO, &key, 1) != 1)
		return true;
	return key == 'q' || stopped;
}

/* Signals are held back but in leave_after(), which gets the mask of before. */
static void signals_begin(sigset_t *before, bool live)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		sigaddset(&held, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &held, before);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		sigdelset(before, numbers[i]);
	if (live) /* a stopped top would leave the terminal as it made it */
		signal(SIGTSTP, SIG_IGN);
}

static int loop(struct shmbus_snapshot_reader *reader, const struct wanted *wanted, const char *bus)
{
	bool live = !wanted->batch && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	sigset_t before;
	int error = 0;

	signals_begin(&before, live);
	if (live)
		screen_begin();
	for (uint64_t i = 1; !stopped; i++) {
		error = show_once(reader, !live, bus);
		if (error != 0 && !live)
			read_failed(error, bus);
		if (i == wanted->count || leave_after(wanted->delay_s, live, &before))
			break;
		if (ferror(stdout)) /* the terminal is gone */
			break;
	}
	screen_end();
	return error != 0 && !live ? EXIT_FAILURE : 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct wanted wanted = {.delay_s = 1};
	struct shmbus_snapshot_reader *reader;
	const char *bus;
	int status = options_parse(command, argc, argv, "bn:d:", table, take, &wanted, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader);
	if (status != 0)
		return status;
	if (bus == NULL)
		bus = getenv("SHMBUS_BUS");
	status = loop(reader, &wanted, bus == NULL || bus[0] == '\0' ? "default" : bus);
	shmbus_snapshot_close(reader);
	return status;
}

const struct command command_top = {"top", "show sessions and timers, live", help, run, 0};
