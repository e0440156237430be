/* SPDX-License-Identifier: MIT */
/* hist.c - shmbus hist: the histogram and the percentiles of one timer, or of two. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "hgrm.h"
#include "hist_draw.h"
#include "options.h"
#include "saved.h"
#include "find.h"
#include "text.h"

static const char help[] =
	"Usage: shmbus hist [OPTION]... SESSION METRIC\n"
	"       shmbus hist [OPTION]... --totals METRIC\n\n"
	"Draws the histogram of a timer, of all samples of its session, and its\n"
	"percentiles. SESSION is as in 'shmbus show', or 'totals': all sessions together,\n"
	"the same as --totals.\n\n"
	"  -l, --log              rows of equal ratio, not of equal width\n"
	"      --log-counts       the bars' lengths by the logarithm of the counts\n"
	"  -c, --compare OTHER    beside the same metric of another session, or of a file\n"
	"                         that 'shmbus snapshot' wrote (with a / in its name, or\n"
	"                         no session begins so); OTHER is A, SESSION is B\n"
	"      --hgrm             HdrHistogram's percentile format, for its plotters\n"
	"  -t, --totals           all sessions of the bus together\n"
	"  -n, --rows ROWS        about so many rows (2 to 200, default 20)\n"
	"  -w, --width COLUMNS    40 to 400 (default: the window's, else 80)\n"
	"  -a, --ascii            bars of #; so too where the locale is not UTF-8\n\n"
	"Exit status: 0; 1 no such session or timer, no samples; 2 what is not allowed.\n\n"
	"Examples:\n"
	"  shmbus hist --log studio cycle\n"
	"  shmbus snapshot > old.json; shmbus hist --compare ./old.json studio cycle\n"
	"  shmbus hist --hgrm --totals cycle > cycle.hgrm\n";

struct wanted {
	struct drawing drawing;
	const char *compare;
	bool totals, hgrm;
};

static const struct option own_options[] = {{"log", no_argument, NULL, 'l'},
					    {"log-counts", no_argument, NULL, 'L'},
					    {"compare", required_argument, NULL, 'c'},
					    {"hgrm", no_argument, NULL, 'H'},
					    {"totals", no_argument, NULL, 't'},
					    {"rows", required_argument, NULL, 'n'},
					    {"width", required_argument, NULL, 'w'},
					    {"ascii", no_argument, NULL, 'a'},
					    {NULL, 0, NULL, 0}};

static bool take_number(const char *option, const char *value, int low, int high, int *out)
{
	char *end, allowed[48];
	long number = strtol(value, &end, 10);

	snprintf(allowed, sizeof allowed, "%d to %d", low, high);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || number < low || number > high)
		return not_allowed(option, value, allowed);
	*out = (int)number;
	return true;
}

static bool take(int option, const char *value, void *data)
{
	struct wanted *wanted = data;

	switch (option) {
	case 'l':
		wanted->drawing.log = true;
		return true;
	case 'L':
		wanted->drawing.log_counts = true;
		return true;
	case 'c':
		wanted->compare = value;
		return true;
	case 'H':
		wanted->hgrm = true;
		return true;
	case 't':
		wanted->totals = true;
		return true;
	case 'a':
		wanted->drawing.ascii = true;
		return true;
	case 'n':
		return take_number("--rows", value, 2, 200, &wanted->drawing.rows);
	default:
		return take_number("--width", value, 40, 400, &wanted->drawing.columns);
	}
}

/* What the environment says of the terminal; the locale itself may not be installed. */
static bool terminal_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && value[0] != '\0')
			return strcasestr(value, "UTF-8") != NULL ||
			       strcasestr(value, "UTF8") != NULL;
	}
	return false;
}

/* ---- which ---- */

/* A timer with its samples, and what to call it. */
struct chosen {
	struct buckets buckets;
	const msgpack_object *metric;
	char title[320];
	char unit[24];
};

static const msgpack_object *timer_find(const msgpack_object *holder, const char *name)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(holder, "metrics", &metrics);
	char text[80];

	for (size_t i = 0; i < count; i++)
		if (strcmp(member_text(&metrics[i], "name", text, sizeof text), name) == 0 &&
		    metric_is_timer(&metrics[i]))
			return &metrics[i];
	return NULL;
}

