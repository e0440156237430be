/* SPDX-License-Identifier: MIT */
/* check.c - shmbus check: thresholds, as a monitoring plugin. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "options.h"
#include "perfdata.h"
#include "report.h"
#include "screen.h"

static const char help[] =
	"Usage: shmbus check [-w RULE]... [-c RULE]... [-f FILE]... [OPTION]...\n\n"
	"Compares values with thresholds, as monitoring plugins do: one line, STATUS -\n"
	"text | performance data, and the status. Without rules: those of --list.\n\n"
	"  -w, --warning RULE      a rule whose breach is a warning; may come again\n"
	"  -c, --critical RULE     the same, critical\n"
	"  -f, --file FILE         rules, a line each: warning RULE, critical RULE, #...\n"
	"      --default           the shipped rules too\n"
	"  -l, --list              print the rules, and check nothing\n"
	"  -v, --verbose           a line for each value, too\n"
	"      --watch             check again and again, a line each time\n"
	"  -d, --delay SECONDS     between lines of --watch: 0.1 to 3600 (default 10)\n"
	"  -n, --count COUNT       end after so many lines (1 to 1000000)\n"
	"      --missing STATUS    where a rule fits nothing (default unknown)\n"
	"      --no-agent STATUS   where no agent runs, or is stopped (default critical);\n"
	"                          STATUS is ok, warning, critical or unknown\n\n"
	"RULE is [SERVICE/SESSION:]METRIC[.PERIOD].STAT OP NUMBER[UNIT] [for TIME], or\n"
	"@QUANTITY for METRIC...STAT. SERVICE, SESSION, METRIC: patterns with * ? []; of\n"
	"sessions that are running or stale. METRIC is @latency, @timing or @e2e, too.\n"
	"PERIOD: window 10s 1m 5m 15m. STAT: value count mean std min max p50 p90 p95 p99\n"
	"p99.9 rate... @QUANTITY: @drops @age @memory @rss @cpu @targets, and counted\n"
	"over all: @sessions @running @stale @lost @ended. 'totals' and 'agent' may stand\n"
	"for SERVICE/SESSION. OP: > >= < <= == !=. shmbus(1), CHECK, has all of them.\n"
	"'for TIME': breached at every look; without --watch it looks for so long.\n\n"
	"Exit status: 0 ok, 1 warning, 2 critical, 3 unknown, or what is not allowed.\n\n"
	"Examples:\n"
	"  shmbus check\n"
	"  shmbus check -c 'audio/*:cycle.p99 > 2ms for 10s' -w '*/*:@drops > 0'\n"
	"  shmbus check -c 'voice/*:@sessions < 1' -w 'totals:stt.time.5m.p95 > 300ms'\n";

#define LOOK_NS_MIN 20000000u
#define LOOK_NS_MAX 1000000000u

struct check {
	struct ruleset set;
	struct verdicts verdicts;
	enum level missing, no_agent;
	bool add_default, list, verbose, watch;
	double delay_s;
	uint64_t count; /* 0: for ever */
	const char *bus;
	struct shmbus_snapshot_reader *reader;
	/* The last look. */
	uint64_t look_ns; /* until the next */
	enum level failure;
	char failure_text[320]; /* "": there was a snapshot */
};