static void say_no_timer(const msgpack_object *holder, const char *name)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(holder, "metrics", &metrics), named = 0;
	char text[80];

	if (metric_find(holder, name) != NULL)
		fprintf(stderr, "shmbus: \"%s\" is no timer: it has no histogram; timers:", name);
	else
		fprintf(stderr, "shmbus: there is no timer \"%s\"; timers:", name);
	for (size_t i = 0; i < count; i++)
		if (metric_is_timer(&metrics[i]) && named++ < 32)
			fprintf(stderr, " %s", member_text(&metrics[i], "name", text, sizeof text));
	fprintf(stderr, "%s\n", named == 0 ? " none" : named > 32 ? " ..." : "");
}

static int choose(struct chosen *chosen, const struct document *document, const char *session,
		  const char *name)
{
	bool totals = strcmp(session, "totals") == 0;
	const msgpack_object *holder =
		totals ? member(&document->root, "totals") : session_or_say(document, session);
	char id[80], state[16];
	int error;

	if (holder == NULL)
		return -ENOENT;
	chosen->metric = timer_find(holder, name);
	if (chosen->metric == NULL) {
		say_no_timer(holder, name);
		return -ENOENT;
	}
	if (totals)
		snprintf(chosen->title, sizeof chosen->title, "all sessions, %s", name);
	else
		snprintf(chosen->title, sizeof chosen->title, "%s (%s), %s",
			 member_text(holder, "id", id, sizeof id),
			 member_text(holder, "state", state, sizeof state), name);
	member_text(chosen->metric, "unit", chosen->unit, sizeof chosen->unit);
	error = buckets_load(&chosen->buckets, chosen->metric);
	if (error == -ENODATA)
		fprintf(stderr, "shmbus: %s: no samples\n", chosen->title);
	else if (error != 0)
		fprintf(stderr, "shmbus: %s: a histogram that makes no sense\n", chosen->title);
	return error;
}

/* ---- output ---- */

static void print_statistics(const struct chosen *chosen)
{
	static const char *const first[] = {"mean", "std", "min", "max"};
	static const char *const second[] = {"p50", "p90", "p95", "p99", "p99_9"};
	const msgpack_object *quantiles = member(chosen->metric, "quantiles");
	char text[160], shown[24], f[FORMAT_SIZE];

	printf("%s: %llu samples", chosen->title, (unsigned long long)chosen->buckets.total);
	if (*format_unit(shown, chosen->unit) != '\0')
		printf(", in %s", shown);
	putchar('\n');
	if (*member_text(chosen->metric, "help", text, sizeof text) != '\0')
		puts(text);
	for (size_t i = 0; i < 4; i++)
		printf("%s%s %s", i > 0 ? "  " : "", first[i],
		       format_value(f, member_real(chosen->metric, first[i], NAN), chosen->unit));
	putchar('\n');
	for (size_t i = 0; i < 5; i++)
		printf("%s%s %s", i > 0 ? "  " : "", i == 4 ? "p99.9" : second[i],
		       format_value(f, member_real(quantiles, second[i], NAN), chosen->unit));
	fputs("\n\n", stdout);
}

static void print_difference(const char *name, double a, double b, const char *unit)
{
	char f[FORMAT_SIZE], g[FORMAT_SIZE], h[FORMAT_SIZE], percent[FORMAT_SIZE] = "-";

	if (a > 0)
		snprintf(percent, sizeof percent, "%+.1f%%", 100 * (b - a) / a);
	printf("%-6s %9s %9s %10s %9s\n", name, format_value(f, a, unit), format_value(g, b, unit),
	       format_value(h, b - a, unit), percent);
}

static void print_comparison(const struct chosen *a, const struct chosen *b)
{
	static const char *const own[] = {"mean", "std", "min", "max"};
	static const char *const quantiles[] = {"p50", "p90", "p95", "p99", "p99_9"};
	const msgpack_object *of_a = member(a->metric, "quantiles");
	const msgpack_object *of_b = member(b->metric, "quantiles");

	printf("A  %s: %llu samples\n", a->title, (unsigned long long)a->buckets.total);
	printf("B  %s: %llu samples\n\n", b->title, (unsigned long long)b->buckets.total);
	printf("%-6s %9s %9s %10s %9s\n", "", "A", "B", "B - A", "%");
	for (size_t i = 0; i < 4; i++)
		print_difference(own[i], member_real(a->metric, own[i], NAN),
				 member_real(b->metric, own[i], NAN), b->unit);
	for (size_t i = 0; i < 5; i++)
		print_difference(i == 4 ? "p99.9" : quantiles[i],
				 member_real(of_a, quantiles[i], NAN),
				 member_real(of_b, quantiles[i], NAN), b->unit);
	putchar('\n');
}

/* ---- the other one ---- */

/* Whether an id or a segment begins so: what session_find() would look among. */
static bool session_begins(const struct document *document, const char *wanted)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	char id[80];

	for (size_t i = 0; i < count; i++)
		if (strncmp(member_text(&sessions[i], "id", id, sizeof id), wanted,
			    strlen(wanted)) == 0)
			return true;
	return strcmp(wanted, "totals") == 0;
}

static bool is_file(const struct document *document, const char *other)
{
	if (strncmp(other, "/shmbus.", 8) == 0) /* a segment */
		return false;
	return strchr(other, '/') != NULL || !session_begins(document, other);
}

static void draw_both(const struct wanted *wanted, struct chosen *a, const struct chosen *b)
{
	struct drawing drawing = wanted->drawing;

	if (strcmp(a->unit, b->unit) != 0) {
		fprintf(stderr, "shmbus: the units differ: %s and %s\n", a->unit, b->unit);
		return;
	}
	print_comparison(a, b);
	drawing.unit = b->unit;
	draw_two(&drawing, &a->buckets, &b->buckets);
}

static int compare(const struct wanted *wanted, const struct document *document,
		   const struct chosen *b, const char *session, const char *name)
{
	struct chosen a = {0};
	struct saved saved;
	bool file = is_file(document, wanted->compare);
	int error = file ? saved_read(&saved, wanted->compare) : 0;
	int status = EXIT_FAILURE;

	if (error != 0) {
		fprintf(stderr, "shmbus: %s: %s\n", wanted->compare,
			error == -EBADMSG  ? "neither a session nor a saved snapshot"
			: error == -ENOENT ? "there is no such session and no such file"
					   : strerror(-error));
		return EXIT_FAILURE;
	}
	if (choose(&a, file ? &saved.document : document, file ? session : wanted->compare, name) ==
	    0) {
		draw_both(wanted, &a, b);
		status = strcmp(a.unit, b->unit) == 0 ? 0 : EXIT_FAILURE;
		buckets_free(&a.buckets);
	}
	if (file)
		saved_free(&saved);
	return status;
}

static int print(struct wanted *wanted, const struct document *document, const char *session,
		 const char *name)
{
	struct chosen chosen = {0};
	int status = 0;

	if (choose(&chosen, document, session, name) != 0)
		return EXIT_FAILURE;
	wanted->drawing.unit = chosen.unit;
	if (wanted->hgrm) {
		hgrm_print(stdout, &chosen.buckets, member_real(chosen.metric, "mean", 0),
			   member_real(chosen.metric, "std", 0));
	} else if (wanted->compare != NULL) {
		status = compare(wanted, document, &chosen, session, name);
	} else {
		print_statistics(&chosen);
		draw_one(&wanted->drawing, &chosen.buckets, chosen.metric);
	}
	buckets_free(&chosen.buckets);
	return status;
}

/* ---- the command ---- */

/* Whether the operands are what the options want. */
static bool operands_fit(const struct wanted *wanted, int given, char **operands)
{
	if (wanted->hgrm && wanted->compare != NULL) {
		fputs("shmbus hist: --hgrm is of one histogram: not with --compare\n", stderr);
		return false;
	}
	if (wanted->totals && given > 1) {
		fprintf(stderr, "shmbus hist: unexpected \"%s\": --totals is of no session\n",
			operands[0]);
		return false;
	}
	if (!wanted->totals && given < 2) {
		fputs("shmbus hist: METRIC is missing: hist SESSION METRIC\n", stderr);
		return false;
	}
	return true;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct wanted wanted = {.drawing = {.rows = 20}};
	struct shmbus_snapshot_reader *reader;
	struct document document;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "lc:tn:w:a", own_options, take,
					  &wanted, &bus);

	if (status >= 0)
		return status;
	if (!operands_fit(&wanted, argc - optind, argv + optind))
		return EXIT_USAGE;
	if (wanted.drawing.columns == 0)
		wanted.drawing.columns = window_columns() > 0 ? window_columns() : 80;
	wanted.drawing.columns = wanted.drawing.columns > 400 ? 400 : wanted.drawing.columns;
	wanted.drawing.ascii |= !terminal_utf8();
	status = reader_open(bus, &reader);
	if (status != 0)
		return status;
	bus = bus_name(bus);
	error = document_read(&document, reader);
	if (error != 0) {
		read_failed(error, bus);
		status = EXIT_FAILURE;
	} else {
		note_age(&document.snapshot, bus);
		status = print(&wanted, &document, wanted.totals ? "totals" : argv[optind],
			       argv[wanted.totals ? optind : optind + 1]);
		document_free(&document);
	}
	shmbus_snapshot_close(reader);
	return status;
}

const struct command command_hist = {"hist", "draw the histogram of a timer", help, run,
				     "SESSION [TIMER]"};