static const struct option own_options[] = {
	{"warning", required_argument, NULL, 'w'},  {"critical", required_argument, NULL, 'c'},
	{"file", required_argument, NULL, 'f'},     {"default", no_argument, NULL, 'D'},
	{"list", no_argument, NULL, 'l'},           {"verbose", no_argument, NULL, 'v'},
	{"watch", no_argument, NULL, 'W'},          {"delay", required_argument, NULL, 'd'},
	{"count", required_argument, NULL, 'n'},    {"missing", required_argument, NULL, 'm'},
	{"no-agent", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};

static bool take_level(const char *option, const char *value, enum level *out)
{
	return level_parse(value, out) ||
	       not_allowed(option, value, "ok, warning, critical or unknown");
}

static bool take_count(const char *value, uint64_t *out)
{
	char *end;

	*out = strtoull(value, &end, 10);
	return (value[0] >= '0' && value[0] <= '9' && *end == '\0' && *out >= 1 &&
		*out <= 1000000) ||
	       not_allowed("--count", value, "1 to 1000000");
}

static bool take_delay(const char *value, double *out)
{
	char *end;

	*out = strtod(value, &end);
	return (*end == '\0' && end != value && *out >= 0.1 && *out <= 3600) ||
	       not_allowed("--delay", value, "0.1 to 3600 seconds");
}

static bool take(int option, const char *value, void *data)
{
	struct check *check = data;

	switch (option) {
	case 'w':
		return ruleset_add(&check->set, LEVEL_WARNING, "--warning", value);
	case 'c':
		return ruleset_add(&check->set, LEVEL_CRITICAL, "--critical", value);
	case 'f':
		return ruleset_read(&check->set, value);
	case 'D':
		return check->add_default = true;
	case 'l':
		return check->list = true;
	case 'v':
		return check->verbose = true;
	case 'W':
		return check->watch = true;
	case 'd':
		return take_delay(value, &check->delay_s);
	case 'n':
		return take_count(value, &check->count);
	case 'm':
		return take_level("--missing", value, &check->missing);
	default:
		return take_level("--no-agent", value, &check->no_agent);
	}
}

/* ---- one look ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A snapshot that is the agent's last, or old, says nothing of now. */
static bool is_old(struct check *check, const struct shmbus_snapshot *snapshot)
{
	char age[FORMAT_SIZE];

	format_duration(age, (double)snapshot->age_ns);
	if (!snapshot->agent_running)
		snprintf(check->failure_text, sizeof check->failure_text,
			 "no agent is running on bus \"%s\": its last snapshot is %s old",
			 check->bus, age);
	else if (snapshot_stale(snapshot))
		snprintf(check->failure_text, sizeof check->failure_text,
			 "the snapshot is %s old: the agent is stopped or starved", age);
	else
		return false;
	check->failure = check->no_agent;
	return true;
}

static void look(struct check *check)
{
	struct document document;
	int error = document_read(&document, check->reader);

	check->failure_text[0] = '\0';
	if (error != 0) {
		check->failure = error == -ENOENT ? check->no_agent : LEVEL_UNKNOWN;
		read_failure(error, check->bus, check->failure_text, sizeof check->failure_text);
		return;
	}
	if (!is_old(check, &document.snapshot))
		verdicts_look(&check->verdicts, &check->set, &document, now_ns());
	check->look_ns = document.snapshot.interval_ns;
	if (check->look_ns < LOOK_NS_MIN || check->look_ns > LOOK_NS_MAX)
		check->look_ns = check->look_ns < LOOK_NS_MIN ? LOOK_NS_MIN : LOOK_NS_MAX;
	document_free(&document);
}

static enum level say(struct check *check)
{
	enum level level = check->failure;

	if (check->failure_text[0] != '\0') {
		perf_text(check->failure_text);
		printf("%s - %s\n", level_word(level), check->failure_text);
	} else {
		level = report_level(&check->verdicts, &check->set, check->missing);
		report_print(&check->verdicts, &check->set, check->missing, check->verbose);
	}
	fflush(stdout);
	return level;
}

/* ---- looks ---- */

/* False: a signal asks to end. */
static bool pause_until(uint64_t until_ns)
{
	uint64_t now = now_ns();

	return until_ns <= now ||
	       screen_wait((double)(until_ns - now) / 1e9, false) != SCREEN_LEAVE;
}

/* Looks until it is known what has been breached for as long as its rule says. */
static enum level observe(struct check *check)
{
	uint64_t start;

	look(check);
	start = check->verdicts.now_ns;
	while (check->failure_text[0] == '\0' && verdicts_pending(&check->verdicts, start) &&
	       pause_until(now_ns() + check->look_ns))
		look(check);
	return say(check);
}

/* Between lines it looks as often as there are snapshots, or every second. */
static enum level watch(struct check *check)
{
	uint64_t delay_ns = (uint64_t)(check->delay_s * 1e9), next = now_ns(), said = 0;
	enum level level = LEVEL_UNKNOWN;
	bool more = true;

	while (more) {
		look(check);
		if (now_ns() >= next) {
			level = say(check);
			next += delay_ns;
			if (++said == check->count || ferror(stdout))
				break;
		}
		more = pause_until(now_ns() + check->look_ns < next ? now_ns() + check->look_ns
								    : next);
	}
	return level;
}

/* Monitoring systems show standard output alone; what is wrong stands on standard error. */
static int refused(void)
{
	puts("UNKNOWN - this check is not allowed as it is called: see standard error");
	return LEVEL_UNKNOWN;
}

static int run_check(const struct command *command, struct check *check, int argc, char **argv)
{
	const char *bus;
	int status =
		options_parse(command, argc, argv, "w:c:f:lvd:n:", own_options, take, check, &bus);

	if (status >= 0)
		return status == 0 ? 0 : refused();
	if (check->set.count == 0 || check->add_default)
		ruleset_add_default(&check->set);
	if (check->list) {
		ruleset_print(&check->set, stdout);
		return 0;
	}
	if (reader_open(bus, &check->reader) != 0)
		return refused();
	check->bus = bus_name(bus);
	screen_signals(false);
	status = (int)(check->watch ? watch(check) : observe(check));
	shmbus_snapshot_close(check->reader);
	verdicts_free(&check->verdicts);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct check *check = calloc(1, sizeof *check);
	int status;

	if (check == NULL) {
		puts("UNKNOWN - not enough memory");
		return LEVEL_UNKNOWN;
	}
	check->missing = LEVEL_UNKNOWN;
	check->no_agent = LEVEL_CRITICAL;
	check->delay_s = 10;
	check->look_ns = LOOK_NS_MAX;
	status = run_check(command, check, argc, argv);
	free(check);
	return status;
}

const struct command command_check = {"check", "compare values with thresholds", help, run, NULL};
